//! The addresses of `listen`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// An address to listen on, and the protocols below HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp {
        address: SocketAddr,
        tls: bool,
        /// Each connection begins with a PROXY header.
        proxy: bool,
    },
    Unix(PathBuf),
}

impl Listen {
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }

    #[must_use]
    pub fn is_proxied(&self) -> bool {
        matches!(self, Self::Tcp { proxy: true, .. })
    }
}

/// Reads what to listen on: `host:port`, `tls://`, `proxy://` or `tls+proxy://` before it, or
/// `unix:/path`.
///
/// # Errors
/// Says what an address looks like.
pub fn parse_listen(address: &str) -> Result<Listen, String> {
    if let Some(path) = address.strip_prefix("unix:") {
        return if path.starts_with('/') {
            Ok(Listen::Unix(PathBuf::from(path)))
        } else {
            Err(format!(
                "'{address}' needs an absolute path: write it as unix:/run/hookbox/in.sock"
            ))
        };
    }

    let (tls, proxy, rest) = match address.split_once("://") {
        None => (false, false, address),
        Some(("tls", rest)) => (true, false, rest),
        Some(("proxy", rest)) => (false, true, rest),
        Some(("tls+proxy" | "proxy+tls", rest)) => (true, true, rest),
        Some((scheme, _)) => {
            return Err(format!(
                "'{address}': {scheme}:// is not known; use tls://, proxy:// or tls+proxy://"
            ));
        }
    };

    match rest.parse() {
        Ok(address) => Ok(Listen::Tcp { address, tls, proxy }),
        Err(_) => Err(format!(
            "'{address}' is not an address: write it as 127.0.0.1:8420, [::1]:8420, \
             tls://127.0.0.1:8443 or unix:/path"
        )),
    }
}
