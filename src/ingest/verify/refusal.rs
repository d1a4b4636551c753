//! Refusals: how every step of a verification may end.

use super::verdict::{ProviderAnswer, Verdict};

/// Characters of a reason.
const REASON_LEN: usize = 400;

/// Why a request is refused; every step of a verification may end in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProofRefusal {
    kind: &'static str,
    reason: String,
    answer: Option<ProviderAnswer>,
}

pub(super) type VerifyResult = Result<Verdict, ProofRefusal>;

impl ProofRefusal {
    pub(super) fn new(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), answer: None }
    }

    /// Something the proof needs is not there.
    pub(super) fn missing(reason: impl Into<String>) -> Self {
        Self::new("missing", reason)
    }

    /// It is there twice.
    pub(super) fn duplicate(reason: impl Into<String>) -> Self {
        Self::new("duplicate", reason)
    }

    /// It cannot be read.
    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::new("malformed", reason)
    }

    /// Its time is over, or has not come.
    pub(super) fn stale(reason: impl Into<String>) -> Self {
        Self::new("stale", reason)
    }

    /// It is there and well formed, and does not prove the request.
    pub(super) fn mismatch(reason: impl Into<String>) -> Self {
        Self::new("mismatch", reason)
    }

    /// The issuer's keys are not here yet: the sender is to try again.
    pub(super) fn no_keys(reason: impl Into<String>) -> Self {
        Self { answer: Some(ProviderAnswer::try_again()), ..Self::new("no-keys", reason) }
    }

    /// It is signed with a key that is not here. Keys change, and the sender may know it before we
    /// do: what cannot be checked yet is not forged, and the sender is to try again.
    pub(super) fn unknown_key(reason: impl Into<String>) -> Self {
        Self { kind: "unknown-key", ..Self::no_keys(reason) }
    }

    /// The proof holds and does not name its recipient. The sender may be the right one and is to
    /// try again; the operator has to act.
    pub(super) fn unnamed_recipient(why: &str) -> Self {
        Self::settings(format!("the proof is valid, but does not say for whom it was made: {why}"))
    }

    /// The source lacks something, and the operator has to act. The sender may be the right one,
    /// and many give an event up that is answered 401: it is to try again.
    pub(super) fn settings(reason: impl Into<String>) -> Self {
        Self { kind: "settings", ..Self::no_keys(reason) }
    }
}

/// The verdict on a request that cannot be checked, because key material of its source was not
/// found.
#[must_use]
pub fn uncheckable(reason: String) -> Verdict {
    ProofRefusal::settings(reason).into()
}

impl From<ProofRefusal> for Verdict {
    fn from(refusal: ProofRefusal) -> Self {
        // Reasons quote the request, and a request may be long.
        let reason = match refusal.reason.char_indices().nth(REASON_LEN) {
            Some((end, _)) => format!("{}…", &refusal.reason[..end]),
            None => refusal.reason,
        };
        Self::Refused { reason, kind: refusal.kind, answer: refusal.answer }
    }
}
