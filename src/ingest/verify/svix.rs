//! Svix: Standard Webhooks under its older header names.
//!
//! * Headers: `svix-id`, `svix-timestamp`, `svix-signature`, or all three as `webhook-…`, as Svix's
//!   libraries do.
//! * Algorithm, signed bytes, replay protection, dedupe id, type: see [`super::standard_webhooks`].
//! * Source: github.com/svix/svix-webhooks. Checked with: svix (Python, JavaScript).
//!
//! **What it proves.** As Standard Webhooks: whoever holds the endpoint's secret. It names the
//! recipient. Signed are id, time and body; the URL and other headers are not, and are not
//! trusted. `svix-id` names a message; a retry and a manual resend repeat it, and endpoints that
//! share it have secrets of their own.

use crate::model::Source;

use super::standard_webhooks::{check, describe, prove};
use super::{Request, Scheme, Verdict, VerifyResult, standard_webhooks};

pub(super) const SCHEME: Scheme = Scheme {
    name: "svix",
    header: "svix-signature, -id, -timestamp",
    dedupe: "svix-id",
    checked_with: "svix libraries (Python, JavaScript)",
    methods: "POST",
    provider_makes_secret: true,
    verify,
    check,
    ..standard_webhooks::SCHEME
};

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    prove(source, request, now, &["svix", "webhook"])
        .map(|id| Verdict::Proven(describe(request, id)))
}
