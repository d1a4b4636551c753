//! Key material that stands elsewhere than in the log: secrets in the environment or in the service manager's
//! credentials, and key sets that an issuer publishes (JWKS, RFC 7517).
//!
//! `env:NAME` and `cred:NAME` are put in a source in the place of a secret; what they stand for is looked up when the
//! source is used and is never remembered. It is looked up again when the source changes and on SIGHUP.
//!
//! `--set jwks_url=…` names a key set. It is fetched when the source is made or the daemon starts, again after
//! `limits::JWKS_REFRESH_MS`, and when a token names a key that is not in it, but at most once in
//! `limits::JWKS_AGAIN_MS`, whatever senders do. The last good one is kept, also over a restart (in the data folder),
//! so that the issuer may be away. A set that holds no usable key is no good one. Until there is a first one the source
//! answers 503, so that senders try again.
//!
//! Invariants: nothing that was looked up reaches a log, a list or a file; a set is fetched through the guarded
//! outbound client that the daemon lends (private addresses only with `--set allow_private=true`), over https, without
//! following redirects, up to `limits::FETCH_BYTES`.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::verify::{self, JWKS_URL};
use crate::model::{Now, Source, SourceId, limits};

/// What a fetch came to: the status and the body, or why there is none.
pub type Fetched = Result<(u16, Vec<u8>), String>;
/// Fetches a URL through the outbound room's guard; the flag lets it be a private address.
pub type Fetch = Arc<dyn Fn(String, bool) -> Pin<Box<dyn Future<Output = Fetched> + Send>> + Send + Sync>;
/// Looks up a variable of the environment.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where key material comes from.
#[derive(Clone, Default)]
pub struct Origins {
    pub environment: Option<Environment>,
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// Where the last good key sets are kept.
    pub cache: Option<PathBuf>,
    pub fetch: Option<Fetch>,
}

/// Looks key material up, and keeps what it found for as long as it is good.
#[derive(Default)]
pub struct Keyring {
    origins: Origins,
    /// Grows when everything has to be looked up again.
    generation: AtomicU64,
    resolved: Mutex<HashMap<SourceId, Resolved>>,
    sets: Mutex<HashMap<String, Arc<KeySet>>>,
}

struct Resolved {
    of: Arc<Source>,
    generation: u64,
    source: Result<Arc<Source>, String>,
}

/// One issuer's key set.
#[derive(Default)]
struct KeySet {
    state: Mutex<SetState>,
    /// Held while it is fetched, so that many requests make one fetch.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct SetState {
    value: Option<Value>,
    /// When a fetch last began, in milliseconds of the monotonic clock.
    tried_at: Option<u64>,
    /// When one last succeeded.
    good_at: Option<u64>,
    /// Grows with each set that is another.
    version: u64,
}

impl Origins {
    /// What `env:NAME` or `cred:NAME` stands for; `None` when the text is the secret itself.
    ///
    /// # Errors
    /// What is not there, and the mend.
    pub fn reference(&self, text: &str) -> Result<Option<String>, String> {
        let found = if let Some(name) = text.strip_prefix("env:") {
            let value = self.environment.as_ref().and_then(|environment| environment(name));
            value.ok_or_else(|| format!("the variable {name} is not in hookboxd's environment: set it and restart"))?
        } else if let Some(name) = text.strip_prefix("cred:") {
            self.credential(name)?
        } else {
            return Ok(None);
        };
        let found = found.trim_end_matches(['\r', '\n']);
        if found.is_empty() { Err(format!("what {text} stands for is empty")) } else { Ok(Some(found.to_owned())) }
    }

    fn credential(&self, name: &str) -> Result<String, String> {
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(format!("'{name}' cannot be a credential's name"));
        }
        let Some(folder) = &self.credentials else {
            return Err(format!(
                "there is no $CREDENTIALS_DIRECTORY for cred:{name}: add LoadCredential={name}:/path to the service"
            ));
        };
        std::fs::read_to_string(folder.join(name))
            .map_err(|error| format!("the credential {name} cannot be read in {}: {error}", folder.display()))
    }
}

impl Keyring {
    #[must_use]
    pub fn new(origins: Origins) -> Self {
        Self { origins, ..Self::default() }
    }

