//! Who may come in: named lists, proxies that name their clients, rates; and TLS.

mod client_certificates;
mod tls;

use std::time::Instant;

use rustix::process::Signal;

use super::support::{Daemon, Home, SOON, until};
use super::{open_source, text};

fn reload(daemon: &Daemon) {
    let before = daemon.log_text().len();
    daemon.signal(Signal::HUP);
    until("a word about the reload", SOON, || {
        daemon.log_text()[before..].contains("was reloaded").then_some(())
    });
}

fn with_config(text: &str) -> Home {
    let mut home = Home::new();
    let path = home.write("hookbox.toml", text);
    home.args.extend(["--config".to_owned(), path]);
    home
}

#[test]
fn named_lists_are_read_from_files_and_again() {
    let home = with_config("");
    std::fs::create_dir(home.path().join("allow")).expect("a folder");
    let config = format!("[allow_lists]\ndir = \"{}\"\n", home.path().join("allow").display());
    home.write("hookbox.toml", &config);
    home.write("allow/mine.txt", "# nobody yet\n192.0.2.0/24\n");
    let daemon = home.start();
    let made =
        daemon.json(&["source", "create", "a", "--allow", "@mine", "--allow", "198.51.100.7"]);
    assert_eq!(made["allow"], serde_json::json!(["198.51.100.7/32", "@mine"]));
    daemon.json(&["source", "create", "gh", "--allow", "@github"]);
    assert_eq!(daemon.post("/in/a", &[], b"x").status, 403);
    assert_eq!(daemon.post("/in/gh", &[], b"x").status, 403);
    let wrong = daemon.ctl().run(&["source", "create", "b", "--allow", "@nobody"]).expect(64);
    assert!(
        wrong.stderr.contains("@nobody") && wrong.stderr.contains("@stripe"),
        "{}",
        wrong.stderr
    );
    daemon.ctl().run(&["source", "create", "b", "--allow", "nonsense"]).expect(64);

    home.write("allow/mine.txt", "127.0.0.0/8\nnonsense\n");
    daemon.signal(Signal::HUP);
    until("a word about the bad list", SOON, || {
        daemon.log_text().contains("mine.txt:2").then_some(())
    });
    assert_eq!(daemon.post("/in/a", &[], b"x").status, 403, "nothing of a bad folder is taken up");
    home.write("allow/mine.txt", "127.0.0.0/8\n");
    reload(&daemon);
    assert_eq!(daemon.post("/in/a", &[], b"x").status, 202);
    let shown = daemon.json(&["source", "show", "a"]);
    assert_eq!(shown["refused"]["address"], 2);
    daemon.json(&["source", "update", "gh", "--reset", "allow"]);
    assert_eq!(daemon.post("/in/gh", &[], b"x").status, 202);
}

#[test]
fn trusted_proxies_name_the_client_and_others_do_not() {
    let home = with_config("");
    let daemon = home.start();
    daemon.json(&["source", "create", "a", "--allow", "192.0.2.0/24"]);
    open_source(&daemon, "open");

    let from = |headers: &[(&str, &str)]| daemon.post("/in/a", headers, b"x").status;
    assert_eq!(from(&[("X-Forwarded-For", "192.0.2.1")]), 403, "nobody is trusted yet");

    home.write("hookbox.toml", "[ingress]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n");
    reload(&daemon);
    assert_eq!(from(&[("X-Forwarded-For", "192.0.2.1")]), 202);
    assert_eq!(
        from(&[("X-Forwarded-For", "192.0.2.1, 6.6.6.6")]),
        403,
        "what the client says itself is not trusted"
    );
    assert_eq!(from(&[("X-Forwarded-For", "192.0.2.1, 10.1.1.1")]), 202, "a chain of proxies");
    assert_eq!(from(&[("Forwarded", "for=192.0.2.9;proto=https")]), 202);
    assert_eq!(from(&[("Forwarded", "for=\"[2001:db8::1]\"")]), 403);
    assert_eq!(
        from(&[("Forwarded", "for=192.0.2.9"), ("X-Forwarded-For", "6.6.6.6")]),
        400,
        "they disagree"
    );
    assert_eq!(from(&[("Forwarded", "for=unknown")]), 403);
    assert_eq!(from(&[]), 403, "the proxy itself");

    let id = daemon.accept("/in/open", &[("X-Forwarded-For", "192.0.2.77")], b"x");
    assert_eq!(daemon.json(&["event", "show", &id])["remote"], "192.0.2.77");
}

