//! The keyring: looks key material up for sources, and keeps it for as long as it is good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::cache::KeyCache;
use super::certificates::Certificates;
use super::generation::LookupGeneration;
use super::key_sets::{KeySetState, KeySets};
use super::origins::{Fetch, Origins, is_reference};
use crate::ingest::budget::Holder;
use crate::ingest::verify::{self, JWKS_URL, TokenKeys};
use crate::model::{Now, Source, SourceId, limits};

/// Looks key material up, and keeps what it found for as long as it is good.
#[derive(Default)]
pub struct Keyring {
    origins: Origins,
    generation: LookupGeneration,
    resolved: Mutex<HashMap<SourceId, Resolved>>,
    key_sets: KeySets,
    cache: KeyCache,
    certificates: Mutex<HashMap<SourceId, Arc<Certificates>>>,
    token_keys: Mutex<HashMap<SourceId, ParsedKeys>>,
}

/// A source with its key material, and what it was looked up from.
struct Resolved {
    of: Arc<Source>,
    generation: u64,
    /// What was last found, as long as the settings are the same.
    source: Result<Arc<Source>, String>,
    /// Why something was not found at the last look, and when that was, in milliseconds of the
    /// monotonic clock.
    failed: Option<(String, u64)>,
}

impl Resolved {
    /// Whether there is nothing new to be found. What was not found is looked up again soon: a file
    /// that is being replaced is missing for a moment.
    fn is_current(&self, generation: u64, now: Now) -> bool {
        let may_wait =
            |(_, at): &(String, u64)| now.mono_ms < at.saturating_add(limits::LOOKUP_AGAIN_MS);
        self.generation == generation && self.failed.as_ref().is_none_or(may_wait)
    }
}

/// The keys of a resolved source's settings, and the settings that they were parsed from.
struct ParsedKeys {
    of: Arc<Source>,
    keys: Arc<TokenKeys>,
}

/// One line for each thing that is missing, wherever it is noticed first.
fn log_missing(source: &Source, is_last_kept: bool, why: &str) {
    let source = &source.name;
    match is_last_kept {
        true => tracing::error!(source, "the last value stays in use: {why}"),
        false => tracing::error!(source, "every request of this source is refused: {why}"),
    }
}

impl Keyring {
    #[must_use]
    pub fn new(origins: Origins) -> Self {
        let cache = KeyCache(origins.cache.clone());
        let key_sets = KeySets::new(cache.clone());
        Self { origins, key_sets, cache, ..Self::default() }
    }

    /// The source with everything looked up that it only refers to. What cannot be looked up any
    /// more stays as it was found last, and is looked up again after a while.
    ///
    /// # Errors
    /// What was never found with these settings, and how to fix it.
    pub fn resolve(&self, source: &Arc<Source>, now: Now) -> Result<Arc<Source>, String> {
        if !refers_to_key_material(source) {
            return Ok(source.clone());
        }

        let mut resolved = lock(&self.resolved);
        let generation = self.generation.current();
        let known = resolved.get(&source.id).filter(|known| Arc::ptr_eq(&known.of, source));
        if let Some(known) = known.filter(|known| known.is_current(generation, now)) {
            return known.source.clone();
        }

        let entry = match self.look_up(source).map(Arc::new) {
            Ok(found) => {
                Resolved { of: source.clone(), generation, source: Ok(found), failed: None }
            }
            Err(why) => {
                let last_good = known.and_then(|known| known.source.clone().ok());
                let known_why = known.and_then(|known| known.failed.as_ref());
                if known_why.is_none_or(|(known, _)| *known != why) {
                    log_missing(source, last_good.is_some(), &why);
                }
                let failed = Some((why.clone(), now.mono_ms));
                let source_found = last_good.ok_or(why);
                Resolved { of: source.clone(), generation, source: source_found, failed }
            }
        };
        let found = entry.source.clone();
        resolved.insert(source.id, entry);
        found
    }

    /// The source with everything looked up, without keeping any of it: for settings that are not
    /// in force.
    ///
    /// # Errors
    /// What cannot be looked up, and how to fix it.
    pub fn look_up(&self, source: &Source) -> Result<Source, String> {
        let mut found = source.clone();
        found.secrets.clear();
        for timed in &source.secrets {
            let mut timed = timed.clone();
            match self.origins.reference(&timed.secret.0) {
                Ok(Some(secret)) => timed.secret.0 = secret,
                Ok(None) => {}
                // An old one that is gone proves nothing any more, and does not stand in the way of
                // the newest.
                Err(_) if timed.expires_at.is_some() => continue,
                Err(why) => return Err(why),
            }
            found.secrets.push(timed);
        }
        if let Some(key) = found.public_key.as_deref()
            && let Some(key) = self.origins.reference(key)?
        {
            found.public_key = Some(key);
        }

        if let Some(url) = jwks_url(source)
            && let Some(value) = self.key_sets.value(url)
        {
            found.params.insert("jwks".to_owned(), value);
        }
        if verify::fetches_certificates(source)
            && let Some(certificates) = self.certificates(source).as_setting()
        {
            found.params.insert("certs".to_owned(), certificates);
        }
        Ok(found)
    }

