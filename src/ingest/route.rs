//! Where a request line leads, and who is at the other end. Pure.
//!
//! The part of the path that names a source is looked up as it came: it holds only characters that
//! names and tokens consist of, so nothing is ever decoded and no path leads out of `/in/`.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::http::request::Parts;
use hyper::{HeaderMap, Version, header};

use super::budget::Holder;
use super::client_check::ShownCertificates;
use super::forwarded::{ForwardedClient, TrustedProxies, forwarded_info};
use super::host_field::is_host;
use super::verify::{self, ClientCert};
use crate::model::secret::{decoded, redacted_query, without_login};
use crate::model::{Source, is_secret_name, limits};

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// `None` over a Unix socket, and when a proxy hides it.
    pub ip: Option<IpAddr>,
    /// For the event and the log.
    pub text: String,
    /// Set when it is a proxy that is trusted when it names the client.
    pub trusted: Option<Arc<TrustedProxies>>,
    pub is_https: bool,
    /// The certificate of the TLS handshake.
    pub certificate: Option<Arc<ClientCert>>,
    /// The same as it was shown, for as long as the connection lasts.
    pub shown: Option<Arc<ShownCertificates>>,
}

impl Peer {
    pub fn tcp(address: SocketAddr) -> Self {
        // An IPv4 client of a dual-stack socket is an IPv4 client.
        let ip = address.ip().to_canonical();
        Self {
            ip: Some(ip),
            text: SocketAddr::new(ip, address.port()).to_string(),
            ..Self::default()
        }
    }

    pub fn unix() -> Self {
        Self { text: "unix".to_owned(), ..Self::default() }
    }

    /// A client that the proxy does not name.
    pub fn hidden(proxy: &str) -> Self {
        Self { text: format!("hidden by {proxy}"), ..Self::default() }
    }

    /// Its address alone, as a proxy names it; in words where it has none.
    pub fn address(&self) -> String {
        self.ip.map_or_else(|| self.text.clone(), |ip| ip.to_string())
    }

    /// Whose share of memory and of connections it uses. A trusted proxy has none, for many clients
    /// are behind it.
    pub fn holder(&self) -> Option<Holder> {
        let is_proxy = |ip| self.trusted.as_ref().is_some_and(|trusted| trusted.trusts(Some(ip)));
        self.ip.filter(|ip| !is_proxy(*ip)).map(Holder::peer)
    }

    /// The client of one request, when this is a trusted proxy that names it.
    pub fn client_of(
        &self,
        trusted: &TrustedProxies,
        headers: &HeaderMap,
    ) -> Result<Self, &'static str> {
        let info = forwarded_info(headers, trusted)?;
        let mut client = match info.client {
            ForwardedClient::Unnamed => self.clone(),
            ForwardedClient::Known(ip) => {
                Self { ip: Some(ip), text: ip.to_string(), ..self.clone() }
            }
            ForwardedClient::Hidden => Self::hidden(&self.text),
        };

