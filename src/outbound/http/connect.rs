//! The connector: resolve, guard, dial, shake hands.
//!
//! Invariant: everything that is dialled over TCP goes through [`Connector::admit`] with the very
//! address that is dialled; between the check and the dial no name is looked up again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::model::{AttemptFault, limits};
use crate::outbound::boxed::Boxed;
use crate::outbound::failure::{AttemptFailure, Phase};
use crate::outbound::guard::{self, AddressKind};
use crate::outbound::own_address;
use crate::outbound::resolve::Resolve;
use crate::outbound::settings::OutboundError;

use super::proxy::{Proxy, is_local};
use super::route::HttpRoute;
use super::stream::RawStream;
use super::tls::TlsClient;
use super::url::{Destination, HttpUrl};

/// Opens TCP connections. A trait, so that tests see which address would be dialled.
pub trait Dial: Send + Sync {
    /// Connects to `address`, from `bind` when that is given.
    fn dial(&self, address: SocketAddr, bind: Option<IpAddr>) -> Boxed<'_, io::Result<TcpStream>>;
}

/// Dials for real.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDialer;

impl Dial for SystemDialer {
    fn dial(&self, address: SocketAddr, bind: Option<IpAddr>) -> Boxed<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let stream = match bind {
                None => TcpStream::connect(address).await?,
                Some(bind) => {
                    let socket =
                        if bind.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                    socket.bind(SocketAddr::new(bind, 0))?;
                    socket.connect(address).await?
                }
            };
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }
}

/// Makes connections.
pub struct Connector {
    pub resolver: Arc<dyn Resolve>,
    pub dialer: Box<dyn Dial>,
    pub tls: RwLock<Arc<TlsClient>>,
}

/// The settings of an endpoint for one connection.
pub struct DialOptions<'a> {
    pub url: &'a HttpUrl,
    pub route: &'a HttpRoute,
    pub allow_private: bool,
    pub timeout_ms: u64,
    /// Whether HTTP/2 is offered.
    pub offer_http2: bool,
}

impl Connector {
    /// Connects; `phase` follows how far it has come.
    pub async fn establish(
        &self,
        options: &DialOptions<'_>,
        phase: &mut Phase,
    ) -> Result<RawStream, AttemptFailure> {
        let HttpUrl { destination, tls, .. } = options.url;
        if let Destination::Socket(path) = destination {
            return connect_socket(path, phase).await;
        }

        let addresses = match &options.route.proxy {
            Some(proxy) => self.proxy_addresses(proxy, options, phase).await?,
            None => self.addresses(options, phase).await?,
        };
        let mut tcp = self.dial_any(&addresses, options, phase).await?;
        if !tls {
            return Ok(RawStream::Tcp(tcp));
        }

        if let Some(proxy) = &options.route.proxy {
            *phase = Phase::Tunnel(proxy.shown.clone());
            proxy.tunnel(&mut tcp, &destination.to_string()).await?;
        }

        *phase = Phase::Handshake;
        let own = options.route.own.as_ref();
        let stream =
            self.tls_client().handshake(tcp, destination, own, options.offer_http2).await?;
        Ok(RawStream::Tls(Box::new(stream)))
    }

