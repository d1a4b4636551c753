//! Sockets that the service manager passed (sd_listen_fds(3)), and what their names say.
//!
//! A passed socket has no `tls://` before its address, so its name says it (`FileDescriptorName=`
//! of the socket unit): `tls`, `proxy` or `tls+proxy`; `http` and the names that the manager gives
//! by itself (the unit's, `unknown`) are plain HTTP; `admin` is the socket of hookboxctl. Any other
//! name is refused: a word that is mistyped must not end in webhooks without encryption.

use std::env;

use crate::config::Config;
use crate::ingest::listen::Preamble;
use crate::ingest::{ListenError, Listener};

use super::exit::Exit;

/// The name of the socket of hookboxctl.
const ADMIN: &str = "admin";

/// What was passed.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// For webhooks; none when no such socket was passed.
    pub listeners: Vec<Listener>,
    pub admin: Option<tokio::net::UnixListener>,
}

/// Takes the passed sockets. Needs a tokio runtime around it.
pub fn take(config: &Config) -> Result<PassedSockets, Exit> {
    let bad = |error: ListenError| Exit::new(Exit::CANNOT_CREATE, error.to_string());
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = listenfd::ListenFd::from_env();
    let mut names = names.split(':');

    let mut sockets = PassedSockets::default();
    for at in 0..passed.len() {
        let name = names.next().unwrap_or_default();
        if name == ADMIN {
            let unix = passed.take_unix_listener(at).ok().flatten();
            sockets.admin = Some(admin(unix)?);
            continue;
        }
        let below = below(name).and_then(|below| possible(name, below, config));
        let below = below.map_err(|what| Exit::new(Exit::CONFIG, what))?;

        if let Ok(Some(tcp)) = passed.take_tcp_listener(at) {
            sockets.listeners.push(Listener::passed_tcp(tcp, below).map_err(bad)?);
        } else if let Ok(Some(unix)) = passed.take_unix_listener(at) {
            if below != Preamble::default() {
                let what = format!(
                    "the passed socket '{name}' is a Unix socket, which speaks plain HTTP: name it \
                     http"
                );
                return Err(Exit::new(Exit::CONFIG, what));
            }
            sockets.listeners.push(Listener::passed_unix(unix).map_err(bad)?);
        } else {
            let what = format!(
                "the passed socket '{name}' is neither a TCP nor a Unix stream socket: use \
                 ListenStream="
            );
            return Err(Exit::new(Exit::CANNOT_CREATE, what));
        }
    }
    Ok(sockets)
}

/// The passed socket of hookboxctl. Its unit says who may open it.
fn admin(unix: Option<std::os::unix::net::UnixListener>) -> Result<tokio::net::UnixListener, Exit> {
    let Some(unix) = unix else {
        let what = "the passed socket 'admin' is not a Unix stream socket: use ListenStream=/path";
        return Err(Exit::new(Exit::CANNOT_CREATE, what));
    };
    let listener =
        unix.set_nonblocking(true).and_then(|()| tokio::net::UnixListener::from_std(unix));
    let unusable = |error| format!("the passed socket 'admin' cannot be used: {error}");
    listener.map_err(|error| Exit::new(Exit::CANNOT_CREATE, unusable(error)))
}

/// What a socket of this name speaks below HTTP.
fn below(name: &str) -> Result<Preamble, String> {
    match name {
        "tls" => Ok(Preamble { tls: true, proxy: false }),
        "proxy" => Ok(Preamble { tls: false, proxy: true }),
        "tls+proxy" | "proxy+tls" => Ok(Preamble { tls: true, proxy: true }),
        "" | "http" | "unknown" => Ok(Preamble::default()),
        unit if unit.ends_with(".socket") => Ok(Preamble::default()),
        other => Err(format!(
            "the passed socket is named '{other}': FileDescriptorName= must be tls, proxy, \
             tls+proxy, http or admin, or be left out"
        )),
    }
}

/// The same, when the configuration has what it takes.
fn possible(name: &str, below: Preamble, config: &Config) -> Result<Preamble, String> {
    if below.tls && config.tls.cert.is_none() {
        return Err(format!(
            "the passed socket '{name}' needs a certificate: give cert and key in [tls]"
        ));
    }
    if below.proxy && config.ingress.trusted_proxies.is_empty() {
        return Err(format!(
            "the passed socket '{name}' needs to know its proxies: give ingress.trusted_proxies"
        ));
    }
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::{below, possible};
    use crate::config::Config;
    use crate::ingest::listen::Preamble;

    #[test]
    fn names_say_what_a_socket_speaks() {
        assert_eq!(below("tls"), Ok(Preamble { tls: true, proxy: false }));
        assert_eq!(below("proxy+tls"), below("tls+proxy"));
        for plain in ["", "http", "unknown", "hookbox.socket"] {
            assert_eq!(below(plain), Ok(Preamble::default()), "{plain}");
        }
        for wrong in ["tsl", "TLS", "https", "tls proxy", "web"] {
            assert!(
                below(wrong)
                    .is_err_and(|what| what.contains(wrong) && what.contains("FileDescriptorName"))
            );
        }
    }

    #[test]
    fn what_a_name_asks_for_must_be_configured() {
        let bare = Config::default();
        assert!(
            possible("tls", Preamble { tls: true, proxy: false }, &bare)
                .is_err_and(|what| what.contains("[tls]"))
        );
        let proxy = Preamble { tls: false, proxy: true };
        assert!(
            possible("proxy", proxy, &bare).is_err_and(|what| what.contains("trusted_proxies"))
        );
        assert_eq!(possible("http", Preamble::default(), &bare), Ok(Preamble::default()));
    }
}
