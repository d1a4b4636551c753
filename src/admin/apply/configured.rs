//! What sources and endpoints have in common for whoever plans changes to them.

use super::kept::restored;
use crate::api::values::SecretText;
use crate::api::{EndpointSpec, Patch, SecretChoice, SourceSpec, Spec};
use crate::ingest::verify::{default_max_body, uses_secret};
use crate::model::{Endpoint, Source, TimedSecret, WallMs, limits};

/// A source or an endpoint.
pub trait Configured: Clone + PartialEq {
    type Settings: Spec;
    /// `source` or `endpoint`.
    const NOUN: &'static str;

    /// One with every setting at its default.
    fn plain(name: &str) -> Self;

    fn name(&self) -> &str;

    fn rename(&mut self, name: &str);

    /// The set of files that it belongs to.
    fn applied_set(&self) -> Option<&str>;

    fn join(&mut self, set: &str);

    /// Why no file may speak of it.
    fn is_temporary(&self) -> bool;

    /// Its settings as they are, but for its secrets.
    fn settings(&self) -> Self::Settings;

    /// The same, with everything struck out that may be a secret.
    fn exported(&self) -> Self::Settings;

    /// Settings that are given for it, with what an export or a screen struck out of them put back.
    ///
    /// # Errors
    /// When something is struck out and there is nothing to put in its place.
    fn restore(&self, given: Self::Settings) -> Result<Self::Settings, String>;

    /// Those that count as not given.
    fn defaults(&self) -> Self::Settings;

    fn secrets(&self) -> &[TimedSecret];

    /// Gives it these settings; what is not given gets its default. What an entry cannot decide
    /// stays: ids, secrets, tokens.
    ///
    /// # Errors
    /// When a setting is refused.
    fn take(&mut self, settings: Self::Settings) -> Result<(), String>;

    /// Gives it the secret and the token that an entry asks for, at this time: those there were
    /// stay valid for a while. What has to be made is [`TO_BE_MADE`]. `before` is what there was.
    ///
    /// # Errors
    /// When the entry has a secret in it.
    fn take_secrets(
        &mut self,
        settings: &Self::Settings,
        before: Option<&Self>,
        at: WallMs,
    ) -> Result<(), String>;

    /// Lets go of old secrets that are of no use beside a new one: they proved something else.
    fn forget_useless_secrets(&mut self, settings: &Self::Settings, before: &Self);

    /// Makes what has to be made. Returns a secret that was, to be shown once.
    fn fill(&mut self, make: &MakeSecrets<'_>) -> Option<String>;
}

/// Stands where a secret or a token has to be made: a plan is pure, and draws nothing.
pub const TO_BE_MADE: &str = "";

/// What makes secrets and tokens.
pub struct MakeSecrets<'a> {
    pub secret: &'a dyn Fn() -> String,
    pub token: &'a dyn Fn() -> String,
}

impl Configured for Source {
    type Settings = SourceSpec;
    const NOUN: &'static str = "source";

    fn plain(name: &str) -> Self {
        Self { recipient_required: true, ..Self::new(name, "none") }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    fn applied_set(&self) -> Option<&str> {
        self.applied_set.as_deref()
    }

    fn join(&mut self, set: &str) {
        self.applied_set = Some(set.to_owned());
    }

    fn is_temporary(&self) -> bool {
        self.expires_at.is_some() || self.verify == "bin"
    }

    fn settings(&self) -> SourceSpec {
        SourceSpec::of(self)
    }

    fn exported(&self) -> SourceSpec {
        // A token in the public URL is a secret, also of its owner.
        SourceSpec {
            public_url: SourceSpec::shown(self, false).public_url,
            ..SourceSpec::shown(self, true)
        }
    }

    fn defaults(&self) -> SourceSpec {
        let plain = Self { max_body: default_max_body(&self.verify), ..Self::new("", "none") };
        SourceSpec::of(&plain)
    }

    fn restore(&self, given: SourceSpec) -> Result<SourceSpec, String> {
        restored(&self.exported(), &self.settings(), given, &SECRETIVE_OF_SOURCE)
    }

    fn secrets(&self) -> &[TimedSecret] {
        &self.secrets
    }

    fn take(&mut self, settings: SourceSpec) -> Result<(), String> {
        if settings.ttl.is_some()
            || settings.verify.as_ref().is_some_and(|verify| verify.0 == "bin")
        {
            return Err("temporary sources are not in files: use `hookboxctl bin create`".into());
        }
        let given = self.restore(settings)?;
        // A key that is null is one that is not there.
        let patch = Patch::new(given, &[]).map_err(|why| why.to_string())?;
        let settings = SourceSpec::default().changed(patch, default_max_body("none"));
        settings.apply(self, default_max_body).map_err(|why| why.to_string())
    }

    fn take_secrets(
        &mut self,
        settings: &SourceSpec,
        _: Option<&Self>,
        at: WallMs,
    ) -> Result<(), String> {
        put_secret(&mut self.secrets, settings.secret.as_ref(), settings.generate_secret, at)?;
        // A token that is there stays: its senders know it.
        let wants = settings.token == Some(true);
        self.token = self.token.take().filter(|_| wants);
        self.token = self.token.take().or_else(|| wants.then(|| TO_BE_MADE.to_owned()));
        Ok(())
    }

    fn forget_useless_secrets(&mut self, settings: &SourceSpec, before: &Self) {
        if self.verify == before.verify {
            return;
        }
        let is_given = self.secrets.first() != before.secrets.first();
        if is_given {
            self.secrets.truncate(1);
            return;
        }
        let asks = settings.secret.is_some() || settings.generate_secret == Some(true);
        if !asks && !uses_secret(&self.verify) {
            self.secrets.clear();
        }
    }

    fn fill(&mut self, make: &MakeSecrets<'_>) -> Option<String> {
        if self.token.as_deref() == Some(TO_BE_MADE) {
            self.token = Some((make.token)());
        }
        fill_secret(&mut self.secrets, make)
    }
}

impl Configured for Endpoint {
    type Settings = EndpointSpec;
    const NOUN: &'static str = "endpoint";

