//! Proxies, source addresses, and certificates of an endpoint's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::tls::{TestAuthority, authority, params, receiver};
use super::{
    FakeDialer, FakeResolver, OK, Outbound, OutboundPolicy, ScriptedReceiver, attempt, clock,
    endpoint, outbound, read_request, settings, with,
};
use crate::model::{AttemptReport, Endpoint, Outcome, Secret};

const AGAIN: Outcome = Outcome::Retryable { after_ms: None };

fn error(report: &AttemptReport) -> &str {
    report.error.as_deref().unwrap_or_default()
}

/// A CONNECT proxy. Keeps the heads of what it was asked; leads everything to `to`.
async fn tunnels(to: SocketAddr, answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();

    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                }
                log.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                stream.write_all(answer.as_bytes()).await.ok()?;
                let mut upstream = TcpStream::connect(to).await.ok()?;
                copy_bidirectional(&mut stream, &mut upstream).await.ok()
            });
        }
    });

    (address, asked)
}

fn through(endpoint: &Arc<Endpoint>, proxy: &str) -> Arc<Endpoint> {
    with(endpoint, |e| e.via.proxy = Some(Secret(proxy.to_owned())))
}

#[tokio::test]
async fn http_goes_to_the_proxy_with_the_whole_url() {
    let proxy = ScriptedReceiver::always(OK.to_vec()).await;
    let to = with(&endpoint("http://receiver.example.com/hook?x=1"), |e| e.allow_private = false);
    let to = through(&to, &format!("http://user:hunter2@{}", proxy.address));

    // No resolver knows the name: the proxy does.
    let report = attempt(&outbound(), &to).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    let got = proxy.got.lock().unwrap()[0].clone();
    assert!(
        got.head.starts_with("POST http://receiver.example.com/hook?x=1 HTTP/1.1\r\n"),
        "{}",
        got.head
    );

    assert_eq!(got.header("host"), Some("receiver.example.com"));
    assert_eq!(got.header("proxy-authorization"), Some("Basic dXNlcjpodW50ZXIy"));
    assert!(
        !format!("{report:?}").contains("hunter2")
            && !format!("{report:?}").contains("dXNlcjpodW50ZXIy")
    );
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_stays_end_to_end() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["receiver.test"]).signed_by(&key, &authority.issuer).unwrap();
    let server = receiver(certificate.der().clone(), &key).await;
    let (proxy, asked) =
        tunnels(server.address, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await;
    let to = with(&endpoint("https://receiver.test/hook"), |e| {
        e.allow_private = false;
        e.via.ca = Some(authority.file.clone());
        e.via.proxy = Some(Secret(format!("http://u:p@{proxy}")));
    });

    let report = attempt(&outbound(), &to).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    let head = asked.lock().unwrap()[0].clone();
    assert!(
        head.starts_with("CONNECT receiver.test:443 HTTP/1.1\r\nHost: receiver.test:443\r\n"),
        "{head}"
    );

    assert!(head.contains("Proxy-Authorization: Basic dTpw\r\n"), "{head}");
    let got = server.got.lock().unwrap()[0].clone();
    assert!(
        got.head.starts_with("POST /hook HTTP/1.1") && got.header("proxy-authorization").is_none(),
        "{}",
        got.head
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_asked_again_later() {
    for (answer, word) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "user and a password"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "SSH-2.0"),
    ] {
        let (proxy, _) = tunnels("127.0.0.1:9".parse().unwrap(), answer).await;
        let report = attempt(
            &outbound(),
            &through(&endpoint("https://receiver.test/"), &format!("http://x:hunter2@{proxy}")),
        )
        .await;

        assert_eq!(report.outcome, AGAIN);
        assert!(
            error(&report).contains(word) && error(&report).contains(&proxy.to_string()),
            "{report:?}"
        );
        assert!(!error(&report).contains("hunter2"));
    }
}

