//! Slack: events, slash commands, interactivity.
//!
//! * Headers: `X-Slack-Signature: v0=<hex>`, `X-Slack-Request-Timestamp`.
//! * Algorithm and signed bytes: HMAC-SHA256 of `v0:timestamp:body`, keyed by the signing secret's
//!   text.
//! * Replay protection: timestamp within ±300 s, the limit included (`--set tolerance_s=…`).
//! * Dedupe id: `event_id`. Type: `event.type`, else the body's `type`; for forms `slash_command`,
//!   or the type in `payload`.
//! * Handshake: `url_verification`, signed like everything else, is answered with its `challenge`.
//! * Answer: 200 without a body, for Slack would show a body to the user of a slash command.
//! * Source: docs.slack.dev, "Verifying requests from Slack". Checked with: slack_sdk 3.47.0.
//!
//! **What it proves.** Whoever holds the app's signing secret, the recipient included. The
//! recipient is named by the app. Signed are time and body; `X-Slack-Retry-Num` and other headers
//! are not, and are not trusted. `event_id` names an event, and is repeated by its retries, signed
//! at a new time. Commands and interactions have no id and are not repeated: what was signed alike
//! is the same, whichever content type it bears, for that is not signed and says how it is read.

use crate::model::Source;

use super::crypto::{HashFunction, fingerprint_of, unhex};
use super::json::scalars;
use super::params::SchemeParams;
use super::secrets::prove_hmac;
use super::timestamps::{TOLERANCE_S, not_ahead, not_older, unix_seconds};
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Signed, Verdict, VerifyResult,
    form,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "slack",
    header: "X-Slack-Signature, -Request-Timestamp",
    algorithm: "HMAC-SHA256, hex",
    signed: "v0:timestamp:body",
    replay: "timestamp, ±300 s",
    dedupe: "event_id",
    kind: "event.type",
    checked_with: "slack_sdk 3.47.0",
    secret: Need::Required,
    provider_makes_secret: true,
    public_key: Need::Unused,
    params: &[(
        "tolerance_s",
        "seconds by which the timestamp may differ from the clock, 300 by default",
    )],
    check,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).number("tolerance_s")?;
    Ok(())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let timestamp = request.header("x-slack-request-timestamp")?;
    let header = request.header("x-slack-signature")?;

    let at = unix_seconds(timestamp)?;
    let tolerance = SchemeParams(source).number("tolerance_s")?.unwrap_or(TOLERANCE_S);
    not_older(at, now, tolerance)?;
    not_ahead(at, now, tolerance)?;

    let hex = header
        .strip_prefix("v0=")
        .ok_or_else(|| ProofRefusal::malformed("X-Slack-Signature does not begin with \"v0=\""))?;
    let given = unhex(hex)
        .ok_or_else(|| ProofRefusal::malformed("X-Slack-Signature is not hex in lower case"))?;
    let parts: &[&[u8]] = &[b"v0:", timestamp.as_bytes(), b":", request.body];
    prove_hmac(source, now, HashFunction::Sha256, parts, &given)?;

    let for_s = tolerance.saturating_mul(2);
    let signed = Signed::Alone { digest: fingerprint_of(parts), for_s };
    Ok(if request.is_form() {
        Verdict::Proven(describe_form(request, signed))
    } else {
        describe(request, signed)
    })
}

fn describe(request: &Request<'_>, signed: Signed) -> Verdict {
    let [kind, challenge, id, event] =
        scalars(request.body, ["/type", "/challenge", "/event_id", "/event/type"]);
    match (kind.as_deref(), challenge) {
        (Some("url_verification"), Some(challenge)) => {
            Verdict::Handshake(ProviderAnswer::with_body(200, "text/plain", challenge))
        }
        _ => {
            Verdict::Proven(Proven { kind: event.or(kind), dedupe_key: id, ..acknowledged(signed) })
        }
    }
}

fn describe_form(request: &Request<'_>, signed: Signed) -> Proven {
    let fields = form::parse(request.body).unwrap_or_default();
    let field = |name| form::single(&fields, name).ok().flatten();
    let [payload_kind] = scalars(field("payload").unwrap_or_default(), ["/type"]);
    let kind = payload_kind.or_else(|| field("command").map(|_| "slash_command".to_owned()));
    Proven { kind, ..acknowledged(signed) }
}

fn acknowledged(signed: Signed) -> Proven {
    Proven { signed: Some(signed), answer: Some(ProviderAnswer::empty(200)), ..Proven::default() }
}
