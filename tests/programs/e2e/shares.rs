//! What operators and sources may take: a share of the log for each source, and a limit for
//! settings.

use super::support::admin::Admin;
use super::support::http::connect_from;
use super::support::rng::Rng;
use super::support::{Home, SOON, until};
use super::{open_source, text};

/// A home with a log of 32 MiB.
fn small_log() -> Home {
    let mut home = Home::new();
    let path = home.write("hookbox.toml", "[log]\nquota = \"32MiB\"\n");
    home.args.extend(["--config".to_owned(), path]);
    home
}

#[test]
fn a_source_that_holds_more_than_its_share_is_refused_and_others_go_on() {
    let home = small_log();
    let daemon = home.start();
    open_source(&daemon, "greedy");
    open_source(&daemon, "modest");
    let nowhere = "http://127.0.0.1:9/";
    daemon.json(&["endpoint", "create", "held", "--url", nowhere, "--allow-private"]);
    daemon.done(&["endpoint", "hold", "held"]);
    daemon.accept("/in/modest", &[], b"{}");

    let (mut rng, mut client) = (Rng::new(3), daemon.client());
    let mut noise = || -> Vec<u8> {
        std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(50_000).collect()
    };
    let refused = until("the greedy source to be refused", SOON * 2, || {
        let answer = client.post("/in/greedy", &[], &noise()).expect("an answer");
        (answer.status != 202).then_some(answer)
    });
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");

    let status = daemon.json(&["status"]);
    assert_eq!(
        (&status["accepting"], &status["log"]["over_share"]),
        (&true.into(), &serde_json::json!(["greedy"]))
    );
    let full = &status["shares"][0];
    assert_eq!((text(full, "share"), text(full, "of")), ("log_space", "source greedy"));

    for _ in 0..10 {
        let answer = client.post("/in/modest", &[], &noise()).expect("an answer");
        assert_eq!(answer.status, 202, "{answer:?} {}", daemon.json(&["status"]));
    }
    assert_eq!(client.post("/in/greedy", &[], &noise()).expect("an answer").status, 503);
    daemon.await_log("over_share");
}

#[test]
fn status_names_who_takes_all_that_it_may() {
    let mut home = Home::new();
    let path = home.write("hookbox.toml", "[limits]\nconnections = 80\n");
    home.args.extend(["--config".to_owned(), path]);
    let daemon = home.start();
    open_source(&daemon, "in");
    assert_eq!(daemon.json(&["status"])["shares"], serde_json::json!([]));

    let held: Vec<_> =
        (0..30).map(|_| connect_from("127.0.0.2", daemon.addr).expect("connected")).collect();
    let full = until("the share to be full ten times", SOON, || {
        let full = daemon.asked("/v1/status")["shares"][0].clone();
        (full["count"] == 10).then_some(full)
    });
    assert_eq!(
        (text(&full, "share"), text(&full, "of"), text(&full, "effect")),
        ("connections", "address 127.0.0.2", "refused")
    );

    daemon.accept("/in/in", &[], b"other sources are accepted");
    let screen = daemon.ctl().run(&["status"]).expect(0).stdout;
    let line = "address 127.0.0.2 has reached its limit of connections: refused 10 times, last ";
    assert!(screen.contains(line), "{screen}");
    drop(held);
}

#[test]
fn settings_have_a_limit_in_bytes() {
    let home = Home::new();
    let daemon = home.start();
    let large = "a".repeat(8 << 10);
    let body = |n: usize| format!("{n}{large}");
    let key = |n: usize| {
        let key = serde_json::json!({"kty": "oct", "kid": n.to_string(), "k": "A".repeat(300_000)});
        serde_json::json!({"keys": [key]}).to_string()
    };

    let path = home.write("keys.json", &key(1));
    let made = daemon.ctl().run(&[
        "source",
        "create",
        "big",
        "--verify",
        "jwt",
        "--set",
        "issuer=a",
        "--set",
        &format!("jwks=@{path}"),
    ]);
    assert!(made.code != Some(0) && made.stderr.contains("256.0 KiB"), "{made:?}");

    // Many endpoints with large templates are fine, until all together take too much.
    let mut admin = Admin::connect(&daemon.socket).expect("connects");
    let refused = (0..3000).find_map(|n| {
        let (name, path) = (format!("e{n}"), format!("/{large}"));
        let made = serde_json::json!({
            "name": name, "url": "http://127.0.0.1:9/", "allow_private": true, "body": body(n),
            "path": path,
        });
        let (status, answer) = admin.post("/v1/endpoints", &made).expect("an answer");
        (status >= 300).then_some((n, status, answer))
    });
    let (n, code, why) = refused.expect("there is a limit");
    assert!(
        n > 600 && code == 400 && text(&why, "detail").contains("limit of 16.0 MiB"),
        "{n}: {code} {why}"
    );
    let status = daemon.json(&["status"]);
    assert!(status["settings_bytes"].as_u64().is_some_and(|bytes| bytes <= 16 << 20), "{status}");

    // Deleting makes room, changing one to less is possible, and nothing of it is lost over a
    // restart.
    daemon.done(&["endpoint", "delete", "e0"]);
    daemon.done(&["endpoint", "update", "e1", "--body", "{{ body }}"]);
    daemon.kill();
    let daemon = home.start();
    let again = daemon.json(&["status"])["settings_bytes"].as_u64().expect("a number");
    assert!(again < status["settings_bytes"].as_u64().expect("a number"), "{again} {status}");

    daemon.done(&[
        "endpoint",
        "create",
        "one-more",
        "--url",
        "http://127.0.0.1:9/",
        "--allow-private",
    ]);
    assert_eq!(text(&daemon.json(&["endpoint", "show", "one-more"]), "name"), "one-more");
}
