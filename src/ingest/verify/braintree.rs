//! Braintree.
//!
//! * Proof: a form with `bt_signature` (`public_key|hex` pairs joined by `&`) and `bt_payload`
//!   (base64 of XML).
//! * Algorithm and signed bytes: HMAC-SHA1 of the base64 text as it came; the key is the SHA-1
//!   digest of the private key (the source's secret). Of the pairs, the first with our public key
//!   (`--set public_key=…`) counts. A form parser may have lost the last newline, so the text with
//!   one more is tried too.
//! * The payload may hold only `[A-Za-z0-9+/=\n]`, and must decode to XML. The second is a rule of
//!   ours: the handshake below signs any 20 to 32 hex digits, which are base64 too, and must not
//!   become a way to forge events.
//! * Replay protection: none. Dedupe id: there is none, so a hash of the payload. Type: the XML's
//!   `kind`.
//! * Handshake: `GET ?bt_challenge=<20 to 32 hex digits>` is answered `public_key|HMAC` of it.
//! * Source: braintree-python `webhook_notification_gateway.py`, `util/crypto.py`.
//! * Checked with: braintree-python 4.48.0, braintree-node 3.40.0. Hex in upper case is refused, as
//!   they do; a field that occurs twice is refused, for a later reader of the event may use the
//!   other one.
//!
//! **What it proves.** Whoever holds the private key of the API, which the recipient does as well.
//! The recipient is named by that key and by the public key beside the signature. Signed is the
//! payload; the other fields of the form, the URL and all headers are not, and are not trusted:
//! nothing is read from them. A retry repeats the payload byte for byte, so its hash is the key;
//! two notifications differ in the timestamp of their XML.

use data_encoding::{BASE64, HEXLOWER};

use crate::model::Source;

use super::crypto::{HashFunction, fingerprint, hmac, hmac_matches, sha1, unhex};
use super::params::SchemeParams;
use super::secrets::{required_secrets, secrets_in_words};
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Signed, Verdict, VerifyResult,
    form,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "braintree",
    header: "form field bt_signature",
    algorithm: "HMAC-SHA1 keyed by SHA-1(private key), hex",
    signed: "bt_payload",
    replay: "none",
    dedupe: "hash of the payload",
    kind: "XML kind",
    checked_with: "braintree-python 4.48.0, braintree-node 3.40.0",
    methods: "POST, GET",
    secret: Need::Required,
    provider_makes_secret: true,
    public_key: Need::Unused,
    params: &[("public_key", "the API's public key, as Braintree shows it")],
    check,
    own_content: true,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

fn check(source: &Source) -> Result<(), String> {
    match SchemeParams(source).text("public_key")? {
        Some(_) => Ok(()),
        None => {
            Err("the scheme braintree needs the API's public key; give it with --set public_key=…"
                .into())
        }
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let public_key = SchemeParams(source)
        .text("public_key")?
        .ok_or_else(|| ProofRefusal::settings("the source has no --set public_key=…"))?;
    let keys: Vec<Vec<u8>> =
        required_secrets(source, now)?.iter().map(|secret| sha1(secret.as_bytes())).collect();

    if request.method == "GET" {
        return handshake(request, public_key, &keys);
    }

    let fields = form::parse(request.body)?;
    let signatures = field(&fields, "bt_signature")?;
    let payload = field(&fields, "bt_payload")?;
    let legal =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\n');
    if !payload.iter().all(legal) {
        return Err(ProofRefusal::malformed("bt_payload holds characters that are not base64"));
    }

    let given = own_signature(signatures, public_key)?;
    let holds = |parts: &[&[u8]]| hmac_matches(HashFunction::Sha1, &keys, parts, &given);
    if !holds(&[payload]) && !holds(&[payload, b"\n"]) {
        return Err(ProofRefusal::mismatch(format!(
            "bt_signature does not match with {}",
            secrets_in_words(keys.len())
        )));
    }
    describe(payload).map(Verdict::Proven)
}

fn field<'f>(fields: &'f [form::FormField], name: &str) -> Result<&'f [u8], ProofRefusal> {
    let value = form::single(fields, name).map_err(|_| {
        ProofRefusal::duplicate(format!("the form field {name} occurs more than once"))
    })?;
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| ProofRefusal::missing(format!("the form field {name} is missing")))
}

fn own_signature(signatures: &[u8], public_key: &str) -> Result<Vec<u8>, ProofRefusal> {
    let text = std::str::from_utf8(signatures)
        .map_err(|_| ProofRefusal::malformed("bt_signature is not text"))?;
    let mut pairs = text.split('&').filter_map(|pair| pair.split_once('|'));
    let (_, hex) = pairs.find(|(key, _)| *key == public_key).ok_or_else(|| {
        ProofRefusal::unknown_key("bt_signature holds no signature for --set public_key=…")
    })?;

    unhex(hex).ok_or_else(|| ProofRefusal::malformed("bt_signature is not hex in lower case"))
}

fn handshake(request: &Request<'_>, public_key: &str, keys: &[Vec<u8>]) -> VerifyResult {
    let challenge = request
        .query_field("bt_challenge")?
        .ok_or_else(|| ProofRefusal::missing("a GET without the query field bt_challenge"))?;

    let hex = challenge.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !hex || !(20..=32).contains(&challenge.len()) {
        return Err(ProofRefusal::malformed("bt_challenge is not 20 to 32 hex digits"));
    }

    let key = keys.first().map(Vec::as_slice).unwrap_or_default();
    let proof = HEXLOWER.encode(&hmac(HashFunction::Sha1, key, &[&challenge]));
    Ok(Verdict::Handshake(ProviderAnswer::with_body(
        200,
        "text/plain",
        format!("{public_key}|{proof}"),
    )))
}

fn describe(payload: &[u8]) -> Result<Proven, ProofRefusal> {
    let base64: Vec<u8> = payload.iter().copied().filter(|byte| *byte != b'\n').collect();
    let xml =
        BASE64.decode(&base64).map_err(|_| ProofRefusal::malformed("bt_payload is not base64"))?;
    if !xml.trim_ascii_start().starts_with(b"<") {
        return Err(ProofRefusal::malformed("bt_payload is not XML"));
    }

    let xml = String::from_utf8_lossy(&xml);
    let kind = xml
        .split_once("<kind>")
        .and_then(|(_, rest)| rest.split_once("</kind>"))
        .map(|(kind, _)| kind.trim().to_owned());

    let payload = fingerprint(&base64);
    Ok(Proven {
        kind,
        dedupe_key: Some(payload.clone()),
        content: Some(payload),
        signed: Some(Signed::Body),
        ..Proven::default()
    })
}