    /// The source with everything that it only names looked up.
    ///
    /// # Errors
    /// What cannot be looked up, and the mend.
    pub fn resolve(&self, source: &Arc<Source>) -> Result<Arc<Source>, String> {
        if !names_something(source) {
            return Ok(source.clone());
        }
        let generation = self.generation.load(Ordering::Acquire);
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = resolved.get(&source.id)
            && known.generation == generation
            && Arc::ptr_eq(&known.of, source)
        {
            return known.source.clone();
        }
        let found = self.look_up(source).map(Arc::new);
        if let Err(why) = &found {
            tracing::error!(source = source.name, "{why}");
        }
        let entry = Resolved { of: source.clone(), generation, source: found.clone() };
        resolved.insert(source.id, entry);
        found
    }

    /// The source with everything looked up, without keeping any of it: for settings that are not in force.
    ///
    /// # Errors
    /// What cannot be looked up, and the mend.
    pub fn look_up(&self, source: &Source) -> Result<Source, String> {
        let mut found = source.clone();
        for timed in &mut found.secrets {
            if let Some(secret) = self.origins.reference(&timed.secret.0)? {
                timed.secret.0 = secret;
            }
        }
        if let Some(key) = found.public_key.as_deref()
            && let Some(key) = self.origins.reference(key)?
        {
            found.public_key = Some(key);
        }
        if let Some(url) = jwks_url(source) {
            let set = self.set(url);
            let state = set.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = &state.value {
                found.params.insert("jwks".to_owned(), value.clone());
            }
        }
        Ok(found)
    }

    /// The guarded client, when the daemon lent one.
    pub(super) fn fetch(&self) -> Option<Fetch> {
        self.origins.fetch.clone()
    }

    /// Looks everything up again from now on.
    pub fn look_up_again(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets sources that are gone, and sets that nobody names.
    pub fn retain(&self, sources: &[Arc<Source>]) {
        let is_there = |id: &SourceId| sources.iter().any(|source| source.id == *id);
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| is_there(id));
        let named = |url: &String| sources.iter().any(|source| jwks_url(source) == Some(url));
        self.sets.lock().unwrap_or_else(PoisonError::into_inner).retain(|url, _| named(url));
    }

    /// The version of the source's key set, to be handed to [`Self::refresh`]; `None` when it names no URL.
    pub(super) fn version(&self, source: &Source) -> Option<u64> {
        let set = self.set(jwks_url(source)?);
        let version = set.state.lock().unwrap_or_else(PoisonError::into_inner).version;
        Some(version)
    }

    /// Fetches the source's key set unless that was done a moment ago. True when it is another one than `seen`.
    pub(super) async fn refresh(&self, source: &Source, seen: u64, now: Now) -> bool {
        self.fetch_set(source, now, |state| {
            let again = limits::JWKS_AGAIN_MS;
            state.version == seen && state.tried_at.is_none_or(|at| now.mono_ms >= at.saturating_add(again))
        })
        .await;
        self.version(source).is_some_and(|version| version != seen)
    }

    /// Fetches the source's key set when its time has come.
    pub async fn refresh_if_due(&self, source: &Source, now: Now) {
        self.fetch_set(source, now, |state| {
            let since = |at: Option<u64>, ms| at.is_none_or(|at| now.mono_ms >= at.saturating_add(ms));
            since(state.good_at, limits::JWKS_REFRESH_MS) && since(state.tried_at, limits::JWKS_AGAIN_MS)
        })
        .await;
    }

    async fn fetch_set(&self, source: &Source, now: Now, is_due: impl Fn(&SetState) -> bool) {
        let (Some(url), Some(fetch)) = (jwks_url(source), &self.origins.fetch) else { return };
        let set = self.set(url);
        let _one = set.fetching.lock().await;
        {
            let mut state = set.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !is_due(&state) {
                return;
            }
            state.tried_at = Some(now.mono_ms);
        }
        let fetched = fetch(url.to_owned(), allows_private(source)).await;
        let read = fetched.and_then(|(status, body)| read_set(status, &body));
        match read {
            Ok(value) => self.take(url, &set, value, now),
            Err(why) => {
                tracing::warn!(source = source.name, url, "the key set was not fetched, the last one stays: {why}")
            }
        }
    }

