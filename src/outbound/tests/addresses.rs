//! Which addresses are dialled. Nothing here leaves the machine: the dialer only records.

use std::sync::Arc;

use super::{
    FakeDialer, FakeResolver, OK, Outbound, ScriptedReceiver, attempt, clock, endpoint, settings,
    with,
};
use crate::model::{Endpoint, Outcome};
use crate::outbound::check_endpoint;

const PUBLIC: &str = "93.184.216.34";

fn guarded(url: &str) -> Arc<Endpoint> {
    with(&endpoint(url), |e| e.allow_private = false)
}

fn outbound(resolver: FakeResolver, dialer: &FakeDialer) -> Arc<Outbound> {
    Outbound::with_dialer(settings(resolver), clock(), Box::new(dialer.clone())).unwrap()
}

/// Literals that are refused addresses, however they are written, and URLs that are none.
const LITERALS: [&str; 62] = [
    "http://127.0.0.1/",
    "http://127.0.0.1.:80/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.127.127.127/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0177.0.0.1/",
    "http://0177.0.0.01/",
    "http://00000177.1/",
    "http://0x7f.1/",
    "http://127.0x1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2001:0:4136:e378::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://100.100.100.200/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://192.0.0.192/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://user@127.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://127。0。0。1/",
    "http://①②⑦.0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1\u{0}.example.com/",
];

#[tokio::test]
async fn no_way_to_write_a_refused_address_is_dialled() {
    for url in LITERALS {
        let (resolver, dialer) = (FakeResolver::default(), FakeDialer::default());
        let endpoint = guarded(url);
        let report = attempt(&outbound(resolver, &dialer), &endpoint).await;
        assert_eq!(report.outcome, Outcome::Refused, "{url}: {:?}", report.error);
        assert!(dialer.dialled.lock().unwrap().is_empty(), "{url}");
        check_endpoint(&endpoint).expect_err(url);
    }
}

