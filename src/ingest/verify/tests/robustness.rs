//! No input panics, and nobody gets in by nonsense.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{source, vector_source, vectors};
use crate::ingest::verify::{Need, REFUSAL_KINDS, Request, TABLE, Verdict, check_settings, verify};
use crate::model::Header;

/// Bytes that the parsers of this module look for.
const SPICE: &[u8] = b"=,;.:|\"\\(){}[]%+ &?/#-_*\0\xff\xc3\xa9\n\r0aAzZ";

/// Headers that schemes read.
const HEADERS: [&str; 12] = [
    "authorization",
    "signature",
    "signature-input",
    "content-digest",
    "stripe-signature",
    "paddle-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-signature",
    "circleci-signature",
    "content-type",
];

fn spoil(bytes: &mut Vec<u8>, edits: &[(u16, u8, u8)]) {
    for (at, what, byte) in edits {
        let at = usize::from(*at) % (bytes.len() + 1);
        let spice = SPICE[usize::from(*byte) % SPICE.len()];
        match what % 4 {
            0 => bytes.insert(at, spice),
            1 if at < bytes.len() => bytes[at] = spice,
            2 => bytes.truncate(at),
            _ if at < bytes.len() => _ = bytes.remove(at),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A real request with changes in it: any verdict, no panic; and what is refused is refused in
    /// words.
    #[test]
    fn no_changed_vector_panics(
        pick: prop::sample::Index,
        header_edits: Vec<(u16, u8, u8)>,
        body_edits in prop::collection::vec(any::<(u16, u8, u8)>(), 0..3),
        url_edits in prop::collection::vec(any::<(u16, u8, u8)>(), 0..3),
        now: i64,
        split: bool,
    ) {
        let case = pick.get(vectors());
        let mut source = vector_source(case);
        source.split = split;

        let mut headers = Vec::new();
        for (at, (name, value)) in case["headers"].as_object().unwrap().iter().enumerate() {
            let mut value = value.as_str().unwrap_or_default().as_bytes().to_vec();
            let of_this = |edit: &&(u16, u8, u8)| usize::from(edit.2) % 3 == at % 3;
            let own: Vec<_> = header_edits.iter().filter(of_this).copied().take(3).collect();
            spoil(&mut value, &own);
            headers.push(Header::new(name.to_ascii_lowercase(), value));
        }

        let mut body = data_encoding::BASE64.decode(case["body_b64"].as_str().unwrap().as_bytes()).unwrap();
        spoil(&mut body, &body_edits);
        let mut url = case["url"].as_str().unwrap().as_bytes().to_vec();
        spoil(&mut url, &url_edits);
        let url = String::from_utf8_lossy(&url).into_owned();

        let method = case["method"].as_str().unwrap();
        let clock = if now % 2 == 0 { now } else { case["now"].as_i64().unwrap() };
        let request = Request {
            method, url: &url, headers: &headers, body: &body, client: None, keys: None,
        };
        if let Verdict::Refused { reason, kind, .. } = verify(&source, &request, clock) {
            prop_assert!(!reason.is_empty() && REFUSAL_KINDS.contains(&kind), "{kind}");
        }
    }

    /// Anything at all, to every scheme, with anything in its settings.
    #[test]
    fn no_nonsense_panics(
        secret in "(whsec_)?[ -~]{0,40}",
        key in prop::option::of("(whpk_)?[ -~\n]{0,80}"),
        value in ".{0,60}",
        body: Vec<u8>,
        url in "(https?://)?.{0,40}",
        method in "GET|POST|HEAD|OPTIONS|.{0,5}",
        now: i64,
    ) {
        for facts in TABLE {
            let mut source = source(facts.name, &secret, json!({}));
            source.public_key = key.clone();
            let names = facts.params.iter().map(|(name, _)| (*name).to_owned());
            source.params = names.map(|name| (name, Value::String(value.clone()))).collect();
            _ = check_settings(&source);

            for with_params in [true, false] {
                if !with_params {
                    source.params.clear();
                }
                let header = |name: &&str| Header::new(*name, value.clone().into_bytes());
                let headers: Vec<Header> = HEADERS.iter().map(header).collect();
                let request = Request {
                    method: &method,
                    url: &url,
                    headers: &headers,
                    body: &body,
                    client: None,
                    keys: None,
                };
                let verdict = verify(&source, &request, now);
                // Nobody gets in by nonsense where a proof of the body or a secret is asked.
                if facts.secret == Need::Required || facts.public_key == Need::Required {
                    let is_proven = matches!(verdict, Verdict::Proven(_));
                    prop_assert!(!is_proven || secret == value, "{}", facts.name);
                }
            }
        }
    }
}
