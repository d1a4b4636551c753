//! A scheme: how it is described, configured and verified. Each scheme's file defines one as
//! `SCHEME`.

use super::refusal::VerifyResult;
use super::request::Request;
use crate::model::{Source, limits};

/// Whether a scheme needs a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
    /// It would have no effect, so giving it is an error.
    Unused,
}

/// Every method is answered.
pub const ANY_METHOD: &str = "*";

/// One scheme. The texts are fit for a table.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    /// The value of `--verify`.
    pub name: &'static str,
    /// Where the proof is.
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
    /// The methods it answers, as `Allow` lists them; [`ANY_METHOD`] for all. Providers validate a
    /// URL before they post to it, so some have more than POST.
    pub methods: &'static str,
    pub secret: Need,
    /// The provider makes the secret and shows it: one that is generated here would prove nobody.
    pub provider_makes_secret: bool,
    pub public_key: Need,
    /// The keys of `--set`, each with its value.
    pub params: &'static [(&'static str, &'static str)],
    /// Bytes of a body that a source of this scheme takes unless its settings give another number:
    /// what the provider sends at most, for many do not send again what was answered 413.
    pub max_body: u64,

    pub(super) verify: fn(&Source, &Request<'_>, i64) -> VerifyResult,
    /// Checks the settings beyond this description: combinations, and the form of keys.
    pub(super) check: fn(&Source) -> Result<(), String>,
    /// Whether a proof names its recipient: the settings that bind it to this source, where the
    /// scheme's key alone does not. The error names the setting that is missing.
    pub(super) recipient: fn(&Source) -> Result<(), String>,
    /// A source cannot be created before its proofs name their recipient. Those of other schemes
    /// can, so that a request can be tried with `source check` first; they accept nothing until
    /// then.
    pub(super) recipient_first: bool,
    /// The URL may be a part of what is signed.
    pub(super) signs_url: bool,
    /// What the settings leave open, though they are complete: a sentence for the operator.
    pub(super) advice: fn(&Source) -> Option<String>,
    /// The header that is compared with the secret itself, and whose value is therefore not
    /// remembered.
    pub(super) secret_header: fn(&Source) -> Option<&str>,
    /// The certificate that a request names, where its provider publishes them.
    pub(super) certificate_url: Option<fn(&Request<'_>) -> Option<String>>,
    /// Its provider posts batches, which a source may take apart.
    pub(super) splits: bool,
    /// Its keys are a key set, which is kept parsed between requests.
    pub(super) has_key_set: bool,
    /// It says itself which bodies are the same event, for a repeat differs in a counter of
    /// attempts or in what is not signed.
    pub(super) own_content: bool,
}

impl Scheme {
    /// The common case, for `..Scheme::new(…)` at the end of a scheme's description. Each scheme
    /// says what names the recipient, and which header holds the secret: a default would be wrong
    /// in silence.
    pub(super) const fn new(
        verify: fn(&Source, &Request<'_>, i64) -> VerifyResult,
        recipient: fn(&Source) -> Result<(), String>,
        secret_header: fn(&Source) -> Option<&str>,
    ) -> Self {
        Self {
            name: "",
            header: "",
            algorithm: "",
            signed: "",
            replay: "",
            dedupe: "",
            kind: "",
            checked_with: "",

            methods: "POST",
            secret: Need::Required,
            provider_makes_secret: false,
            public_key: Need::Unused,
            params: &[],
            max_body: limits::DEFAULT_MAX_BODY,

            verify,
            check: no_more_checks,
            recipient,
            recipient_first: false,
            signs_url: false,
            advice: no_advice,
            secret_header,
            certificate_url: None,
            splits: false,
            has_key_set: false,
            own_content: false,
        }
    }

    /// The `recipient` of a scheme whose key is this source's own, or whose required settings name
    /// the recipient.
    pub(super) fn key_names_recipient(_: &Source) -> Result<(), String> {
        Ok(())
    }

    /// The `secret_header` of a scheme whose requests do not hold the secret itself.
    pub(super) fn no_secret_header(_: &Source) -> Option<&str> {
        None
    }

    /// Whether the URL may be a part of what is signed.
    #[must_use]
    pub fn may_sign_url(&self) -> bool {
        self.signs_url
    }

    /// Whether it answers requests of this method.
    #[must_use]
    pub fn answers(&self, method: &str) -> bool {
        self.methods == ANY_METHOD || self.methods.split(", ").any(|one| one == method)
    }
}

/// The `check` of a scheme whose description is all.
fn no_more_checks(_: &Source) -> Result<(), String> {
    Ok(())
}

/// The `recipient` of a scheme that signs the URL: it names the recipient, provided that the
/// operator gives the URL and it is not taken from the request.
pub(super) fn public_url_names_recipient(source: &Source) -> Result<(), String> {
    if source.public_url.is_some() {
        return Ok(());
    }
    Err("the URL is signed, and without --public-url it is taken from the request itself, so that \
         a signature made for another host would hold; give the URL that the sender posts to with \
         --public-url"
        .into())
}

fn no_advice(_: &Source) -> Option<String> {
    None
}

/// The `secret_header` of a scheme with `--set header=…`.
pub(super) fn header_setting(source: &Source) -> Option<&str> {
    source.params.get("header").and_then(|value| value.as_str())
}