    fn take(&self, url: &str, set: &KeySet, value: Value, now: Now) {
        let mut state = set.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.good_at = Some(now.mono_ms);
        if state.value.as_ref() == Some(&value) {
            return;
        }
        tracing::info!(url, "a key set was taken up");
        self.keep(url, &value);
        state.value = Some(value);
        state.version += 1;
        drop(state);
        self.look_up_again();
    }

    /// The set of a URL, beginning with the one that was kept.
    fn set(&self, url: &str) -> Arc<KeySet> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = sets.get(url) {
            return set.clone();
        }
        let set = Arc::new(KeySet::default());
        set.state.lock().unwrap_or_else(PoisonError::into_inner).value = self.kept(url);
        sets.insert(url.to_owned(), set.clone());
        set
    }

    fn kept(&self, url: &str) -> Option<Value> {
        let bytes = std::fs::read(self.file(url)?).ok()?;
        read_set(200, &bytes).ok()
    }

    /// A file that appears whole; losing it costs one fetch.
    fn keep(&self, url: &str, value: &Value) {
        let Some(file) = self.file(url) else { return };
        let fresh = file.with_extension("new");
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        let kept = folder
            .and_then(|()| std::fs::write(&fresh, value.to_string()))
            .and_then(|()| std::fs::rename(&fresh, &file));
        if let Err(error) = kept {
            tracing::warn!(file = %file.display(), %error, "the key set could not be kept for the next start");
        }
    }

    fn file(&self, url: &str) -> Option<PathBuf> {
        let name = HEXLOWER.encode(&Sha256::digest(url.as_bytes()));
        Some(self.origins.cache.as_ref()?.join(format!("{name}.json")))
    }
}

fn names_something(source: &Source) -> bool {
    let is_reference = |text: &str| text.starts_with("env:") || text.starts_with("cred:");
    source.secrets.iter().any(|timed| is_reference(&timed.secret.0))
        || source.public_key.as_deref().is_some_and(is_reference)
        || jwks_url(source).is_some()
}

fn jwks_url(source: &Source) -> Option<&str> {
    source.params.get(JWKS_URL).and_then(Value::as_str)
}

fn allows_private(source: &Source) -> bool {
    source.params.get("allow_private").is_some_and(|value| *value == true || *value == "true")
}

