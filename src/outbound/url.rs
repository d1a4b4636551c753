//! An endpoint's URL, parsed once, and the same way for the check at creation and for the dial.
//!
//! Stricter than a browser: what is ambiguous is refused instead of mended, because two readers that mend it
//! differently are how a guard is walked around. Only the numeric forms of IPv4 addresses (decimal, octal,
//! hexadecimal, fewer than four parts) are read, by the rules of the WHATWG URL standard, section 3.5, and become
//! plain addresses: they never reach the resolver of the system, which would read them too.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use hyper::Uri;
use hyper::header::HeaderValue;

/// Longest URL, and longest path of a Unix socket (`sun_path` less its NUL).
const URL_LEN: usize = 8 << 10;
const SOCKET_PATH: usize = 107;

/// Ports of services that speak in lines and could be made to take a webhook for commands, or that no webhook
/// receiver listens on.
const PORTS: [(u16, &str); 24] = [
    (1, "tcpmux"),
    (7, "echo"),
    (19, "chargen"),
    (21, "ftp"),
    (22, "ssh"),
    (23, "telnet"),
    (25, "smtp"),
    (53, "dns"),
    (110, "pop3"),
    (111, "rpcbind"),
    (119, "nntp"),
    (135, "rpc"),
    (139, "netbios"),
    (143, "imap"),
    (389, "ldap"),
    (445, "smb"),
    (465, "smtps"),
    (514, "syslog"),
    (587, "submission"),
    (3306, "mysql"),
    (5432, "postgres"),
    (6379, "redis"),
    (9042, "cassandra"),
    (11211, "memcached"),
];

/// Where a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name for the resolver, without a dot at its end.
    Name { name: String, port: u16 },
    /// An address written as such.
    Literal { ip: IpAddr, port: u16 },
    /// A Unix socket.
    Socket(PathBuf),
}

impl fmt::Display for Place {
    /// `host:port`, as a proxy is asked for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name, port } => write!(f, "{name}:{port}"),
            Self::Literal { ip, port } => write!(f, "{}", SocketAddr::new(*ip, *port)),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A URL that can be sent to.
#[derive(Clone, Debug)]
pub struct Target {
    pub place: Place,
    pub tls: bool,
    /// Path and query, as the request line has it.
    pub uri: Uri,
    /// The `Host` header.
    pub host: HeaderValue,
}

/// Reads a URL.
///
/// # Errors
/// Says what is wrong with it and how to mend it.
pub fn parse(url: &str) -> Result<Target, String> {
    if url.is_empty() || url.len() > URL_LEN {
        return Err(format!("a URL has 1 to {URL_LEN} characters, this one {}", url.len()));
    }
    if let Some(bad) = url.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(match bad {
            c if c.is_ascii() => {
                format!("the URL contains the character {c:?}: write spaces and control characters as %20 and the like")
            }
            c => format!("the URL contains '{c}': write names in their xn-- form and paths percent-encoded"),
        });
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(format!(
            "'{}' is not a URL: write http://…, https://…, unix:/run/app.sock:/path, exec:/path/to/command or pull:",
            shown(url)
        ));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => parse_http(rest, false),
        "https" => parse_http(rest, true),
        "unix" => parse_unix(rest),
        _ => Err(format!("the scheme '{}' is not known: use http, https, unix, exec or pull", shown(scheme))),
    }
}

/// The URL with another path and query, for people.
#[must_use]
pub fn with_path(url: &str, path: &Uri) -> String {
    let scheme_end = url.find("://").map_or(0, |at| at + 3);
    let end = match url.strip_prefix("unix:") {
        Some(rest) => rest.split_once(":/").map_or(url.len(), |(socket, _)| "unix:".len() + socket.len()),
        None => url[scheme_end..].find(['/', '?', '#']).map_or(url.len(), |at| scheme_end + at),
    };
    let separator = if url.starts_with("unix:") { ":" } else { "" };
    format!("{}{separator}{path}", &url[..end])
}

/// Whether `port` may be dialled without `--allow-private`.
///
/// # Errors
/// Names the service it belongs to.
pub fn allowed_port(port: u16) -> Result<(), &'static str> {
    PORTS.iter().find(|(p, _)| *p == port).map_or(Ok(()), |(_, service)| Err(*service))
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn parse_http(rest: &str, tls: bool) -> Result<Target, String> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err("the scheme is followed by //: write http://host/path".to_owned());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err("user and password do not belong into a URL: let the receiver check a signature, or put a key \
                    into the path or the query"
            .to_owned());
    }
    let (host, port) = split_port(authority)?;
    let port = match port {
        Some(text) => parse_port(text)?,
        None if tls => 443,
        None => 80,
    };
    let (place, name) = parse_host(host, port)?;
    let usual = port == if tls { 443 } else { 80 };
    let host = if usual { name } else { format!("{name}:{port}") };
    let host = HeaderValue::from_str(&host).map_err(|_| format!("'{}' is not a host name", shown(&host)))?;
    Ok(Target { place, tls, uri: parse_path(path)?, host })
}

/// `unix:/run/app.sock:/path`; the path is `/` when it is left out.
fn parse_unix(rest: &str) -> Result<Target, String> {
    let rest = match rest.strip_prefix("///") {
        Some(path) => format!("/{path}"),
        None => rest.to_owned(),
    };
    if !rest.starts_with('/') || rest.starts_with("//") {
        return Err("a unix URL names the whole path of the socket: write unix:/run/app.sock:/path".to_owned());
    }
    let (socket, path) = match rest.split_once(":/") {
        Some((socket, path)) => (socket, format!("/{path}")),
        None => (rest.as_str(), "/".to_owned()),
    };
    if socket.len() > SOCKET_PATH {
        return Err(format!("the path of a socket has at most {SOCKET_PATH} characters: choose a shorter one"));
    }
    let uri = parse_path(&path)?;
    Ok(Target { place: Place::Socket(socket.into()), tls: false, uri, host: HeaderValue::from_static("localhost") })
}

