//! Who the bridge is to the server: TLS with certificates, an nkey, a user; and several servers.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use serde_json::json;

use crate::bridge::{Bridge, configuration, run};
use crate::jwt::Operator;
use crate::out::{ROUTE, a_box};
use crate::server::NatsServer;
use crate::streams::Js;
use crate::support::{Home, NobodysPort};

/// The configuration with more keys in `[nats]`.
fn with(home: &Home, server: &NatsServer, more: &str) -> String {
    let file = configuration(home, "box-1", &server.url(), ROUTE);
    let text = std::fs::read_to_string(&file).expect("just written");
    home.write("nats.toml", &text.replace("[nats]\n", &format!("[nats]\n{more}")))
}

#[test]
fn an_nkey_and_a_password_are_what_the_server_asks_for() {
    // An nkey of a user, made for this test.
    let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let public = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    let identities = format!(
        "authorization {{ users: [ {{ nkey: {public} }}, {{ user: box, password: secret }} ] }}"
    );
    let Some(server) = NatsServer::start_with(&identities) else { return };
    let home = Home::new();
    let _daemon = a_box(&home, &[]);
    let nkey = home.write("box.nk", seed);
    let password = home.write("password", "secret\n");
    let wrong = home.write("wrong", "guess\n");

    let said = run(&["--config", &with(&home, &server, "")]);
    assert_eq!(said.code, Some(69), "{said:?}");
    let by_guess = with(&home, &server, &format!("user = \"box\"\npassword = \"{wrong}\"\n"));
    assert_eq!(run(&["--config", &by_guess]).code, Some(69));

    for more in
        [format!("nkey = \"{nkey}\"\n"), format!("user = \"box\"\npassword = \"{password}\"\n")]
    {
        let said = run(&["--config", &with(&home, &server, &more), "--check", "--create"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.contains("stream -> HOOKS: promise"), "{said:?}");
    }
}

#[test]
fn a_creds_file_says_who_the_bridge_is_and_what_it_may_do() {
    let operator = Operator::new();
    let Some(server) = NatsServer::start_with(&operator.configuration()) else { return };
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let creds = |name: &str, text: &str| {
        let file = home.write(name, text);
        with(&home, &server, &format!("credentials = \"{file}\"\n"))
    };

    let all = creds("all.creds", &operator.user(&json!({}), None));
    let said = run(&["--config", &all, "--check", "--create"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("stream -> HOOKS: promise"), "{said:?}");

    // What the guide gives to a box is enough, and no more than that box.
    let least = json!({
        "pub": {"allow": ["hooks.box-1.>", "$JS.API.STREAM.INFO.HOOKS"]},
        "sub": {"allow": ["_INBOX.>"]},
    });
    let bridge = Bridge::start(&creds("least.creds", &operator.user(&least, None)));
    daemon.accept("/in/app", &[], b"x");
    daemon.await_count("delivered", 1);
    assert_eq!(bridge.terminate().code(), Some(0));

    let other = json!({"pub": {"allow": ["hooks.box-2.>", "$JS.API.STREAM.INFO.HOOKS"]}});
    let bridge = Bridge::start(&creds("other.creds", &operator.user(&other, None)));
    daemon.accept("/in/app", &[], b"y");
    bridge.await_log("Permissions Violation for Publish");
    daemon.await_count("pending", 1);
    assert_eq!(bridge.terminate().code(), Some(0));

    // Expired, of another operator, and no credentials at all.
    let said = run(&["--config", &with(&home, &server, "")]);
    assert_eq!(said.code, Some(69), "{said:?}");
    let expired = operator.user(&json!({}), Some(1_700_000_001));
    let stranger = Operator::new().user(&json!({}), None);
    for text in [expired, stranger] {
        let said = run(&["--config", &creds("wrong.creds", &text)]);
        assert_eq!(said.code, Some(69), "{said:?}");
    }
    let broken = creds("broken.creds", "nothing of that kind\n");
    let said = run(&["--config", &broken, "--check"]);
    assert!(said.code != Some(0) && said.stderr.contains("broken.creds"), "{said:?}");
}

#[test]
fn certificates_are_checked_on_both_sides() {
    let ca_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).expect("a certificate");
    let issuer = Issuer::new(params, ca_key);
    let issue = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    };

    let home = Home::new();
    let (server_cert, server_key) = issue("127.0.0.1");
    let (box_cert, box_key) = issue("box-1");
    let file = |name: &str, text: &str| home.write(name, text);
    let ca = file("ca.pem", &ca.pem());
    let tls = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {ca:?}, verify: true }}",
        file("server.pem", &server_cert),
        file("server.key", &server_key)
    );
    let Some(server) = NatsServer::start_with(&tls) else { return };
    let _daemon = a_box(&home, &[]);

    let identity = format!(
        "tls = true\ntls_ca = {ca:?}\ntls_cert = {:?}\ntls_key = {:?}\n",
        file("box.pem", &box_cert),
        file("box.key", &box_key)
    );
    let said = run(&["--config", &with(&home, &server, &identity), "--check", "--create"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("stream -> HOOKS: promise"), "{said:?}");

    // Without its certificate, and without the server's authority, nothing is said to anybody.
    for less in [format!("tls = true\ntls_ca = {ca:?}\n"), "tls = true\n".to_owned()] {
        let said = run(&["--config", &with(&home, &server, &less), "--check"]);
        assert!(said.stderr.contains("was not asked"), "{less}: {said:?}");
    }
}

#[test]
fn the_next_server_is_tried_when_one_is_away() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let nobody = NobodysPort::new().url().replace("http", "nats");
    let both = format!("{nobody}\", \"{}", server.url());
    let both = both.replace("/\", ", "\", ");
    let bridge = Bridge::start(&configuration(&home, "box-1", &both, ROUTE));
    daemon.accept("/in/app", &[], b"x");
    daemon.await_count("delivered", 1);
    drop(bridge);
}