    /// Looks everything up again from now on. What is still missing then is logged again.
    pub fn look_up_again(&self) {
        let mut resolved = lock(&self.resolved);
        resolved.values_mut().for_each(|known| known.failed = None);
        self.generation.advance();
    }

    /// The keys of a source that was resolved, parsed when they are first asked for and when its
    /// settings or its set change: a set may hold hundreds, and those who ask for it have proven
    /// nothing.
    pub(in crate::ingest) fn key_set(&self, source: &Arc<Source>) -> Option<Arc<TokenKeys>> {
        if let Some(parsed) = lock(&self.token_keys).get(&source.id)
            && Arc::ptr_eq(&parsed.of, source)
        {
            return Some(parsed.keys.clone());
        }

        let keys = Arc::new(verify::key_set(source)?);
        let parsed = ParsedKeys { of: source.clone(), keys: keys.clone() };
        lock(&self.token_keys).insert(source.id, parsed);
        Some(keys)
    }

    /// The version of the source's key set, to be handed to [`Self::refresh`]; `None` when it names
    /// no URL.
    pub(in crate::ingest) fn version(&self, source: &Source) -> Option<u64> {
        Some(self.key_sets.version(jwks_url(source)?))
    }

    /// Whether the source's key set was fetched so lately that a key that is not in it does not
    /// exist.
    pub(in crate::ingest) fn is_fresh(&self, source: &Source, now: Now) -> bool {
        jwks_url(source).is_some_and(|url| self.key_sets.is_fresh(url, now))
    }

    /// Fetches the source's key set unless that was done a moment ago. True when its version is
    /// another one now.
    pub(in crate::ingest) async fn refresh(&self, source: &Source, version: u64, now: Now) -> bool {
        let is_due = |state: &KeySetState| state.version() == version && state.may_try(now);
        self.fetch_key_set(source, now, is_due).await;
        self.version(source).is_some_and(|fetched| fetched != version)
    }

    /// Fetches the source's key set when its time has come.
    pub async fn refresh_if_due(&self, source: &Source, now: Now) {
        let is_due =
            |state: &KeySetState| state.is_old(now, limits::JWKS_REFRESH_MS) && state.may_try(now);
        self.fetch_key_set(source, now, is_due).await;
    }

    async fn fetch_key_set(
        &self,
        source: &Source,
        now: Now,
        is_due: impl Fn(&KeySetState) -> bool,
    ) {
        let (Some(url), Some(fetch)) = (jwks_url(source), &self.origins.fetch) else { return };
        self.key_sets.fetch_if(is_due, source, url, now, fetch, &self.generation).await;
    }

    /// Fetches the certificate at a URL that its provider may name, within the limits for this
    /// source and this address. True when it is here now.
    pub(in crate::ingest) async fn fetch_certificate(
        &self,
        source: &Source,
        url: &str,
        holder: Option<Holder>,
        now: Now,
    ) -> bool {
        let Some(fetch) = &self.origins.fetch else { return false };
        let certificates = self.certificates(source);
        certificates.fetch(source, url, holder, now, fetch, &self.generation).await
    }

    /// Forgets fetched certificates of this source whose time is over.
    pub(in crate::ingest) fn forget_ended_certificates(&self, source: &Source, now: Now) {
        if verify::fetches_certificates(source) && self.certificates(source).forget_ended(now) {
            self.generation.advance();
        }
    }

    /// Whether a certificate was fetched for this source that has proven no message yet.
    pub(in crate::ingest) fn has_unproven_certificate(&self, source: &Source) -> bool {
        verify::fetches_certificates(source) && self.certificates(source).has_unproven()
    }

    /// Notes that a message was proven with the fetched certificate at this URL, so that it stays.
    pub(in crate::ingest) fn note_proven(&self, source: &Source, url: &str) {
        self.certificates(source).note_proven(url);
    }

    /// The guarded client, when the daemon provides one.
    pub(in crate::ingest) fn fetch(&self) -> Option<Fetch> {
        self.origins.fetch.clone()
    }

    /// Forgets sources that are gone, and sets that nobody names.
    pub fn retain(&self, sources: &[Arc<Source>]) {
        let is_there = |id: &SourceId| sources.iter().any(|source| source.id == *id);
        lock(&self.resolved).retain(|id, _| is_there(id));
        lock(&self.certificates).retain(|id, _| is_there(id));
        lock(&self.token_keys).retain(|id, _| is_there(id));

        let is_named = |url: &str| sources.iter().any(|source| jwks_url(source) == Some(url));
        self.key_sets.retain(is_named);
    }

    /// How many sources' keys are kept parsed.
    #[cfg(test)]
    pub(super) fn parsed_count(&self) -> usize {
        lock(&self.token_keys).len()
    }

    fn certificates(&self, source: &Source) -> Arc<Certificates> {
        let fresh = || Arc::new(Certificates::new(self.cache.clone()));
        lock(&self.certificates).entry(source.id).or_insert_with(fresh).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refers_to_key_material(source: &Source) -> bool {
    source.secrets.iter().any(|timed| is_reference(&timed.secret.0))
        || source.public_key.as_deref().is_some_and(is_reference)
        || jwks_url(source).is_some()
        || verify::fetches_certificates(source)
}

fn jwks_url(source: &Source) -> Option<&str> {
    source.params.get(JWKS_URL).and_then(Value::as_str)
}
