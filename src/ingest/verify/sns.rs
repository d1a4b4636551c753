//! AWS SNS.
//!
//! * Proof: in the body, a JSON document sent as `text/plain`: `Signature` (base64), `SignatureVersion`,
//!   `SigningCertURL`. Raw message delivery carries no signature and is refused.
//! * Algorithm: RSA PKCS#1 v1.5 with SHA-1 (version 1) or SHA-256 (version 2).
//! * Signed bytes: `key\nvalue\n` of Message, MessageId, Subject (if there), Timestamp, TopicArn, Type; for
//!   SubscriptionConfirmation and UnsubscribeConfirmation Message, MessageId, SubscribeURL, Timestamp, Token, TopicArn,
//!   Type. A Subject or SubscribeURL where AWS sends none counts as signed, too, as in the validator: added on the
//!   way, it breaks the signature. Values are JSON-decoded. MessageAttributes are not signed.
//! * Key: the certificate at SigningCertURL, which must be https on `sns.<region>.amazonaws.com[.cn]`, end in `.pem`,
//!   and be pinned (`--set certs=@FILE.json`, or `--public-key-file`) and valid now; nothing is fetched here.
//! * `--set topics=…` names the topics that may deliver; others are refused.
//! * SubscriptionConfirmation: of a topic that is named there it is confirmed once it is remembered, by a GET of its
//!   SubscribeURL, which must be https on `sns.<region>.amazonaws.com[.cn]` (and is signed). Without `topics` it is
//!   only remembered, for otherwise whoever knows the URL could subscribe it to a topic of their own.
//! * Replay protection: none. Dedupe id: MessageId. Type: Type, so that a SubscriptionConfirmation, which is proven
//!   and kept like any other message, can be found and acted upon.
//! * Source: AWS SNS developer guide, "Verifying the signatures"; aws sns-validator.
//! * Checked with: sns-validator 0.3.5, real deliveries. For UnsubscribeConfirmation the validator leaves the Token
//!   out; the guide signs it, and so do we.

use serde_json::{Map, Value};

use crate::model::Source;

use super::crypto::unbase64;
use super::keys::Algorithm;
use super::params::Params;
use super::paypal::{check_certs, pinned};
use super::{FollowUp, Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "sns",
    header: "Signature in the body",
    algorithm: "RSA PKCS#1 v1.5 SHA-1 (v1) or SHA-256 (v2), base64",
    signed: "sorted keys and values",
    replay: "none (dedupe id)",
    dedupe: "MessageId",
    kind: "Type",
    checked_with: "sns-validator 0.3.5, captured deliveries",
    methods: "POST",
    secret: Need::Unused,
    public_key: Need::Optional,
    params: &[
        ("certs", "the pinned certificates, @FILE.json: {\"https://sns.REGION.amazonaws.com/….pem\": \"PEM\"}"),
        ("topics", "the ARNs that may deliver, separated by commas"),
        ("topic", "one instead of several"),
    ],
    verify,
    check,
};

const NOTIFICATION: &[&str] = &["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "TopicArn", "Type"];
const CONFIRMATION: &[&str] =
    &["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

fn check(source: &Source) -> Result<(), String> {
    Params(source).either("topic", "topics")?;
    check_certs(source)
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    if request.fact("x-amz-sns-rawdelivery").is_some_and(|raw| raw.eq_ignore_ascii_case("true")) {
        return Err(Refusal::missing("raw message delivery is not signed; turn it off for this subscription"));
    }
    let message: Map<String, Value> =
        serde_json::from_slice(request.body).map_err(|_| Refusal::malformed("the body is not a JSON object"))?;
    let signed = signed(&message)?;
    let given = unbase64(text(&message, "Signature")?).ok_or_else(|| Refusal::malformed("Signature is not base64"))?;
    let algorithm = match text(&message, "SignatureVersion")? {
        "1" => Algorithm::RsaSha1,
        "2" => Algorithm::RsaSha256,
        other => return Err(Refusal::new("algorithm", format!("SignatureVersion {other:?} is not known"))),
    };
    let url = text(&message, "SigningCertURL")?;
    if !is_sns_certificate(url) {
        return Err(Refusal::new("not-allowed", "SigningCertURL is not an https .pem of sns.<region>.amazonaws.com"));
    }
    if !pinned(source, url, now)?.key.verify(algorithm, &signed, &given) {
        return Err(Refusal::mismatch("the signature does not match with the certificate"));
    }
    let topic = text(&message, "TopicArn")?;
    let topics = Params(source).either("topic", "topics")?;
    let topics_are_named = topics.is_some();
    if topics.is_some_and(|topics| !topics.contains(&topic)) {
        return Err(Refusal::new("not-allowed", format!("the topic {topic:?} is not in --set topics=…")));
    }
    let mut proven = describe(&message);
    if topics_are_named && text(&message, "Type")? == "SubscriptionConfirmation" {
        proven.follow_up = Some(confirmation(&message, topic)?);
    }
    Ok(Verdict::Proven(proven))
}

fn text<'m>(message: &'m Map<String, Value>, key: &str) -> Result<&'m str, Refusal> {
    match message.get(key) {
        None => Err(Refusal::missing(format!("the body has no {key}"))),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Refusal::malformed(format!("{key} is not a text"))),
    }
}

