//! HTTP proxies: an endpoint's own, or the daemon's for all endpoints.
//!
//! Behind a proxy it is the proxy that resolves and dials, so the address guard checks only what
//! the URL names outright (addresses, ports, `localhost`). The proxy's own address is the
//! operator's choice and is not checked.
//!
//! The daemon's proxy is not used for what `no_proxy` names, for loopback addresses and for Unix
//! sockets.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, Uri};
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::model::secret::percent_decoded;
use crate::model::{Secret, limits};
use crate::outbound::failure::AttemptFailure;
use crate::outbound::redact::Redactor;

use super::url::{Destination, HttpUrl};

/// A proxy that is spoken to in plain HTTP.
#[derive(Clone)]
pub struct Proxy {
    pub destination: Destination,
    /// `host:port`, for people.
    pub shown: String,
    /// `Basic …`
    authorization: Option<HeaderValue>,
    password: Option<Secret>,
}

impl Proxy {
    /// Reads `http://[user:password@]host:port`.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("--proxy {what}: write it as http://proxy.example.com:3128");

        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        if scheme != "http" {
            return Err(wrong("must begin with http:// (other protocols are not supported)"));
        }
        let (login, host) =
            rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
        let host = host.strip_suffix('/').unwrap_or(host);
        let url = HttpUrl::parse(&format!("http://{host}"))
            .map_err(|_| wrong("names no host and port"))?;
        let has_port = host.rsplit(']').next().is_some_and(|after| after.contains(':'));
        if host.contains(['/', '?']) || !has_port {
            return Err(wrong("is a host and a port"));
        }

        let authorization = login.map(basic_authorization).transpose();
        let authorization =
            authorization.map_err(|_| wrong("has a user or password that cannot be sent"))?;
        Ok(Self {
            destination: url.destination,
            shown: host.to_owned(),
            authorization,
            password: login.map(password_of),
        })
    }

    /// What is dialled to reach it, for people.
    pub fn at(&self, address: SocketAddr) -> String {
        let address = address.to_string();
        match self.shown == address {
            true => format!("the proxy {address}"),
            false => format!("the proxy {} ({address})", self.shown),
        }
    }

    /// Adds its password to what is redacted.
    pub fn add_secrets(&self, redactor: &mut Redactor) {
        if let Some(password) = &self.password {
            redactor.add(&password.0);
        }
        if let Some(login) = self.authorization.as_ref().and_then(|value| value.to_str().ok()) {
            redactor.add_text(login);
        }
    }

    /// Makes a request one for a proxy: it names the receiver (RFC 9112 section 3.2.2), and has the
    /// proxy's credentials.
    pub fn address_request<B>(&self, request: &mut Request<B>, host: &HeaderValue) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let whole = format!("http://{}{path}", host.to_str().unwrap_or_default());
        if let Ok(uri) = whole.parse::<Uri>() {
            *request.uri_mut() = uri;
        }

        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
    }

    /// Asks it for a tunnel to `to` (`host:port`), RFC 9110 section 9.3.6.
    ///
    /// # Errors
    /// When it refuses, or cannot be understood.
    pub async fn tunnel(&self, stream: &mut TcpStream, to: &str) -> Result<(), AttemptFailure> {
        let broken = |error: std::io::Error| self.refused(to, &error.to_string());
        stream.write_all(&self.connect_request(to)).await.map_err(broken)?;

        // Byte by byte, so that nothing of what comes through the tunnel is read.
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            if response.len() >= limits::PROXY_ANSWER {
                return Err(self.refused(to, "its answer is too long"));
            }
            response.push(stream.read_u8().await.map_err(broken)?);
        }

        let line = status_line(&response);
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        match status.unwrap_or_default() {
            "407" => Err(self.refused(
                to,
                "it wants a user and a password: --proxy http://user:password@host:port",
            )),
            ok if ok.starts_with('2') => Ok(()),
            _ => Err(self.refused(to, &line)),
        }
    }

    fn connect_request(&self, to: &str) -> Vec<u8> {
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    fn refused(&self, to: &str, why: &str) -> AttemptFailure {
        AttemptFailure::Connect {
            why: format!("the proxy {} does not connect to {to}: {why}", self.shown),
            fault: None,
        }
    }
}