#[tokio::test]
async fn names_of_refused_addresses_are_not_dialled() {
    for (name, answer) in [
        ("localhost", &["127.0.0.1", "::1"][..]),
        ("app.localhost", &["::1"]),
        ("metadata.google.internal", &["169.254.169.254"]),
        ("metadata", &["fd00:ec2::254"]),
        ("intranet.example.com", &["10.1.2.3", "192.168.7.7", "fd12::1"]),
        ("127.0.0.1.nip.io", &["127.0.0.1"]),
        ("mapped.example.com", &["::ffff:127.0.0.1"]),
        ("nat64.example.com", &["64:ff9b::7f00:1"]),
        ("zero.example.com", &["0.0.0.0"]),
    ] {
        for scheme in ["http", "https"] {
            let (resolver, dialer) =
                (FakeResolver::default().knows(name, &[answer]), FakeDialer::default());
            let report = attempt(
                &outbound(resolver, &dialer),
                &guarded(&format!("{scheme}://{name}:8080/")),
            )
            .await;

            assert_eq!(report.outcome, Outcome::Retryable { after_ms: None }, "{name}");
            assert!(report.error.unwrap().contains("--allow-private"), "{name}");
            assert!(dialer.dialled.lock().unwrap().is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_dialled() {
    let receiver = ScriptedReceiver::answering(&[
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ])
    .await;
    let dialer = FakeDialer { instead: Some(receiver.address), ..FakeDialer::default() };
    let resolver =
        FakeResolver::default().knows("rebind.example.com", &[&[PUBLIC], &["127.0.0.1"]]);
    let outbound = outbound(resolver, &dialer);
    let endpoint = guarded("http://rebind.example.com:8080/");
    assert_eq!(attempt(&outbound, &endpoint).await.outcome, Outcome::Delivered);
    let second = attempt(&outbound, &endpoint).await;
    assert_eq!(second.outcome, Outcome::Retryable { after_ms: None });
    assert!(second.error.unwrap().contains("127.0.0.1, a loopback address"));
    let dialled: Vec<String> =
        dialer.dialled.lock().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(dialled, [format!("{PUBLIC}:8080")], "asked once, dialled once");
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn of_a_mixed_answer_only_the_allowed_are_dialled() {
    let answer: &[&str] = &[
        "127.0.0.1",
        PUBLIC,
        "10.0.0.1",
        "1.1.1.1",
        "::1",
        "2606:4700::1111",
        "8.8.8.8",
        "9.9.9.9",
        "8.8.4.4",
    ];

    let (resolver, dialer) =
        (FakeResolver::default().knows("mixed.example.com", &[answer]), FakeDialer::default());
    let report = attempt(&outbound(resolver, &dialer), &guarded("http://mixed.example.com/")).await;
    let dialled: Vec<String> =
        dialer.dialled.lock().unwrap().iter().map(|a| a.ip().to_string()).collect();
    assert_eq!(
        dialled,
        [PUBLIC, "2606:4700::1111", "1.1.1.1", "8.8.8.8"],
        "in order, both kinds by turns, and no more than four"
    );

    assert!(report.error.unwrap().contains(
        "connection refused by 93.184.216.34:80; connection refused by [2606:4700::1111]"
    ));
}

#[tokio::test]
async fn the_second_address_helps_when_the_first_does_not() {
    /// Refuses the first address only.
    struct FirstFails(FakeDialer);

    impl super::Dial for FirstFails {
        fn dial(
            &self,
            address: std::net::SocketAddr,
            bind: Option<std::net::IpAddr>,
        ) -> super::Boxed<'_, std::io::Result<tokio::net::TcpStream>> {
            let first = self.0.dialled.lock().unwrap().is_empty();
            let dial = self.0.dial(address, bind);
            // The first swallows everything.
            if first { Box::pin(std::future::pending()) } else { dial }
        }
    }

    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let dialer = FakeDialer { instead: Some(receiver.address), ..FakeDialer::default() };
    let resolver = FakeResolver::default().knows("two.example.com", &[&[PUBLIC, "1.1.1.1"]]);
    let outbound =
        Outbound::with_dialer(settings(resolver), clock(), Box::new(FirstFails(dialer.clone())))
            .unwrap();
    let endpoint = with(&guarded("http://two.example.com/"), |e| e.timeout_ms = 4_000);
    assert_eq!(attempt(&outbound, &endpoint).await.outcome, Outcome::Delivered);
    assert_eq!(dialer.dialled.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn names_that_lead_nowhere_may_lead_somewhere_later() {
    let (resolver, dialer) =
        (FakeResolver::default().knows("empty.example.com", &[&[]]), FakeDialer::default());
    let outbound = outbound(resolver, &dialer);
    for name in ["x.invalid", "empty.example.com"] {
        let report = attempt(&outbound, &guarded(&format!("http://{name}/"))).await;
        assert_eq!(report.outcome, Outcome::Retryable { after_ms: None });
        assert!(report.error.unwrap().starts_with(&format!("the name {name} does not resolve")));
    }
}

#[tokio::test]
async fn ports_of_other_services_are_refused() {
    for port in [22, 25, 53, 6379, 11211] {
        let (resolver, dialer) =
            (FakeResolver::default().knows("example.com", &[&[PUBLIC]]), FakeDialer::default());
        let endpoint = guarded(&format!("http://example.com:{port}/"));
        let outbound = outbound(resolver, &dialer);
        assert_eq!(attempt(&outbound, &endpoint).await.outcome, Outcome::Refused);
        assert!(check_endpoint(&endpoint).unwrap_err().contains("--allow-private"));
        assert!(dialer.dialled.lock().unwrap().is_empty());
        attempt(&outbound, &with(&endpoint, |e| e.allow_private = true)).await;
        assert_eq!(dialer.dialled.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn with_permission_private_addresses_are_dialled() {
    let (resolver, dialer) =
        (FakeResolver::default().knows("localhost", &[&["127.0.0.1"]]), FakeDialer::default());
    let outbound = outbound(resolver, &dialer);
    for url in ["http://2130706433:3000/", "http://localhost:3000/", "http://[::1]:3000/"] {
        assert!(check_endpoint(&endpoint(url)).is_ok(), "{url}");
        attempt(&outbound, &endpoint(url)).await;
    }
    let dialled: Vec<String> =
        dialer.dialled.lock().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(dialled, ["127.0.0.1:3000", "127.0.0.1:3000", "[::1]:3000"]);
}

#[test]
fn endpoints_are_checked_before_they_are_made() {
    type EndpointChange = fn(&mut Endpoint);
    let good = guarded("https://example.com/hook");
    assert_eq!(check_endpoint(&good), Ok(()));
    assert_eq!(check_endpoint(&guarded("unix:/run/app.sock:/in")), Ok(()));

    let changes: [(EndpointChange, &str); 19] = [
        (|e| e.name = "-x".into(), "name"),
        (|e| e.url = "example.com".into(), "http://"),
        (|e| e.url = "http://localhost:3000/".into(), "--allow-private"),
        (|e| e.secrets = vec![crate::model::TimedSecret::current("hunter2")], "whsec_"),
        (|e| e.secrets = vec![crate::model::TimedSecret::current("whsec_YQ=="); 9], "at most 8"),
        (|e| e.timeout_ms = 0, "--timeout"),
        (|e| e.timeout_ms = u64::MAX, "--timeout"),
        (|e| e.concurrency = 0, "--concurrency"),
        (|e| e.concurrency = 100_000, "--concurrency"),
        (|e| e.rate = Some(crate::model::Rate { count: 0, per_ms: 1000 }), "--rate"),
        (|e| e.retry.base_ms = 0, "--retry-base"),
        (|e| e.retry.max_ms = 10, "--retry-max"),
        (|e| e.retry.max_age_ms = u64::MAX, "--max-age"),
        (|e| e.retry.factor = f64::NAN, "--retry-factor"),
        (|e| e.retry.factor = 0.5, "--retry-factor"),
        (|e| e.retry.jitter = 1.5, "--jitter"),
        (|e| e.retry.max_attempts = Some(0), "--max-attempts"),
        (|e| e.pull.lease_ms = 5_000, "--lease"),
        (|e| e.template.headers = vec![("x".into(), "a\r\nb: c".into())], "--header x"),
    ];

    let pull = Arc::new(Endpoint::new("jobs", "pull:"));
    assert_eq!(check_endpoint(&pull), Ok(()));
    let timed = check_endpoint(&with(&pull, |e| e.timeout_ms = 30_000)).expect_err("no effect");
    assert!(timed.contains("--timeout is for requests") && timed.contains("--lease"), "{timed}");

    for (change, word) in changes {
        let refusal = check_endpoint(&with(&good, change)).expect_err(word);
        assert!(refusal.contains(word) && !refusal.contains("hunter2"), "{word}: {refusal}");
    }
}