        client.is_https = info.is_https.unwrap_or(self.is_https);
        // The certificate is the proxy's own, and would prove everybody behind it.
        (client.certificate, client.shown) = (None, None);
        Ok(client)
    }
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IngestRoute<'a> {
    /// A source's name or token.
    Source(&'a str),
    /// A path below that of a source, which only bins have.
    Below(&'a str),
    Health,
    Ready,
    Nowhere,
}

impl<'a> IngestRoute<'a> {
    pub fn of(path: &'a str) -> Self {
        match path {
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            _ => match path.strip_prefix("/in/") {
                Some(key) if is_key(key) => Self::Source(key),
                Some(rest) => match rest.split_once('/') {
                    Some((key, _)) if is_key(key) => Self::Below(key),
                    _ => Self::Nowhere,
                },
                None => Self::Nowhere,
            },
        }
    }
}

fn is_key(key: &str) -> bool {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    !key.is_empty() && plain && key.bytes().any(|b| b != b'.')
}

/// Why a head is malformed by RFC 9112 that hyper lets pass.
pub(super) fn malformed(head: &Parts) -> Option<&'static str> {
    // What `Host` may be holds for every version (RFC 9112, 3.2).
    const NO_HOST: &str = "the Host header is not a host with or without a port";
    let is_11 = head.version == Version::HTTP_11;
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => {}
        (Some(_), None) => return Some(NO_HOST),
        (None, _) if is_11 => return Some("a HTTP/1.1 request has a Host header"),
        (None, _) => {}
        (Some(_), Some(_)) => return Some("a request has one Host header"),
    }
    // hyper takes a login in front of the host (RFC 9110, 4.2.4).
    if head.uri.authority().is_some_and(|host| !is_host(host.as_str().as_bytes())) {
        return Some("the request target names no host, or a login before it");
    }
    if !is_11 {
        return None;
    }

    let both = head.headers.contains_key(header::TRANSFER_ENCODING)
        && head.headers.contains_key(header::CONTENT_LENGTH);
    both.then_some("a request has Content-Length or Transfer-Encoding, not both")
}

/// The bytes of a request target.
pub(super) fn target_length(head: &Parts) -> usize {
    let host = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    host + head.uri.path_and_query().map_or(0, |target| target.as_str().len())
}

/// The URL as the sender signed it: the public one when the operator gave it, else the request's
/// own. The query is the request's own when it has one, for it is stored and forwarded as proven.
/// The operator's counts where the request has none, and where the URL is signed: elsewhere it may
/// hold a secret, and would prove everybody.
pub(super) fn public_url(source: &Source, head: &Parts, is_https: bool) -> String {
    if let Some(url) = &source.public_url {
        let front = url.split(['?', '#']).next().unwrap_or_default();
        return match head.uri.query() {
            Some(query) => format!("{front}?{query}"),
            None if verify::signs_url(source) => url.clone(),
            None => front.to_owned(),
        };
    }

    let scheme = if is_https { "https://" } else { "http://" };
    let host = match head.uri.authority() {
        Some(authority) => Cow::Borrowed(authority.as_str()),
        None => head
            .headers
            .get(header::HOST)
            .map_or(Cow::Borrowed("localhost"), |h| String::from_utf8_lossy(h.as_bytes())),
    };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());

    // Put together for nearly every request, so in one allocation.
    let mut url = String::with_capacity(scheme.len() + host.len() + target.len());
    for part in [scheme, &host, target] {
        url.push_str(part);
    }
    url
}

/// The URL as the sender signed it, for people: with `…` in the place of secrets.
pub(super) fn shown_url(source: &Source, head: &Parts, is_https: bool) -> String {
    let url = public_url(source, head, is_https);
    match url.split_once('?') {
        Some((front, query)) => {
            let query = redacted_query(query, &|name| is_secret_param(source, name));
            format!("{}?{query}", without_login(front))
        }
        None => without_login(&url),
    }
}

/// Method, path and query as they are remembered: the source's name instead of its token, and `…`
/// instead of secrets.
pub(super) fn request_line(source: &Source, head: &Parts) -> String {
    let query = head.uri.query();
    let method = head.method.as_str();
    let mut line = String::with_capacity(
        method.len() + 5 + source.name.len() + query.map_or(0, |q| q.len() + 1),
    );

    for part in [method, " /in/", &source.name] {
        line.push_str(part);
    }
    // What stands below the path of a bin.
    let below = head.uri.path().strip_prefix("/in/").and_then(|rest| rest.split_once('/'));
    if let Some((_, below)) = below {
        line.push('/');
        line.push_str(below);
    }

    if let Some(query) = query {
        line.push('?');
        // A name may be percent-encoded, and means the same to whoever reads it.
        line.push_str(&redacted_query(query, &|name| is_secret_param(source, name)));
    }
    line
}

