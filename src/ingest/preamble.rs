//! The bytes before HTTP on a TCP connection: a PROXY header where the listener expects one, then
//! the TLS handshake where it speaks TLS. Both have to come within the time for a head, and both
//! end at once when the daemon stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CertificateError, Error as TlsError, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::client_check::ShownCertificates;
use super::connection;
use super::connections::{ConnectionSlot, TooManyConnections};
use super::listen::Preamble;
use super::problem::TOO_MANY_CONNECTIONS;
use super::proxy_protocol::{self, FIXED, MAX_LINE, MAX_REST, ProxyHeader, START};
use super::route::Peer;
use super::service::Ingest;
use super::verify::ClientCert;
use crate::model::share::Share;
use crate::scheduler::Entered;

/// Why a connection did not get as far as HTTP.
#[derive(Debug, thiserror::Error)]
enum PreambleError {
    #[error("{0}")]
    ProxyHeader(&'static str),
    #[error("{0} is not in trusted_proxies, so its PROXY header is not trusted")]
    UntrustedProxy(String),
    /// The client that the PROXY header names has as many connections as it may.
    #[error("{0}")]
    TooMany(TooManyConnections),
    #[error("the TLS handshake failed: {}", in_words(.0))]
    Handshake(io::Error),
    #[error("this listener speaks TLS, and there is no certificate")]
    NoCertificate,
    #[error("the client went away")]
    Gone,
}

impl PreambleError {
    fn kind(&self) -> &'static str {
        match self {
            Self::ProxyHeader(_) | Self::UntrustedProxy(_) => "proxy-header",
            Self::TooMany(_) => "connections",
            Self::Handshake(_) | Self::NoCertificate | Self::Gone => "tls",
        }
    }
}

/// A connection that HTTP can be spoken on.
enum HttpStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Serves one TCP connection to its end. `slot` and `alive` are given back then.
pub(super) async fn run(
    ingest: Arc<Ingest>,
    stream: TcpStream,
    peer: Peer,
    expected: Preamble,
    mut stop: watch::Receiver<bool>,
    mut slot: ConnectionSlot,
    alive: (mpsc::Sender<()>, Entered),
) {
    let address = peer.text.clone();
    let within = Duration::from_millis(ingest.limits.head_timeout_ms);
    let received = receive(&ingest, stream, peer, expected, &mut slot);
    let received = tokio::select! {
        _ = stop.wait_for(|stop| *stop), if expected != Preamble::default() => return,
        received = tokio::time::timeout(within, received) => received,
    };

    match received {
        Ok(Ok((HttpStream::Plain(io), peer))) => {
            connection::run(ingest, io, peer, stop, (slot, alive)).await;
        }
        Ok(Ok((HttpStream::Tls(io), peer))) => {
            connection::run(ingest, io, peer, stop, (slot, alive)).await;
        }
        Ok(Err(PreambleError::Gone)) => {
            tracing::debug!(peer = %address, "a connection ended before it began");
        }
        Ok(Err(error)) => {
            let reason = format!("{address}: {error}");
            ingest.refusals.count("", error.kind(), &reason, (ingest.clock)());
        }
        Err(_elapsed) => tracing::debug!(peer = %address, "a connection took too long to begin"),
    }
}

/// Receives the preamble. Returns the stream behind it, and the peer as far as the preamble names
/// it.
async fn receive(
    ingest: &Ingest,
    mut stream: TcpStream,
    mut peer: Peer,
    expected: Preamble,
    slot: &mut ConnectionSlot,
) -> Result<(HttpStream, Peer), PreambleError> {
    let mut is_client_named = true;
    if expected.proxy {
        (peer, is_client_named) = receive_client(&mut stream, peer).await?;
        if let Err(full) = slot.move_to(peer.holder()) {
            ingest.handle.shares().note(Share::Connections, full.of(peer.holder()));
            if !expected.tls {
                // A peer that cannot take these bytes at once gets none.
                let _ = stream.try_write(TOO_MANY_CONNECTIONS);
            }
            return Err(PreambleError::TooMany(full));
        }
    }
    if !expected.tls {
        return Ok((HttpStream::Plain(stream), peer));
    }

    let setup = ingest.tls.as_ref().ok_or(PreambleError::NoCertificate)?.current();
    let stream = handshake(setup.config.clone(), stream).await?;
    peer.is_https = true;
    // A proxy that speaks for itself, or does not name its client, shows a certificate of its own,
    // if any.
    let shown = stream.get_ref().1.peer_certificates().filter(|_| is_client_named);
    if let (Some(shown), Some(clients)) = (shown, &setup.clients) {
        peer.shown = ShownCertificates::new(shown, clients.clone()).map(Arc::new);
        let own = shown.first().filter(|_| peer.shown.is_some());
        let certificate = own.and_then(|der| ClientCert::from_der(der));
        peer.certificate = certificate
            .map(|certificate| Arc::new(ClientCert { proxied: expected.proxy, ..certificate }));
    }
    Ok((HttpStream::Tls(Box::new(stream)), peer))
}

