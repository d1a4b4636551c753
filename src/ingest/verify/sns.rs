//! AWS SNS.
//!
//! * Proof: in the body, a JSON document sent as `text/plain`: `Signature` (base64),
//!   `SignatureVersion`, `SigningCertURL`. Raw message delivery has no signature and is refused.
//! * Algorithm: RSA PKCS#1 v1.5 with SHA-1 (version 1) or SHA-256 (version 2).
//! * Signed bytes: `key\nvalue\n` of Message, MessageId, Subject (if there), Timestamp, TopicArn,
//!   Type; for SubscriptionConfirmation and UnsubscribeConfirmation Message, MessageId,
//!   SubscribeURL, Timestamp, Token, TopicArn, Type. A Subject or SubscribeURL where AWS sends none
//!   counts as signed, too, as in the validator: added on the way, it breaks the signature. Values
//!   are JSON-decoded, and only Message may have line breaks, which keep the values apart.
//!   MessageAttributes are not signed.
//! * Key: the certificate at SigningCertURL, which must be https on
//!   `sns.<region>.amazonaws.com[.cn]`, end in `.pem`, and be pinned (`--set certs=@FILE.json`, or
//!   `--public-key-file`) or fetched by the daemon (`--set certs=fetch`), and valid now. A
//!   certificate that is not here (yet) is answered 503: SNS tries again then, and gives up on 4xx.
//! * `--set topics=…` names the topics that may deliver; others are refused. Amazon signs the
//!   messages of every account with the same certificate, so a signature proves no more than that
//!   somebody's topic sent it, and only the topic says whose. `topics=*` takes them all, for
//!   sources that are guarded otherwise.
//! * SubscriptionConfirmation: of a topic that is named there it is confirmed once it is
//!   remembered, by a GET of its SubscribeURL, which must be https on
//!   `sns.<region>.amazonaws.com[.cn]` (and is signed). Without a name it is only remembered, for
//!   otherwise whoever knows the URL could subscribe it to a topic of their own.
//! * Replay protection: the signed Timestamp, at most an hour old, which is as long as SNS tries
//!   (`--set max_age_s=…`, `none` for any age). Dedupe id: MessageId. Type: Type, so that a
//!   SubscriptionConfirmation, which is proven and kept like any other message, can be found and
//!   acted upon.
//! * Source: AWS SNS developer guide, "Verifying the signatures"; aws sns-validator.
//! * Checked with: sns-validator 0.3.5, real deliveries. For UnsubscribeConfirmation the validator
//!   leaves the Token out; the guide signs it, and so do we.
//!
//! **What it proves.** Amazon, for whoever pays: every account's topics are signed with one key, so
//! only `topics` names the recipient: whose messages are for us. Signed are the message's own
//! fields; MessageAttributes, UnsubscribeURL and all headers are not, are not trusted, and make no
//! other message of it. What is read and stands in the body twice is refused. SigningCertURL is not
//! signed either, and must lead to Amazon. MessageId names a publication: a retry repeats it; two
//! subscriptions of this URL to one topic share it, and are the same message here.

use serde_json::{Map, Value};

use crate::model::Source;
use crate::model::json::pointer::PointerValue;

use super::crypto::{fingerprint, unbase64};
use super::json::{RepeatedMember, members, scalars};
use super::params::SchemeParams;
use super::pinned_certificates::{check_certs, pinned};
use super::public_key::Algorithm;
use super::timestamps::{not_older, rfc3339_seconds};
use super::{FollowUp, Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "sns",
    header: "Signature in the body",
    algorithm: "RSA PKCS#1 v1.5 SHA-1 (v1) or SHA-256 (v2), base64",
    signed: "sorted keys and values",
    replay: "Timestamp, 1 h; dedupe id",
    dedupe: "MessageId",
    kind: "Type",
    checked_with: "sns-validator 0.3.5, captured deliveries",
    secret: Need::Unused,
    public_key: Need::Optional,
    params: &[
        (
            "certs",
            "the pinned certificates, @FILE.json: {\"https://sns.REGION.amazonaws.com/….pem\": \
             \"PEM\"}; or fetch",
        ),
        (
            "topics",
            "the ARNs of the topics that may deliver, separated by commas; * for every topic of \
             every account",
        ),
        ("topic", "a single one"),
        ("max_age_s", "maximum age of Timestamp in seconds, 3600 by default, or none"),
    ],
    check,
    // A message has 256 KiB (docs.aws.amazon.com/sns), each byte of which JSON may write as six.
    max_body: 2 << 20,
    certificate_url: Some(certificate_url),
    own_content: true,
    ..Scheme::new(verify, recipient, Scheme::no_secret_header)
};