fn read_set(status: u16, body: &[u8]) -> Result<Value, String> {
    if status != 200 {
        return Err(format!("the answer has status {status}"));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
    verify::check_key_set(&value)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::{Fetched, Keyring, Origins};
    use crate::model::{Now, Source, TimedSecret, limits};

    const URL: &str = "https://issuer.example/jwks";

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 1 }
    }

    fn set(kid: &str) -> Vec<u8> {
        let key =
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        json!({"keys": [key]}).to_string().into_bytes()
    }

    /// A keyring whose issuer answers what stands in the mutex, and counts.
    fn issuer(answer: &Arc<Mutex<Fetched>>, cache: Option<&std::path::Path>) -> (Keyring, Arc<AtomicU32>) {
        let (answer, asked) = (answer.clone(), Arc::new(AtomicU32::new(0)));
        let counted = asked.clone();
        let fetch: super::Fetch = Arc::new(move |url, allow_private| {
            assert_eq!((url.as_str(), allow_private), (URL, false));
            counted.fetch_add(1, Ordering::AcqRel);
            let answer = answer.lock().expect("an answer").clone();
            Box::pin(async move { answer })
        });
        let origins = Origins { fetch: Some(fetch), cache: cache.map(Into::into), ..Origins::default() };
        (Keyring::new(origins), asked)
    }

    fn source() -> Arc<Source> {
        let mut source = Source::new("a", "jwt");
        source.params.insert("jwks_url".into(), json!(URL));
        Arc::new(source)
    }

    fn kid(keys: &Keyring, source: &Arc<Source>) -> Option<String> {
        let resolved = keys.resolve(source).expect("resolved");
        Some(resolved.params.get("jwks")?["keys"][0]["kid"].as_str()?.to_owned())
    }

    #[tokio::test]
    async fn the_last_good_set_is_kept_while_the_issuer_is_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let answer = Arc::new(Mutex::new(Err("away".to_owned())));
        let (keys, asked) = issuer(&answer, Some(folder.path()));
        let source = source();
        keys.refresh_if_due(&source, at(0)).await;
        assert_eq!(kid(&keys, &source), None);
        *answer.lock().expect("an answer") = Ok((200, set("one")));
        keys.refresh_if_due(&source, at(limits::JWKS_AGAIN_MS - 1)).await;
        assert_eq!((kid(&keys, &source), asked.load(Ordering::Acquire)), (None, 1), "not again so soon");
        keys.refresh_if_due(&source, at(limits::JWKS_AGAIN_MS)).await;
        assert_eq!(kid(&keys, &source).as_deref(), Some("one"));
        let later = limits::JWKS_AGAIN_MS + limits::JWKS_REFRESH_MS;
        for bad in [Err("away".to_owned()), Ok((500, set("two"))), Ok((200, b"{}".to_vec())), Ok((200, b"<".to_vec()))]
        {
            *answer.lock().expect("an answer") = bad;
            keys.refresh_if_due(&source, at(later)).await;
            assert_eq!(kid(&keys, &source).as_deref(), Some("one"), "the last good one");
        }
        let (after_restart, _) = issuer(&Arc::new(Mutex::new(Err("away".to_owned()))), Some(folder.path()));
        assert_eq!(kid(&after_restart, &source).as_deref(), Some("one"));
    }

    #[tokio::test]
    async fn a_key_that_is_not_in_the_set_makes_one_fetch_in_a_while() {
        let answer = Arc::new(Mutex::new(Ok((200, set("one")))));
        let (keys, asked) = issuer(&answer, None);
        let source = source();
        keys.refresh_if_due(&source, at(0)).await;
        *answer.lock().expect("an answer") = Ok((200, set("two")));
        let seen = keys.version(&source).expect("a version");
        assert!(!keys.refresh(&source, seen, at(1)).await, "a moment after the last fetch");
        let now = at(limits::JWKS_AGAIN_MS + 1);
        let (one, other) = tokio::join!(keys.refresh(&source, seen, now), keys.refresh(&source, seen, now));
        assert!(one && other, "both see the new set");
        assert_eq!(asked.load(Ordering::Acquire), 2, "and it was fetched once");
        assert_eq!(kid(&keys, &source).as_deref(), Some("two"));
        keys.retain(&[]);
        assert_eq!(kid(&keys, &source), None, "a set that nobody names is forgotten");
    }

    #[test]
    fn secrets_are_looked_up_where_they_stand_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("hook"), "from a credential\n").expect("written");
        let value = Arc::new(Mutex::new("from the environment"));
        let of_environment = value.clone();
        let environment =
            move |name: &str| (name == "HOOK").then(|| (*of_environment.lock().expect("a value")).to_owned());
        let keys = Keyring::new(Origins {
            environment: Some(Arc::new(environment)),
            credentials: Some(folder.path().into()),
            ..Origins::default()
        });
        let mut source = Source::new("a", "github");
        source.secrets = ["env:HOOK", "cred:hook", "plain"].map(TimedSecret::current).into();
        let source = Arc::new(source);
        let secrets = |keys: &Keyring| -> Vec<String> {
            keys.resolve(&source).expect("resolved").secrets.iter().map(|timed| timed.secret.0.clone()).collect()
        };
        assert_eq!(secrets(&keys), ["from the environment", "from a credential", "plain"]);
        *value.lock().expect("a value") = "another";
        assert_eq!(secrets(&keys)[0], "from the environment", "kept until it is looked up again");
        keys.look_up_again();
        assert_eq!(secrets(&keys)[0], "another");
        for (bad, word) in [("env:NONE", "environment"), ("cred:none", "cannot be read"), ("cred:../x", "name")] {
            let mut source = Source::new("b", "github");
            source.secrets = vec![TimedSecret::current(bad)];
            let why = keys.look_up(&source).expect_err(bad);
            assert!(why.contains(word), "{why}");
        }
    }
}
