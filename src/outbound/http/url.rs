//! A target as HTTP needs it: what is dialled, and what stands in the request.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hyper::Uri;
use hyper::header::HeaderValue;

use crate::model::host::Host;
use crate::model::{HttpTarget, UnixTarget};

/// The address that is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A name for the resolver, without a dot at its end.
    Name { name: String, port: u16 },
    /// An address that the URL names outright.
    Literal { ip: IpAddr, port: u16 },
    /// A Unix socket.
    Socket(PathBuf),
}

impl fmt::Display for Destination {
    /// `host:port`, as a proxy is asked for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name, port } => write!(f, "{name}:{port}"),
            Self::Literal { ip, port } => write!(f, "{}", SocketAddr::new(*ip, *port)),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A URL that requests can be sent to.
#[derive(Clone, Debug)]
pub struct HttpUrl {
    pub destination: Destination,
    pub tls: bool,
    /// Path and query, as the request line has it.
    pub uri: Uri,
    /// The `Host` header.
    pub host: HeaderValue,
}

impl HttpUrl {
    /// Reads the text of an `http://` or `https://` URL.
    ///
    /// # Errors
    /// When it is another one, or none.
    pub fn parse(url: &str) -> Result<Self, String> {
        Self::of_http(&HttpTarget::parse(url).map_err(|error| error.to_string())?)
    }

    /// That of a test, which may be of a Unix socket as well.
    #[cfg(test)]
    pub fn of(url: &str) -> Self {
        let url = match crate::model::Target::parse(url).expect("a URL") {
            crate::model::Target::Unix(unix) => Self::of_unix(&unix),
            _ => Self::parse(url),
        };
        url.expect("one that requests can be sent to")
    }

    pub fn of_http(target: &HttpTarget) -> Result<Self, String> {
        let port = target.port;
        let destination = match target.host.clone() {
            Host::Name(name) => Destination::Name { name, port },
            Host::Address(ip) => Destination::Literal { ip, port },
        };
        let host = target.host_header();
        let host =
            HeaderValue::from_str(&host).map_err(|_| format!("'{host}' is not a host name"))?;

        Ok(Self { destination, tls: target.tls, uri: uri(&target.path)?, host })
    }

    pub fn of_unix(target: &UnixTarget) -> Result<Self, String> {
        Ok(Self {
            destination: Destination::Socket(target.socket.clone()),
            tls: false,
            uri: uri(&target.path)?,
            host: HeaderValue::from_static("localhost"),
        })
    }
}

fn uri(path: &str) -> Result<Uri, String> {
    let path = path.parse::<hyper::http::uri::PathAndQuery>();
    path.map(Uri::from).map_err(|error| format!("the path of the URL cannot be sent: {error}"))
}

#[cfg(test)]
mod tests {
    use super::HttpUrl;
    use crate::model::Target;

    /// The model decides which URLs are accepted, and this file can send to all of them.
    #[test]
    fn every_path_that_a_target_may_have_can_be_sent() {
        let mut accepted = 0;
        for character in (0..=127).map(char::from) {
            for place in ["a", "a?b"] {
                let url = format!("http://a/{place}{character}");
                if Target::parse(&url).is_ok() {
                    assert!(HttpUrl::parse(&url).is_ok(), "{url}");
                    accepted += 1;
                }
            }
        }
        assert!(accepted > 170, "{accepted}");
    }
}
