//! Whether a secret is given, is to be generated, or neither.

use super::values::SecretText;

/// What a request or a file says of a secret.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SecretChoice<'a> {
    Given(&'a SecretText),
    Generated,
    /// It stays as it is.
    Unchanged,
}

impl<'a> SecretChoice<'a> {
    /// Reads the two settings that say it.
    ///
    /// # Errors
    /// When both do.
    pub fn of(given: Option<&'a SecretText>, generate: bool) -> Result<Self, String> {
        match (given, generate) {
            (Some(_), true) => Err("give 'secret' or 'generate_secret', not both".to_owned()),
            (Some(secret), false) => Ok(Self::Given(secret)),
            (None, true) => Ok(Self::Generated),
            (None, false) => Ok(Self::Unchanged),
        }
    }
}
