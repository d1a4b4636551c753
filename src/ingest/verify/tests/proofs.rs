//! Proofs in general: rotation, proofs that occur twice, reasons, lengths.

use serde_json::json;

use super::{NOW, URL, ask, base64, hex, post, proven, refused, source};
use crate::ingest::verify::Verdict;
use crate::ingest::verify::crypto::HashFunction;
use crate::model::TimedSecret;

#[test]
fn a_rotated_secret_is_good_until_its_time_is_over() {
    let mut rotated = source("github", "new", json!({}));
    let now_ms = u64::try_from(NOW).unwrap() * 1000;
    rotated
        .secrets
        .push(TimedSecret { expires_at: Some(now_ms + 1), ..TimedSecret::current("old") });

    let signature = format!("sha256={}", hex(HashFunction::Sha256, "old", b"x"));
    let headers = [
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-event", "push"),
        ("x-github-delivery", "d1"),
    ];

    let found = proven(post(&rotated, &headers, b"x"));
    assert_eq!((found.kind.as_deref(), found.dedupe_key.as_deref()), (Some("push"), Some("d1")));

    let reason = refused(post(&rotated, &headers, b"y"));
    assert_eq!(
        reason,
        ("mismatch", "the signature does not match with either of 2 secrets".to_owned())
    );

    rotated.secrets[1].expires_at = Some(now_ms);
    assert_eq!(refused(post(&rotated, &headers, b"x")).0, "mismatch");
}

#[test]
fn a_proof_that_stands_twice_is_refused() {
    let good = format!("sha256={}", hex(HashFunction::Sha256, "s", b"x"));
    let twice = [("x-hub-signature-256", good.as_str()), ("x-hub-signature-256", good.as_str())];
    assert_eq!(refused(post(&source("github", "s", json!({})), &twice, b"x")).0, "duplicate");
    let apikey = source("apikey", "k", json!({"in": "query", "name": "key"}));
    assert_eq!(
        refused(ask(&apikey, "POST", &format!("{URL}?key=k&key=k"), &[], b"")).0,
        "duplicate"
    );
}

#[test]
fn reasons_are_precise() {
    let stripe = source("stripe", "s", json!({}));
    let at = NOW - 412;
    let header =
        format!("t={at},v1={}", hex(HashFunction::Sha256, "s", format!("{at}.x").as_bytes()));
    let reason = refused(post(&stripe, &[("stripe-signature", &header)], b"x"));
    assert_eq!(
        reason,
        ("stale", "the timestamp is 412 s old, at most 300 s are allowed".to_owned())
    );
    let patient = source("stripe", "s", json!({"tolerance_s": 500}));
    assert!(matches!(post(&patient, &[("stripe-signature", &header)], b"x"), Verdict::Proven(_)));
    assert_eq!(
        refused(post(&stripe, &[], b"x")),
        ("missing", "the header stripe-signature is missing".to_owned())
    );
}

#[test]
fn what_is_too_long_is_cut_or_hashed() {
    let plain = source("github", "s", json!({}));
    let signature = format!("sha256={}", hex(HashFunction::Sha256, "s", b"x"));
    let long = "d".repeat(600);
    let headers = [
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-event", &long),
        ("x-github-delivery", &long),
    ];
    let found = proven(post(&plain, &headers, b"x"));
    assert_eq!(found.kind, None);
    assert!(found.dedupe_key.unwrap().starts_with("sha256:"));
    let wordy = source("rfc9421", "s", json!({"alg": "hmac-sha256"}));
    let input = format!("s=();created={NOW};keyid=\"{long}\";alg=\"{long}\"");
    let reason =
        refused(post(&wordy, &[("signature-input", &input), ("signature", "s=:AA==:")], b""));
    assert_eq!((reason.0, reason.1.chars().count()), ("algorithm", 401));
}

/// A header full of wrong signatures is compared with one MAC; it must not cost a pass over the
/// body each.
#[test]
fn a_long_list_of_signatures_still_finds_the_right_one() {
    let key = b"0123456789abcdef01234567";
    let hooks = source("standard-webhooks", &data_encoding::BASE64.encode(key), json!({}));
    let good = format!("v1,{}", base64(HashFunction::Sha256, key, format!("i.{NOW}.x").as_bytes()));
    let send = |wrong: usize| {
        let list = format!("{}{good}", "v1,AAAA v9 v1a,AA ".repeat(wrong));
        post(
            &hooks,
            &[
                ("webhook-id", "i"),
                ("webhook-timestamp", &NOW.to_string()),
                ("webhook-signature", &list),
            ],
            b"x",
        )
    };
    proven(send(15));
    assert_eq!(refused(send(16)).0, "mismatch");
}
