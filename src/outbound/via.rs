//! Over which way a receiver is reached: a proxy, a source address, certificates of the endpoint's own.
//!
//! The guard and proxies: behind a proxy it is the proxy that resolves and dials, so only what the URL names outright is
//! checked (addresses, ports, `localhost`). The proxy's own address is the operator's choice and is not checked.
//!
//! An endpoint's `--proxy` counts whatever `no_proxy` says. The daemon's own is left out for what `no_proxy` names, for
//! loopback and for Unix sockets.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, Uri};
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::model::{Via, limits};

use super::failure::Failure;
use super::tls::Own;
use super::url::{self, Place, Target};

/// `--proxy none`: not even the daemon's.
const NO_PROXY: &str = "none";

/// The way to one endpoint.
#[derive(Default)]
pub(super) struct Route {
    pub(super) proxy: Option<Proxy>,
    pub(super) bind: Option<IpAddr>,
    pub(super) own: Option<Own>,
}

/// A proxy that is spoken to in plain HTTP.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) place: Place,
    /// `host:port`, for people.
    pub(super) shown: String,
    /// `Basic …`
    pub(super) authorization: Option<HeaderValue>,
}

/// The daemon's own proxy, and what is reached without it.
#[derive(Clone, Default)]
pub(super) struct Common {
    proxy: Option<Proxy>,
    without: Vec<Without>,
}

#[derive(Clone)]
enum Without {
    All,
    /// A name and all below it.
    Name(String),
    Net(IpNet),
}

impl Common {
    /// Reads `[outbound] proxy` and `no_proxy`.
    ///
    /// # Errors
    /// What is wrong with them, and the mend.
    pub(super) fn new(proxy: Option<&str>, without: &[String]) -> Result<Self, String> {
        Ok(Self {
            proxy: proxy.map(Proxy::parse).transpose()?,
            without: without.iter().map(|text| parse_without(text)).collect::<Result<_, _>>()?,
        })
    }

    /// The proxy for a target, if it has one.
    pub(super) fn proxy_for(&self, target: &Target) -> Option<Proxy> {
        let proxy = self.proxy.as_ref()?;
        let is_without = match &target.place {
            Place::Socket(_) => true,
            Place::Literal { ip, .. } => {
                ip.is_loopback() || self.without.iter().any(|w| matches!(w, Without::Net(net) if net.contains(ip)))
            }
            Place::Name { name, .. } => is_local(name) || self.without.iter().any(|w| w.means(name)),
        };
        let all = self.without.iter().any(|w| matches!(w, Without::All));
        (!is_without && !all).then(|| proxy.clone())
    }
}

impl Without {
    fn means(&self, name: &str) -> bool {
        match self {
            Self::Name(suffix) => name.strip_suffix(suffix.as_str()).is_some_and(|r| r.is_empty() || r.ends_with('.')),
            _ => false,
        }
    }
}

fn parse_without(text: &str) -> Result<Without, String> {
    let text = text.trim().trim_start_matches("*.").trim_start_matches('.');
    if text == "*" {
        return Ok(Without::All);
    }
    if let Some(net) = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) {
        return Ok(Without::Net(net));
    }
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits {
        Ok(Without::Name(text.to_ascii_lowercase()))
    } else {
        Err(format!("no_proxy: '{text}' is neither a name, an address, a network such as 10.0.0.0/8, nor *"))
    }
}

/// Whether a name means this machine, whoever resolves it.
pub(super) fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

impl Route {
    /// The way that an endpoint's settings, and those of the daemon, make.
    ///
    /// # Errors
    /// What is wrong with them, and the mend.
    pub(super) fn new(via: &Via, proxy: Option<&str>, target: &Target, common: &Common) -> Result<Self, String> {
        if let Place::Socket(_) = target.place
            && (proxy.is_some() || via.bind.is_some())
        {
            return Err("a Unix socket is reached directly: leave out --proxy and --bind".to_owned());
        }
        let own = Own::new(via)?;
        if own.is_some() && !target.tls {
            return Err("certificates are for https: leave out --client-cert, --client-key and --ca".to_owned());
        }
        let proxy = match proxy {
            None => common.proxy_for(target),
            Some(NO_PROXY) => None,
            Some(text) => Some(Proxy::parse(text)?),
        };
        Ok(Self { proxy, bind: via.bind, own })
    }
}

