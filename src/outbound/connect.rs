//! The connector: resolve, guard, dial, shake hands.
//!
//! Invariant: everything that is dialled over TCP goes through [`Connector::admit`] with the very address that is
//! dialled; between the check and the dial no name is looked up again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::model::{Fault, limits};

use super::failure::{Failure, Phase};
use super::guard;
use super::resolve::{Boxed, Resolve};
use super::stream::Wire;
use super::tls::Tls;
use super::url::{Place, Target, allowed_port};
use super::via::{Route, is_local};

/// Opens TCP connections. A seam: tests see which address would be dialled.
pub(super) trait Dial: Send + Sync {
    /// Connects to `address`, from `bind` when that is given.
    fn dial(&self, address: SocketAddr, bind: Option<IpAddr>) -> Boxed<'_, io::Result<TcpStream>>;
}

/// Dials for real.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SystemDialer;

impl Dial for SystemDialer {
    fn dial(&self, address: SocketAddr, bind: Option<IpAddr>) -> Boxed<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let stream = match bind {
                None => TcpStream::connect(address).await?,
                Some(bind) => {
                    let socket = if bind.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                    socket.bind(SocketAddr::new(bind, 0))?;
                    socket.connect(address).await?
                }
            };
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }
}

pub(super) struct Connector {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) dialer: Box<dyn Dial>,
    pub(super) tls: Tls,
}

/// What one connection needs to know of its endpoint.
pub(super) struct Wanted<'a> {
    pub(super) target: &'a Target,
    pub(super) route: &'a Route,
    pub(super) allow_private: bool,
    pub(super) timeout_ms: u64,
}

impl Connector {
    /// Connects; `phase` follows how far it has come.
    pub(super) async fn establish(&self, wanted: &Wanted<'_>, phase: &mut Phase) -> Result<Wire, Failure> {
        let addresses = match (&wanted.target.place, &wanted.route.proxy) {
            (Place::Socket(path), _) => {
                let shown = path.display().to_string();
                *phase = Phase::Connecting(shown.clone());
                let stream = UnixStream::connect(path).await.map_err(|e| Failure::connect(&shown, &e))?;
                return Ok(Wire::Unix(stream));
            }
            (place, Some(proxy)) => {
                Self::admit_named(place, wanted)?;
                match &proxy.place {
                    Place::Name { name, port } => {
                        *phase = Phase::Resolving(name.clone());
                        // The operator's choice, wherever it is.
                        self.lookup(name, *port, true).await?
                    }
                    Place::Literal { ip, port } => vec![SocketAddr::new(*ip, *port)],
                    Place::Socket(_) => Vec::new(),
                }
            }
            (Place::Literal { ip, port }, None) => {
                Self::admit_named(&wanted.target.place, wanted)?;
                vec![SocketAddr::new(*ip, *port)]
            }
            (Place::Name { name, port }, None) => {
                Self::check_port(*port, wanted)?;
                *phase = Phase::Resolving(name.clone());
                self.lookup(name, *port, wanted.allow_private).await?
            }
        };
        let mut tcp = self.dial_any(&addresses, wanted, phase).await?;
        if !wanted.target.tls {
            return Ok(Wire::Tcp(tcp));
        }
        if let Some(proxy) = &wanted.route.proxy {
            proxy.tunnel(&mut tcp, &wanted.target.place.to_string()).await?;
        }
        *phase = Phase::Handshake;
        let own = wanted.route.own.as_ref();
        Ok(Wire::Tls(Box::new(self.tls.handshake(tcp, &wanted.target.place, own).await?)))
    }

    /// The guard for what a URL names outright; behind a proxy nothing more is known.
    fn admit_named(place: &Place, wanted: &Wanted<'_>) -> Result<(), Failure> {
        match place {
            Place::Literal { ip, port } => {
                Self::check_port(*port, wanted)?;
                let address = SocketAddr::new(*ip, *port);
                Self::admit(*ip, wanted.allow_private).map_err(|why| Failure::Address { address, why })
            }
            Place::Name { name, port } if is_local(name) && !wanted.allow_private => {
                let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *port);
                Err(Failure::Address { address, why: guard::Why::Loopback })
            }
            Place::Name { port, .. } => Self::check_port(*port, wanted),
            Place::Socket(_) => Ok(()),
        }
    }

    /// The guard, with the endpoint's permission.
    fn admit(ip: IpAddr, allow_private: bool) -> Result<(), guard::Why> {
        if allow_private { Ok(()) } else { guard::allowed(ip) }
    }

    fn check_port(port: u16, wanted: &Wanted<'_>) -> Result<(), Failure> {
        if wanted.allow_private {
            return Ok(());
        }
        allowed_port(port).map_err(|service| Failure::Port { port, service })
    }

    /// The addresses of a name that may be dialled. A mixed answer loses those that may not.
    async fn lookup(&self, name: &str, port: u16, allow_private: bool) -> Result<Vec<SocketAddr>, Failure> {
        let unresolved = |why: String| Failure::Unresolved { name: name.to_owned(), why };
        let found = self.resolver.resolve(name).await.map_err(|e| unresolved(format!(" ({e})")))?;
        let mut refused = None;
        let mut allowed = Vec::new();
        for ip in found {
            match Self::admit(ip, allow_private) {
                Ok(()) => allowed.push(SocketAddr::new(ip, port)),
                Err(why) => refused = refused.or(Some((ip, why))),
            }
        }
        allowed.truncate(limits::DIALS);
        match refused {
            Some((address, why)) if allowed.is_empty() => Err(Failure::Name { name: name.to_owned(), address, why }),
            None if allowed.is_empty() => Err(unresolved(" to any address".to_owned())),
            _ => Ok(allowed),
        }
    }

    /// Tries them in order; each but the last gets its share of the deadline, so that one that swallows packets
    /// leaves time for the others.
    async fn dial_any(
        &self,
        addresses: &[SocketAddr],
        wanted: &Wanted<'_>,
        phase: &mut Phase,
    ) -> Result<TcpStream, Failure> {
        let bind = wanted.route.bind;
        let addresses: Vec<_> =
            addresses.iter().filter(|to| bind.is_none_or(|from| from.is_ipv4() == to.is_ipv4())).collect();
        let share = Duration::from_millis(wanted.timeout_ms / (addresses.len().max(1) as u64));
        let mut failures = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let shown = address.to_string();
            *phase = Phase::Connecting(shown.clone());
            let dial = self.dialer.dial(**address, bind);
            let dialled = if at + 1 == addresses.len() {
                dial.await
            } else {
                tokio::time::timeout(share, dial).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            };
            match dialled {
                Ok(stream) => return Ok(stream),
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && bind.is_some() => {
                    let why = "no connection from the address of --bind: this machine does not have it".to_owned();
                    failures.push(Failure::Connect { why, fault: Some(Fault::Unclear) });
                }
                Err(error) => failures.push(Failure::connect(&shown, &error)),
            }
        }
        if failures.is_empty() {
            let why = "no address of the receiver is of the same kind (IPv4, IPv6) as that of --bind".to_owned();
            failures.push(Failure::Connect { why, fault: Some(Fault::Unclear) });
        }
        // One address that was reached is enough to say that the way is not to blame.
        let fault = failures.iter().map(Failure::fault).reduce(|a, b| a.and(b)).flatten();
        let why: Vec<String> = failures.iter().map(ToString::to_string).collect();
        Err(Failure::Connect { why: why.join("; "), fault })
    }
}
