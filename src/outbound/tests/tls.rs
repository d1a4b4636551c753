//! TLS with an authority of the tests' own, trusted through the extra CA file.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::{FakeResolver, OK, Outbound, Receiver, attempt, clock, endpoint, read_request, settings};
use crate::model::{AttemptReport, Outcome};

pub(super) struct Authority {
    pub(super) issuer: CertifiedIssuer<'static, KeyPair>,
    _folder: tempfile::TempDir,
    pub(super) file: PathBuf,
}

pub(super) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "An authority of the tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, issuer.pem()).unwrap();
    Authority { issuer, _folder: folder, file }
}

pub(super) fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

/// A receiver that shows this certificate.
pub(super) async fn receiver(certificate: CertificateDer<'static>, key: &KeyPair) -> Receiver {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Receiver::new(move |conn, stream, got| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while let Some(request) = read_request(&mut stream, conn).await {
                got.lock().unwrap().push(request);
                stream.write_all(OK).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    })
    .await
}

fn room(authority: &Authority) -> Arc<Outbound> {
    let resolver = FakeResolver::default().knows("receiver.test", &[&["127.0.0.1"]]);
    let settings = super::Settings { extra_ca: Some(authority.file.clone()), ..settings(resolver) };
    Outbound::new(settings, clock()).unwrap()
}

/// One attempt at a receiver with a certificate of the authority's by these terms.
async fn against(authority: &Authority, params: &CertificateParams) -> (AttemptReport, usize) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let receiver = receiver(certificate.der().clone(), &key).await;
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let report = attempt(&room(authority), &endpoint(&url)).await;
    (report, receiver.got().len())
}

fn refused_with(report: &(AttemptReport, usize), word: &str) {
    assert_eq!(report.0.outcome, Outcome::Retryable { after_ms: None });
    let error = report.0.error.as_deref().unwrap();
    assert!(error.starts_with("TLS: ") && error.contains(word), "{error}");
    assert_eq!(report.1, 0, "nothing was sent");
}

#[tokio::test]
async fn a_receiver_of_the_extra_authority_is_delivered_to() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["receiver.test", "127.0.0.1"]).signed_by(&key, &authority.issuer).unwrap();
    let receiver = receiver(certificate.der().clone(), &key).await;
    let room = room(&authority);
    let port = receiver.address.port();
    for host in ["receiver.test", "127.0.0.1"] {
        let endpoint = endpoint(&format!("https://{host}:{port}/"));
        for _ in 0..2 {
            let report = attempt(&room, &endpoint).await;
            assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
        }
    }
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 0, 1, 1]);
}

#[tokio::test]
async fn certificates_that_do_not_fit_are_refused() {
    let authority = authority();
    refused_with(&against(&authority, &params(&["other.test"])).await, "another name");
    let mut expired = params(&["receiver.test"]);
    expired.not_before = date_time_ymd(2019, 1, 1);
    expired.not_after = date_time_ymd(2020, 1, 1);
    refused_with(&against(&authority, &expired).await, "certificate expired");
    let mut early = params(&["receiver.test"]);
    early.not_before = date_time_ymd(2090, 1, 1);
    early.not_after = date_time_ymd(2091, 1, 1);
    refused_with(&against(&authority, &early).await, "not valid yet");
}

#[tokio::test]
async fn certificates_of_nobody_are_refused() {
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["receiver.test"]).self_signed(&key).unwrap();
    let receiver = receiver(certificate.der().clone(), &key).await;
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let report = attempt(&room(&authority()), &endpoint(&url)).await;
    refused_with(&(report, receiver.got().len()), "unknown authority");
}

#[tokio::test]
async fn a_port_without_tls_is_said_so() {
    let receiver = Receiver::new(|_, mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let report = attempt(&room(&authority()), &endpoint(&url)).await;
    refused_with(&(report, 0), "");
}

#[test]
fn extra_ca_files_are_checked_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing here").unwrap();
    for (file, word) in [(folder.path().join("none.pem"), "readable"), (empty, "no certificate")] {
        let settings = super::Settings { extra_ca: Some(file), ..settings(FakeResolver::default()) };
        let refusal = Outbound::new(settings, clock()).unwrap_err().to_string();
        assert!(refusal.contains(word), "{refusal}");
    }
}
