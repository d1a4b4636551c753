//! TLS with an authority of the tests' own, trusted through the extra CA file.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{
    FakeResolver, OK, Outbound, ScriptedReceiver, attempt, clock, endpoint, event, read_request,
    send, settings, with,
};
use crate::model::{AttemptReport, Event, Outcome};

pub(super) struct TestAuthority {
    pub(super) issuer: CertifiedIssuer<'static, KeyPair>,
    _folder: tempfile::TempDir,
    pub(super) file: PathBuf,
}

pub(super) fn authority() -> TestAuthority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "An authority of the tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, issuer.pem()).unwrap();
    TestAuthority { issuer, _folder: folder, file }
}

pub(super) fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

/// Takes connections as who has the first of these certificates, and sends all of them.
fn acceptor(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// How a receiver that offers HTTP/2 treats it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Two {
    Spoken,
    /// It answers with something else.
    Unknown,
    /// It does not answer.
    Silent,
}

/// The requests that a receiver read: the number of the connection, and version, authority, path,
/// length of the body.
type Requests = Arc<Mutex<Vec<(usize, String)>>>;

/// A receiver that offers HTTP/2, what it was asked, and how many connections over HTTP/2 have
/// ended.
async fn offering_two(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    two: Two,
) -> (SocketAddr, Requests, Arc<AtomicUsize>) {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Requests::default();
    let ended = Arc::new(AtomicUsize::new(0));

    let (log, count) = (requests.clone(), ended.clone());
    tokio::spawn(async move {
        for conn in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (acceptor, log, ended) = (acceptor.clone(), log.clone(), count.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                if is_http2 && two == Two::Unknown {
                    let _ = stream.write_all(b"HTTP/1.1 505 No\r\n\r\n").await;
                    return;
                }

                let is_silent = is_http2 && two == Two::Silent;
                let service =
                    service_fn(move |request| respond(request, conn, is_silent, log.clone()));
                let io = TokioIo::new(stream);
                let _ =
                    auto::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
                if is_http2 {
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (address, requests, ended)
}

async fn respond(
    request: hyper::Request<Incoming>,
    conn: usize,
    is_silent: bool,
    log: Requests,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    if is_silent {
        std::future::pending::<()>().await;
    }

    let body = body.collect().await.unwrap().to_bytes();
    let host = head.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
    let host = host.or_else(|| head.uri.authority().map(ToString::to_string)).unwrap_or_default();
    let path = head.uri.path_and_query().unwrap();
    let line = format!("{:?} {host}{path} {}", head.version, body.len());
    log.lock().unwrap().push((conn, line));
    Ok(hyper::Response::new(Full::new(Bytes::from_static(b"ok"))))
}

/// A receiver that shows this certificate.
pub(super) async fn receiver(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> ScriptedReceiver {
    receiver_with(vec![certificate], key).await
}

/// A receiver that shows the first of these, and sends the others with it.
async fn receiver_with(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ScriptedReceiver {
    let acceptor = acceptor(chain, key);
    ScriptedReceiver::new(move |conn, stream, got| {
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

/// One that answers with these bytes and leaves without a word (close_notify).
async fn blunt(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    answer: &'static [u8],
) -> ScriptedReceiver {
    let acceptor = acceptor(vec![certificate], key);
    ScriptedReceiver::new(move |conn, stream, got| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            stream.write_all(answer).await.unwrap();
            stream.flush().await.unwrap();
            drop(stream.into_inner().0);
        }
    })
    .await
}

pub(super) fn outbound(authority: &TestAuthority) -> Arc<Outbound> {
    let resolver = FakeResolver::default().knows("receiver.test", &[&["127.0.0.1"]]);
    let settings =
        super::OutboundSettings { extra_ca: Some(authority.file.clone()), ..settings(resolver) };
    Outbound::new(settings, clock()).unwrap()
}

/// One attempt at a receiver with a certificate of the authority's with these settings.
async fn against(authority: &TestAuthority, params: &CertificateParams) -> (AttemptReport, usize) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let receiver = receiver(certificate.der().clone(), &key).await;
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let report = attempt(&outbound(authority), &endpoint(&url)).await;
    (report, receiver.got().len())
}

pub(super) fn refused_with(report: &(AttemptReport, usize), word: &str) {
    assert_eq!(report.0.outcome, Outcome::Retryable { after_ms: None });
    let error = report.0.error.as_deref().unwrap();
    assert!(error.starts_with("TLS: ") && error.contains(word), "{error}");
    assert_eq!(report.1, 0, "nothing was sent");
}

#[tokio::test]
async fn a_receiver_of_the_extra_authority_is_delivered_to() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate =
        params(&["receiver.test", "127.0.0.1"]).signed_by(&key, &authority.issuer).unwrap();
    let receiver = receiver(certificate.der().clone(), &key).await;
    let outbound = outbound(&authority);
    let port = receiver.address.port();
    for host in ["receiver.test", "127.0.0.1"] {
        let endpoint = endpoint(&format!("https://{host}:{port}/"));
        for _ in 0..2 {
            let report = attempt(&outbound, &endpoint).await;
            assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
        }
    }
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 0, 1, 1]);
}

#[tokio::test]
async fn an_answer_without_a_length_counts_when_tls_ends_without_a_word() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["receiver.test"]).signed_by(&key, &authority.issuer).unwrap();
    for (answer, outcome) in [
        (&b"HTTP/1.0 200 OK\r\n\r\nok"[..], Outcome::Delivered),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", Outcome::Delivered),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Outcome::Delivered),
        (b"HTTP/1.0 410 Gone\r\n\r\n", Outcome::Gone),
        // Demonstrably not all of it.
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", Outcome::Retryable { after_ms: None }),
    ] {
        let receiver = blunt(certificate.der().clone(), &key, answer).await;
        let endpoint = endpoint(&format!("https://receiver.test:{}/", receiver.address.port()));
        let report = attempt(&outbound(&authority), &endpoint).await;
        assert_eq!(report.outcome, outcome, "{}: {:?}", answer.escape_ascii(), report.error);
    }
}

#[tokio::test]
async fn who_offers_http2_gets_it_and_who_cannot_do_it_gets_the_other() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["receiver.test"]).signed_by(&key, &authority.issuer).unwrap();
    let large = Event { body: vec![b'x'; 3 << 20].into(), ..event() };

    for two in [Two::Spoken, Two::Unknown, Two::Silent] {
        let can = two == Two::Spoken;
        let (address, requests, ended) = offering_two(certificate.der().clone(), &key, two).await;
        let outbound = outbound(&authority);
        let host = format!("receiver.test:{}", address.port());
        let mut endpoint = endpoint(&format!("https://{host}/hook?x=1"));
        if two == Two::Silent {
            // The first attempt takes all of it, and the second, which is the largest, may not.
            endpoint = with(&endpoint, |endpoint| endpoint.timeout_ms = 8_000);
        }
        let mut reports = vec![
            attempt(&outbound, &endpoint).await,
            send(&outbound, &endpoint, large.clone()).await,
        ];
        reports.push(attempt(&outbound, &endpoint).await);
        let outcomes: Vec<bool> =
            reports.iter().map(|report| report.outcome == Outcome::Delivered).collect();
        assert_eq!(
            outcomes,
            [can, true, true],
            "{:?}",
            reports.iter().map(|r| &r.error).collect::<Vec<_>>()
        );
        let version = if can { "HTTP/2.0" } else { "HTTP/1.1" };
        let line = |bytes: usize| format!("{version} {host}/hook?x=1 {bytes}");
        let lines: Vec<String> =
            requests.lock().unwrap().iter().map(|(_, line)| line.clone()).collect();
        let expected = [line(7), line(3 << 20), line(7)];
        assert_eq!(lines, if can { &expected[..] } else { &expected[1..] });
        let conns: Vec<usize> = requests.lock().unwrap().iter().map(|(conn, _)| *conn).collect();
        assert!(conns.windows(2).all(|pair| pair[0] == pair[1]), "one connection: {conns:?}");
        // Given up is not left open.
        while two == Two::Silent && ended.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            reports[2].response.as_ref().map(|head| (head.status, head.body.as_ref())),
            Some((200, &b"ok"[..]))
        );
    }
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
    let report = attempt(&outbound(&authority()), &endpoint(&url)).await;
    refused_with(&(report, receiver.got().len()), "unknown authority");
}