/// A PROXY header of version 2 for a TCP client over IPv4.
fn proxy_v2(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([127, 0, 0, 1, 0x30, 0x39, 0, 80]);
    header
}

const POST: &str =
    "POST /in/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";

#[test]
fn a_proxy_header_names_the_client_where_it_is_asked_for() {
    let mut home = with_config("[ingress]\ntrusted_proxies = [\"127.0.0.1\", \"unix\"]\n");
    home.args =
        home.args.into_iter().map(|a| a.replace("127.0.0.1:0", "proxy://127.0.0.1:0")).collect();
    let daemon = home.start();
    daemon.json(&["source", "create", "a", "--allow", "192.0.2.0/24"]);

    let send_request = |first: &[u8], request: &str| {
        let mut client = daemon.client();
        client.send_raw(&[first, request.as_bytes()].concat()).expect("sent");
        let mut answer = String::new();
        client.read_all(&mut answer);
        answer
    };
    let send = |first: &[u8]| send_request(first, POST);

    assert!(send(&proxy_v2([192, 0, 2, 5])).starts_with("HTTP/1.1 202"));
    assert!(send(&proxy_v2([198, 51, 100, 5])).starts_with("HTTP/1.1 403"));
    assert!(
        send(b"PROXY TCP4 192.0.2.5 10.0.0.1 12345 443\r\n").starts_with("HTTP/1.1 202"),
        "version 1"
    );
    assert!(
        send(b"PROXY TCP4 198.51.100.5 10.0.0.1 12345 443\r\n").starts_with("HTTP/1.1 403"),
        "version 1"
    );
    assert!(
        send(b"PROXY UNKNOWN\r\n").starts_with("HTTP/1.1 403"),
        "a client that is not known is in no list"
    );

    // One that has no address is not a proxy of ours, and does not say who it is.
    let claim = POST.replace("Host: h\r\n", "Host: h\r\nX-Forwarded-For: 192.0.2.5\r\n");
    let of_no_family = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\0";
    let mut of_unix = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8".to_vec();
    of_unix.extend([0; 216]);
    for hidden in [b"PROXY UNKNOWN\r\n".as_slice(), of_no_family, &of_unix] {
        let answer = send_request(hidden, &claim);
        assert!(answer.starts_with("HTTP/1.1 403"), "{hidden:?}: {answer}");
    }
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    assert!(send_request(local, &claim).starts_with("HTTP/1.1 202"), "the proxy itself");
    assert_eq!(send(b""), "", "without the header nothing is answered");

    let event = daemon.lines(&["event", "list"]).remove(1);
    assert_eq!(daemon.json(&["event", "show", text(&event, "id")])["remote"], "192.0.2.5:12345");

    home.write("hookbox.toml", "[ingress]\ntrusted_proxies = [\"10.0.0.1\"]\n");
    reload(&daemon);
    assert_eq!(send(&proxy_v2([192, 0, 2, 5])), "", "a stranger's header is not trusted");
    let counted = daemon.json(&["status"]);
    assert_eq!(counted["refused"]["proxy-header"], 2);
}

#[test]
fn a_rate_is_kept_and_reported() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["source", "create", "slow", "--rate", "3/h"]);
    assert_eq!(made["rate"], "3/h");
    open_source(&daemon, "free");

    let begun = Instant::now();
    let answers: Vec<u16> = (0..5).map(|_| daemon.post("/in/slow", &[], b"x").status).collect();
    assert_eq!(answers, [202, 202, 202, 429, 429]);

    let refused = daemon.post("/in/slow", &[], b"x");
    let after: u64 = refused
        .header("retry-after")
        .and_then(|v| v.parse().ok())
        .expect("a Retry-After in seconds");
    let least = 1200u64.saturating_sub(begun.elapsed().as_secs() + 1);
    assert!((least..=1200).contains(&after), "a third of an hour: {after}");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));

    assert_eq!(daemon.post("/in/free", &[], b"x").status, 202, "other sources have their own");
    assert_eq!(daemon.json(&["source", "show", "slow"])["refused"]["rate"], 3);
    daemon.json(&["source", "update", "slow", "--reset", "rate"]);
    assert_eq!(daemon.post("/in/slow", &[], b"x").status, 202);
}
