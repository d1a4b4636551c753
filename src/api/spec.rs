//! What all specs share: which keys they have, and how changes are put over settings.
//!
//! A spec is a struct whose fields are all `Option`: `None` is "not given". Changes ([`Patch`])
//! follow JSON merge patch (RFC 7396): a key that is absent leaves its setting as it is, `null`
//! puts it back to its default.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use crate::model::form_error::form_error;
use crate::model::secret::without_values;

/// The settings whose values may hold secrets: no refusal quotes these.
pub(super) const MAY_HOLD_SECRETS: &[&str] = &[
    "answer_body",
    "arg",
    "body",
    "header",
    "path",
    "pin",
    "proxy",
    "public_key",
    "public_url",
    "secret",
    "set",
    "url",
];

/// A setting that was refused, or that is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(String);

impl SpecError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// Names a field of a body.
    pub(super) fn field(key: &str, why: &str) -> Self {
        Self(format!("'{key}': {why}"))
    }

    /// Names the setting as it is spelled in JSON and on the command line.
    pub(super) fn of(key: &str, why: &str) -> Self {
        Self(format!("'{key}' (--{}): {why}", key.replace('_', "-")))
    }
}

/// Settings that can be given in part.
pub trait Spec: Clone + Default + PartialEq + Serialize + DeserializeOwned {
    /// The keys in JSON, in the order of the fields.
    const KEYS: &'static [&'static str];

    /// Replaces what `changes` gives.
    fn overlay(&mut self, changes: Self);

    /// Forgets the settings of these keys.
    fn forget(&mut self, keys: &[String]);

    /// Forgets the settings that are as in `defaults`.
    fn without(self, defaults: &Self) -> Self;
}

/// Declares a spec: the struct as it stands, and [`Spec`] for its fields, so that a setting is one
/// field and no further list.
macro_rules! spec {
    (
        $(#[$of_spec:meta])*
        pub struct $spec:ident {
            $($(#[$of_field:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$of_spec])*
        pub struct $spec {
            $($(#[$of_field])* pub $field: $type,)*
        }

        impl $crate::api::spec::Spec for $spec {
            const KEYS: &'static [&'static str] =
                &[$($crate::api::spec::key(stringify!($field))),*];

            fn overlay(&mut self, changes: Self) {
                let Self { $($field),* } = changes;
                $(if $field.is_some() { self.$field = $field; })*
            }

            fn forget(&mut self, keys: &[String]) {
                $(if keys.iter().any(|name| name == $crate::api::spec::key(stringify!($field))) {
                    self.$field = None;
                })*
            }

            fn without(mut self, defaults: &Self) -> Self {
                $(if self.$field == defaults.$field { self.$field = None; })*
                self
            }
        }
    };
}
pub(super) use spec;

/// The name of a field in JSON.
pub(super) const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Changes to settings: those that are given, and those that go back to their defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch<S> {
    pub given: S,
    reset: Vec<String>,
}

impl<S: Spec> Patch<S> {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// Names the key that is unknown, or whose value is refused.
    pub fn read(object: Map<String, Value>) -> Result<Self, SpecError> {
        let mut patch = Self::default();
        let mut given = Map::new();

        for (key, value) in object {
            if !S::KEYS.contains(&key.as_str()) {
                let shown: String = key.chars().take(80).collect();
                let hint = hint(nearest(&shown, S::KEYS).map(str::to_owned));
                let known = S::KEYS.join(", ");
                return Err(SpecError::new(format!(
                    "unknown setting '{shown}'{hint}: the settings here are {known}"
                )));
            }
            if value.is_null() {
                patch.reset.push(key);
                continue;
            }
            given.insert(key, value);
        }

        patch.given = S::deserialize(&given).map_err(|why| {
            let refused = given.iter().find_map(|(key, value)| refusal_of::<S>(key, value));
            refused.unwrap_or_else(|| SpecError::new(why.to_string()))
        })?;
        Ok(patch)
    }

    /// What the command line gives; `reset` takes `retry-base` and `retry_base`.
    ///
    /// # Errors
    /// When a setting is unknown, or given and reset at once.
    pub fn new(given: S, reset: &[String]) -> Result<Self, SpecError> {
        let reset: Vec<String> = reset.iter().map(|name| name.replace('-', "_")).collect();
        let object = given_keys(&given);

        for key in &reset {
            if !S::KEYS.contains(&key.as_str()) {
                let option = |key: &str| key.replace('_', "-");
                let hint = hint(nearest(key, S::KEYS).map(option));
                let known = S::KEYS.iter().map(|key| option(key)).collect::<Vec<_>>().join(", ");
                return Err(SpecError::new(format!(
                    "--reset {key}: there is no such setting{hint}; there are {known}"
                )));
            }
            if object.contains_key(key) {
                return Err(SpecError::new(format!(
                    "'{key}' is set and reset at once: choose one"
                )));
            }
        }
        Ok(Self { given, reset })
    }

    /// Whether this setting goes back to its default.
    #[must_use]
    pub fn resets(&self, key: &str) -> bool {
        self.reset.iter().any(|reset| reset == key)
    }

    /// Puts further settings back to their defaults, where they are not given.
    pub(super) fn also_reset(&mut self, keys: &[&str]) {
        self.reset.extend(keys.iter().map(|key| (*key).to_owned()));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reset.is_empty() && given_keys(&self.given).is_empty()
    }

    /// The body of a request.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = given_keys(&self.given);
        object.extend(self.reset.iter().map(|key| (key.clone(), Value::Null)));
        object
    }

    /// Puts the changes over `settings`, of which those that are as in `defaults` count as not
    /// given.
    #[must_use]
    pub fn over(self, settings: S, defaults: &S) -> S {
        let mut changed = settings.without(defaults);
        changed.forget(&self.reset);
        changed.overlay(self.given);
        changed
    }
}

/// The setting that was probably meant by a misspelled one.
fn hint(meant: Option<String>) -> String {
    meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default()
}

/// The key that differs from `given` in at most a third of its letters, or in one.
fn nearest<'a>(given: &str, keys: &[&'a str]) -> Option<&'a str> {
    let most = (given.len() / 3).max(1);
    let distance = |key: &&'a str| (strsim::osa_distance(given, key), *key);
    let (distance, key) = keys.iter().map(distance).min()?;
    (distance <= most).then_some(key)
}

/// Why a setting is refused, when it alone is.
pub(super) fn refusal_of<T: DeserializeOwned>(key: &str, value: &Value) -> Option<SpecError> {
    let alone = MapDeserializer::new(std::iter::once((key, value)));
    let why: serde_json::Error = T::deserialize(alone).err()?;
    let why = form_error(&why.to_string());
    let mut values = Vec::new();
    add_secret_values(key, value, &mut values);
    Some(SpecError::of(key, &without_values(&why, &values)))
}

/// The texts and numbers in the value of a setting, where that may hold secrets.
pub(super) fn add_secret_values(key: &str, value: &Value, found: &mut Vec<String>) {
    if !MAY_HOLD_SECRETS.contains(&key) {
        return;
    }
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(list) => list.iter().for_each(|value| add_secret_values(key, value, found)),
        Value::Object(object) => {
            object.values().for_each(|value| add_secret_values(key, value, found));
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// The settings that are given, as JSON.
pub fn given_keys<S: Serialize>(spec: &S) -> Map<String, Value> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(object)) => {
            object.into_iter().filter(|(_, value)| !value.is_null()).collect()
        }
        _ => Map::new(),
    }
}
