//! Travis CI.
//!
//! * Header: `Signature`, base64.
//! * Algorithm and signed bytes: RSA PKCS#1 v1.5 with SHA-1 over the *decoded* form field
//!   `payload`. The public key is `config.notifications.webhook.public_key` of
//!   api.travis-ci.com/config, as PEM.
//! * One key signs the builds of all of Travis CI's customers, so `--set repositories=owner/name,…`
//!   or `--set owners=…` names whose may deliver (by the payload's `repository`, which is signed);
//!   others are refused. `repositories=*` takes everybody's, for a key that is one's own.
//! * Replay protection: none. Dedupe id: `id` and `state`, for one build is notified when it starts
//!   and when it ends. Type: the payload's `type`.
//! * Source: docs.travis-ci.com, "Verifying webhook requests"; travis-ci/travis-tasks
//!   `webhook/task.rb`.
//! * Checked with: a real delivery, and Node's crypto as in the sample that the documentation links
//!   to. That sample takes the first `payload` of two; we refuse two, because the event is kept and
//!   passed on as it came, and who reads it may take the other one.
//!
//! **What it proves.** Travis CI, for whoever builds there: one key signs for all, so only
//! `repositories` or `owners` name the recipient: whose builds are for us. Signed is the payload
//! alone; `Travis-Repo-Slug` and all headers, other fields and the spelling of the form are not,
//! and are not trusted. Nothing is repeated by the sender. `id` is shared by all notifications of
//! one build, so `state` is part of the key; a build that is started again comes to the same state
//! with another body, and is an event of its own.

use crate::model::Source;

use super::crypto::{fingerprint, unbase64};
use super::json::scalars;
use super::params::SchemeParams;
use super::public_key::{Algorithm, public_keys};
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult, form};

pub(super) const SCHEME: Scheme = Scheme {
    name: "travis",
    header: "Signature",
    algorithm: "RSA PKCS#1 v1.5 SHA-1, base64",
    signed: "decoded form field payload",
    replay: "none",
    dedupe: "payload id and state",
    kind: "payload type",
    checked_with: "a captured delivery; Node's crypto as in Travis' sample",
    secret: Need::Unused,
    public_key: Need::Required,
    params: &[
        (
            "repositories",
            "the repositories whose builds are accepted: owner/name, separated by commas; * for \
             all",
        ),
        ("owners", "the owners whose repositories' builds are accepted"),
    ],
    check,
    own_content: true,
    ..Scheme::new(verify, recipient, Scheme::no_secret_header)
};

fn check(source: &Source) -> Result<(), String> {
    let keys = public_keys(source.public_key.as_deref().unwrap_or_default())?;
    SchemeParams(source).list("repositories")?;
    SchemeParams(source).list("owners")?;
    let fits = keys.iter().all(|key| key.kind() == Algorithm::RsaSha1.kind());
    if fits {
        Ok(())
    } else {
        Err("Travis CI's public key is an RSA key, and this one is not".into())
    }
}

fn recipient(source: &Source) -> Result<(), String> {
    let params = SchemeParams(source);
    if params.list("repositories")?.is_some() || params.list("owners")?.is_some() {
        return Ok(());
    }
    Err("Travis CI signs the builds of all its customers with one key, so without --set \
         repositories=owner/name (or --set owners=…) anybody's builds could be delivered here"
        .into())
}

fn verify(source: &Source, request: &Request<'_>, _: i64) -> VerifyResult {
    let header = request.header("signature")?;
    let given =
        unbase64(header).ok_or_else(|| ProofRefusal::malformed("Signature is not base64"))?;

    let fields = form::parse(request.body)?;
    let payload = form::single(&fields, "payload")
        .map_err(|_| ProofRefusal::duplicate("the form field payload occurs more than once"))?
        .ok_or_else(|| ProofRefusal::missing("the form field payload is missing"))?;

    let keys = public_keys(source.public_key.as_deref().unwrap_or_default())
        .map_err(ProofRefusal::settings)?;
    if !keys.iter().any(|key| key.verify(Algorithm::RsaSha1, payload, &given)) {
        return Err(ProofRefusal::mismatch("the signature does not match with the public key"));
    }

    allow_repository(source, payload)?;
    Ok(Verdict::Proven(describe(payload)))
}

/// Whether the build is one of the repositories that may deliver. GitHub's names are the same in
/// any case.
fn allow_repository(source: &Source, payload: &[u8]) -> Result<(), ProofRefusal> {
    let params = SchemeParams(source);
    let (repositories, owners) = (params.list("repositories")?, params.list("owners")?);
    if repositories.is_none() && owners.is_none() {
        return Ok(());
    }

    let [owner, name] = scalars(payload, ["/repository/owner_name", "/repository/name"])
        .map(Option::unwrap_or_default);
    let full = format!("{owner}/{name}");
    let is_named = |list: Option<Vec<&str>>, wanted: &str| {
        list.unwrap_or_default()
            .iter()
            .any(|one| !wanted.is_empty() && one.eq_ignore_ascii_case(wanted))
    };
    let is_any = repositories.as_ref().is_some_and(|list| list.contains(&"*"));
    if is_any || is_named(repositories, &full) || is_named(owners, &owner) {
        return Ok(());
    }
    Err(ProofRefusal::new(
        "not-allowed",
        format!("the repository {full:?} is in neither repositories nor owners"),
    ))
}

fn describe(payload: &[u8]) -> Proven {
    let [id, state, kind] = scalars(payload, ["/id", "/state", "/type"]);
    let dedupe_key = id.map(|id| format!("{id}:{}", state.as_deref().unwrap_or_default()));
    let content = Some(fingerprint(payload));
    Proven {
        kind: kind.or(state),
        dedupe_key,
        content,
        signed: Some(Signed::Body),
        ..Proven::default()
    }
}
