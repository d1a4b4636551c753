//! Client certificates: who vouches for whom, how long a proof lasts, and what is reported when
//! nobody can prove anything, or the daemon's own certificate is over.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, HandshakeKind, StreamOwned,
    SupportedProtocolVersion,
};

use super::tls::{Authority, Issued, client_config, over_tls, tls_address, tls_home};
use super::{POST, reload, text};
use crate::support::{Daemon, Home, SOON, until};

const KEPT: &str = "POST /in/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";

/// A connection that goes on.
struct Kept(StreamOwned<ClientConnection, TcpStream>);

impl Kept {
    fn new(addr: SocketAddr, config: ClientConfig) -> Self {
        let tcp = TcpStream::connect(addr).expect("connected");
        tcp.set_read_timeout(Some(SOON)).expect("a timeout");
        let name = ServerName::try_from("hooks.example").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        Self(StreamOwned::new(connection, tcp))
    }

    /// The head of the response to one more request, whose body is read too.
    fn post(&mut self) -> String {
        self.0.write_all(KEPT.as_bytes()).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a response");
            head.extend(byte);
        }

        let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        self.0.read_exact(&mut body).expect("a body");
        head
    }

    fn is_closed(&mut self) -> bool {
        !matches!(self.0.read(&mut [0]), Ok(1..))
    }
}

/// A certificate that signed itself and says that it is no authority's.
fn guest(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

fn checked(home: &Home) -> String {
    let config = home.path().join("hookbox.toml");
    home.run_daemon(&["--config", &config.to_string_lossy(), "--check"]).expect(0).stderr
}

#[test]
fn a_listed_certificate_that_is_no_authoritys_vouches_for_itself_alone() {
    let authority = Authority::new("An authority of the tests");
    let (home, _) = tls_home(&authority);
    let guest = guest("guest");
    home.write("clients.pem", &(authority.0.pem() + &guest.pem()));
    let daemon = home.start();
    daemon.await_log("tls.client_ca: the certificate 'CN=guest'");
    assert!(checked(&home).contains("'CN=guest'"), "{}", checked(&home));
    daemon.json(&["source", "create", "a", "--verify", "mtls", "--set", "subject=billing,guest"]);

    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, "billing");
    let key = KeyPair::generate().expect("a key");
    let made = params.signed_by(&key, &guest).expect("signed");
    let forged = Issued { der: made.der().clone(), pem: made.pem(), key };
    let key = KeyPair::from_pem(&guest.key().serialize_pem()).expect("a key");
    let itself = Issued { der: guest.der().clone(), pem: guest.pem(), key };

    let post = |shown: &Issued| over_tls(tls_address(&daemon), &authority, Some(shown), POST);
    assert!(post(&forged).is_err(), "whoever has the guest's key is nobody else");
    assert!(post(&itself).expect("an answer").0.starts_with("HTTP/1.1 202"));
    let billing = authority.issue("billing", &[]);
    assert!(post(&billing).expect("an answer").0.starts_with("HTTP/1.1 202"));
}

#[test]
fn where_clients_prove_themselves_no_session_is_resumed() {
    let authority = Authority::new("An authority of the tests");
    let billing = authority.issue("billing", &[]);
    let kinds = |with_client_ca: bool, version: &'static SupportedProtocolVersion| {
        let (home, _) = tls_home(&authority);
        let config = home.path().join("hookbox.toml");
        let all = std::fs::read_to_string(&config).expect("the configuration");
        let kept = all.lines().filter(|line| with_client_ca || !line.starts_with("client_ca"));
        home.write("hookbox.toml", &kept.map(|line| format!("{line}\n")).collect::<String>());
        let daemon = home.start();
        super::open_source(&daemon, "a");

        let config = client_config(&authority, Some(&billing), &[version]);
        [(); 2].map(|()| {
            let mut connection = Kept::new(tls_address(&daemon), config.clone());
            assert!(connection.post().starts_with("http/1.1 202"));
            connection.0.conn.handshake_kind()
        })
    };

    for version in ALL_VERSIONS {
        let [first, second] = kinds(true, version);
        assert_eq!((first, second), (Some(HandshakeKind::Full), Some(HandshakeKind::Full)));
        let [_, second] = kinds(false, version);
        assert_eq!(second, Some(HandshakeKind::Resumed), "the client can: {version:?}");
    }
}

