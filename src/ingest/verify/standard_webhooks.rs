//! Standard Webhooks (and what Svix and GitLab's signing tokens share with it).
//!
//! * Headers: `webhook-id`, `webhook-timestamp`, `webhook-signature`; all three as `svix-…` are
//!   taken too, but never some of the one and some of the other.
//! * Algorithm: a list separated by spaces of `v1,<base64>` (HMAC-SHA256; the key is the base64
//!   after `whsec_`) and `v1a,<base64>` (Ed25519; the key is the base64 after `whpk_`). Any that
//!   holds is enough; unknown ones are passed over. A `v1` is only tried with secrets, a `v1a` only
//!   with public keys.
//! * Signed bytes: `id.timestamp.body`. An id that holds a dot and a time (`msg.1770000000`), and a
//!   body that begins with a time and a dot, are refused: they could be cut in another place.
//! * Replay protection: timestamp within ±300 s, the limit included (`--set tolerance_s=…` changes
//!   it).
//! * Dedupe id: `webhook-id`. Type: the body's `type`.
//! * Source: the Standard Webhooks specification and its libraries; github.com/svix/svix-webhooks.
//! * Checked with: standardwebhooks and svix (Python, JavaScript) for `v1`; PyNaCl for `v1a`, which
//!   the official libraries do not verify.
//!
//! **What it proves.** Whoever holds the secret (`v1`), the recipient included; with `v1a` the
//! sender alone, and then its public key may be that of all its recipients, whom nothing names.
//! Signed are id, time and body; the URL and other headers are not, and are not trusted.
//! `webhook-id` names a message; a retry repeats it, signed at a new time. A sender with several
//! endpoints may have them share one id: each has its secret.

use std::sync::LazyLock;

use data_encoding::{BASE64_NOPAD, Encoding};

use crate::model::Source;

use super::crypto::{HashFunction, hmacs, is_among, unbase64};
use super::json::scalars;
use super::params::SchemeParams;
use super::public_key::{Algorithm, PublicKey, ed25519_keys};
use super::secrets::{live_secrets, secrets_in_words};
use super::timestamps::{TOLERANCE_S, TimestampUnit, not_ahead, not_older, unix_seconds};
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "standard-webhooks",
    header: "webhook-signature, -id, -timestamp",
    algorithm: "HMAC-SHA256 (v1), Ed25519 (v1a), base64",
    signed: "id.timestamp.body",
    replay: "timestamp, ±300 s",
    dedupe: "webhook-id",
    kind: "body type",
    checked_with: "the specification's own tests; standardwebhooks and svix libraries; PyNaCl for \
                   v1a",
    secret: Need::Optional,
    public_key: Need::Optional,
    params: &[(
        "tolerance_s",
        "seconds by which the timestamp may differ from the clock, 300 by default",
    )],
    check,
    advice,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

/// Signatures of a list that are looked at; a rotation needs a handful.
const LISTED: usize = 32;

pub(super) fn check(source: &Source) -> Result<(), String> {
    if source.secrets.is_empty() && source.public_key.is_none() {
        return Err(
            "give the secret (whsec_…) with --secret-file, or the public key (whpk_…) with \
             --public-key-file"
                .into(),
        );
    }
    SchemeParams(source).number("tolerance_s")?;

    for timed in &source.secrets {
        secret_key(&timed.secret.0)?;
    }
    verifying_keys(source).map(|_| ())
}

fn advice(source: &Source) -> Option<String> {
    let may_be_shared = source.public_key.is_some() && source.secrets.is_empty();
    may_be_shared.then(|| {
        "a sender who signs for many with this key does not say for whom: make sure that it is \
         this endpoint's own"
            .to_owned()
    })
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    prove(source, request, now, &["webhook", "svix"])
        .map(|id| Verdict::Proven(describe(request, id)))
}

pub(super) fn describe(request: &Request<'_>, id: &str) -> Proven {
    let [kind] = scalars(request.body, ["/type"]);
    Proven {
        kind,
        dedupe_key: Some(id.to_owned()),
        signed: Some(Signed::Body),
        ..Proven::default()
    }
}

