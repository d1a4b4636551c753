//! The verification schemes against the requests in `tests/fixtures/vectors/`: official examples,
//! real deliveries, and requests signed and verified by the providers' own SDKs (each case names
//! its source).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use hookbox::ingest::verify::{ProviderAnswer, Request, Verdict, check_settings, verify};
use hookbox::model::{Header, Source, TimedSecret};
use serde_json::Value;

/// The scheme that a vector file is for.
fn scheme(provider: &str) -> &str {
    match provider {
        "standardwebhooks" => "standard-webhooks",
        "pipedream" => "bin",
        other => other,
    }
}

fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} in {case}"))
}

fn source(case: &Value) -> Source {
    let mut source = Source::new("vectors", scheme(text(case, "provider")));
    source.secrets = case["secret"].as_str().map(TimedSecret::current).into_iter().collect();
    source.public_key = case["public_key"].as_str().map(str::to_owned);
    if let Some(params) = case["params"].as_object() {
        source.params = params
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<BTreeMap<_, _>>();
    }
    source
}

fn headers(case: &Value) -> Vec<Header> {
    let mut headers = Vec::new();
    for (name, value) in case["headers"].as_object().expect("headers") {
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for value in values {
            let value = value.as_str().expect("a header is text").to_owned();
            headers.push(Header::new(name.to_ascii_lowercase(), value));
        }
    }
    headers
}

/// The verdict on a case.
fn verdict_of(case: &Value) -> Verdict {
    verdict_with(case, &source(case))
}

/// The verdict on a case at a source with other settings.
fn verdict_with(case: &Value, source: &Source) -> Verdict {
    let headers = headers(case);
    let body =
        base64::engine::general_purpose::STANDARD.decode(text(case, "body_b64")).expect("body_b64");
    let request = Request {
        method: text(case, "method"),
        url: text(case, "url"),
        headers: &headers,
        body: &body,
        client: None,
        keys: None,
    };
    verify(source, &request, case["now"].as_i64().expect("now"))
}

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors").join(file);
    serde_json::from_slice(
        &fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .expect("JSON")
}

fn files() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors");
    let names =
        fs::read_dir(folder).expect("the vectors").map(|entry| entry.expect("entry").file_name());
    let mut files: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    files.retain(|name| name.ends_with(".json") && name != "ambiguous.json");
    files.sort();
    files
}

/// What of `expected_response` the answer does not hold.
fn unanswered(expected: &Value, answer: &ProviderAnswer) -> Vec<String> {
    let header = |name: &str| {
        answer
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    };
    let body = String::from_utf8_lossy(&answer.body);

    let mut wrong = Vec::new();
    for (key, wanted) in expected.as_object().expect("expected_response") {
        let holds = match key.as_str() {
            "status" => wanted.as_u64() == Some(u64::from(answer.status)),
            "body" => wanted.as_str() == Some(&body),
            "body_contains" => body.contains(wanted.as_str().expect("text")),
            "body_json" => {
                serde_json::from_slice::<Value>(&answer.body).ok().as_ref() == Some(wanted)
            }
            "content_type" => header("content-type")
                .is_some_and(|it| it.starts_with(wanted.as_str().expect("text"))),
            "headers" => wanted
                .as_object()
                .expect("headers")
                .iter()
                .all(|(name, value)| header(name) == value.as_str()),
            "headers_contain" => {
                wanted.as_object().expect("headers").iter().all(|(name, value)| {
                    header(name).is_some_and(|it| it.contains(value.as_str().expect("text")))
                })
            }
            "headers_absent" => wanted
                .as_array()
                .expect("names")
                .iter()
                .all(|name| header(name.as_str().expect("text")).is_none()),
            other => panic!("expected_response has an unknown key {other}"),
        };

        if !holds {
            wrong.push(format!("{key} {wanted} in {answer:?}"));
        }
    }

    wrong
}