    fn plain(name: &str) -> Self {
        Self::new(name, "")
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    fn applied_set(&self) -> Option<&str> {
        self.applied_set.as_deref()
    }

    fn join(&mut self, set: &str) {
        self.applied_set = Some(set.to_owned());
    }

    fn is_temporary(&self) -> bool {
        false
    }

    fn settings(&self) -> EndpointSpec {
        EndpointSpec::of(self)
    }

    fn exported(&self) -> EndpointSpec {
        let shown = EndpointSpec::shown(self, true);
        EndpointSpec { url: shown.url.filter(|url| !url.is_empty()), ..shown }
    }

    fn defaults(&self) -> EndpointSpec {
        EndpointSpec { url: None, ..EndpointSpec::of(&Self::new("", "")) }
    }

    fn restore(&self, given: EndpointSpec) -> Result<EndpointSpec, String> {
        restored(&self.exported(), &self.settings(), given, &SECRETIVE_OF_ENDPOINT)
    }

    fn secrets(&self) -> &[TimedSecret] {
        &self.secrets
    }

    fn take(&mut self, settings: EndpointSpec) -> Result<(), String> {
        self.restore(settings)?.apply(self).map_err(|why| why.to_string())
    }

    fn take_secrets(
        &mut self,
        settings: &EndpointSpec,
        before: Option<&Self>,
        at: WallMs,
    ) -> Result<(), String> {
        // Whoever gives no secret gets one: requests are always signed.
        let begins_to_sign = !self.is_leased() && before.is_none_or(Self::is_leased);
        let generate =
            settings.generate_secret.unwrap_or(begins_to_sign && settings.secret.is_none());
        put_secret(&mut self.secrets, settings.secret.as_ref(), Some(generate), at)
    }

    fn forget_useless_secrets(&mut self, _: &EndpointSpec, _: &Self) {}

    fn fill(&mut self, make: &MakeSecrets<'_>) -> Option<String> {
        fill_secret(&mut self.secrets, make)
    }
}

/// The settings of which an export may strike something out.
const SECRETIVE_OF_SOURCE: [&str; 2] = ["set", "public_url"];
const SECRETIVE_OF_ENDPOINT: [&str; 3] = ["url", "header", "proxy"];

/// Puts a reference before the secrets there were, which stay valid for [`limits::ROTATION_MS`];
/// the same one leaves them as they are. One that is to be generated is so only where there is
/// none.
fn put_secret(
    secrets: &mut Vec<TimedSecret>,
    given: Option<&SecretText>,
    generate: Option<bool>,
    at: WallMs,
) -> Result<(), String> {
    let given = match SecretChoice::of(given, generate == Some(true))? {
        SecretChoice::Given(SecretText(given)) => given,
        SecretChoice::Generated if secrets.is_empty() => {
            secrets.push(TimedSecret::current(TO_BE_MADE));
            return Ok(());
        }
        SecretChoice::Generated | SecretChoice::Unchanged => return Ok(()),
    };

    if !given.is_reference() {
        return Err("'secret': a file says only where hookboxd finds a secret: write env:NAME, \
                    cred:NAME or file:/path, or leave it out and use `rotate-secret`"
            .to_owned());
    }
    if secrets.first().is_none_or(|newest| newest.secret != *given) {
        let end = at.saturating_add(limits::ROTATION_MS);
        secrets.retain(|old| old.is_live(at) && old.secret != *given);
        for old in secrets.iter_mut() {
            old.expires_at = Some(old.expires_at.map_or(end, |ends| ends.min(end)));
        }
        secrets.insert(0, TimedSecret::current(given.0.clone()));
        // Files win over what is in the way: of the old ones, the oldest goes.
        secrets.truncate(limits::SECRETS);
    }
    Ok(())
}

fn fill_secret(secrets: &mut [TimedSecret], make: &MakeSecrets<'_>) -> Option<String> {
    let secret = &mut secrets.first_mut().filter(|newest| newest.secret.0 == TO_BE_MADE)?.secret.0;
    *secret = (make.secret)();
    Some(secret.clone())
}
