//! What a request line leads to. Pure.
//!
//! The part of the path that names a source is looked up as it came: it holds only characters that names and tokens
//! consist of, so nothing is ever decoded and no path leads out of `/in/`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::http::request::Parts;
use hyper::{HeaderMap, Version, header};

use super::proxy::{self, Client, Trusted};
use super::verify::ClientCert;
use crate::model::{Source, limits};

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// `None` over a Unix socket, and when a proxy hides it.
    pub ip: Option<IpAddr>,
    /// For the event and the log.
    pub text: String,
    /// Set when it is a proxy whose word on the client is taken.
    pub trusted: Option<Arc<Trusted>>,
    pub is_https: bool,
    /// What it showed in the TLS handshake.
    pub certificate: Option<Arc<ClientCert>>,
}

impl Peer {
    pub fn tcp(address: SocketAddr) -> Self {
        // An IPv4 client of a dual-stack socket is an IPv4 client.
        let ip = address.ip().to_canonical();
        Self { ip: Some(ip), text: SocketAddr::new(ip, address.port()).to_string(), ..Self::default() }
    }

    pub fn unix() -> Self {
        Self { text: "unix".to_owned(), ..Self::default() }
    }

    /// A client that the proxy does not name.
    pub fn hidden(proxy: &str) -> Self {
        Self { text: format!("hidden by {proxy}"), ..Self::default() }
    }

    /// The client of one request, when this is a proxy that says whose request it is.
    pub fn client_of(&self, trusted: &Trusted, headers: &HeaderMap) -> Result<Self, &'static str> {
        let mut client = match proxy::client(headers, trusted)? {
            Client::Unsaid => self.clone(),
            Client::Known(ip) => Self { ip: Some(ip), text: ip.to_string(), ..self.clone() },
            Client::Hidden => Self { certificate: self.certificate.clone(), ..Self::hidden(&self.text) },
        };
        client.is_https = proxy::is_https(headers).unwrap_or(self.is_https);
        Ok(client)
    }
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// A source's name or token.
    Source(&'a str),
    Health,
    Ready,
    Nowhere,
}

impl<'a> Route<'a> {
    pub fn of(path: &'a str) -> Self {
        match path {
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            _ => match path.strip_prefix("/in/") {
                Some(key) if is_key(key) => Self::Source(key),
                _ => Self::Nowhere,
            },
        }
    }
}

fn is_key(key: &str) -> bool {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    !key.is_empty() && plain && key.bytes().any(|b| b != b'.')
}

/// What is wrong with a head that hyper lets pass, though RFC 9112 says it is malformed.
pub(super) fn malformed(head: &Parts) -> Option<&'static str> {
    if head.version != Version::HTTP_11 {
        return None;
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => {}
        (None, _) => return Some("a HTTP/1.1 request has a Host header"),
        (Some(_), Some(_)) => return Some("a request has one Host header"),
    }
    let both =
        head.headers.contains_key(header::TRANSFER_ENCODING) && head.headers.contains_key(header::CONTENT_LENGTH);
    both.then_some("a request has Content-Length or Transfer-Encoding, not both")
}

/// The bytes of a request target.
pub(super) fn target_length(head: &Parts) -> usize {
    let host = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    host + head.uri.path_and_query().map_or(0, |target| target.as_str().len())
}

/// The URL as the sender signed it: the public one when the operator gave it, else what the request says.
pub(super) fn public_url(source: &Source, head: &Parts, is_https: bool) -> String {
    if let Some(url) = &source.public_url {
        return match head.uri.query() {
            Some(query) if !url.contains('?') => format!("{url}?{query}"),
            _ => url.clone(),
        };
    }
    let host = match head.uri.authority() {
        Some(authority) => Cow::Borrowed(authority.as_str()),
        None => {
            head.headers.get(header::HOST).map_or(Cow::Borrowed("localhost"), |h| String::from_utf8_lossy(h.as_bytes()))
        }
    };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut url = String::with_capacity(8 + host.len() + target.len());
    for part in [if is_https { "https://" } else { "http://" }, &host, target] {
        url.push_str(part);
    }
    url
}

