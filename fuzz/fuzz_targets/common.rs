//! Sources and requests out of the vectors, and what must hold for every verdict.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookbox::ingest::verify::{REFUSAL_KINDS, Request, Verdict, verify};
use hookbox::model::{Header, Source, TimedSecret, limits};
use serde_json::Value;

/// One vector.
pub struct Case {
    pub source: Source,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub now: i64,
}

pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/vectors");
        let entries = std::fs::read_dir(folder).expect("the vectors").flatten();
        let mut files: Vec<_> = entries.map(|e| e.path()).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "json"));
        files.sort();
        let read = |path| -> Vec<Value> {
            serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
        };
        files.iter().flat_map(read).map(|case| self::case(&case)).collect()
    })
}

fn case(case: &Value) -> Case {
    let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let scheme = match case["provider"].as_str().expect("a provider") {
        "standardwebhooks" => "standard-webhooks",
        "pipedream" => "bin",
        other => other,
    };
    let mut source = Source::new("fuzz", scheme);
    source.secrets = case["secret"].as_str().map(TimedSecret::current).into_iter().collect();
    source.public_key = case["public_key"].as_str().map(str::to_owned);
    source.params = case["params"].as_object().cloned().unwrap_or_default().into_iter().collect();
    source.split = true;

    let mut headers = Vec::new();
    for (name, value) in case["headers"].as_object().expect("headers") {
        for one in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
            let value = one.as_str().expect("text").as_bytes().to_vec();
            headers.push((name.to_ascii_lowercase(), value));
        }
    }
    let body = STANDARD.decode(text("body_b64")).expect("base64");
    let (method, url) = (text("method"), text("url"));
    Case { source, method, url, headers, body, now: case["now"].as_i64().expect("now") }
}

/// Verifies, and checks what must hold for every verdict.
pub fn ask(
    source: &Source,
    method: &str,
    url: &str,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
    now: i64,
) {
    let header = |(name, value): &(String, Vec<u8>)| Header::new(name.clone(), value.clone());
    let headers: Vec<Header> = headers.iter().map(header).collect();
    let request = Request { method, url, headers: &headers, body, client: None, keys: None };
    match verify(source, &request, now) {
        Verdict::Proven(proven) => {
            let facts = proven.elements.iter().map(|e| (&e.kind, &e.dedupe_key));
            for (kind, key) in facts.chain([(&proven.kind, &proven.dedupe_key)]) {
                assert!(kind.as_ref().is_none_or(|kind| kind.chars().count() <= limits::TYPE_LEN));
                let length = key.as_ref().map_or(0, |key| key.chars().count());
                assert!(length <= limits::DEDUPE_KEY_LEN);
            }
        }
        Verdict::Handshake(answer) => assert!((200..300).contains(&answer.status)),
        Verdict::Refused { reason, kind, .. } => {
            assert!(REFUSAL_KINDS.contains(&kind), "{kind}");
            assert!(reason.chars().count() <= 401);
        }
    }
}
