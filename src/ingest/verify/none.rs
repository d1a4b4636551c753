//! `none`: no proof is asked.
//!
//! * Header, algorithm, signed bytes: none. Whoever reaches the URL is believed; use `--allow` or `--token`.
//! * Type and dedupe key: what the source's settings or the request's own `webhook-id` say (not decided here).
//! * Checked with: tests of its own.

use crate::model::Source;

use super::settings::nothing_more;
use super::{Need, Outcome, Proven, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "none",
    header: "none",
    algorithm: "none",
    signed: "nothing",
    replay: "none",
    dedupe: "the source's settings",
    kind: "the source's settings",
    checked_with: "own tests",
    methods: "POST",
    secret: Need::Unused,
    public_key: Need::Unused,
    params: &[],
    verify,
    check: nothing_more,
};

fn verify(_: &Source, _: &Request<'_>, _: i64) -> Outcome {
    Ok(Verdict::Proven(Proven::default()))
}