/// Receives a PROXY header. Returns the client behind the proxy, and whether the header names one.
async fn receive_client(
    stream: &mut TcpStream,
    proxy: Peer,
) -> Result<(Peer, bool), PreambleError> {
    let Some(trusted) = proxy.trusted.clone() else {
        return Err(PreambleError::UntrustedProxy(proxy.text));
    };
    let (mut client, is_named) = match receive_proxy_header(stream).await? {
        ProxyHeader::Local => (proxy, false),
        ProxyHeader::From(client) => (Peer::tcp(client), true),
        ProxyHeader::Elsewhere => (Peer::hidden(&proxy.text), false),
    };

    // The client may be a trusted proxy itself, whose headers are trusted in turn: by its address.
    // One without an address may be anybody, and did not come over a Unix socket of ours.
    client.trusted = client.ip.and_then(|ip| trusted.trusts(Some(ip)).then_some(trusted));
    Ok((client, is_named))
}

async fn receive_proxy_header(stream: &mut TcpStream) -> Result<ProxyHeader, PreambleError> {
    let gone = |_| PreambleError::Gone;
    let mut start = [0; START];
    stream.read_exact(&mut start).await.map_err(gone)?;
    if proxy_protocol::is_version_1(&start) {
        let line = receive_line(stream, &start).await?;
        return proxy_protocol::read_version_1(&line).map_err(PreambleError::ProxyHeader);
    }

    let mut fixed = [0; FIXED];
    fixed[..START].copy_from_slice(&start);
    stream.read_exact(&mut fixed[START..]).await.map_err(gone)?;
    let length = proxy_protocol::version_2_length(&fixed).map_err(PreambleError::ProxyHeader)?;

    let mut rest = [0; MAX_REST];
    let rest = &mut rest[..length];
    stream.read_exact(rest).await.map_err(gone)?;
    proxy_protocol::read_version_2(&fixed, rest).map_err(PreambleError::ProxyHeader)
}

/// The rest of a line of version 1, without its end. Read byte by byte: what follows it belongs to
/// HTTP or TLS.
async fn receive_line(stream: &mut TcpStream, start: &[u8]) -> Result<Vec<u8>, PreambleError> {
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == MAX_LINE || line.contains(&b'\n') {
            return Err(PreambleError::ProxyHeader(
                "the PROXY header of version 1 is too long or ends with a bare line feed",
            ));
        }
        line.push(stream.read_u8().await.map_err(|_| PreambleError::Gone)?);
    }

    line.truncate(line.len() - 2);
    Ok(line)
}

async fn handshake(
    config: Arc<ServerConfig>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, PreambleError> {
    TlsAcceptor::from(config).accept(stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => PreambleError::Gone,
        _ => PreambleError::Handshake(error),
    })
}

/// What a client has to do about its certificate, where that can be said.
fn in_words(error: &io::Error) -> String {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    let Some(TlsError::InvalidCertificate(why)) = of_tls else { return error.to_string() };
    match why {
        CertificateError::UnknownIssuer => {
            "no authority in tls.client_ca has issued the client's certificate".to_owned()
        }
        // It has no name of its own there.
        CertificateError::Other(other)
            if format!("{other:?}").contains("UnsupportedCertVersion") =>
        {
            "the client's certificate is of an old version of X.509: it has to be of version 3, \
             which `openssl x509 -req` makes with -extfile"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::{CertificateError, Error as TlsError, OtherError};

    use super::in_words;

    /// As the library that reads certificates calls it.
    #[derive(Debug, thiserror::Error)]
    #[error("old")]
    struct UnsupportedCertVersion;

    #[test]
    fn a_certificate_that_is_refused_is_explained() {
        let old = CertificateError::Other(OtherError(std::sync::Arc::new(UnsupportedCertVersion)));
        for (error, words) in [
            (TlsError::InvalidCertificate(old), "version 3"),
            (CertificateError::UnknownIssuer.into(), "tls.client_ca"),
            (CertificateError::Expired.into(), "expired"),
            (TlsError::General("so it is".to_owned()), "so it is"),
        ] {
            let said = in_words(&io::Error::new(io::ErrorKind::InvalidData, error)).to_lowercase();
            assert!(said.contains(words), "{said}");
        }
    }
}