#[tokio::test]
async fn behind_a_proxy_what_is_named_outright_is_still_guarded() {
    let proxy = ScriptedReceiver::always(OK.to_vec()).await;
    for url in [
        "http://10.0.0.1/",
        "https://169.254.169.254/",
        "http://localhost/",
        "http://a.localhost/",
        "http://example.com:25/",
    ] {
        let to = with(&endpoint(url), |e| e.allow_private = false);
        let report =
            attempt(&outbound(), &through(&to, &format!("http://{}", proxy.address))).await;
        assert_eq!(report.outcome, Outcome::Refused, "{url}: {report:?}");
    }
    assert!(proxy.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_daemons_proxy_is_for_those_who_name_none() {
    let proxy = ScriptedReceiver::always(OK.to_vec()).await;
    let server = ScriptedReceiver::always(OK.to_vec()).await;
    let policy = OutboundPolicy {
        proxy: Some(format!("http://{}", proxy.address)),
        no_proxy: vec!["near.test".into()],
        ..OutboundPolicy::default()
    };

    let resolver = FakeResolver::default()
        .knows("near.test", &[&["127.0.0.1"]])
        .knows("far.test", &[&["127.0.0.1"]]);
    let outbound =
        Outbound::new(super::OutboundSettings { policy, ..settings(resolver) }, clock()).unwrap();
    let port = server.address.port();

    for (host, own, by_proxy) in [
        ("far.test", None, true),
        ("near.test", None, false),
        ("127.0.0.1", None, false),
        ("far.test", Some("none"), false),
    ] {
        let before = proxy.got.lock().unwrap().len();
        let to = with(&endpoint(&format!("http://{host}:{port}/")), |e| {
            e.via.proxy = own.map(|own| Secret(own.into()))
        });
        assert_eq!(attempt(&outbound, &to).await.outcome, Outcome::Delivered, "{host}");
        assert_eq!(proxy.got.lock().unwrap().len() > before, by_proxy, "{host} {own:?}");
    }
}

#[tokio::test]
async fn a_connection_comes_from_the_address_that_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();

    let peer = tokio::spawn(async move {
        let (mut stream, peer) = listener.accept().await.unwrap();
        read_request(&mut stream, 0).await.unwrap();
        stream.write_all(OK).await.unwrap();
        peer.ip()
    });

    let to = with(&endpoint(&format!("http://{address}/")), |e| {
        e.via.bind = Some("127.0.0.2".parse().unwrap())
    });
    assert_eq!(attempt(&outbound(), &to).await.outcome, Outcome::Delivered);
    assert_eq!(peer.await.unwrap().to_string(), "127.0.0.2");

    for (bind, word) in [("192.0.2.77", "does not have it"), ("::1", "IPv4, IPv6")] {
        let to = with(&to, |e| e.via.bind = Some(bind.parse().unwrap()));
        let report = attempt(&outbound(), &to).await;
        assert_eq!(report.outcome, AGAIN);
        assert!(error(&report).contains(word), "{report:?}");
    }
}

/// A receiver that wants a certificate of this authority's.
async fn wants_certificates(authority: &TestAuthority) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["receiver.test"]).signed_by(&key, &authority.issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();

    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();

    let acceptor = TlsAcceptor::from(Arc::new(config));

    let receiver = ScriptedReceiver::new(move |conn, stream, got| {
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
    .await;

    receiver.address
}

/// A client's certificate and key in files.
fn identity(authority: &TestAuthority, folder: &std::path::Path, name: &str) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let certificate = params(&[name]).signed_by(&key, &authority.issuer).unwrap();
    let (cert, pem) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&pem, key.serialize_pem()).unwrap();
    (cert, pem)
}

