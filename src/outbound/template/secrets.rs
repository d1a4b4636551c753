//! The function `secret()` of templates: looks secrets up, and remembers which it gave.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::Value;

use crate::model::REDACTED;
use crate::outbound::settings::SecretLookup;

const NO_NAME: &str = "secret() takes 'env:NAME', 'cred:NAME' or 'file:/path'";
/// The name that templates know it by.
pub const SECRET: &str = "secret";

/// Gives templates their secrets, and remembers which it gave.
#[derive(Clone, Default)]
pub struct TemplateSecrets {
    lookup: Option<SecretLookup>,
    was_asked: Arc<AtomicBool>,
    given: Arc<Mutex<Vec<String>>>,
    missing: Arc<Mutex<Option<String>>>,
}

impl TemplateSecrets {
    /// One that gives what `lookup` finds, or without it [`REDACTED`] in the place of every secret.
    pub fn new(lookup: Option<&SecretLookup>) -> Self {
        Self { lookup: lookup.cloned(), ..Self::default() }
    }

    pub fn function(&self) -> Value {
        let secrets = self.clone();
        Value::from_function(move |name: Cow<'_, str>| secrets.give(&name))
    }

    fn give(&self, name: &str) -> Result<String, minijinja::Error> {
        self.was_asked.store(true, Ordering::Release);
        let Some(lookup) = &self.lookup else { return Ok(REDACTED.to_owned()) };
        let failed = |why| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, why);
        let found = lookup(name).map_err(|why| {
            *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
            failed(why)
        })?;
        let secret = found.ok_or_else(|| failed(NO_NAME.to_owned()))?;

        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if !given.contains(&secret) {
            given.push(secret.clone());
        }
        Ok(secret)
    }

    /// Whether it was asked for any secret.
    pub fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Acquire)
    }

    /// Why one was not found that it was asked for.
    pub fn missing(&self) -> Option<String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The secrets that it gave.
    pub fn given(&self) -> Vec<String> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The secret that a name in a template stands for.
///
/// # Errors
/// Why nothing was found.
pub fn look_up(lookup: &SecretLookup, name: &str) -> Result<String, String> {
    lookup(name)?.ok_or_else(|| NO_NAME.to_owned())
}
