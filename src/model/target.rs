//! The target of an endpoint, read from its URL.
//!
//! | URL | target |
//! |---|---|
//! | `http://host/path` | a POST to that URL |
//! | `https://host/path` | the same over TLS |
//! | `unix:/run/app.sock:/path` | a POST over that Unix socket |
//! | `exec:/path/to/command` | a command that takes the event on stdin |
//! | `pull:` | nothing is sent: consumers lease deliveries over the admin socket |
//!
//! Nothing else tests how an endpoint's URL begins. Everything asks the [`Target`]: whether its
//! requests are signed, whether its deliveries are leased, whether it takes batches, which settings
//! it has, and where it is. So a new kind of target answers all of this here.
//!
//! The parser is stricter than a browser: what is ambiguous is refused, because two readers that
//! repair it differently are how an address guard is bypassed. An endpoint in an older log may have
//! a URL that is not accepted any more: `TargetUrl` keeps the text, and the error.
//!
//! Limits: [`limits::URL_LEN`] characters of a URL, [`SOCKET_PATH`] of the path of a socket,
//! `limits::COMMAND_ARG` bytes of the path of a command.

use std::path::PathBuf;
use std::str::FromStr;

use super::host::{Host, HostError};
use super::limits;
use super::secret::redacted_invalid_url;

/// Longest path of a Unix socket: `sun_path` less its NUL.
const SOCKET_PATH: usize = 107;

/// Where an endpoint's deliveries go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Http(HttpTarget),
    Unix(UnixTarget),
    /// The absolute path of a command.
    Exec(PathBuf),
    /// Consumers lease the deliveries.
    Pull,
}

/// An `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    pub tls: bool,
    pub host: Host,
    pub port: u16,
    /// Path and query, as the request line has them; begins with `/`.
    pub path: String,
}

/// HTTP over a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixTarget {
    pub socket: PathBuf,
    /// Path and query, as the request line has them; begins with `/`.
    pub path: String,
}

/// Where a target is, seen from this machine's link to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locality {
    /// On this machine: its failures say nothing about the link.
    Here,
    /// In the operator's own network, or in one that may be: the endpoint has `allow_private`.
    Near(String),
    /// Somewhere on the internet.
    Far(String),
}

/// Why a URL is not a target, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("a URL has 1 to {most} characters, this one {0}", most = limits::URL_LEN)]
    Length(usize),
    #[error(
        "the URL contains the character {0:?}: write spaces and control characters as %20 and the \
         like"
    )]
    Unprintable(char),
    #[error("the URL contains '{0}': write names in their xn-- form and paths percent-encoded")]
    NotAscii(char),
    #[error(
        "'{0}' is not a URL: write http://…, https://…, unix:/run/app.sock:/path, \
         exec:/path/to/command or pull:"
    )]
    NoScheme(String),
    #[error("'{0}' has no scheme: write http://{0} or https://{0}")]
    OnlyHost(String),
    #[error("'{0}:' is not a URL scheme that is known here: use http, https, unix, exec or pull")]
    UnknownScheme(String),
    #[error("the scheme is followed by //: write http://host/path")]
    NoHost,
    #[error(
        "user and password do not belong into a URL: let the receiver check a signature, or put a \
         key into the path or the query"
    )]
    Login,
    #[error("{0}")]
    Host(#[from] HostError),
    #[error("a fragment (#…) is never sent: leave it out, or write # as %23")]
    Fragment,
    #[error("the path '{0}' has characters that must be percent-encoded")]
    Path(String),
    #[error("a unix URL names the whole path of the socket: write unix:/run/app.sock:/path")]
    RelativeSocket,
    #[error("the path of a socket has at most {SOCKET_PATH} characters: choose a shorter one")]
    LongSocket,
    #[error("an exec URL names the whole path of a command: write exec:/usr/local/bin/alert")]
    Command,
    #[error("the URL of a pull endpoint is pull: and nothing more")]
    Pull,
    #[error("it begins with http:// or https://")]
    NotHttp,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        Self::parse(url)
    }
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        // The path of a command may have any character that a file name may have.
        if let Some(command) = url.strip_prefix("exec:") {
            return parse_exec(command);
        }
        check_characters(url)?;

        let (scheme, rest) =
            url.split_once(':').ok_or_else(|| TargetError::NoScheme(redacted_invalid_url(url)))?;
        match scheme {
            "unix" => parse_unix(rest),
            "pull" if rest.is_empty() => Ok(Self::Pull),
            "pull" => Err(TargetError::Pull),
            _ if scheme.eq_ignore_ascii_case("http") => parse_http(rest, false),
            _ if scheme.eq_ignore_ascii_case("https") => parse_http(rest, true),
            _ if is_port(rest) => Err(TargetError::OnlyHost(redacted_invalid_url(url))),
            _ => Err(TargetError::UnknownScheme(shown(scheme))),
        }
    }

    /// Whether requests have a timestamp and a signature, so that they need a clock that is right.
    #[must_use]
    pub fn signs(&self) -> bool {
        match self {
            Self::Http(_) | Self::Unix(_) => true,
            Self::Exec(_) | Self::Pull => false,
        }
    }

    /// Whether consumers lease the deliveries, instead of attempts going out.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        match self {
            Self::Pull => true,
            Self::Http(_) | Self::Unix(_) | Self::Exec(_) => false,
        }
    }

    /// Whether several events may go out in one request.
    #[must_use]
    pub fn batches(&self) -> bool {
        match self {
            Self::Http(_) | Self::Unix(_) => true,
            Self::Exec(_) | Self::Pull => false,
        }
    }

    /// Whether its requests have a method, a path and headers, which the operator may set, and may
    /// go through a proxy.
    #[must_use]
    pub fn speaks_http(&self) -> bool {
        match self {
            Self::Http(_) | Self::Unix(_) => true,
            Self::Exec(_) | Self::Pull => false,
        }
    }

    /// Whether its requests are encrypted, so that there are certificates.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Http(http) => http.tls,
            Self::Unix(_) | Self::Exec(_) | Self::Pull => false,
        }
    }

    /// Whether it runs a command, which has arguments and a user.
    #[must_use]
    pub fn runs_command(&self) -> bool {
        match self {
            Self::Exec(_) => true,
            Self::Http(_) | Self::Unix(_) | Self::Pull => false,
        }
    }

    /// Where this target is. `allow_private`: the endpoint may reach private networks, so the host
    /// may be in one.
    #[must_use]
    pub fn locality(&self, allow_private: bool) -> Locality {
        match self {
            Self::Http(http) if http.host.is_loopback() => Locality::Here,
            Self::Http(http) => {
                let host = match &http.host {
                    Host::Name(name) => name.clone(),
                    Host::Address(ip) => ip.to_string(),
                };
                if allow_private { Locality::Near(host) } else { Locality::Far(host) }
            }
            Self::Unix(_) | Self::Exec(_) | Self::Pull => Locality::Here,
        }
    }
}