impl Proxy {
    /// Reads `http://[user:password@]host:port`.
    fn parse(text: &str) -> Result<Self, String> {
        // What was given may hold a password, so it is not repeated.
        let wrong = |what: &str| format!("--proxy {what}: write it as http://proxy.example.com:3128");
        let rest = text.strip_prefix("http://").ok_or_else(|| wrong("begins with http:// (others are not spoken)"))?;
        let (login, host) = rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
        let host = host.strip_suffix('/').unwrap_or(host);
        let target = url::parse(&format!("http://{host}")).map_err(|why| wrong(&format!("names no host ({why})")))?;
        if host.contains(['/', '?']) || !host.rsplit(']').next().is_some_and(|after| after.contains(':')) {
            return Err(wrong("is a host and a port"));
        }
        let authorization = login.map(|login| {
            let value = format!("Basic {}", STANDARD.encode(percent_decode(login)));
            HeaderValue::from_str(&value).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let authorization =
            authorization.transpose().map_err(|_| wrong("has a user or password that cannot be sent"))?;
        Ok(Self { place: target.place, shown: host.to_owned(), authorization })
    }

    /// Makes a request one for a proxy: it names the receiver (RFC 9112 section 3.2.2), and whoever asks.
    pub(super) fn address<B>(&self, request: &mut Request<B>, host: &HeaderValue) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let whole = format!("http://{}{path}", host.to_str().unwrap_or_default());
        if let Ok(uri) = whole.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
    }

    /// Asks it for a way to `to` (`host:port`), RFC 9110 section 9.3.6.
    ///
    /// # Errors
    /// When it gives none.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, to: &str) -> Result<(), Failure> {
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let broken = |error: std::io::Error| self.refused(to, &error.to_string());
        stream.write_all(&request).await.map_err(broken)?;
        let mut answer = Vec::new();
        // Byte by byte, so that nothing of what comes through the tunnel is taken.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= limits::PROXY_ANSWER {
                return Err(self.refused(to, "its answer is too long"));
            }
            answer.push(stream.read_u8().await.map_err(broken)?);
        }
        let line = String::from_utf8_lossy(&answer);
        let line: String =
            line.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect();
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap_or_default();
        match status {
            "407" => Err(self.refused(to, "it wants a user and a password: --proxy http://user:password@host:port")),
            ok if ok.starts_with('2') => Ok(()),
            _ => Err(self.refused(to, &line)),
        }
    }

    fn refused(&self, to: &str, why: &str) -> Failure {
        Failure::Connect { why: format!("the proxy {} gives no way to {to}: {why}", self.shown), fault: None }
    }
}

fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::{Common, Proxy, Route};
    use crate::model::Via;
    use crate::outbound::url::parse;

    #[test]
    fn proxies_are_read_and_their_passwords_not_repeated() {
        let proxy = Proxy::parse("http://us%40er:hunter2@proxy.example.com:3128/").unwrap();
        assert_eq!(proxy.shown, "proxy.example.com:3128");
        assert_eq!(proxy.authorization.unwrap(), "Basic dXNAZXI6aHVudGVyMg==");
        assert!(Proxy::parse("http://[::1]:3128").unwrap().authorization.is_none());
        for wrong in [
            "proxy:3128",
            "https://p:1",
            "socks5://p:1",
            "http://p",
            "http://[::1]",
            "http://u:hunter2@p/x:1",
            "http://u:hunter2@:1",
        ] {
            let why = Proxy::parse(wrong).err().unwrap_or_default();
            assert!(why.contains("http://proxy.example.com") && !why.contains("hunter2"), "{wrong}: {why}");
        }
    }

    #[test]
    fn no_proxy_means_names_below_addresses_and_networks() {
        let without: Vec<String> =
            ["example.com", ".corp", "*.lan", "10.0.0.0/8", "192.0.2.1"].map(str::to_owned).into();
        let common = Common::new(Some("http://p:3128"), &without).unwrap();
        for (url, through) in [
            ("http://example.org/", true),
            ("http://example.com/", false),
            ("http://a.example.com/", false),
            ("http://badexample.com/", true),
            ("https://x.corp/", false),
            ("http://a.lan/", false),
            ("http://10.1.2.3/", false),
            ("http://11.1.2.3/", true),
            ("http://192.0.2.1/", false),
            ("http://127.0.0.1/", false),
            ("http://localhost/", false),
            ("unix:/run/a.sock", false),
        ] {
            assert_eq!(common.proxy_for(&parse(url).unwrap()).is_some(), through, "{url}");
        }
        assert!(
            Common::new(Some("http://p:1"), &["*".into()]).unwrap().proxy_for(&parse("http://a/").unwrap()).is_none()
        );
        assert!(Common::new(None, &["a b".into()]).is_err());
    }

    #[test]
    fn an_endpoints_own_way_beats_the_daemons() {
        let common = Common::new(Some("http://p:3128"), &["example.com".into()]).unwrap();
        let proxy = |own: Option<&str>, url: &str| {
            Route::new(&Via::default(), own, &parse(url).unwrap(), &common).map(|route| route.proxy.map(|p| p.shown))
        };
        assert_eq!(proxy(None, "http://example.org"), Ok(Some("p:3128".into())));
        assert_eq!(proxy(None, "http://example.com"), Ok(None));
        assert_eq!(proxy(Some("http://q:1"), "http://example.com"), Ok(Some("q:1".into())));
        assert_eq!(proxy(Some("none"), "http://example.org"), Ok(None));
        assert!(proxy(Some("http://q:1"), "unix:/run/a.sock").is_err());
        let ca = Via { ca: Some("/etc/ca.pem".into()), ..Via::default() };
        assert!(Route::new(&ca, None, &parse("http://a/").unwrap(), &common).is_err());
        let half = Via { client_cert: Some("/etc/c.pem".into()), ..Via::default() };
        assert!(Route::new(&half, None, &parse("https://a/").unwrap(), &common).is_err());
    }
}