fn signed(message: &Map<String, Value>) -> Result<Vec<u8>, Refusal> {
    let (keys, optional): (_, &[&str]) = match text(message, "Type")? {
        "Notification" => (NOTIFICATION, &["Subject", "SubscribeURL"]),
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => (CONFIRMATION, &["Subject"]),
        other => return Err(Refusal::malformed(format!("Type {other:?} is not known"))),
    };
    let mut signed = String::new();
    for key in keys {
        if optional.contains(key) && message.get(*key).is_none_or(Value::is_null) {
            continue;
        }
        for part in [*key, text(message, key)?] {
            signed.push_str(part);
            signed.push('\n');
        }
    }
    Ok(signed.into_bytes())
}

fn confirmation(message: &Map<String, Value>, topic: &str) -> Result<FollowUp, Refusal> {
    let url = text(message, "SubscribeURL")?;
    if path_at_sns(url).is_none() {
        return Err(Refusal::new("not-allowed", "SubscribeURL is not https at sns.<region>.amazonaws.com"));
    }
    Ok(FollowUp::Confirm { url: url.to_owned(), topic: topic.to_owned() })
}

/// `https://sns.<region>.amazonaws.com[.cn]/….pem`, without user, port or query.
fn is_sns_certificate(url: &str) -> bool {
    path_at_sns(url).is_some_and(|path| path.ends_with(".pem") && !path.contains(['?', '#']))
}

/// What stands behind `https://sns.<region>.amazonaws.com[.cn]/`; `None` when the URL leads elsewhere.
fn path_at_sns(url: &str) -> Option<&str> {
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.").and_then(|rest| rest.strip_suffix(".amazonaws.com")).unwrap_or_default();
    let good = region.len() >= 3 && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    good.then_some(path)
}

fn describe(message: &Map<String, Value>) -> Proven {
    let fact = |key| text(message, key).ok().map(str::to_owned);
    Proven { kind: fact("Type"), dedupe_key: fact("MessageId"), ..Proven::default() }
}

#[cfg(test)]
mod tests {
    use super::is_sns_certificate;

    #[test]
    fn only_certificates_of_sns() {
        for good in ["https://sns.eu-west-1.amazonaws.com/a.pem", "https://sns.cn-north-1.amazonaws.com.cn/b/a.pem"] {
            assert!(is_sns_certificate(good), "{good}");
        }
        for bad in [
            "http://sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
            "https://sns.eu-west-1.amazonaws.com:443/a.pem",
            "https://u@sns.eu-west-1.amazonaws.com/a.pem",
            "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.e.amazonaws.com/a.pem",
            "https://sns.eu.west.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com/a.pem?x",
            "https://sns.eu-west-1.amazonaws.com/a.pem#.pem",
            "https://sns.eu-west-1.amazonaws.com/a.txt",
            "https://sns.eu-west-1.amazonaws.com.cn.cn/a.pem",
            "https://s3.amazonaws.com/a.pem",
            "https://sns.amazonaws.com/a.pem",
        ] {
            assert!(!is_sns_certificate(bad), "{bad}");
        }
    }
}