impl HttpTarget {
    /// Reads a URL that begins with `http://` or `https://`.
    ///
    /// # Errors
    /// When it is another one, or none.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        match Target::parse(url)? {
            Target::Http(http) => Ok(http),
            _ => Err(TargetError::NotHttp),
        }
    }

    /// The `Host` header (RFC 9110 section 7.2): the port is left out where it is the scheme's own.
    #[must_use]
    pub fn host_header(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A URL that is sent over HTTP has printable ASCII characters alone.
fn check_characters(url: &str) -> Result<(), TargetError> {
    if url.is_empty() || url.len() > limits::URL_LEN {
        return Err(TargetError::Length(url.len()));
    }
    match url.chars().find(|c| !c.is_ascii_graphic()) {
        Some(c) if c.is_ascii() => Err(TargetError::Unprintable(c)),
        Some(c) => Err(TargetError::NotAscii(c)),
        None => Ok(()),
    }
}

/// Whether what stands behind the colon is a port: then a host stands before it, and no scheme.
fn is_port(rest: &str) -> bool {
    let port = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_exec(command: &str) -> Result<Target, TargetError> {
    let is_absolute = command.starts_with('/');
    if !is_absolute || command.len() > limits::COMMAND_ARG || command.contains('\0') {
        return Err(TargetError::Command);
    }
    Ok(Target::Exec(command.into()))
}

fn parse_http(rest: &str, tls: bool) -> Result<Target, TargetError> {
    let rest = rest.strip_prefix("//").ok_or(TargetError::NoHost)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(TargetError::Login);
    }

    let (host, port) = Host::parse_with_port(authority)?;
    let port = port.unwrap_or(if tls { 443 } else { 80 });
    Ok(Target::Http(HttpTarget { tls, host, port, path: parse_path(path)? }))
}

/// Reads `/run/app.sock:/path`; the path is `/` when it is left out.
fn parse_unix(rest: &str) -> Result<Target, TargetError> {
    // unix:///run/app.sock is how other programs write it.
    let rest = if rest.starts_with("///") { &rest[2..] } else { rest };
    if !rest.starts_with('/') || rest.starts_with("//") {
        return Err(TargetError::RelativeSocket);
    }

    let (socket, path) = match rest.find(":/") {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, "/"),
    };
    if socket.len() > SOCKET_PATH {
        return Err(TargetError::LongSocket);
    }
    Ok(Target::Unix(UnixTarget { socket: socket.into(), path: parse_path(path)? }))
}