    fn tls_client(&self) -> Arc<TlsClient> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the certificates of all endpoints anew: the extra CA file now, the system's roots with
    /// the next handshake.
    ///
    /// # Errors
    /// When the extra CA file cannot be used; then nothing changes.
    pub fn read_certificates_anew(&self) -> Result<(), OutboundError> {
        let fresh = Arc::new(self.tls_client().read_anew()?);
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The addresses of the receiver that may be dialled.
    async fn addresses(
        &self,
        options: &DialOptions<'_>,
        phase: &mut Phase,
    ) -> Result<Vec<SocketAddr>, AttemptFailure> {
        match &options.url.destination {
            Destination::Name { name, port } => {
                Self::check_port(*port, options)?;
                *phase = Phase::Resolving(name.clone());
                let found = self.lookup(name, *port, options.allow_private).await?;
                Ok(to_dial(found, options.route.bind))
            }
            Destination::Literal { ip, port } => {
                Self::admit_named(options)?;
                Ok(vec![SocketAddr::new(*ip, *port)])
            }
            Destination::Socket(_) => Ok(Vec::new()),
        }
    }

    /// The addresses of a proxy. They are the operator's choice, wherever they are.
    async fn proxy_addresses(
        &self,
        proxy: &Proxy,
        options: &DialOptions<'_>,
        phase: &mut Phase,
    ) -> Result<Vec<SocketAddr>, AttemptFailure> {
        Self::admit_named(options)?;
        match &proxy.destination {
            Destination::Name { name, port } => {
                *phase = Phase::Resolving(format!("the proxy {name}"));
                let found = self.lookup(name, *port, true).await.map_err(of_proxy)?;
                Ok(to_dial(found, options.route.bind))
            }
            Destination::Literal { ip, port } => Ok(vec![SocketAddr::new(*ip, *port)]),
            Destination::Socket(_) => Ok(Vec::new()),
        }
    }

    /// The guard for what a URL names outright; behind a proxy nothing more is known.
    fn admit_named(options: &DialOptions<'_>) -> Result<(), AttemptFailure> {
        match &options.url.destination {
            Destination::Literal { ip, port } => {
                Self::check_port(*port, options)?;
                let address = SocketAddr::new(*ip, *port);
                Self::admit(*ip, options.allow_private)
                    .map_err(|kind| AttemptFailure::Address { address, kind })
            }
            Destination::Name { name, port } if is_local(name) && !options.allow_private => {
                let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *port);
                Err(AttemptFailure::Address { address, kind: AddressKind::Loopback })
            }
            Destination::Name { port, .. } => Self::check_port(*port, options),
            Destination::Socket(_) => Ok(()),
        }
    }

    /// The guard, with the endpoint's permission.
    fn admit(ip: IpAddr, allow_private: bool) -> Result<(), AddressKind> {
        if allow_private { Ok(()) } else { own_address::allowed(ip) }
    }

    fn check_port(port: u16, options: &DialOptions<'_>) -> Result<(), AttemptFailure> {
        if options.allow_private {
            return Ok(());
        }
        guard::allowed_port(port).map_err(|service| AttemptFailure::Port { port, service })
    }

    /// The addresses of a name that may be dialled. A mixed answer loses those that may not.
    async fn lookup(
        &self,
        name: &str,
        port: u16,
        allow_private: bool,
    ) -> Result<Vec<SocketAddr>, AttemptFailure> {
        let unresolved = |why: String| AttemptFailure::Unresolved { name: name.to_owned(), why };
        let found = self.resolver.resolve(name).await.map_err(|e| unresolved(format!(" ({e})")))?;

        let mut refused = None;
        let mut allowed = Vec::new();
        for ip in found {
            match Self::admit(ip, allow_private) {
                Ok(()) => allowed.push(SocketAddr::new(ip, port)),
                Err(kind) => refused = refused.or(Some((ip, kind))),
            }
        }

        match refused {
            Some((address, kind)) if allowed.is_empty() => {
                Err(AttemptFailure::Name { name: name.to_owned(), address, kind })
            }
            None if allowed.is_empty() => Err(unresolved(" to any address".to_owned())),
            _ => Ok(allowed),
        }
    }

    /// Tries the addresses in order. Each but the last gets its share of the deadline, so that one
    /// that swallows packets leaves time for the others.
    async fn dial_any(
        &self,
        addresses: &[SocketAddr],
        options: &DialOptions<'_>,
        phase: &mut Phase,
    ) -> Result<TcpStream, AttemptFailure> {
        let bind = options.route.bind;
        let addresses: Vec<_> = addresses
            .iter()
            .filter(|to| bind.is_none_or(|from| from.is_ipv4() == to.is_ipv4()))
            .collect();
        let share = Duration::from_millis(options.timeout_ms / (addresses.len().max(1) as u64));

        let mut failures = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let proxy = options.route.proxy.as_ref();
            let shown = proxy.map_or_else(|| address.to_string(), |proxy| proxy.at(**address));
            *phase = Phase::Connecting(shown.clone());

            let dial = self.dialer.dial(**address, bind);
            let dialled = if at + 1 == addresses.len() {
                dial.await
            } else {
                let timed_out = |_| Err(io::ErrorKind::TimedOut.into());
                tokio::time::timeout(share, dial).await.unwrap_or_else(timed_out)
            };
            match dialled {
                Ok(stream) => return Ok(stream),
                Err(error) => failures.push(dial_failure(&shown, bind, &error)),
            }
        }