/// Proves the request with the first family of headers that is complete, and gives its id.
pub(super) fn prove<'r>(
    source: &Source,
    request: &Request<'r>,
    now: i64,
    families: &[&str],
) -> Result<&'r str, ProofRefusal> {
    let (id, timestamp, signatures) = complete(request, families)?;
    let at = unix_seconds(timestamp)?;
    let tolerance = SchemeParams(source).number("tolerance_s")?.unwrap_or(TOLERANCE_S);
    not_older(at, now, tolerance)?;
    not_ahead(at, now, tolerance)?;

    let secrets = live_secrets(source, now)
        .into_iter()
        .map(|secret| secret_key(secret).map_err(ProofRefusal::settings))
        .collect::<Result<Vec<_>, _>>()?;
    let public_keys = verifying_keys(source).map_err(ProofRefusal::settings)?;
    if secrets.is_empty() && public_keys.is_empty() {
        return Err(ProofRefusal::settings("the source has neither a secret nor a public key"));
    }

    check_borders(id, request.body)?;
    let parts: &[&[u8]] = &[id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body];
    let message = if public_keys.is_empty() { Vec::new() } else { parts.concat() };
    let proofs = SignatureCheck {
        macs: hmacs(HashFunction::Sha256, &secrets, parts),
        public_keys: &public_keys,
        message,
    };
    if proofs.any_holds(signatures) {
        return Ok(id);
    }

    let keys = secrets.len() + public_keys.len();
    Err(ProofRefusal::mismatch(format!(
        "no signature of the list matches with {}",
        secrets_in_words(keys)
    )))
}

/// Refuses what could be cut in two ways under one signature. `a.1770000000` at one time and `{}`
/// are signed as `a` at the time 1770000000 with a body that begins with the other time, and the
/// id is what a repetition is known by.
fn check_borders(id: &str, body: &[u8]) -> Result<(), ProofRefusal> {
    let holds_time = |text: &str| {
        TimestampUnit::Seconds
            .behind(text.as_bytes())
            .is_some_and(|rest| matches!(rest, [] | [b'.', ..]))
    };
    if id.match_indices('.').any(|(at, dot)| holds_time(&id[at + dot.len()..])) {
        return Err(ProofRefusal::malformed(
            "the id holds a dot and a time, so that nobody can say where the signed id ends",
        ));
    }
    if TimestampUnit::Seconds.behind(body).is_some_and(|rest| rest.starts_with(b".")) {
        return Err(ProofRefusal::malformed(
            "the body begins with a time and a dot, so that nobody can say where the signed id \
             ends",
        ));
    }
    Ok(())
}

fn complete<'r>(
    request: &Request<'r>,
    families: &[&str],
) -> Result<(&'r str, &'r str, &'r str), ProofRefusal> {
    let mut missing = None;
    for family in families {
        let part = |name: &str| request.header(&format!("{family}-{name}"));
        match (part("id"), part("timestamp"), part("signature")) {
            (Ok(id), Ok(timestamp), Ok(signature)) => return Ok((id, timestamp, signature)),
            (Err(refusal), ..) | (_, Err(refusal), _) | (.., Err(refusal)) => {
                _ = missing.get_or_insert(refusal)
            }
        }
    }
    Err(missing.unwrap_or_else(|| ProofRefusal::missing("the signature headers are missing")))
}

/// The keys that a listed signature is compared with.
struct SignatureCheck<'k> {
    macs: Vec<Vec<u8>>,
    public_keys: &'k [PublicKey],
    message: Vec<u8>,
}

impl SignatureCheck<'_> {
    fn any_holds(&self, list: &str) -> bool {
        let listed = list.split(' ').filter_map(|signature| signature.split_once(',')).take(LISTED);
        listed.filter_map(|(version, text)| Some((version, unbase64(text)?))).any(
            |(version, given)| match version {
                "v1" => is_among(&self.macs, &given),
                "v1a" => self
                    .public_keys
                    .iter()
                    .any(|key| key.verify(Algorithm::Ed25519, &self.message, &given)),
                _ => false,
            },
        )
    }
}

/// Base64 without its padding. The bits that the last character has too many are ignored, as the
/// libraries ignore them: a secret may have been cut out of a longer one.
static LENIENT_BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = BASE64_NOPAD.specification();
    spec.check_trailing_bits = false;
    spec.encoding().expect("the alphabet is base64's own")
});

/// The HMAC key of `whsec_<base64>`; the prefix and the padding may be missing, and the version of
/// the signature may stand in front, as some senders show it (`v1,whsec_…`).
fn secret_key(secret: &str) -> Result<Vec<u8>, String> {
    if secret.starts_with("whsk_") {
        return Err(
            "whsk_… is the sender's private key; to verify, give its whpk_… with --public-key-file"
                .into(),
        );
    }
    let text = secret.strip_prefix("v1,").unwrap_or(secret);
    let text = text.strip_prefix("whsec_").unwrap_or(text).trim_end_matches('=');
    LENIENT_BASE64.decode(text.as_bytes()).ok().filter(|key| !key.is_empty()).ok_or_else(|| {
        "a secret is not base64 after whsec_; copy it whole from the sender".to_owned()
    })
}

fn verifying_keys(source: &Source) -> Result<Vec<PublicKey>, String> {
    source.public_key.as_deref().map_or(Ok(Vec::new()), ed25519_keys)
}