const NOTIFICATION: &[&str] =
    &["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "TopicArn", "Type"];
const CONFIRMATION: &[&str] =
    &["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

/// The members that are read of a message; all others may be large, and are skipped.
const READ: &[&str] = &[
    "Message",
    "MessageId",
    "Signature",
    "SignatureVersion",
    "SigningCertURL",
    "Subject",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
    "UnsubscribeURL",
];
/// SNS gives a delivery up after an hour.
const MAX_AGE_S: i64 = 3600;

/// The members of a message that are read.
type SnsMessage = Map<String, Value>;

/// Every topic of every account.
const ANY: &str = "*";

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).either("topic", "topics")?;
    SchemeParams(source).age("max_age_s", MAX_AGE_S)?;
    check_certs(source)
}

fn recipient(source: &Source) -> Result<(), String> {
    match SchemeParams(source).either("topic", "topics")? {
        Some(_) => Ok(()),
        None => Err("Amazon signs the messages of all its customers with one key, so without \
                     --set topics=… anybody's topic could deliver here; name the ARNs of yours, \
                     separated by commas"
            .into()),
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let raw = request.readable_header("x-amz-sns-rawdelivery");
    if raw.is_some_and(|raw| raw.eq_ignore_ascii_case("true")) {
        return Err(ProofRefusal::missing(
            "raw message delivery is not signed; turn it off for this subscription",
        ));
    }
    let message = message(request.body)?;

    let signed = signed(&message)?;
    prove(source, &message, &signed, now)?;
    if let Some(max_age) = SchemeParams(source).age("max_age_s", MAX_AGE_S)? {
        not_older(rfc3339_seconds(text(&message, "Timestamp")?)?, now, max_age)?;
    }

    let topic = text(&message, "TopicArn")?;
    let topics = SchemeParams(source).either("topic", "topics")?.unwrap_or_default();
    let is_named = topics.contains(&topic);
    if !(is_named || topics.is_empty() || topics.contains(&ANY)) {
        return Err(ProofRefusal::new(
            "not-allowed",
            format!("the topic {topic:?} is not in --set topics=…"),
        ));
    }

    let mut proven = describe(&message, &signed);
    if is_named && text(&message, "Type")? == "SubscriptionConfirmation" {
        proven.follow_up = Some(confirmation(&message, topic)?);
    }
    Ok(Verdict::Proven(proven))
}

/// Proves what is signed with the certificate that the message names.
fn prove(
    source: &Source,
    message: &SnsMessage,
    signed: &[u8],
    now: i64,
) -> Result<(), ProofRefusal> {
    let given = unbase64(text(message, "Signature")?)
        .ok_or_else(|| ProofRefusal::malformed("Signature is not base64"))?;
    let algorithm = match text(message, "SignatureVersion")? {
        "1" => Algorithm::RsaSha1,
        "2" => Algorithm::RsaSha256,
        other => {
            return Err(ProofRefusal::new(
                "algorithm",
                format!("SignatureVersion {other:?} is not known"),
            ));
        }
    };

    let url = text(message, "SigningCertURL")?;
    if !is_sns_certificate(url) {
        return Err(ProofRefusal::new(
            "not-allowed",
            "SigningCertURL is not an https .pem of sns.<region>.amazonaws.com",
        ));
    }
    if !pinned(source, url, now)?.key.verify(algorithm, signed, &given) {
        return Err(ProofRefusal::mismatch("the signature does not match with the certificate"));
    }
    Ok(())
}

/// Reads a message. A member that stands there twice is refused: a receiver may believe the one
/// that was not looked at.
fn message(body: &[u8]) -> Result<SnsMessage, ProofRefusal> {
    let members = members(body, READ)
        .map_err(|RepeatedMember(name)| {
            ProofRefusal::duplicate(format!("{name} stands in the body more than once"))
        })?
        .ok_or_else(|| ProofRefusal::malformed("the body is not a JSON object"))?;
    let value = |value| match value {
        PointerValue::Text(text) | PointerValue::Inexact { text, .. } => Value::String(text),
        PointerValue::Null => Value::Null,
        // No more is said of them than that they are no texts.
        _ => Value::Array(Vec::new()),
    };
    Ok(members.into_iter().map(|(name, found)| (name.to_owned(), value(found))).collect())
}

fn text<'m>(message: &'m SnsMessage, key: &str) -> Result<&'m str, ProofRefusal> {
    match message.get(key) {
        None => Err(ProofRefusal::missing(format!("the body has no {key}"))),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ProofRefusal::malformed(format!("{key} is not a text"))),
    }
}