fn basic_authorization(login: &str) -> Result<HeaderValue, hyper::header::InvalidHeaderValue> {
    let value = format!("Basic {}", STANDARD.encode(percent_decoded(login)));
    let mut value = HeaderValue::from_str(&value)?;
    value.set_sensitive(true);
    Ok(value)
}

fn password_of(login: &str) -> Secret {
    let password = login.split_once(':').map_or(login, |(_, password)| password);
    Secret(String::from_utf8_lossy(&percent_decoded(password)).into_owned())
}

/// The first line of a response, fit to be shown.
fn status_line(response: &[u8]) -> String {
    let text = String::from_utf8_lossy(response);
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// The daemon's own proxy, and what is reached without it.
#[derive(Clone, Default)]
pub struct DefaultProxy {
    proxy: Option<Proxy>,
    exceptions: Vec<NoProxyRule>,
}

#[derive(Clone)]
enum NoProxyRule {
    All,
    /// A name and all below it.
    Name(String),
    Net(IpNet),
}

impl DefaultProxy {
    /// Reads `[outbound] proxy` and `no_proxy`.
    ///
    /// # Errors
    /// What is wrong with them, and what to write instead.
    pub fn new(proxy: Option<&str>, no_proxy: &[String]) -> Result<Self, String> {
        let proxy = proxy.map(Proxy::parse).transpose();
        // Here it is a key, and not the option of an endpoint.
        let named =
            |what: String| format!("outbound.proxy: it {}", what.trim_start_matches("--proxy "));
        let proxy = proxy.map_err(named)?;
        let exceptions = no_proxy.iter().map(|text| NoProxyRule::parse(text));
        Ok(Self { proxy, exceptions: exceptions.collect::<Result<_, _>>()? })
    }

    /// The proxy for a URL, if there is one for it.
    pub fn proxy_for(&self, url: &HttpUrl) -> Option<Proxy> {
        let proxy = self.proxy.as_ref()?;
        let is_excepted = match &url.destination {
            Destination::Socket(_) => true,
            Destination::Literal { ip, .. } => {
                ip.is_loopback() || self.exceptions.iter().any(|rule| rule.covers_address(ip))
            }
            Destination::Name { name, .. } => {
                is_local(name) || self.exceptions.iter().any(|rule| rule.covers_name(name))
            }
        };
        (!is_excepted).then(|| proxy.clone())
    }
}

impl NoProxyRule {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_start_matches("*.").trim_start_matches('.');
        if text == "*" {
            return Ok(Self::All);
        }

        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        if let Some(net) = text.parse().ok().or_else(address) {
            return Ok(Self::Net(net));
        }

        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !text.is_empty() && text.bytes().all(is_plain) {
            return Ok(Self::Name(text.to_ascii_lowercase()));
        }
        Err(format!(
            "outbound.no_proxy: '{text}' is neither a name, an address, a network such as \
             10.0.0.0/8, nor *"
        ))
    }

    fn covers_address(&self, ip: &IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Name(_) => false,
            Self::Net(net) => net.contains(ip),
        }
    }

    fn covers_name(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(suffix) => {
                let rest = name.strip_suffix(suffix.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Net(_) => false,
        }
    }
}

/// Whether a name means this machine, by whichever resolver.
pub fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::{DefaultProxy, HttpUrl, Proxy};

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
            "http://u:hunter2",
            "http://u:hunter2:1",
            "hunter2://p:1",
        ] {
            let why = Proxy::parse(wrong).err().unwrap_or_default();
            assert!(
                why.contains("http://proxy.example.com") && !why.contains("hunter2"),
                "{wrong}: {why}"
            );
        }
    }

    #[test]
    fn no_proxy_means_names_below_addresses_and_networks() {
        let without: Vec<String> =
            ["example.com", ".corp", "*.lan", "10.0.0.0/8", "192.0.2.1"].map(str::to_owned).into();
        let common = DefaultProxy::new(Some("http://p:3128"), &without).unwrap();

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
            assert_eq!(common.proxy_for(&HttpUrl::of(url)).is_some(), through, "{url}");
        }

        assert!(
            DefaultProxy::new(Some("http://p:1"), &["*".into()])
                .unwrap()
                .proxy_for(&HttpUrl::parse("http://a/").unwrap())
                .is_none()
        );

        assert!(DefaultProxy::new(None, &["a b".into()]).is_err());
    }
}
