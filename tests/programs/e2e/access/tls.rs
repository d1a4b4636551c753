//! TLS with its certificates, on listeners of its own and on sockets that are passed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::{POST, proxy_v2, reload, with_config};
use crate::e2e::{open_source, text};
use crate::support::{Daemon, Home, SOON, until};

/// An authority, and certificates of its own in the home.
pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

pub struct Issued {
    pub der: CertificateDer<'static>,
    pub pem: String,
    pub key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
                .expect("an authority"),
        )
    }

    pub fn issue(&self, common_name: &str, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued { der: certificate.der().clone(), pem: certificate.pem(), key }
    }
}

/// Connects over TLS, showing a certificate or none, and sends a request with `Connection: close`.
pub fn over_tls(
    addr: SocketAddr,
    authority: &Authority,
    shown: Option<&Issued>,
    request: &str,
) -> Result<(String, CertificateDer<'static>), String> {
    let tcp = TcpStream::connect(addr).map_err(|e| e.to_string())?;
    over_tls_on(tcp, authority, shown, request)
}

/// Whom a client of the daemon believes, and what it shows.
pub fn client_config(
    authority: &Authority,
    shown: Option<&Issued>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).expect("a root");
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);

    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let key = PrivateKeyDer::try_from(shown.key.serialize_der()).expect("a key");
            builder
                .with_client_auth_cert(vec![shown.der.clone()], key)
                .expect("a client certificate")
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn over_tls_on(
    tcp: TcpStream,
    authority: &Authority,
    shown: Option<&Issued>,
    request: &str,
) -> Result<(String, CertificateDer<'static>), String> {
    let config = client_config(authority, shown, ALL_VERSIONS);
    let name = ServerName::try_from("hooks.example").expect("a name");

    tcp.set_read_timeout(Some(SOON)).map_err(|e| e.to_string())?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
    let mut stream = StreamOwned::new(connection, tcp);
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        return Err(read.err().map_or_else(|| "nothing came".to_owned(), |e| e.to_string()));
    }

    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let server = stream.conn.peer_certificates().expect("a certificate")[0].clone().into_owned();
    Ok((String::from_utf8_lossy(&answer).into_owned(), server))
}

/// A daemon with one plain and one TLS listener; gives where the second one is.
pub fn tls_home(authority: &Authority) -> (Home, Issued) {
    let server = authority.issue("server", &["hooks.example"]);
    let mut home = with_config("");
    let cert = home.write("cert.pem", &server.pem);
    let key = home.write("key.pem", &server.key.serialize_pem());
    let client_ca = home.write("clients.pem", &authority.0.pem());
    home.write(
        "hookbox.toml",
        &format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nclient_ca = \"{client_ca}\"\n"),
    );
    home.args.extend(["--listen".to_owned(), "tls://127.0.0.1:0".to_owned()]);
    (home, server)
}

pub fn tls_address(daemon: &Daemon) -> SocketAddr {
    let status = daemon.json(&["status"]);
    let listen = status["listen"].as_array().expect("addresses");
    let found = listen.iter().find_map(|l| l.as_str()?.strip_prefix("https://")?.parse().ok());
    found.expect("a TLS listener")
}

#[test]
fn certificates_are_reloaded_whole_or_not_at_all() {
    let authority = Authority::new("An authority of the tests");
    let (home, first) = tls_home(&authority);
    let daemon = home.start();
    open_source(&daemon, "a");
    let addr = tls_address(&daemon);
    let (answer, shown) = over_tls(addr, &authority, None, POST).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202") && shown == first.der, "{answer}");
    assert_eq!(daemon.post("/in/a", &[], b"x").status, 202, "the plain listener beside it");

    let second = authority.issue("server", &["hooks.example"]);
    home.write("cert.pem", &second.pem);
    daemon.signal(Signal::HUP);
    until("a word about the pair", SOON, || {
        daemon.log_text().contains("it does not fit tls.key").then_some(())
    });
    let (_, shown) = over_tls(addr, &authority, None, POST).expect("an answer");
    assert_eq!(shown, first.der, "a certificate without its key is not taken up");
    home.write("key.pem", &second.key.serialize_pem());
    reload(&daemon);
    let (answer, shown) = over_tls(addr, &authority, None, POST).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"));
    assert_eq!(shown, second.der);
    home.write("key.pem", "nonsense");
    home.run_daemon(&["--config", &home.path().join("hookbox.toml").to_string_lossy(), "--check"])
        .expect(78);
}