        if failures.is_empty() {
            let whose = if options.route.proxy.is_some() { "proxy" } else { "receiver" };
            let why = format!(
                "no address of the {whose} is of the same kind (IPv4, IPv6) as that of --bind"
            );
            let fault = Some(AttemptFault::Unclear);
            failures.push(AttemptFailure::Connect { why, fault });
        }
        // One address that was reached is enough to say that the link is not to blame.
        let fault = failures.iter().map(AttemptFailure::fault).reduce(|a, b| a.and(b)).flatten();
        let why: Vec<String> = failures.iter().map(ToString::to_string).collect();
        Err(AttemptFailure::Connect { why: why.join("; "), fault })
    }
}

/// The failure to look up a name, which is that of a proxy.
fn of_proxy(failure: AttemptFailure) -> AttemptFailure {
    match failure {
        AttemptFailure::Unresolved { name, why } => {
            AttemptFailure::Unresolved { name: format!("{name} of the proxy"), why }
        }
        other => other,
    }
}

async fn connect_socket(path: &Path, phase: &mut Phase) -> Result<RawStream, AttemptFailure> {
    let shown = path.display().to_string();
    *phase = Phase::Connecting(shown.clone());

    let connected = UnixStream::connect(path).await;
    connected.map(RawStream::Unix).map_err(|e| AttemptFailure::connect(&shown, &e))
}

fn dial_failure(shown: &str, bind: Option<IpAddr>, error: &io::Error) -> AttemptFailure {
    if error.kind() == io::ErrorKind::AddrNotAvailable && bind.is_some() {
        return AttemptFailure::Connect {
            why: "no connection from the address of --bind: this machine does not have it"
                .to_owned(),
            fault: Some(AttemptFault::Unclear),
        };
    }
    AttemptFailure::connect(shown, error)
}

/// The addresses that are dialled, in order: only those of the kind of the own address that is
/// bound to, and both kinds (IPv4, IPv6) by turns, so that many dead ones of one kind do not hide
/// the others.
fn to_dial(found: Vec<SocketAddr>, bind: Option<IpAddr>) -> Vec<SocketAddr> {
    let fits = |to: &SocketAddr| bind.is_none_or(|from| from.is_ipv4() == to.is_ipv4());
    let fitting: Vec<SocketAddr> = found.into_iter().filter(fits).collect();
    let Some(first) = fitting.first().copied() else { return fitting };

    let (one, other): (Vec<_>, Vec<_>) =
        fitting.into_iter().partition(|to| to.is_ipv4() == first.is_ipv4());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let by_turns = std::iter::from_fn(|| Some([one.next(), other.next()]))
        .take_while(|turn| turn.iter().any(Option::is_some));
    by_turns.flatten().flatten().take(limits::DIALS).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::to_dial;

    #[test]
    fn both_kinds_are_dialled_by_turns_and_only_one_kind_from_an_own_address() {
        let found = ["::1", "::2", "::3", "::4", "::5", "1.0.0.1", "1.0.0.2", "1.0.0.3"];
        let dialled = |bind: Option<&str>| {
            let found = found.iter().map(|ip| SocketAddr::new(ip.parse().expect("an ip"), 1));
            let bind: Option<IpAddr> = bind.map(|ip| ip.parse().expect("an ip"));
            let dialled = to_dial(found.collect(), bind);
            dialled.iter().map(|to| to.ip().to_string()).collect::<Vec<_>>()
        };

        assert_eq!(dialled(None), ["::1", "1.0.0.1", "::2", "1.0.0.2"]);
        assert_eq!(dialled(Some("127.0.0.9")), ["1.0.0.1", "1.0.0.2", "1.0.0.3"]);
        assert_eq!(dialled(Some("::9")), ["::1", "::2", "::3", "::4"]);
        assert_eq!(to_dial(Vec::new(), None), []);
    }
}