#[test]
fn a_kept_connection_loses_its_proof_with_its_authority() {
    let (authority, other) = (Authority::new("An authority"), Authority::new("Another"));
    let (home, _) = tls_home(&authority);
    let daemon = home.start();
    daemon.json(&["source", "create", "a", "--verify", "mtls", "--set", "subject=billing"]);
    let billing = authority.issue("billing", &[]);
    let config = client_config(&authority, Some(&billing), ALL_VERSIONS);
    let mut kept = Kept::new(tls_address(&daemon), config);
    assert!(kept.post().starts_with("http/1.1 202"));

    home.write("clients.pem", &(other.0.pem() + &authority.0.pem()));
    reload(&daemon);
    assert!(kept.post().starts_with("http/1.1 202"), "its authority is still there");
    assert!(kept.post().starts_with("http/1.1 202"));

    home.write("clients.pem", &other.0.pem());
    reload(&daemon);
    let head = kept.post();
    assert!(head.starts_with("http/1.1 401") && head.contains("connection: close"), "{head}");
    assert!(kept.is_closed(), "the next connection may have another proof");
    let shown = daemon.json(&["source", "show", "a"]);
    assert!(text(&shown, "last_refusal").contains("client_ca has changed"), "{shown}");
    let anew = over_tls(tls_address(&daemon), &authority, Some(&billing), POST);
    assert!(anew.is_err(), "{anew:?}");
}

fn without_client_ca(home: &Home) -> String {
    let config = home.path().join("hookbox.toml");
    let all = std::fs::read_to_string(&config).expect("the configuration");
    let rest: String =
        all.lines().filter(|l| !l.starts_with("client_ca")).map(|l| format!("{l}\n")).collect();
    home.write("hookbox.toml", &rest);
    all
}

fn attention(daemon: &Daemon) -> String {
    daemon.ctl().run(&["status", "--check"]).expect(1).stdout
}

#[test]
fn sources_that_ask_for_certificates_where_none_are_accepted_are_reported() {
    let authority = Authority::new("An authority of the tests");
    let (home, _) = tls_home(&authority);
    let with = without_client_ca(&home);
    let daemon = home.start();
    let made = daemon.done(&["source", "create", "a", "--verify", "mtls", "--set", "any=true"]);
    let said = made.stdout + &made.stderr;
    assert!(said.contains("client_ca into [tls]"), "{said}");
    assert!(attention(&daemon).contains("source a refuses every request: mtls needs"));
    let status = daemon.done(&["status"]).stdout;
    assert!(status.contains("source a refuses every request: mtls needs"), "{status}");

    // What is missing already stands in the way of nothing.
    reload(&daemon);
    home.write("hookbox.toml", &with);
    reload(&daemon);
    daemon.done(&["status", "--check"]);

    without_client_ca(&home);
    daemon.signal(Signal::HUP);
    daemon.await_log("tls.client_ca: it is gone, and the source 'a' asks");
    let billing = authority.issue("billing", &[]);
    let post = || over_tls(tls_address(&daemon), &authority, Some(&billing), POST);
    assert!(post().expect("an answer").0.starts_with("HTTP/1.1 202"), "nothing was taken over");
    daemon.done(&["source", "delete", "a"]);
    reload(&daemon);
}

#[test]
fn a_certificate_of_its_own_that_is_over_is_reported() {
    let authority = Authority::new("An authority of the tests");
    let (home, _) = tls_home(&authority);
    let mut params = CertificateParams::new(vec!["hooks.example".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let expired = params.signed_by(&key, &authority.0).expect("signed");
    home.write("cert.pem", &expired.pem());
    home.write("key.pem", &key.serialize_pem());

    let daemon = home.start();
    daemon.await_log("expired at 2020-01-01");
    let attention = attention(&daemon);
    assert!(attention.starts_with("ATTENTION: tls.cert: the certificate in "), "{attention}");
    let status = daemon.done(&["status"]).stdout;
    assert!(status.contains("\nTLS        tls.cert: the certificate in "), "{status}");
    assert_eq!(daemon.json(&["status"])["certificate"]["valid"], false);
    let metrics = daemon.done(&["metrics"]).stdout;
    assert!(metrics.contains("\nhookbox_tls_not_after_seconds 1577836800\n"), "{metrics}");

    let good = authority.issue("server", &["hooks.example"]);
    home.write("cert.pem", &good.pem);
    home.write("key.pem", &good.key.serialize_pem());
    reload(&daemon);
    daemon.done(&["status", "--check"]);
}

#[test]
fn broken_files_of_endpoints_are_named_at_a_reload() {
    let authority = Authority::new("An authority of the tests");
    let (home, _) = tls_home(&authority);
    let ca = home.write("partner.pem", &authority.0.pem());
    let daemon = home.start();
    let url = "https://127.0.0.1:1/";
    daemon.done(&["endpoint", "create", "partner", "--url", url, "--allow-private", "--ca", &ca]);
    home.write("partner.pem", "nothing");
    reload(&daemon);
    until("a word about the file", SOON, || {
        let log = daemon.log_text();
        let names = |line: &str| line.contains("'partner'") && line.contains("partner.pem");
        log.lines().any(names).then_some(())
    });
}