#[test]
fn a_client_certificate_is_a_proof() {
    let authority = Authority::new("An authority of the tests");
    let (home, _) = tls_home(&authority);
    let daemon = home.start();
    daemon.json(&["source", "create", "a", "--verify", "mtls", "--set", "subject=billing"]);
    daemon.json(&[
        "source",
        "create",
        "b",
        "--verify",
        "mtls",
        "--set",
        "san=app.example,other.example",
    ]);
    daemon.ctl().run(&["source", "create", "c", "--verify", "mtls"]).expect(64);

    let addr = tls_address(&daemon);
    let billing = authority.issue("billing", &["app.example"]);
    let other = authority.issue("other", &["10.0.0.7"]);
    let stranger = Authority::new("A stranger").issue("billing", &["app.example"]);

    let post = |shown: Option<&Issued>, name: &str| {
        over_tls(addr, &authority, shown, &POST.replace("/in/a", &format!("/in/{name}")))
            .map(|(answer, _)| answer)
    };

    assert!(post(Some(&billing), "a").expect("an answer").starts_with("HTTP/1.1 202"));
    assert!(post(Some(&billing), "b").expect("an answer").starts_with("HTTP/1.1 202"));
    assert!(post(Some(&other), "a").expect("an answer").starts_with("HTTP/1.1 401"));
    assert!(post(Some(&other), "b").expect("an answer").starts_with("HTTP/1.1 401"));
    assert!(post(None, "a").expect("an answer").starts_with("HTTP/1.1 401"));
    let refused = post(Some(&stranger), "a");
    assert!(refused.is_err(), "a stranger's certificate gets through: {refused:?}");
    assert_eq!(daemon.post("/in/a", &[], b"x").status, 401, "without TLS there is no certificate");

    let why = daemon.json(&["source", "show", "a"]);
    assert_eq!(why["refused"], serde_json::json!({"mismatch": 1, "missing": 2}));
}

/// A proxy that ends TLS shows a certificate of its own, whoever stands behind it.
#[test]
fn behind_a_proxy_clients_are_proven_by_name_and_proxies_prove_nobody() {
    let authority = Authority::new("An authority of the tests");
    let (mut home, _) = tls_home(&authority);
    let config =
        std::fs::read_to_string(home.path().join("hookbox.toml")).expect("the configuration");
    home.write("hookbox.toml", &format!("{config}[ingress]\ntrusted_proxies = [\"127.0.0.1\"]\n"));
    let addr = passed(&mut home, "tls+proxy");
    let daemon = home.start();
    daemon.json(&["source", "create", "any", "--verify", "mtls", "--set", "any=true"]);
    daemon.json(&["source", "create", "billing", "--verify", "mtls", "--set", "subject=billing"]);
    let (billing, proxy) =
        (authority.issue("billing", &["app.example"]), authority.issue("proxy", &["edge.example"]));

    let post = |before: &[u8], shown: &Issued, name: &str| {
        let mut tcp = TcpStream::connect(addr).expect("connected");
        tcp.write_all(before).expect("sent");
        let request = POST.replace("/in/a", &format!("/in/{name}"));
        let (answer, _) = over_tls_on(tcp, &authority, Some(shown), &request).expect("an answer");
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let client = proxy_v2([192, 0, 2, 5]);
    assert_eq!(
        post(&client, &billing, "billing"),
        "HTTP/1.1 202 Accepted",
        "TLS was passed through"
    );
    assert_eq!(post(&client, &proxy, "billing"), "HTTP/1.1 401 Unauthorized");
    assert_eq!(
        post(&client, &proxy, "any"),
        "HTTP/1.1 503 Service Unavailable",
        "it may be the proxy's own"
    );
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    for of_its_own in [&local[..], b"PROXY UNKNOWN\r\n"] {
        assert_eq!(
            post(of_its_own, &billing, "billing"),
            "HTTP/1.1 401 Unauthorized",
            "a proxy that speaks for itself"
        );
    }
    let refused = daemon.json(&["source", "show", "any"])["refused"].clone();
    assert_eq!(refused, serde_json::json!({"settings": 1}));
}

#[test]
fn a_handshake_that_does_not_come_is_cut() {
    let authority = Authority::new("An authority of the tests");
    let (home, _) = tls_home(&authority);
    let config =
        std::fs::read_to_string(home.path().join("hookbox.toml")).expect("the configuration");
    home.write("hookbox.toml", &format!("{config}[limits]\nhead_timeout = \"10m\"\n"));
    let patient = home.start();
    let mut waits = TcpStream::connect(tls_address(&patient)).expect("connected");

    let (home, _) = tls_home(&authority);
    home.write("hookbox.toml", &format!("{config}[limits]\nhead_timeout = \"300ms\"\n"));
    let daemon = home.start();
    let addr = tls_address(&daemon);
    let mut silent = TcpStream::connect(addr).expect("connected");
    silent.set_read_timeout(Some(SOON)).expect("a timeout");
    let mut nothing = Vec::new();
    let _ = silent.read_to_end(&mut nothing).expect("the other side closes it");
    assert!(nothing.is_empty());
    // It was that time which ended it: where it is longer, an older connection is still open.
    waits.set_nonblocking(true).expect("a flag");
    assert!(
        waits.read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
        "the patient one is open"
    );
    let mut plain = TcpStream::connect(addr).expect("connected");
    plain.write_all(POST.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "TLS listeners do not speak plain HTTP");
    assert!(daemon.terminate().success());
}

/// A socket that listens already, to be passed.
fn passed(home: &mut Home, name: &str) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = socket.local_addr().expect("an address");
    home.passed = Some((socket.into(), name.to_owned()));
    addr
}