/// Reads a path and a query, as they may stand in the line of a request.
fn parse_path(path: &str) -> Result<String, TargetError> {
    if path.contains('#') {
        return Err(TargetError::Fragment);
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };

    let (before, query) = path.split_once('?').unwrap_or((&path, ""));
    if before.contains(['<', '>', '`']) || query.contains(['<', '>', '"']) {
        return Err(TargetError::Path(shown(&path)));
    }
    Ok(path)
}

/// The beginning of a text, for an error.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::{Host, HttpTarget, Target, UnixTarget};

    fn http(url: &str) -> HttpTarget {
        match Target::parse(url) {
            Ok(Target::Http(http)) => http,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn urls_are_read_into_their_parts() {
        let target = http("https://Example.COM:8443/a/b?c=d");
        assert_eq!((target.host, target.port), (Host::Name("example.com".into()), 8443));
        assert_eq!((target.path.as_str(), target.tls), ("/a/b?c=d", true));

        assert_eq!(http("https://Example.COM:8443/a").host_header(), "example.com:8443");
        assert_eq!(http("http://example.com.").host_header(), "example.com");
        assert_eq!(http("http://example.com?x").path, "/?x");
        assert_eq!(http("HTTPS://[2001:DB8::1]").host_header(), "[2001:db8::1]");

        let unix = |socket: &str, path: &str| {
            Ok(Target::Unix(UnixTarget { socket: socket.into(), path: path.into() }))
        };
        assert_eq!(
            Target::parse("unix:/run/app.sock:/hook?x=1"),
            unix("/run/app.sock", "/hook?x=1")
        );
        assert_eq!(Target::parse("unix:///run/app.sock"), unix("/run/app.sock", "/"));
        assert_eq!(Target::parse("exec:/opt/an alert"), Ok(Target::Exec("/opt/an alert".into())));
        assert_eq!(Target::parse("pull:"), Ok(Target::Pull));
    }

    #[test]
    fn ambiguous_urls_are_refused_with_what_to_write_instead() {
        for (url, word) in [
            ("", "characters"),
            ("example.com", "not a URL"),
            ("ftp://example.com/", "use http"),
            ("file:///etc/passwd", "use http"),
            ("http:/example.com", "//"),
            ("http://", "not a host name"),
            ("http:///path", "not a host name"),
            ("http://user:pw@example.com/", "password"),
            ("http://example.com@127.0.0.1/", "password"),
            ("http://127.0.0.1\\@example.com/", "password"),
            ("http://example.com\\.evil/", "not a host name"),
            ("http://example.com:0/", "1 to 65535"),
            ("http://example.com:/", "1 to 65535"),
            ("http://example.com:+80/", "1 to 65535"),
            ("http://example.com:65536/", "1 to 65535"),
            ("http://example.com:80:90/", "1 to 65535"),
            ("http://example.com/#top", "fragment"),
            ("http://example.com/<a>", "percent-encoded"),
            ("http://example.com/?a=\"b\"", "percent-encoded"),
            ("http://example.com/a b", "%20"),
            ("http://example.com/\r\nX: y", "%20"),
            ("http://example.com/\0", "%20"),
            ("http://127。0。0。1/", "xn--"),
            ("http://exämple.com/", "xn--"),
            ("http://%31%32%37.0.0.1/", "not a host name"),
            ("http://[fe80::1%25eth0]/", "zones"),
            ("http://[::1/", "brackets"),
            ("http://[::1]x/", "behind the brackets"),
            ("http://127.0.0.0.1/", "IPv4"),
            ("http://1.2.3.256/", "IPv4"),
            ("http://4294967296/", "IPv4"),
            ("http://a..b/", "not a host name"),
            ("http://0x7f.example.0x/", "IPv4"),
            ("unix:app.sock", "whole path"),
            ("unix://host/app.sock", "whole path"),
            ("exec:alert", "whole path"),
            ("exec:/bin/a\0b", "whole path"),
            ("EXEC:/bin/true", "use http"),
            ("pull:jobs", "nothing more"),
        ] {
            let refusal = Target::parse(url).expect_err(url).to_string();
            assert!(refusal.contains(word), "{url}: {refusal}");
        }

        assert!(Target::parse(&format!("http://example.com/{}", "a".repeat(9000))).is_err());
        let long = Target::parse(&format!("unix:/{}", "a".repeat(200))).unwrap_err();
        assert!(long.to_string().contains("shorter"));
    }
}
