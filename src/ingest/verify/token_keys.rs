//! The keys that tokens of a source are verified with.

use super::jws::{JwsKey, JwsKeyMaterial, key_set};
use super::params::SchemeParams;
use super::public_key::public_keys;
use super::refusal::ProofRefusal;
use crate::model::Source;

/// The setting that names where a key set is published.
pub const JWKS_URL: &str = "jwks_url";

/// The public keys of a source, and the secret ones of its key set: parsed once, because a set may
/// be long and who sends a token has proven nothing yet. The source's own secrets are not among
/// them, for they expire.
pub struct TokenKeys(Result<Vec<JwsKey>, String>);

impl TokenKeys {
    /// Those of a source's settings, or what is wrong with them.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        Self(set_keys(source))
    }

    pub(super) fn keys(&self) -> Result<&[JwsKey], ProofRefusal> {
        self.0.as_deref().map_err(ProofRefusal::settings)
    }
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenKeys").field(&self.0.as_ref().map(Vec::len)).finish()
    }
}

pub(super) fn set_keys(source: &Source) -> Result<Vec<JwsKey>, String> {
    let mut keys = match SchemeParams(source).value("jwks") {
        Some(jwks) => key_set(jwks)?,
        None => Vec::new(),
    };
    if let Some(text) = &source.public_key {
        keys.extend(
            public_keys(text)?.into_iter().map(|key| nameless(JwsKeyMaterial::Public(key))),
        );
    }
    Ok(keys)
}

/// A key that was given by itself.
pub(super) fn nameless(material: JwsKeyMaterial) -> JwsKey {
    JwsKey { kid: None, alone: true, only: None, material }
}