fn parse_path(path: &str) -> Result<Uri, String> {
    if path.contains('#') {
        return Err("a fragment (#…) is never sent: leave it out, or write # as %23".to_owned());
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    path.parse::<hyper::http::uri::PathAndQuery>()
        .map(Uri::from)
        .map_err(|_| format!("the path '{}' has characters that must be percent-encoded", shown(&path)))
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    let Some(inside) = authority.strip_prefix('[') else {
        return Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))));
    };
    let Some(end) = inside.find(']') else {
        return Err("an IPv6 address stands in brackets: write http://[2001:db8::1]/".to_owned());
    };
    let (host, after) = (&authority[..end + 2], &inside[end + 1..]);
    match after.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if after.is_empty() => Ok((host, None)),
        None => Err(format!("'{}' does not belong behind the brackets", shown(after))),
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(format!("'{}' is not a port: it is a number from 1 to 65535", shown(text))),
    }
}

/// The place, and the host as the `Host` header has it.
fn parse_host(host: &str, port: u16) -> Result<(Place, String), String> {
    if let Some(inside) = host.strip_prefix('[') {
        let text = inside.trim_end_matches(']');
        let ip: Ipv6Addr = text.parse().map_err(|_| {
            format!("'{}' is not an IPv6 address that can be sent to (zones, %…, are not supported)", shown(text))
        })?;
        return Ok((Place::Literal { ip: IpAddr::V6(ip), port }, format!("[{ip}]")));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let labels = name.split('.').all(|label| (1..=63).contains(&label.len()));
    if name.is_empty() || name.len() > 253 || !plain || !labels {
        return Err(format!("'{}' is not a host name or an address", shown(host)));
    }
    if ends_in_number(&name) {
        let Some(ip) = parse_ipv4(&name) else {
            return Err(format!("'{}' is not an IPv4 address: write it as 192.0.2.1", shown(host)));
        };
        return Ok((Place::Literal { ip: IpAddr::V4(ip), port }, ip.to_string()));
    }
    Ok((Place::Name { name: name.clone(), port }, name))
}

/// Whether the resolver of the system might read it as an address.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.bytes().all(|b| b.is_ascii_digit()) || parse_number(last).is_some()
}

/// One to four numbers; the last fills the bytes that are left.
fn parse_ipv4(name: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = name.split('.').map(parse_number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|&n| n > 255) || *last >= 1 << (8 * (4 - first.len())) {
        return None;
    }
    let head = first.iter().zip([24, 16, 8]).fold(0, |sum, (&n, shift)| sum + (n << shift));
    u32::try_from(head + last).ok().map(Ipv4Addr::from)
}

/// Decimal, `0x` hexadecimal or `0` octal.
fn parse_number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    match digits {
        "" if radix == 16 => Some(0),
        _ if digits.starts_with('+') => None,
        _ => u64::from_str_radix(digits, radix).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, allowed_port, parse};

    fn place(url: &str) -> Place {
        parse(url).expect(url).place
    }

    #[test]
    fn urls_are_taken_apart() {
        let target = parse("https://Example.COM:8443/a/b?c=d").unwrap();
        assert_eq!(target.place, Place::Name { name: "example.com".into(), port: 8443 });
        assert_eq!((target.uri.to_string().as_str(), target.tls), ("/a/b?c=d", true));
        assert_eq!(target.host, "example.com:8443");
        assert_eq!(parse("http://example.com.").unwrap().host, "example.com");
        assert_eq!(parse("http://example.com?x").unwrap().uri, "/?x");
        assert_eq!(parse("HTTPS://[2001:DB8::1]").unwrap().host, "[2001:db8::1]");
        let unix = parse("unix:/run/app.sock:/hook?x=1").unwrap();
        assert_eq!((unix.place, unix.uri.to_string()), (Place::Socket("/run/app.sock".into()), "/hook?x=1".into()));
        assert_eq!(place("unix:///run/app.sock"), Place::Socket("/run/app.sock".into()));
    }

    #[test]
    fn all_ways_to_write_loopback_are_the_same_address() {
        let expected = Place::Literal { ip: "127.0.0.1".parse().unwrap(), port: 80 };
        for host in [
            "127.0.0.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "017700000001",
            "0177.0.0.1",
            "0x7f.0.0.0x1",
            "127.1",
            "127.0.1",
            "0177.0000.0000.0001",
        ] {
            assert_eq!(place(&format!("http://{host}/")), expected, "{host}");
        }
        assert_eq!(place("http://0/"), Place::Literal { ip: "0.0.0.0".parse().unwrap(), port: 80 });
    }

    #[test]
    fn what_is_ambiguous_is_refused_with_the_mend() {
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
        ] {
            let refusal = parse(url).expect_err(url);
            assert!(refusal.contains(word), "{url}: {refusal}");
        }
        assert!(parse(&format!("http://example.com/{}", "a".repeat(9000))).is_err());
        assert!(parse(&format!("unix:/{}", "a".repeat(200))).unwrap_err().contains("shorter"));
    }

    #[test]
    fn ports_of_line_protocols_are_named() {
        assert_eq!(allowed_port(6379), Err("redis"));
        assert!([80, 443, 8080, 3000, 8420].iter().all(|&p| allowed_port(p).is_ok()));
    }
}