/// Method, path and query as they are remembered: the source's name in the place of its token, and `…` in the
/// place of secrets.
pub(super) fn request_line(source: &Source, head: &Parts) -> String {
    let query = head.uri.query();
    let method = head.method.as_str();
    let mut line = String::with_capacity(method.len() + 5 + source.name.len() + query.map_or(0, |q| q.len() + 1));
    for part in [method, " /in/", &source.name] {
        line.push_str(part);
    }
    let Some(query) = query else { return line };
    for (index, pair) in query.split('&').enumerate() {
        line.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_secret_param(source, name) => {
                // Writing to a String does not fail.
                let _ = write!(line, "{name}=…");
            }
            _ => line.push_str(pair),
        }
    }
    line
}

fn is_secret_param(source: &Source, name: &str) -> bool {
    const ALWAYS: [&str; 3] = ["access_token", "api_key", "apikey"];
    let is_set = |param: &str| source.params.get(param).and_then(|value| value.as_str()) == Some(name);
    let in_query = source.params.get("in").and_then(|value| value.as_str()) == Some("query");
    ALWAYS.iter().any(|one| name.eq_ignore_ascii_case(one))
        || is_set("secret_query_param")
        || (in_query && is_set("name"))
        || (source.verify == "mailchimp" && matches!(name, "secret" | "key" | "token"))
}

const _: () = assert!(limits::URI_BYTES < limits::HEAD_BYTES, "a target is a part of a head");

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::http::request::Parts;

    use super::{Peer, Route, public_url, request_line};
    use crate::model::Source;

    fn head(method: &str, uri: &str) -> Parts {
        Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "hooks.example")
            .body(())
            .expect("a request")
            .into_parts()
            .0
    }

    #[test]
    fn only_plain_names_lead_to_a_source() {
        assert_eq!(Route::of("/in/github"), Route::Source("github"));
        assert_eq!(Route::of("/in/a..b_-9"), Route::Source("a..b_-9"));
        for path in [
            "/",
            "",
            "*",
            "/in",
            "/in/",
            "/in//",
            "/in/.",
            "/in/..",
            "/in/...",
            "/in/github/",
            "/in/a/b",
            "/in//github",
            "//in/github",
            "/in/../in/github",
            "/in/%67ithub",
            "/in/github%2f",
            "/in/github%00",
            "/in/a%2Fb",
            "/in/github;x",
            "/in/git\\hub",
            "/in/gïthub",
            "/IN/github",
            "/inn/github",
            "/in/a b",
        ] {
            assert_eq!(Route::of(path), Route::Nowhere, "{path}");
        }
        assert_eq!(Route::of("/healthz"), Route::Health);
        assert_eq!(Route::of("/readyz"), Route::Ready);
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let peer = |text: &str| Peer::tcp(text.parse().expect("an address"));
        assert_eq!(peer("[::ffff:10.1.2.3]:4").ip, peer("10.1.2.3:9").ip);
        assert_eq!(peer("[::ffff:10.1.2.3]:4").text, "10.1.2.3:4");
        assert_eq!(Peer::unix().ip, None);
    }

    #[test]
    fn the_public_url_is_the_operators_or_the_requests() {
        let mut source = Source::new("a", "none");
        assert_eq!(public_url(&source, &head("POST", "/in/a?x=1"), false), "http://hooks.example/in/a?x=1");
        assert_eq!(public_url(&source, &head("POST", "http://other:8/in/a"), true), "https://other:8/in/a");
        source.public_url = Some("https://pub.example/w".into());
        assert_eq!(public_url(&source, &head("POST", "/in/a?x=1"), false), "https://pub.example/w?x=1");
        source.public_url = Some("https://pub.example/w?y=2".into());
        assert_eq!(public_url(&source, &head("POST", "/in/a?x=1"), false), "https://pub.example/w?y=2");
    }

    #[test]
    fn no_token_and_no_secret_stands_in_a_request_line() {
        let mut source = Source::new("shop", "mailchimp");
        source.token = Some("tok123".into());
        source.params.insert("secret_query_param".into(), "s".into());
        let line = request_line(&source, &head("POST", "/in/tok123?a=b&s=hunter2&access_token=hunter3&flag"));
        assert_eq!(line, "POST /in/shop?a=b&s=…&access_token=…&flag");
        assert_eq!(request_line(&source, &head("POST", "/in/tok123")), "POST /in/shop");
    }
}
