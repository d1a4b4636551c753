//! The end of a client's proof before that of its connection: its certificate has expired since the
//! handshake, or those who are trusted now do not vouch for it.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Response, Version};

use super::client_check::ShownCertificates;
use super::pulse::Pulse;
use super::route::Peer;
use super::service::Ingest;
use super::tls::ServerTls;
use super::verify::{CertificateLapse, ClientCert};

/// The peer as what it showed in the handshake proves it now, and whether that is less than it was.
pub(super) fn proven_now<'p>(ingest: &Ingest, peer: &'p Peer) -> (Cow<'p, Peer>, bool) {
    let lapse = peer.shown.as_ref().and_then(|shown| lapse(ingest, shown));
    let Some((lapse, certificate)) = lapse.zip(peer.certificate.as_deref()) else {
        return (Cow::Borrowed(peer), false);
    };

    let lapsed = ClientCert { lapse: Some(lapse), ..certificate.clone() };
    (Cow::Owned(Peer { certificate: Some(Arc::new(lapsed)), ..peer.clone() }), true)
}

fn lapse(ingest: &Ingest, shown: &ShownCertificates) -> Option<CertificateLapse> {
    let in_force = ingest.tls.as_ref().map(ServerTls::current);
    let clients = in_force.as_ref().and_then(|setup| setup.clients.as_ref());
    shown.lapse(clients, (ingest.clock)().wall_ms)
}

/// Has the connection end behind this response: on the next one the client can show another
/// certificate.
pub(super) fn end_connection<B>(version: Version, pulse: &Pulse, response: &mut Response<B>) {
    if version == Version::HTTP_2 {
        pulse.end();
    } else {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}