#[test]
fn every_case_comes_out_as_its_provider_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in files().iter().flat_map(|file| cases(file)) {
        let name = format!("{}/{}", text(&case, "provider"), text(&case, "name"));
        let verdict = verdict_of(&case);
        let (accepted, answer) = match &verdict {
            Verdict::Proven(proven) => {
                (true, proven.answer.clone().unwrap_or_else(|| ProviderAnswer::empty(202)))
            }
            Verdict::Handshake(answer) => (true, answer.clone()),
            Verdict::Refused { answer, .. } => {
                (false, answer.clone().unwrap_or_else(|| ProviderAnswer::empty(401)))
            }
        };

        if accepted != (text(&case, "expected") == "accept") {
            wrong.push(format!(
                "{name}: {} ({}), got {verdict:?}",
                text(&case, "expected"),
                text(&case, "why")
            ));
        }
        if let Some(expected) = case.get("expected_response") {
            wrong.extend(
                unanswered(expected, &answer).into_iter().map(|what| format!("{name}: {what}")),
            );
        }
        if let Err(error) = check_settings(&source(&case)) {
            wrong.push(format!("{name}: its settings are refused: {error}"));
        }
        count += 1;
    }

    assert!(count >= 236, "only {count} cases were found");
    assert!(wrong.is_empty(), "{} of {count} came out wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A secret of the same form as another one.
fn other_secret(secret: &str) -> String {
    let middle = secret.len() / 2;
    let is_letter = |(_, byte): &(usize, u8)| byte.is_ascii_alphanumeric();
    let (at, old) = secret.bytes().enumerate().skip(middle).find(is_letter).expect("a letter");
    let new = if old == b'0' { "1" } else { "0" };
    format!("{}{new}{}", &secret[..at], &secret[at + 1..])
}

#[test]
fn in_a_rotation_the_old_secret_proves_until_its_time_and_then_no_more() {
    let mut schemes = std::collections::BTreeSet::new();
    for case in files().iter().flat_map(|file| cases(file)) {
        let (Some(secret), "accept") = (case["secret"].as_str(), text(&case, "expected")) else {
            continue;
        };
        // Requests that ask for no proof at all, such as handshakes, say nothing of secrets.
        let mut rotated = source(&case);
        rotated.secrets = vec![TimedSecret::current(other_secret(secret))];
        if !matches!(verdict_with(&case, &rotated), Verdict::Refused { .. }) {
            continue;
        }

        let name = format!("{}/{}", text(&case, "provider"), text(&case, "name"));
        let now_ms = u64::try_from(case["now"].as_i64().expect("now")).expect("after 1970") * 1000;
        let old = |end| TimedSecret { expires_at: Some(end), ..TimedSecret::current(secret) };
        rotated.secrets.push(old(now_ms + 1));
        let before = verdict_with(&case, &rotated);
        assert!(!matches!(before, Verdict::Refused { .. }), "{name}: {before:?}");

        rotated.secrets[1] = old(now_ms);
        let after = verdict_with(&case, &rotated);
        assert!(matches!(after, Verdict::Refused { .. }), "{name}: {after:?}");

        // The new one is good from the beginning.
        rotated.secrets = vec![TimedSecret::current(secret), old(now_ms + 1)];
        rotated.secrets[1].secret.0 = other_secret(secret);
        let new = verdict_with(&case, &rotated);
        assert!(!matches!(new, Verdict::Refused { .. }), "{name}: {new:?}");
        schemes.insert(text(&case, "provider").to_owned());
    }
    println!("rotated: {schemes:?}");
    assert!(schemes.len() >= 19, "only {schemes:?} were rotated");
}

/// One changed byte of the body must undo every proof that covers the body.
#[test]
fn a_changed_body_is_refused_where_the_body_is_signed() {
    let uncovered =
        ["apikey", "pipedream", "jwt", "okta", "pubsub", "dialogflow", "cloudevents", "mailchimp"];
    let mut changed = 0;
    for mut case in files().iter().flat_map(|file| cases(file)) {
        let provider = text(&case, "provider").to_owned();
        let plain_token = case["params"]["mode"] == "secret_token";
        let digest = case["params"]["require_content_digest"] == Value::Bool(false);

        let handshake = text(&case, "method") != "POST";
        if text(&case, "expected") != "accept"
            || uncovered.contains(&provider.as_str())
            || plain_token
            || digest
            || handshake
        {
            continue;
        }

        let engine = base64::engine::general_purpose::STANDARD;
        let mut body = engine.decode(text(&case, "body_b64")).expect("body_b64");
        // Beyond the signature that stands in some bodies themselves.
        let at = if provider == "sns" {
            body.windows(12).position(|w| w == b"\"Message\": \"").map(|at| at + 12)
        } else {
            None
        };
        let at = at.unwrap_or(body.len() - 8.min(body.len()));
        body[at] = if body[at] == b'A' { b'B' } else { b'A' };

        case["body_b64"] = engine.encode(&body).into();
        let verdict = verdict_of(&case);
        assert!(
            matches!(verdict, Verdict::Refused { .. }),
            "{provider}/{}: {verdict:?}",
            text(&case, "name")
        );
        changed += 1;
    }

    assert!(changed > 60, "only {changed} cases were changed");
}

/// Where official SDKs disagree or policy decides: what was decided (the scheme's file says why).
#[test]
fn what_is_left_to_us_is_decided() {
    let accepted = [
        "stripe/future-1h",
        "paddle/multi-h1-first-valid",
        "paddle/unknown-h2-then-h1",
        "paddle/future-1h",
        "sendgrid/old-timestamp-1-day",
        "discord/old-1-hour",
        "discord/uppercase-hex",
        "sns/v2-unsubscribe-confirmation-per-docs",
    ];
    let refused = [
        "stripe/uppercase-hex",
        "github/uppercase-hex",
        "shopify/base64-without-padding",
        "braintree/uppercase-hex",
        "travis/second-payload-field",
        "rfc9421/own-two-digests-one-wrong",
        "rfc9421/own-created-in-future",
    ];

    for case in cases("ambiguous.json") {
        let name = format!("{}/{}", text(&case, "provider"), text(&case, "name"));
        let refusal = matches!(verdict_of(&case), Verdict::Refused { .. });
        assert!(
            accepted.contains(&name.as_str()) || refused.contains(&name.as_str()),
            "{name} is not decided"
        );
        assert_eq!(refusal, refused.contains(&name.as_str()), "{name}: {:?}", verdict_of(&case));
    }
}

/// Verifies the cases of a file of one's own, e.g. such as an SDK was asked about, and prints the
/// verdicts as lines of JSON: `HOOKBOX_VECTORS=FILE cargo test --test library verifies_a_file --
/// --ignored --nocapture`.
#[test]
#[ignore = "verifies the file that HOOKBOX_VECTORS names"]
fn verifies_a_file_of_ones_own() {
    let file = std::env::var_os("HOOKBOX_VECTORS").expect("HOOKBOX_VECTORS names a file of cases");
    for case in cases(file.to_str().expect("a path in UTF-8")) {
        let (verdict, reason) = match (check_settings(&source(&case)), verdict_of(&case)) {
            (Err(wrong), _) => ("settings", wrong),
            (_, Verdict::Refused { reason, .. }) => ("reject", reason),
            (_, Verdict::Proven(_) | Verdict::Handshake(_)) => ("accept", String::new()),
        };
        let name = format!("{}/{}", text(&case, "provider"), text(&case, "name"));
        println!("{}", serde_json::json!({ "name": name, "verdict": verdict, "reason": reason }));
    }
}