#[test]
fn a_passed_socket_speaks_what_its_name_says() {
    let authority = Authority::new("An authority of the tests");
    let (mut home, server) = tls_home(&authority);
    let config =
        std::fs::read_to_string(home.path().join("hookbox.toml")).expect("the configuration");
    home.write("hookbox.toml", &format!("{config}[ingress]\ntrusted_proxies = [\"127.0.0.1\"]\n"));

    let addr = passed(&mut home, "tls");
    let daemon = home.start();
    open_source(&daemon, "a");
    assert_eq!(
        daemon.json(&["status"])["listen"],
        serde_json::json!([format!("https://{addr}")]),
        "in place of listen"
    );
    let (answer, shown) = over_tls(addr, &authority, None, POST).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202") && shown == server.der, "{answer}");
    assert!(daemon.terminate().success());

    let addr = passed(&mut home, "tls+proxy");
    let daemon = home.start();
    let mut tcp = TcpStream::connect(addr).expect("connected");
    tcp.write_all(&proxy_v2([192, 0, 2, 5])).expect("sent");
    let (answer, _) = over_tls_on(tcp, &authority, None, POST).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let event = daemon.lines(&["event", "list"]).remove(0);
    assert_eq!(daemon.json(&["event", "show", text(&event, "id")])["remote"], "192.0.2.5:12345");
    assert!(over_tls(addr, &authority, None, POST).is_err(), "the PROXY header comes first");
    assert!(daemon.terminate().success());

    for plain in ["hookbox.socket", "http"] {
        let addr = passed(&mut home, plain);
        let daemon = home.start();
        assert_eq!(daemon.addr, addr);
        assert_eq!(daemon.post("/in/a", &[], b"x").status, 202);
        assert!(daemon.terminate().success());
    }
}

#[test]
fn a_passed_socket_that_cannot_be_what_its_name_says_stops_the_start() {
    let mut home = Home::new();
    for (name, word) in
        [("tls", "cert and key"), ("proxy", "trusted_proxies"), ("tsl", "FileDescriptorName=")]
    {
        passed(&mut home, name);
        let why = home.spawn().ready(SOON).expect_err("it must not start");
        assert!(why.contains("78") && why.contains(word), "{name}: {why}");
    }
    let unix = UnixListener::bind(home.path().join("in.sock")).expect("a socket");
    home.passed = Some((unix.into(), "proxy".to_owned()));
    home.args.extend([
        "--config".to_owned(),
        home.write("h.toml", "[ingress]\ntrusted_proxies = [\"unix\"]\n"),
    ]);
    let why = home.spawn().ready(SOON).expect_err("it must not start");
    assert!(why.contains("Unix socket"), "{why}");
}
