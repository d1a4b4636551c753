//! Whether the time of a refusal tells how much of a secret was right: a wrong first byte against a
//! wrong last byte, for schemes that compare MACs and for schemes that compare the secret itself.
//!
//! The two classes are drawn in random order and change places in memory, the slowest tenth is left
//! out (what the machine did meanwhile), and Welch's t must stay below 4.5. A machine has bad
//! moments, a leak has none: one good run of three is enough. A comparison that stops at the first
//! difference is measured the same way and must be found, or the test would prove nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a test that measures time"
)]

use std::hint::black_box;
use std::time::Instant;

use hookbox::ingest::verify::{Request, Verdict, verify};
use hookbox::model::{Header, Source, TimedSecret};
use serde_json::json;

/// Of each class.
const TRIES: usize = 200_000;
/// After so many tries the classes change places.
const PLACES: usize = 500;
const LIMIT: f64 = 4.5;

/// Nanoseconds of each class, in random order.
fn measure<T>(mut subject: impl FnMut(&T), make: impl Fn(bool) -> T) -> [Vec<f64>; 2] {
    let mut times = [Vec::with_capacity(TRIES), Vec::with_capacity(TRIES)];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut swapped = false;
    let mut places = [make(false), make(true)];

    while times.iter().any(|class| class.len() < TRIES) {
        for _ in 0..PLACES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let class = usize::from(state & 1 == 1);
            let place = &places[class ^ usize::from(swapped)];

            let started = Instant::now();
            subject(black_box(place));
            let took = started.elapsed();
            if times[class].len() < TRIES {
                times[class].push(took.as_nanos() as f64);
            }
        }

        swapped = !swapped;
        places = [make(swapped), make(!swapped)];
    }
    times
}

/// Welch's t without the slowest tenth of all.
fn welch(times: &[Vec<f64>; 2]) -> f64 {
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let crop = all[all.len() * 9 / 10];
    let [one, other] = times.each_ref().map(|class| {
        let kept: Vec<f64> = class.iter().copied().filter(|time| *time < crop).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    ((one.0 - other.0) / (one.1 + other.1).sqrt()).abs()
}

/// The smallest t of a few runs; it stops at the first good one.
fn best<T>(mut subject: impl FnMut(&T), make: impl Fn(bool) -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        best = best.min(welch(&measure(&mut subject, &make)));
        if best < LIMIT {
            break;
        }
    }
    best
}

/// `text` with another first or last character, which stays within hex, base64 and plain text.
fn spoilt(text: &str, last: bool) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = if last { bytes.len() - 1 } else { 0 };
    bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
    String::from_utf8(bytes).expect("ASCII")
}

fn source(scheme: &str, secret: &str, params: &serde_json::Value) -> Source {
    let mut source = Source::new("timing", scheme);
    source.secrets = vec![TimedSecret::current(secret)];
    source.params = params.as_object().cloned().unwrap_or_default().into_iter().collect();
    source
}

#[test]
#[ignore = "measures time for a minute; .ci/run runs it"]
fn the_time_of_a_refusal_tells_nothing() {
    let secret = "whole-secret-of-forty-eight-characters-0123456789";
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let mac = ring::hmac::sign(&key, b"{}");
    let hex: String = mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let none = json!({});
    let by_header = json!({"in": "header", "name": "x-key"});
    let token = json!({"mode": "secret_token"});

    let cases = [
        ("github", &none, "x-hub-signature-256", "sha256=", hex.as_str()),
        ("apikey", &by_header, "x-key", "", secret),
        ("gitlab", &token, "x-gitlab-token", "", secret),
        ("okta", &none, "authorization", "", secret),
    ];

    for (scheme, params, header, prefix, right) in cases {
        let source = source(scheme, secret, params);
        let ask = |headers: &[Header]| {
            let request = Request {
                method: "POST",
                url: "https://h/in/t",
                headers,
                body: b"{}",
                client: None,
                keys: None,
            };
            verify(&source, &request, 1_770_000_000)
        };

        let good = [Header::new(header, format!("{prefix}{right}"))];
        assert!(matches!(ask(&good), Verdict::Proven(_)), "{scheme}: the right one is not taken");
        let make = |last| vec![Header::new(header, format!("{prefix}{}", spoilt(right, last)))];
        assert!(matches!(ask(&make(false)), Verdict::Refused { kind: "mismatch", .. }), "{scheme}");

        let t = best(|headers: &Vec<Header>| _ = black_box(ask(headers)), make);
        println!("{scheme}: t = {t:.2}");
        assert!(
            t < LIMIT,
            "{scheme}: a wrong first byte takes another time than a wrong last one (t = {t:.1})"
        );
    }
}

#[test]
#[ignore = "measures time for a minute; .ci/run runs it"]
fn a_comparison_that_stops_early_is_found() {
    let secret = "a-secret-of-sixty-four-characters-which-is-longer-than-a-cache-l";
    let naive = |given: &String| {
        let mut same = true;
        for (left, right) in given.bytes().zip(secret.bytes()) {
            if black_box(left) != black_box(right) {
                same = false;
                break;
            }
        }
        black_box(same);
    };
    let t = welch(&measure(naive, |last| spoilt(secret, last)));
    println!("a naive comparison: t = {t:.1}");
    assert!(t > LIMIT, "the measurement is blind: t = {t:.1}");
}
