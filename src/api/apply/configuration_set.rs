//! What files ask for: sources and endpoints by their names.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::spec::{Patch, Spec, SpecError, add_secret_values, given_keys};
use crate::api::{EndpointSpec, SourceSpec};
use crate::model::check_name;
use crate::model::secret::without_values;

/// The key of an entry that is not a setting.
pub(super) const PREVIOUS_NAME: &str = "previous_name";

/// One source or endpoint of a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry<S> {
    /// What is not given has its default.
    pub settings: S,
    /// The name that it had before.
    pub previous_name: Option<String>,
}

/// Sources and endpoints, as files ask for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigurationSet {
    pub sources: BTreeMap<String, Entry<SourceSpec>>,
    pub endpoints: BTreeMap<String, Entry<EndpointSpec>>,
    pub(super) places: EntryPlaces,
}

/// Where entries stand: `endpoint.app` in `hooks.toml:12`. Equal to any other: it is not part of
/// what files ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct EntryPlaces(pub(super) BTreeMap<String, String>);

impl PartialEq for EntryPlaces {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<S: Spec> Entry<S> {
    /// Reads a JSON object; `null` is the same as leaving a key out.
    ///
    /// # Errors
    /// Names the key that is unknown, or whose value is refused.
    pub fn read(mut object: Map<String, Value>) -> Result<Self, SpecError> {
        let previous_name = match object.shift_remove(PREVIOUS_NAME) {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => {
                check_name(&name).map_err(|why| SpecError::field(PREVIOUS_NAME, &why))?;
                Some(name)
            }
            Some(_) => return Err(SpecError::field(PREVIOUS_NAME, "must be a text in quotes")),
        };
        Ok(Self { settings: Patch::<S>::read(object)?.given, previous_name })
    }
}

impl ConfigurationSet {
    /// Reads the entries of a request.
    ///
    /// # Errors
    /// Names the entry, and what is wrong with it.
    pub fn read(
        sources: Map<String, Value>,
        endpoints: Map<String, Value>,
    ) -> Result<Self, SpecError> {
        Ok(Self {
            sources: entries("source", sources)?,
            endpoints: entries("endpoint", endpoints)?,
            places: EntryPlaces::default(),
        })
    }

    /// A refusal without what it quotes of settings that may hold secrets, for the daemon's log.
    #[must_use]
    pub fn without_secrets(&self, refusal: &str) -> String {
        let mut values = Vec::new();
        let sources = self.sources.values().map(|entry| given_keys(&entry.settings));
        let endpoints = self.endpoints.values().map(|entry| given_keys(&entry.settings));
        for settings in sources.chain(endpoints) {
            settings.iter().for_each(|(key, value)| add_secret_values(key, value, &mut values));
        }
        without_values(refusal, &values)
    }

    /// A refusal, with the file and the line of each entry that begins a part of it.
    #[must_use]
    pub fn located(&self, refusal: &str) -> String {
        let mut located = refusal.to_owned();
        for (entry, place) in &self.places.0 {
            let entry = format!("{entry}: ");
            let begins_part = |at: &usize| {
                let before = &located[..*at];
                before.is_empty() || before.ends_with("; ") || before.ends_with("was changed: ")
            };
            let found: Vec<usize> =
                located.match_indices(&entry).map(|(at, _)| at).filter(begins_part).collect();
            for at in found.into_iter().rev() {
                located.insert_str(at, &format!("{place}: "));
            }
        }
        located
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sources.len() + self.endpoints.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the entries of another set.
    ///
    /// # Errors
    /// The entry that both have: `source.github`.
    pub fn add(&mut self, other: Self) -> Result<(), String> {
        add_entries("source", &mut self.sources, other.sources)?;
        add_entries("endpoint", &mut self.endpoints, other.endpoints)?;
        self.places.0.extend(other.places.0);
        Ok(())
    }
}

/// An entry as it stands in a request.
#[must_use]
pub fn entry_json<S: Spec>(entry: &Entry<S>) -> Map<String, Value> {
    let mut object = given_keys(&entry.settings);
    if let Some(name) = &entry.previous_name {
        object.insert(PREVIOUS_NAME.to_owned(), Value::from(name.clone()));
    }
    object
}

fn entries<S: Spec>(
    noun: &str,
    given: Map<String, Value>,
) -> Result<BTreeMap<String, Entry<S>>, SpecError> {
    let mut entries = BTreeMap::new();
    for (name, settings) in given {
        let entry = entry_of(&name, settings);
        let shown: String = name.chars().take(80).collect();
        let entry = entry.map_err(|why| SpecError::new(format!("{noun}.{shown}: {why}")))?;
        entries.insert(name, entry);
    }
    Ok(entries)
}

fn entry_of<S: Spec>(name: &str, settings: Value) -> Result<Entry<S>, SpecError> {
    check_name(name).map_err(SpecError::new)?;
    match settings {
        Value::Object(settings) => Entry::read(settings),
        _ => Err(SpecError::new("must be an object with settings")),
    }
}

fn add_entries<S>(
    noun: &str,
    all: &mut BTreeMap<String, Entry<S>>,
    more: BTreeMap<String, Entry<S>>,
) -> Result<(), String> {
    for (name, entry) in more {
        if all.contains_key(&name) {
            return Err(format!("{noun}.{name}"));
        }
        all.insert(name, entry);
    }
    Ok(())
}
