//! What comes before HTTP on a TCP connection: a PROXY header where the listener asks for one, then the TLS handshake
//! where it speaks TLS. Both within the time for a head, and both ended at once when the daemon stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::listen::Below;
use super::proxy::{self, PROXY_BYTES, PROXY_FIXED, Proxied};
use super::route::Peer;
use super::verify::ClientCert;
use super::{Ingest, connection};

/// Why a connection did not get as far as HTTP.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Proxy(&'static str),
    #[error("{0} is not in trusted_proxies, so its PROXY header is not believed")]
    Stranger(SocketAddr),
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("this listener speaks TLS, and there is no certificate")]
    NoTls,
    #[error("the client went away")]
    Gone,
}

impl Failed {
    fn kind(&self) -> &'static str {
        match self {
            Self::Proxy(_) | Self::Stranger(_) => "proxy-header",
            Self::Tls(_) | Self::NoTls | Self::Gone => "tls",
        }
    }
}

enum Begun {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Serves one TCP connection to its end. `held` is given back then.
pub(super) async fn run<H: Send + 'static>(
    ingest: Arc<Ingest>,
    stream: TcpStream,
    address: SocketAddr,
    below: Below,
    mut stop: watch::Receiver<bool>,
    held: H,
) {
    let within = Duration::from_millis(ingest.limits.head_timeout_ms);
    let begun = tokio::select! {
        _ = stop.wait_for(|stop| *stop), if below != Below::default() => return,
        begun = tokio::time::timeout(within, begin(&ingest, stream, address, below)) => begun,
    };
    match begun {
        Ok(Ok((Begun::Plain(io), peer))) => connection::run(ingest, io, peer, stop, held).await,
        Ok(Ok((Begun::Tls(io), peer))) => connection::run(ingest, io, peer, stop, held).await,
        Ok(Err(Failed::Gone)) => tracing::debug!(peer = %address, "a connection ended before it began"),
        Ok(Err(failed)) => {
            ingest.refusals.count("", failed.kind(), &format!("{address}: {failed}"), (ingest.clock)());
        }
        Err(_elapsed) => tracing::debug!(peer = %address, "a connection took too long to begin"),
    }
}

async fn begin(
    ingest: &Ingest,
    mut stream: TcpStream,
    address: SocketAddr,
    below: Below,
) -> Result<(Begun, Peer), Failed> {
    let trusted = ingest.trusted();
    let mut peer = Peer::tcp(address);
    if below.proxy {
        if !trusted.trusts(peer.ip) {
            return Err(Failed::Stranger(address));
        }
        match proxy_header(&mut stream).await? {
            Proxied::Local => {}
            Proxied::From(client) => peer = Peer::tcp(client),
            Proxied::Elsewhere => peer = Peer::hidden(&peer.text),
        }
    }
    peer.trusted = trusted.trusts(peer.ip).then_some(trusted);
    if !below.tls {
        return Ok((Begun::Plain(stream), peer));
    }
    let config = ingest.tls.as_ref().ok_or(Failed::NoTls)?.current();
    let stream = TlsAcceptor::from(config).accept(stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Failed::Gone,
        _ => Failed::Tls(error),
    })?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    peer.certificate = shown.and_then(|der| ClientCert::from_der(der)).map(Arc::new);
    peer.is_https = true;
    Ok((Begun::Tls(Box::new(stream)), peer))
}

async fn proxy_header(stream: &mut TcpStream) -> Result<Proxied, Failed> {
    let gone = |_| Failed::Gone;
    let mut fixed = [0; PROXY_FIXED];
    stream.read_exact(&mut fixed).await.map_err(gone)?;
    let mut rest = [0; PROXY_BYTES];
    let rest = &mut rest[..proxy::proxy_length(&fixed).map_err(Failed::Proxy)?];
    stream.read_exact(rest).await.map_err(gone)?;
    proxy::proxied(&fixed, rest).map_err(Failed::Proxy)
}