#[tokio::test]
async fn the_certificate_in_ca_is_the_receivers_own_whatever_it_says() {
    let key = KeyPair::generate().unwrap();
    // As `openssl req -x509` makes it: an authority of its own, for another name.
    let mut params = params(&["device.local"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let other = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let receiver = receiver(own.der().clone(), &key).await;
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let folder = tempfile::tempdir().unwrap();
    let attempt_with = async |certificate: &rcgen::Certificate| {
        let file = folder.path().join("own.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        let endpoint = with(&endpoint(&url), |endpoint| endpoint.via.ca = Some(file));
        attempt(&outbound(&authority()), &endpoint).await
    };

    let report = attempt_with(&own).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
    refused_with(&(attempt_with(&other).await, 0), "");

    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
    let expired = params.self_signed(&key).unwrap();
    let receiver = self::receiver(expired.der().clone(), &key).await;
    let file = folder.path().join("expired.pem");
    std::fs::write(&file, expired.pem()).unwrap();
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let endpoint = with(&endpoint(&url), |endpoint| endpoint.via.ca = Some(file));
    let report = attempt(&outbound(&authority()), &endpoint).await;
    refused_with(&(report, receiver.got().len()), "certificate expired");
}

/// A certificate as a receiver's own: no authority's, for this name.
fn leaf(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(&[name]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn a_receivers_own_certificate_vouches_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.pem");
    let own = leaf("receiver.test");
    std::fs::write(&file, own.pem()).unwrap();

    // Whoever has the key of the one signs itself another.
    let key = KeyPair::generate().unwrap();
    let made = params(&["receiver.test"]).signed_by(&key, &own).unwrap();
    let genuine = receiver(own.der().clone(), own.key()).await;
    let forged = receiver_with(vec![made.der().clone(), own.der().clone()], &key).await;

    let extra = || {
        let resolver = FakeResolver::default().knows("receiver.test", &[&["127.0.0.1"]]);
        let resolver = resolver.knows("other.test", &[&["127.0.0.1"]]);
        let settings =
            super::OutboundSettings { extra_ca: Some(file.clone()), ..settings(resolver) };
        Outbound::new(settings, clock()).unwrap()
    };
    let at = |name: &str, receiver: &ScriptedReceiver| {
        endpoint(&format!("https://{name}:{}/", receiver.address.port()))
    };
    let with_ca = |endpoint| with(&endpoint, |endpoint| endpoint.via.ca = Some(file.clone()));

    let plain = outbound(&authority());
    for (outbound, to_genuine, to_forged) in [
        (&plain, with_ca(at("receiver.test", &genuine)), with_ca(at("receiver.test", &forged))),
        (&extra(), at("receiver.test", &genuine), at("receiver.test", &forged)),
    ] {
        let report = attempt(outbound, &to_genuine).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
        let report = attempt(outbound, &to_forged).await;
        refused_with(&(report, forged.got().len()), "");
    }

    // What is for all endpoints is for its own names alone.
    let report = attempt(&extra(), &at("other.test", &genuine)).await;
    refused_with(&(report, 0), "another name");
}

#[tokio::test]
async fn what_is_sent_beside_the_receivers_own_certificate_does_not_matter() {
    let mut expired = params(&[]);
    expired.distinguished_name.push(DnType::CommonName, "An authority that was");
    expired.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    expired.not_before = date_time_ymd(2019, 1, 1);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let expired = CertifiedIssuer::self_signed(expired, KeyPair::generate().unwrap()).unwrap();

    let key = KeyPair::generate().unwrap();
    let own = params(&["receiver.test"]).signed_by(&key, &expired).unwrap();
    let receiver = receiver_with(vec![own.der().clone(), expired.der().clone()], &key).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.pem");
    std::fs::write(&file, own.pem()).unwrap();

    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let endpoint = with(&endpoint(&url), |endpoint| endpoint.via.ca = Some(file));
    let report = attempt(&outbound(&authority()), &endpoint).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
}

#[tokio::test]
async fn a_pinned_key_is_the_receivers_own_and_no_other_is() {
    use base64::Engine as _;
    use rcgen::PublicKeyData as _;
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["device.local"]).self_signed(&key).unwrap();
    let receiver = receiver(certificate.der().clone(), &key).await;
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    let pin = base64::engine::general_purpose::STANDARD.encode(digest);
    let wrong = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".to_owned();
    let attempt_with = async |pins: &[&String]| {
        let pins = pins.iter().map(ToString::to_string).collect();
        let endpoint = with(&endpoint(&url), |endpoint| endpoint.via.pins = pins);
        attempt(&outbound(&authority()), &endpoint).await
    };

    // Without a pin the refusal names the key, for whoever can compare it.
    let report = attempt_with(&[]).await;
    refused_with(&(report, receiver.got().len()), &format!("--pin sha256/{pin}"));
    let report = attempt_with(&[&wrong]).await;
    refused_with(&(report, receiver.got().len()), &format!("it shows sha256/{pin}"));
    for pins in [&[&pin][..], &[&wrong, &pin]] {
        let report = attempt_with(pins).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
    }

    // Beside an authority, both have to hold.
    let authority = authority();
    let beside = with(&endpoint(&url), |endpoint| {
        endpoint.via.pins = vec![pin.clone()];
        endpoint.via.ca = Some(authority.file.clone());
    });
    let report = attempt(&outbound(&authority), &beside).await;
    refused_with(&(report, 0), "unknown authority");
}

#[tokio::test]
async fn a_port_without_tls_is_said_so() {
    let receiver = ScriptedReceiver::new(|_, mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let url = format!("https://receiver.test:{}/", receiver.address.port());
    let report = attempt(&outbound(&authority()), &endpoint(&url)).await;
    refused_with(&(report, 0), "");
}

#[test]
fn extra_ca_files_are_checked_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing here").unwrap();
    for (file, word) in [(folder.path().join("none.pem"), "readable"), (empty, "no certificate")] {
        let settings =
            super::OutboundSettings { extra_ca: Some(file), ..settings(FakeResolver::default()) };
        let refusal = Outbound::new(settings, clock()).unwrap_err().to_string();
        assert!(refusal.contains(word), "{refusal}");
    }
}
