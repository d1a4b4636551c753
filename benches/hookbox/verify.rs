//! (f) Verification: what the proof of each scheme costs, in microseconds, for bodies of 1 KiB and
//! 16 KiB. The requests are vectors with a longer body, so their signatures do not match; a
//! mismatch costs what a match does.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookbox::ingest::verify::{Request, Verdict, verify};
use hookbox::model::{Header, Source, TimedSecret};
use serde_json::Value;

use super::Options;
use super::report::{Report, number};

pub fn run(options: &Options, report: &mut Report) {
    report.title("verification: microseconds for one request");
    let none =
        (Source::new("bench", "none"), Vec::new(), Vec::new(), "https://h/in/b".to_owned(), 0);
    let cases = [none].into_iter().chain(cases());

    for (source, headers, body, url, now) in cases {
        for size in [1 << 10, 16 << 10] {
            let body = longer(&body, &headers, size);
            let request = Request {
                method: "POST",
                url: &url,
                headers: &headers,
                body: &body,
                client: None,
                keys: None,
            };

            let early = match verify(&source, &request, now) {
                Verdict::Proven(_)
                | Verdict::Handshake(_)
                | Verdict::Refused { kind: "mismatch", .. } => "",
                Verdict::Refused { .. } => " (refused early)",
            };

            let times: Vec<f64> = (0..options.rounds)
                .map(|_| round(&source, &request, now, options.seconds))
                .collect();
            report.spread(
                &format!("verify.{}.{}KiB{early}", source.verify, size >> 10),
                &times,
                "us",
            );
        }
    }
}

/// Microseconds of one verification, over a share of the round's seconds.
fn round(source: &Source, request: &Request<'_>, now: i64, seconds: f64) -> f64 {
    let until = Duration::from_secs_f64(seconds / 30.0);
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < until {
        for _ in 0..16 {
            std::hint::black_box(verify(source, std::hint::black_box(request), now));
        }
        count += 16;
    }
    started.elapsed().as_secs_f64() * 1e6 / number(count)
}

type Case = (Source, Vec<Header>, Vec<u8>, String, i64);

/// The smallest request of each provider that is accepted.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the vectors").flatten().map(|e| e.path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|e| e == "json") && !path.ends_with("ambiguous.json")
    });
    files.sort();
    files.iter().filter_map(|path| smallest(&std::fs::read(path).expect("a file"))).collect()
}

fn smallest(file: &[u8]) -> Option<Case> {
    let cases: Vec<Value> = serde_json::from_slice(file).expect("JSON");
    let length = |case: &&Value| case["body_b64"].as_str().map_or(0, str::len);
    // The smallest, for bodies only become longer here.
    let good = cases.iter().filter(|case| case["expected"] == "accept" && case["method"] == "POST");
    let case = good.min_by_key(length)?;

    let scheme = match case["provider"].as_str()? {
        "standardwebhooks" => "standard-webhooks",
        "pipedream" => "bin",
        other => other,
    };

    let mut source = Source::new("bench", scheme);
    source.secrets = case["secret"].as_str().map(TimedSecret::current).into_iter().collect();
    source.public_key = case["public_key"].as_str().map(str::to_owned);
    source.params = case["params"].as_object().cloned().unwrap_or_default().into_iter().collect();

    let header = |(name, value): (&String, &Value)| {
        Some(Header::new(name.to_ascii_lowercase(), value.as_str()?.to_owned()))
    };
    let headers = case["headers"].as_object()?.iter().filter_map(header).collect();
    let body = STANDARD.decode(case["body_b64"].as_str()?).ok()?;
    Some((source, headers, body, case["url"].as_str()?.to_owned(), case["now"].as_i64()?))
}

/// The body with as many bytes behind it as it lacks, so that it is still a form or JSON.
fn longer(body: &[u8], headers: &[Header], size: usize) -> Vec<u8> {
    let is_form = headers
        .iter()
        .any(|h| h.name == "content-type" && h.value.starts_with(b"application/x-www-form"));
    let mut longer = body.to_vec();
    longer.resize(size.max(body.len()), if is_form { b'A' } else { b' ' });
    longer
}
