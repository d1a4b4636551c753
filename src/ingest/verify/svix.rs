//! Svix: Standard Webhooks under its older header names.
//!
//! * Headers: `svix-id`, `svix-timestamp`, `svix-signature`, or all three as `webhook-…`, as Svix's libraries do.
//! * Algorithm, signed bytes, replay protection, dedupe id, type: see [`super::standard_webhooks`].
//! * Source: github.com/svix/svix-webhooks. Checked with: svix (Python, JavaScript).

use crate::model::Source;

use super::standard_webhooks::{check, describe, prove};
use super::{Outcome, Request, SchemeFacts, Verdict, standard_webhooks};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "svix",
    header: "svix-signature, -id, -timestamp",
    dedupe: "svix-id",
    checked_with: "svix libraries (Python, JavaScript)",
    methods: "POST",
    verify,
    check,
    ..standard_webhooks::FACTS
};

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    prove(source, request, now, &["svix", "webhook"]).map(|id| Verdict::Proven(describe(request, id)))
}
