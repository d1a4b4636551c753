//! HTTP message signatures (RFC 9421): the signature base, and what is refused.

use serde_json::json;

use super::{NOW, ask, proven, refused, source};
use crate::ingest::verify::check_settings;
use crate::model::Source;

/// Signs with Ed25519 what a signer would: the base is written out by hand here.
fn signed_message(input: &str, base: &str) -> (Source, [(String, String); 2]) {
    use ring::signature::KeyPair as _;
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let mut source =
        source("rfc9421", "", json!({"alg": "ed25519", "require_content_digest": false}));
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    source.public_key =
        Some(data_encoding::BASE64.encode(&[&prefix[..], pair.public_key().as_ref()].concat()));
    assert_eq!(check_settings(&source), Ok(()));
    let signature = data_encoding::BASE64.encode(pair.sign(base.as_bytes()).as_ref());
    (
        source,
        [
            ("signature-input".into(), format!("s={input}")),
            ("signature".into(), format!("s=:{signature}:")),
        ],
    )
}

#[test]
fn the_signature_base_has_every_kind_of_component() {
    let input = format!(
        "(\"@method\" \"@scheme\" \"@request-target\" \"@query-param\";name=\"a%20b\" \
         \"x-two\" \"x-two\";bs \"x-dict\";key=\"k\" \"priority\";sf);created={NOW}"
    );
    let base = format!(
        "\"@method\": PUT\n\"@scheme\": https\n\"@request-target\": \
         /p?a+b=%C3%A9+!&c\n\"@query-param\";name=\"a%20b\": %C3%A9%20%21\n\"x-two\": one, \
         two\n\"x-two\";bs: :b25l:, :dHdv:\n\"x-dict\";key=\"k\": (1 2);q\n\"priority\";sf: u=1, \
         i\n\"@signature-params\": {input}"
    );

    let (source, signature) = signed_message(&input, &base);
    let mut headers = vec![
        ("x-two", " one "),
        ("x-dict", "j, k=( 1  2 );q"),
        ("x-two", "two"),
        ("priority", "u=1,i"),
    ];
    headers.extend(signature.iter().map(|(name, value)| (name.as_str(), value.as_str())));

    let url = "https://H.example:443/p?a+b=%C3%A9+!&c#f";
    proven(ask(&source, "PUT", url, &headers, b""));

    headers[3].1 = "u=2,i";
    assert_eq!(refused(ask(&source, "PUT", url, &headers, b"")).0, "mismatch");
}

#[test]
fn a_signature_that_covers_what_is_not_there_is_refused() {
    let refusal = |input: &str| {
        let (source, signature) = signed_message(input, "");
        let headers: Vec<(&str, &str)> =
            signature.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        refused(ask(&source, "POST", "https://h.example/?q=1&q=2", &headers, b"")).0
    };

    for (components, kind) in [
        (r#"("@status")"#, "malformed"),
        (r#"("@method";req)"#, "malformed"),
        (r#"("@method" "@method")"#, "duplicate"),
        (r#"("@query-param";name="q")"#, "duplicate"),
        (r#"("@query-param";name="r")"#, "missing"),
        (r#"("@query-param")"#, "malformed"),
        (r#"("X-A")"#, "malformed"),
        (r#"("x-a")"#, "missing"),
        (r#"("x-a";tr)"#, "malformed"),
        (r#"("@signature-params")"#, "malformed"),
        ("(token)", "malformed"),
    ] {
        assert_eq!(refusal(&format!("{components};created={NOW}")), kind, "{components}");
    }

    for (parameters, kind) in [
        (String::new(), "missing"),
        (format!(";created={}", NOW + 61), "stale"),
        (format!(";created={NOW};expires={}", NOW - 1), "stale"),
        (format!(";created={NOW};alg=\"rsa-pss-sha512\""), "algorithm"),
        (format!(";created={NOW};what=1"), "malformed"),
        (format!(";created=\"{NOW}\""), "malformed"),
        (format!(";created={NOW}.0"), "malformed"),
    ] {
        assert_eq!(refusal(&format!("(){parameters}")), kind, "{parameters}");
    }
}