fn signed(message: &SnsMessage) -> Result<Vec<u8>, ProofRefusal> {
    let (keys, optional): (_, &[&str]) = match text(message, "Type")? {
        "Notification" => (NOTIFICATION, &["Subject", "SubscribeURL"]),
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => (CONFIRMATION, &["Subject"]),
        other => return Err(ProofRefusal::malformed(format!("Type {other:?} is not known"))),
    };

    let mut signed = String::new();
    for key in keys {
        if optional.contains(key) && message.get(*key).is_none_or(Value::is_null) {
            continue;
        }
        let value = text(message, key)?;
        // Lines are what keeps the signed values apart. The message is the first of them, and may
        // have as many as it likes: its end is found from the other end.
        if *key != "Message" && value.contains('\n') {
            return Err(ProofRefusal::malformed(format!("{key} has a line break in it")));
        }
        for part in [*key, value] {
            signed.push_str(part);
            signed.push('\n');
        }
    }
    Ok(signed.into_bytes())
}

fn confirmation(message: &SnsMessage, topic: &str) -> Result<FollowUp, ProofRefusal> {
    let url = text(message, "SubscribeURL")?;
    if path_at_sns(url).is_none() {
        return Err(ProofRefusal::new(
            "not-allowed",
            "SubscribeURL is not https at sns.<region>.amazonaws.com",
        ));
    }
    Ok(FollowUp::Confirm { url: url.to_owned(), topic: topic.to_owned() })
}

/// The certificate that a message names, where SNS publishes them.
pub(super) fn certificate_url(request: &Request<'_>) -> Option<String> {
    let [url] = scalars(request.body, ["/SigningCertURL"]);
    let name = |url: &str| {
        path_at_sns(url)
            .and_then(|path| path.strip_prefix("SimpleNotificationService-"))
            .map(str::to_owned)
    };
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');

    url.filter(|url| is_sns_certificate(url) && name(url).is_some_and(|name| plain(&name)))
}

/// `https://sns.<region>.amazonaws.com[.cn]/….pem`, without user, port or query, in characters that
/// can be quoted and have one spelling.
fn is_sns_certificate(url: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    path_at_sns(url).is_some_and(|path| path.ends_with(".pem") && path.bytes().all(is_plain))
}

/// The path behind `https://sns.<region>.amazonaws.com[.cn]/`; `None` when the URL leads elsewhere.
fn path_at_sns(url: &str) -> Option<&str> {
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host
        .strip_prefix("sns.")
        .and_then(|rest| rest.strip_suffix(".amazonaws.com"))
        .unwrap_or_default();
    let good = region.len() >= 3
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    good.then_some(path)
}

fn describe(message: &SnsMessage, signed: &[u8]) -> Proven {
    let fact = |key| text(message, key).ok().map(str::to_owned);
    // What is not signed (MessageAttributes, UnsubscribeURL) makes no other message of it.
    let content = fingerprint(signed);
    let signed = Some(Signed::Digest(content.clone()));
    Proven {
        kind: fact("Type"),
        dedupe_key: fact("MessageId"),
        content: Some(content),
        signed,
        ..Proven::default()
    }
}

#[cfg(test)]
mod tests {
    use super::is_sns_certificate;

    #[test]
    fn only_certificates_of_sns() {
        for good in [
            "https://sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/b/a.pem",
        ] {
            assert!(is_sns_certificate(good), "{good}");
        }

        let bad = [
            "http://sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
            "https://sns.eu-west-1.amazonaws.com:443/a.pem",
            "https://u@sns.eu-west-1.amazonaws.com/a.pem",
            "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.e.amazonaws.com/a.pem",
            "https://sns.eu.west.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com/a.pem?x",
            "https://sns.EU-west-1.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com/a\nERROR.pem",
            "https://sns.eu-west-1.amazonaws.com/a%62.pem",
            "https://sns.eu-west-1.amazonaws.com/é.pem",
            "https://sns.eu-west-1.amazonaws.com/a.pem#.pem",
            "https://sns.eu-west-1.amazonaws.com/a.txt",
            "https://sns.eu-west-1.amazonaws.com.cn.cn/a.pem",
            "https://s3.amazonaws.com/a.pem",
            "https://sns.amazonaws.com/a.pem",
        ];
        for bad in bad {
            assert!(!is_sns_certificate(bad), "{bad}");
        }
    }
}
