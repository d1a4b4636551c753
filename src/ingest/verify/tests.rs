//! What the vectors do not ask, one file a question; here is what the tests share.

mod batches;
mod borders;
mod handshakes;
mod message_signatures;
mod proofs;
mod providers;
mod recipients;
mod repetitions;
mod robustness;
mod sdks;
mod settings;
mod tokens;

use serde_json::Value;

use super::crypto::{HashFunction, hmac};
use super::{Proven, ProviderAnswer, REFUSAL_KINDS, Request, Verdict, check_settings, verify};
use crate::model::{Header, Source, TimedSecret};

const NOW: i64 = 1_770_000_000;
const URL: &str = "https://hooks.example.com/in/x";

fn source(scheme: &str, secret: &str, params: Value) -> Source {
    let mut source = Source::new("test", scheme);
    if !secret.is_empty() {
        source.secrets = vec![TimedSecret::current(secret)];
    }
    if let Value::Object(params) = params {
        source.params = params.into_iter().collect();
    }
    source
}

fn ask(source: &Source, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Verdict {
    let headers: Vec<Header> =
        headers.iter().map(|(name, value)| Header::new(*name, value.as_bytes().to_vec())).collect();
    verify(source, &Request { method, url, headers: &headers, body, client: None, keys: None }, NOW)
}

fn post(source: &Source, headers: &[(&str, &str)], body: &[u8]) -> Verdict {
    ask(source, "POST", URL, headers, body)
}

fn proven(verdict: Verdict) -> Proven {
    match verdict {
        Verdict::Proven(proven) => proven,
        other => panic!("not proven: {other:?}"),
    }
}

fn handshake(verdict: Verdict) -> ProviderAnswer {
    match verdict {
        Verdict::Handshake(answer) => answer,
        other => panic!("no handshake: {other:?}"),
    }
}

fn refused(verdict: Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Refused { kind, reason, .. } => {
            assert!(REFUSAL_KINDS.contains(&kind), "{kind}");
            (kind, reason)
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn hex(hash: HashFunction, key: &str, signed: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&hmac(hash, key.as_bytes(), &[signed]))
}

fn base64(hash: HashFunction, key: &[u8], signed: &[u8]) -> String {
    data_encoding::BASE64.encode(&hmac(hash, key, &[signed]))
}

fn vector(provider: &str, name: &str) -> (Source, Vec<Header>, Vec<u8>) {
    let case =
        vectors().iter().find(|case| case["provider"] == provider && case["name"] == name).unwrap();
    let headers = case["headers"].as_object().unwrap().iter();
    let headers = headers.map(|(name, value)| {
        Header::new(name.to_ascii_lowercase(), value.as_str().unwrap().to_owned())
    });
    let body = data_encoding::BASE64.decode(case["body_b64"].as_str().unwrap().as_bytes()).unwrap();
    (vector_source(case), headers.collect(), body)
}

/// All vectors, read once: ground to be changed in.
fn vectors() -> &'static [Value] {
    static VECTORS: std::sync::OnceLock<Vec<Value>> = std::sync::OnceLock::new();
    VECTORS.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
        files.sort();
        let cases = files.iter().flat_map(|path| {
            serde_json::from_slice::<Vec<Value>>(&std::fs::read(path).unwrap()).unwrap()
        });
        cases
            .filter(|case| case["body_b64"].as_str().is_some_and(|body| body.len() < 8000))
            .collect()
    })
}

fn vector_source(case: &Value) -> Source {
    let scheme = match case["provider"].as_str().unwrap() {
        "standardwebhooks" => "standard-webhooks",
        "pipedream" => "bin",
        other => other,
    };
    let mut source =
        source(scheme, case["secret"].as_str().unwrap_or_default(), case["params"].clone());
    source.public_key = case["public_key"].as_str().map(str::to_owned);
    source
}
