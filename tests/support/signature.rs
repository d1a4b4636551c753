//! Signatures, made and checked here with another library than the product's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::receiver::Seen;

/// The value of `X-Hub-Signature-256` for a body.
pub fn github(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", super::hex(hmac::sign(&key, body).as_ref()))
}

/// One `v1,…` of Standard Webhooks.
pub fn standard(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let encoded = secret.strip_prefix("whsec_").expect("a whsec_ secret");
    let key =
        hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(encoded).expect("base64 behind whsec_"));
    let mut content = format!("{id}.{timestamp}.").into_bytes();
    content.extend_from_slice(body);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, &content).as_ref()))
}

/// Whether one of the signatures of a received request was made with `secret`.
pub fn signed_with(seen: &Seen, secret: &str) -> bool {
    let header = |name: &str| seen.header(name).unwrap_or_default().to_owned();
    let wanted = standard(secret, &header("webhook-id"), &header("webhook-timestamp"), &seen.body);
    header("webhook-signature").split(' ').any(|one| one == wanted)
}
