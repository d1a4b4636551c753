//! What is known of a scheme: for `--help`, for the README's table and for the check of a source's settings.

use crate::model::Source;

use super::{Outcome, Request};

/// Whether a scheme needs a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
    /// Would have no effect, so giving it is an error.
    Unused,
}

/// Every method is answered.
pub const ANY_METHOD: &str = "*";

/// One scheme. The texts are fit for a table.
#[derive(Clone, Copy, Debug)]
pub struct SchemeFacts {
    /// As `--verify` takes it.
    pub name: &'static str,
    /// Where the proof stands.
    pub header: &'static str,
    pub algorithm: &'static str,
    /// The bytes that are signed.
    pub signed: &'static str,
    /// What keeps a captured request from being sent again.
    pub replay: &'static str,
    pub dedupe: &'static str,
    pub kind: &'static str,
    /// What the implementation was checked against.
    pub checked_with: &'static str,
    /// The methods it answers, as `Allow` lists them; [`ANY_METHOD`] for all. Providers validate a URL before they
    /// post to it, so some have more than POST.
    pub methods: &'static str,
    pub secret: Need,
    pub public_key: Need,
    /// The keys of `--set`, each with a word on its value.
    pub params: &'static [(&'static str, &'static str)],
    pub(super) verify: fn(&Source, &Request<'_>, i64) -> Outcome,
    /// What [`super::settings`] cannot know: combinations, and the shape of keys.
    pub(super) check: fn(&Source) -> Result<(), String>,
}

impl SchemeFacts {
    /// Whether it answers requests of this method.
    #[must_use]
    pub fn answers(&self, method: &str) -> bool {
        self.methods == ANY_METHOD || self.methods.split(", ").any(|one| one == method)
    }
}