/// Whether a query field of this name holds a secret. Its percent-encoding is undone first.
fn is_secret_param(source: &Source, name: &str) -> bool {
    let decoded = decoded(name);
    let is_set =
        |param: &str| source.params.get(param).and_then(|value| value.as_str()) == Some(&*decoded);
    let in_query = source.params.get("in").and_then(|value| value.as_str()) == Some("query");

    is_secret_name(name) || is_set("secret_query_param") || (in_query && is_set("name"))
}

const _: () = assert!(limits::URI_BYTES < limits::HEAD_BYTES, "a target is a part of a head");

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::http::request::Parts;

    use super::{IngestRoute, Peer, malformed, public_url, request_line};
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
    fn a_proxys_certificate_proves_nobody_behind_it() {
        let certificate = Some(std::sync::Arc::new(crate::ingest::verify::ClientCert::default()));
        let trusted = crate::ingest::TrustedProxies {
            nets: vec!["10.0.0.0/8".parse().expect("a network")],
            unix: false,
        };
        let peer = Peer { certificate, ..Peer::tcp("10.0.0.1:5".parse().expect("an address")) };
        for headers in
            [&[][..], &[("x-forwarded-for", "192.0.2.7")], &[("forwarded", "for=unknown")]]
        {
            let headers = headers
                .iter()
                .map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value")))
                .collect();
            let client = peer.client_of(&trusted, &headers).expect("a client");
            assert_eq!(client.certificate, None, "{headers:?}");
        }
    }

    #[test]
    fn only_plain_names_lead_to_a_source() {
        assert_eq!(IngestRoute::of("/in/github"), IngestRoute::Source("github"));
        assert_eq!(IngestRoute::of("/in/a..b_-9"), IngestRoute::Source("a..b_-9"));

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
            assert_eq!(IngestRoute::of(path), IngestRoute::Nowhere, "{path}");
        }

        assert_eq!(IngestRoute::of("/in/github/"), IngestRoute::Below("github"));
        assert_eq!(IngestRoute::of("/in/a/b/../c"), IngestRoute::Below("a"));
        assert_eq!(IngestRoute::of("/healthz"), IngestRoute::Health);
        assert_eq!(IngestRoute::of("/readyz"), IngestRoute::Ready);
    }

    #[test]
    fn a_request_names_one_host_that_is_one() {
        let why = |version, uri: &str, hosts: &[&[u8]]| {
            let mut request = Request::builder().method("POST").uri(uri).version(version);
            for host in hosts {
                request = request.header("host", *host);
            }
            malformed(&request.body(()).expect("a request").into_parts().0)
        };

        for version in [hyper::Version::HTTP_10, hyper::Version::HTTP_11] {
            for good in [&b"h"[..], b"h:8080", b"[::1]:80", b""] {
                assert_eq!(why(version, "/in/a", &[good]), None, "{version:?} {good:?}");
            }
            for bad in [&b"a b/c@d"[..], b"x, y", b"http://x", b"[::1", b"x:ab", b"\xff", b"u:p@x"]
            {
                let why = why(version, "/in/a", &[bad]).expect("malformed");
                assert!(why.contains("Host header is not"), "{version:?} {bad:?}: {why}");
            }
            assert!(why(version, "/in/a", &[b"h", b"h"]).is_some(), "{version:?}");
            assert!(why(version, "http://u:p@h/in/a", &[b"h"]).is_some(), "{version:?}");
            assert_eq!(why(version, "http://h:8/in/a", &[b"h"]), None, "{version:?}");
        }
        assert!(why(hyper::Version::HTTP_11, "/in/a", &[]).is_some());
        assert_eq!(why(hyper::Version::HTTP_10, "/in/a", &[]), None);
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
        let mut source = Source::new("a", "twilio");
        assert_eq!(
            public_url(&source, &head("POST", "/in/a?x=1"), false),
            "http://hooks.example/in/a?x=1"
        );
        assert_eq!(
            public_url(&source, &head("POST", "http://other:8/in/a"), true),
            "https://other:8/in/a"
        );
        source.public_url = Some("https://pub.example/w".into());
        assert_eq!(
            public_url(&source, &head("POST", "/in/a?x=1"), false),
            "https://pub.example/w?x=1"
        );

        source.public_url = Some("https://pub.example/w?y=2".into());
        assert_eq!(
            public_url(&source, &head("POST", "/in/a?x=1"), false),
            "https://pub.example/w?x=1",
            "what is stored and forwarded is what was signed"
        );
        assert_eq!(
            public_url(&source, &head("POST", "/in/a"), false),
            "https://pub.example/w?y=2",
            "a proxy has taken it away"
        );
    }

    #[test]
    fn a_secret_in_the_public_url_proves_nobody() {
        use crate::ingest::verify::{Request, Verdict, verify};
        for (scheme, name) in
            [("apikey", "key"), ("mailchimp", "secret"), ("cloudevents", "access_token")]
        {
            let mut source = Source::new("a", scheme);
            source.secrets = vec![crate::model::TimedSecret::current("hunter2")];
            if scheme == "apikey" {
                source.params =
                    [("in", "query"), ("name", name)].map(|(k, v)| (k.to_owned(), v.into())).into();
            }
            source.public_url = Some(format!("https://pub.example/in/a?{name}=hunter2"));

            let is_proven = |target: &str| {
                let url = public_url(&source, &head("POST", target), true);
                let request = Request {
                    method: "POST",
                    url: &url,
                    headers: &[],
                    body: b"{}",
                    client: None,
                    keys: None,
                };
                matches!(verify(&source, &request, 1_770_000_000), Verdict::Proven(_))
            };

            assert!(is_proven(&format!("/in/a?{name}=hunter2")), "{scheme}");
            for wrong in ["/in/a", "/in/a?x=1", &format!("/in/a?{name}=wrong")] {
                assert!(!is_proven(wrong), "{scheme} {wrong}");
            }
        }
    }

    #[test]
    fn a_client_is_refused_by_its_address_alone_as_a_proxy_names_it() {
        for (peer, address) in
            [("192.0.2.9:4711", "192.0.2.9"), ("[2001:db8::7]:80", "2001:db8::7")]
        {
            let peer = Peer::tcp(peer.parse().expect("an address"));
            assert_eq!(peer.address(), address);
        }
        assert_eq!(Peer::hidden("192.0.2.9:4711").address(), "hidden by 192.0.2.9:4711");
    }

    #[test]
    fn no_token_and_no_secret_stands_in_a_request_line() {
        let mut source = Source::new("shop", "mailchimp");
        source.token = Some("tok123".into());
        source.params.insert("secret_query_param".into(), "s".into());
        let line = request_line(
            &source,
            &head("POST", "/in/tok123?a=b&s=hunter2&access_token=hunter3&flag"),
        );
        assert_eq!(line, "POST /in/shop?a=b&s=…&access_token=…&flag");
        let line = request_line(
            &source,
            &head("POST", "/in/tok123?%73=hunter2&k%65y=hunter2&k%2565y=hunter2&Sig=hunter2"),
        );
        assert_eq!(line, "POST /in/shop?%73=…&k%65y=…&k%2565y=…&Sig=…");
        assert_eq!(request_line(&source, &head("POST", "/in/tok123")), "POST /in/shop");
        // What is asked for elsewhere, or behind another separator, is as secret.
        let line = request_line(
            &source,
            &head("POST", "/in/tok123?a=b;sig=hunter2&to=https%3A%2F%2Fx%2F%3Ftoken%3Dhunter2&n"),
        );
        assert_eq!(line, "POST /in/shop?a=b;sig=…&to=…&n");

        for spelled in ["k%65y", "%6bey", "access%5Ftoken", "API%5fKEY", "%73"] {
            let line =
                request_line(&source, &head("POST", &format!("/in/tok123?{spelled}=hunter2&a=b")));
            assert_eq!(line, format!("POST /in/shop?{spelled}=…&a=b"));
        }
    }
}
