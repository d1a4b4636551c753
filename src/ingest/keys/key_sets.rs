//! The key sets that issuers publish, each fetched when it is due and kept over a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::cache::KeyCache;
use super::generation::LookupGeneration;
use super::origins::Fetch;
use crate::ingest::verify;
use crate::model::secret::redacted_url;
use crate::model::{Now, Source, limits};

/// How the files of kept sets end.
const KIND: &str = "json";

/// All key sets, by their URL.
#[derive(Default)]
pub(super) struct KeySets {
    sets: Mutex<HashMap<String, Arc<KeySet>>>,
    /// Where the last good ones are.
    cache: KeyCache,
}

/// One issuer's key set.
#[derive(Default)]
struct KeySet {
    state: Mutex<KeySetState>,
    /// Held while it is fetched, so that many requests make one fetch.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
pub(super) struct KeySetState {
    value: Option<Value>,
    /// When a fetch last began, in milliseconds of the monotonic clock.
    tried_at: Option<u64>,
    /// When one last succeeded.
    good_at: Option<u64>,
    /// Grows with each set that differs from the one before.
    version: u64,
}

impl KeySetState {
    /// Whether so much time has passed since the last good fetch, or there was none.
    pub(super) fn is_old(&self, now: Now, ms: u64) -> bool {
        self.good_at.is_none_or(|at| now.mono_ms >= at.saturating_add(ms))
    }

    /// Whether another fetch may begin.
    pub(super) fn may_try(&self, now: Now) -> bool {
        let again = limits::JWKS_AGAIN_MS;
        self.tried_at.is_none_or(|at| now.mono_ms >= at.saturating_add(again))
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

impl KeySet {
    fn state(&self) -> MutexGuard<'_, KeySetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeySets {
    pub(super) fn new(cache: KeyCache) -> Self {
        Self { sets: Mutex::default(), cache }
    }

    /// The last good set of a URL.
    pub(super) fn value(&self, url: &str) -> Option<Value> {
        self.set(url).state().value.clone()
    }

    pub(super) fn version(&self, url: &str) -> u64 {
        self.set(url).state().version
    }

    /// Whether the set was fetched so lately that a key that is not in it does not exist.
    pub(super) fn is_fresh(&self, url: &str, now: Now) -> bool {
        !self.set(url).state().is_old(now, limits::JWKS_AGAIN_MS)
    }

    /// Forgets sets that nobody names.
    pub(super) fn retain(&self, is_named: impl Fn(&str) -> bool) {
        self.sets().retain(|url, _| is_named(url));
    }

    /// Fetches the source's set at `url` if it is due. What cannot be fetched or read leaves the
    /// last good one.
    pub(super) async fn fetch_if(
        &self,
        is_due: impl Fn(&KeySetState) -> bool,
        source: &Source,
        url: &str,
        now: Now,
        fetch: &Fetch,
        generation: &LookupGeneration,
    ) {
        let set = self.set(url);
        let _one = set.fetching.lock().await;
        {
            let mut state = set.state();
            if !is_due(&state) {
                return;
            }
            state.tried_at = Some(now.mono_ms);
        }

        let fetched = fetch(url.to_owned(), allows_private(source)).await;
        match fetched.and_then(|(status, body)| read_set(status, &body)) {
            Ok(value) => self.take(url, &set, value, now, generation),
            Err(why) => {
                let url = redacted_url(url);
                tracing::warn!(
                    source = source.name,
                    url,
                    "the key set was not fetched, the last one is kept: {why}"
                );
            }
        }
    }

    /// Puts a fetched set in the place of the last one.
    fn take(&self, url: &str, set: &KeySet, value: Value, now: Now, generation: &LookupGeneration) {
        let mut state = set.state();
        state.good_at = Some(now.mono_ms);
        if state.value.as_ref() == Some(&value) {
            return;
        }

        tracing::info!(url = redacted_url(url), "a new key set was fetched");
        self.cache.write(url, KIND, value.to_string().as_bytes());
        state.value = Some(value);
        state.version += 1;
        drop(state);
        generation.advance();
    }

    /// The set of a URL, beginning with the one in the cache.
    fn set(&self, url: &str) -> Arc<KeySet> {
        let mut sets = self.sets();
        if let Some(set) = sets.get(url) {
            return set.clone();
        }

        let set = Arc::new(KeySet::default());
        set.state().value = self.cache.read(url, KIND).and_then(|bytes| read_set(200, &bytes).ok());
        sets.insert(url.to_owned(), set.clone());
        set
    }

    fn sets(&self) -> MutexGuard<'_, HashMap<String, Arc<KeySet>>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn allows_private(source: &Source) -> bool {
    source.params.get("allow_private").is_some_and(|value| *value == true || *value == "true")
}

fn read_set(status: u16, body: &[u8]) -> Result<Value, String> {
    if status != 200 {
        return Err(format!("the answer has status {status}"));
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
    verify::check_key_set(&value)?;
    Ok(value)
}