#[tokio::test]
async fn an_endpoint_shows_its_certificate_and_trusts_its_own_authority() {
    let authority = authority();
    let server = wants_certificates(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = identity(&authority, folder.path(), "client");
    let (_, other_key) = identity(&authority, folder.path(), "other");
    let resolver = || FakeResolver::default().knows("receiver.test", &[&["127.0.0.1"]]);
    let outbound = Outbound::new(settings(resolver()), clock()).unwrap();
    let plain = with(&endpoint(&format!("https://receiver.test:{}/", server.port())), |e| {
        e.via.ca = Some(authority.file.clone());
    });
    let shown = with(&plain, |e| {
        e.via.client_cert = Some(cert.clone());
        e.via.client_key = Some(key.clone());
    });

    assert_eq!(outbound.check(&shown), Ok(()));
    assert_eq!(attempt(&outbound, &shown).await.outcome, Outcome::Delivered);
    let report = attempt(&outbound, &plain).await;
    assert_eq!(report.outcome, AGAIN, "nobody comes in without a certificate");
    assert!(error(&report).contains("--client-cert"), "{report:?}");
    let untrusted = with(&shown, |e| e.via.ca = None);
    assert_eq!(
        attempt(&outbound, &untrusted).await.outcome,
        AGAIN,
        "the system does not know that authority"
    );

    for (change, word) in [
        (
            &(|e: &mut Endpoint| e.via.client_key = Some(other_key.clone()))
                as &dyn Fn(&mut Endpoint),
            "do not belong together: the first certificate",
        ),
        (&|e: &mut Endpoint| e.via.client_key = None, "give both"),
        (
            &|e: &mut Endpoint| e.via.client_cert = Some("/no/such.pem".into()),
            "--client-cert /no/such.pem",
        ),
        (&|e: &mut Endpoint| e.via.client_key = Some(cert.clone()), "--client-key"),
        (&|e: &mut Endpoint| e.via.ca = Some(key.clone()), "--ca"),
        (&|e: &mut Endpoint| e.url = "http://receiver.test/".into(), "https"),
    ] {
        let broken = with(&shown, |e| change(e));
        let why = outbound.check(&broken).expect_err(word).to_string();
        assert!(why.contains(word), "{why}");
        let report = attempt(&outbound, &broken).await;
        assert!(
            report.outcome != Outcome::Delivered && error(&report).contains(word),
            "{report:?}"
        );
    }

    // Renewed files are read after the next SIGHUP.
    let (renewed, renewed_key) = identity(&authority, folder.path(), "renewed");
    std::fs::rename(renewed, &cert).unwrap();
    std::fs::rename(renewed_key, &key).unwrap();
    outbound.set_policy(&OutboundPolicy::default()).unwrap();
    assert_eq!(attempt(&outbound, &shown).await.outcome, Outcome::Delivered);
}

#[tokio::test]
async fn files_that_are_broken_at_a_reload_are_named_and_what_was_read_of_them_goes_on() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["receiver.test"]).signed_by(&key, &authority.issuer).unwrap();
    let server = receiver(certificate.der().clone(), &key).await;
    let resolver = FakeResolver::default().knows("receiver.test", &[&["127.0.0.1"]]);
    let outbound = Outbound::new(settings(resolver), clock()).unwrap();
    let url = format!("https://receiver.test:{}/", server.address.port());
    let used = with(&endpoint(&url), |e| e.via.ca = Some(authority.file.clone()));
    let unused = with(&used, |e| (e.id, e.name) = (99, "unused".to_owned()));
    let reload = || outbound.reload(&OutboundPolicy::default(), &[used.clone(), unused.clone()]);
    assert_eq!(attempt(&outbound, &used).await.outcome, Outcome::Delivered);
    assert_eq!(reload().unwrap(), Vec::<String>::new());
    assert_eq!(attempt(&outbound, &used).await.outcome, Outcome::Delivered);

    let good = std::fs::read(&authority.file).unwrap();
    std::fs::write(&authority.file, "nothing").unwrap();
    for _ in 0..2 {
        let broken = reload().unwrap();
        let file = authority.file.display().to_string();
        let [first, second] = broken.as_slice() else { panic!("{broken:?}") };
        assert!(first.contains(&file) && first.contains("goes on with what it has"), "{first}");
        assert!(second.contains("'unused'") && second.contains("attempts fail"), "{second}");
        let report = attempt(&outbound, &used).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
        assert!(error(&attempt(&outbound, &unused).await).contains("--ca"));
    }

    // Once the files are whole they are read, without another reload.
    std::fs::write(&authority.file, good).unwrap();
    assert_eq!(attempt(&outbound, &unused).await.outcome, Outcome::Delivered);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_or_hangs_is_blamed_and_not_the_receiver() {
    // Bound and kept, so that nobody else gets this port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = socket.local_addr().unwrap();
    let port = nobody.port();
    let resolver = FakeResolver::default().knows("proxy.test", &[&["127.0.0.1"]]);
    let outbound = Outbound::new(settings(resolver), clock()).unwrap();
    let to = endpoint("https://receiver.test/");

    for (proxy, expected) in [
        (nobody.to_string(), format!("connection refused by the proxy {nobody}")),
        (
            format!("proxy.test:{port}"),
            format!("connection refused by the proxy proxy.test:{port} ({nobody})"),
        ),
        (
            "other.test:3128".to_owned(),
            "the name other.test of the proxy does not resolve".to_owned(),
        ),
    ] {
        let report = attempt(&outbound, &through(&to, &format!("http://{proxy}"))).await;
        assert!(error(&report).starts_with(&expected), "{report:?}");
    }

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = silent.local_addr().unwrap();
    let hanging = with(&through(&to, &format!("http://{proxy}")), |e| e.timeout_ms = 300);
    let report = attempt(&outbound, &hanging).await;
    let expected = format!("(connected to the proxy {proxy}, which has not opened a tunnel)");
    assert!(error(&report).ends_with(&expected), "{report:?}");
}

#[tokio::test]
async fn a_proxy_may_stand_where_receivers_may_not() {
    let dialer = FakeDialer::default();
    let resolver = FakeResolver::default().knows("proxy.test", &[&["10.0.0.9"]]);
    let outbound =
        Outbound::with_dialer(settings(resolver), clock(), Box::new(dialer.clone())).unwrap();
    let to = with(&endpoint("http://receiver.example.com/"), |e| e.allow_private = false);
    attempt(&outbound, &through(&to, "http://proxy.test:3128")).await;
    assert_eq!(*dialer.dialled.lock().unwrap(), ["10.0.0.9:3128".parse().unwrap()]);
}
