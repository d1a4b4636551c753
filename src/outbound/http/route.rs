//! How a receiver is reached: through a proxy, from a source address, with certificates of the
//! endpoint's own.
//!
//! An endpoint's `--proxy` is used even for what `no_proxy` names.

use std::net::IpAddr;

use crate::model::ConnectSettings;

use super::proxy::{DefaultProxy, Proxy};
use super::tls::EndpointTls;
use super::url::{Destination, HttpUrl};

/// `--proxy none`: not even the daemon's.
const NO_PROXY: &str = "none";

/// How one endpoint is reached.
#[derive(Default)]
pub struct HttpRoute {
    pub proxy: Option<Proxy>,
    /// The address to connect from.
    pub bind: Option<IpAddr>,
    pub own: Option<EndpointTls>,
}

impl HttpRoute {
    /// The route that an endpoint's settings make, together with those of the daemon. `proxy` is
    /// the endpoint's own.
    ///
    /// # Errors
    /// When the settings do not go together, with what to do.
    pub fn new(
        settings: &ConnectSettings,
        proxy: Option<&str>,
        url: &HttpUrl,
        default_proxy: &DefaultProxy,
    ) -> Result<Self, String> {
        let is_socket = matches!(url.destination, Destination::Socket(_));
        if is_socket && (proxy.is_some() || settings.bind.is_some()) {
            return Err("a Unix socket is reached directly: leave out --proxy and --bind".into());
        }
        let own = EndpointTls::new(settings)?;
        if own.is_some() && !url.tls {
            return Err(
                "certificates are for https: leave out --client-cert, --client-key and --ca".into(),
            );
        }

        let proxy = match proxy {
            None => default_proxy.proxy_for(url),
            Some(NO_PROXY) => None,
            Some(text) => Some(Proxy::parse(text)?),
        };
        Ok(Self { proxy, bind: settings.bind, own })
    }
}

#[cfg(test)]
mod tests {
    use super::{DefaultProxy, HttpRoute, HttpUrl};
    use crate::model::ConnectSettings;

    #[test]
    fn an_endpoints_own_way_beats_the_daemons() {
        let common = DefaultProxy::new(Some("http://p:3128"), &["example.com".into()]).unwrap();
        let proxy = |own: Option<&str>, url: &str| {
            HttpRoute::new(&ConnectSettings::default(), own, &HttpUrl::of(url), &common)
                .map(|route| route.proxy.map(|p| p.shown))
        };

        assert_eq!(proxy(None, "http://example.org"), Ok(Some("p:3128".into())));
        assert_eq!(proxy(None, "http://example.com"), Ok(None));
        assert_eq!(proxy(Some("http://q:1"), "http://example.com"), Ok(Some("q:1".into())));
        assert_eq!(proxy(Some("none"), "http://example.org"), Ok(None));
        assert!(proxy(Some("http://q:1"), "unix:/run/a.sock").is_err());
        let ca = ConnectSettings { ca: Some("/etc/ca.pem".into()), ..ConnectSettings::default() };
        assert!(HttpRoute::new(&ca, None, &HttpUrl::parse("http://a/").unwrap(), &common).is_err());
        let half = ConnectSettings {
            client_cert: Some("/etc/c.pem".into()),
            ..ConnectSettings::default()
        };

        assert!(
            HttpRoute::new(&half, None, &HttpUrl::parse("https://a/").unwrap(), &common).is_err()
        );
    }
}
