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

/// Where entries stand, such as `endpoint.app`. Equal to any other: it is not part of what files
/// ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct EntryPlaces(pub(super) BTreeMap<String, EntryPlace>);

/// Where one entry stands.
#[derive(Clone, Debug, Default)]
pub(super) struct EntryPlace {
    pub file: String,
    pub line: Option<usize>,
    /// The lines of its settings.
    pub settings: Vec<(String, usize)>,
}

impl EntryPlace {
    /// The place of what a refusal is about: of the first setting that it names, or of the entry.
    fn of(&self, refusal: &str) -> String {
        let named =
            self.settings.iter().filter_map(|(key, line)| Some((naming(refusal, key)?, line)));
        let setting = named.min().map(|(_, line)| *line);
        match setting.or(self.line) {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}

/// Where a refusal names a setting: at its beginning, or in quotes.
fn naming(refusal: &str, key: &str) -> Option<usize> {
    let is_whole = |at: &usize| {
        !refusal[at + key.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    let is_quoted = |at: &usize| *at == 0 || refusal[..*at].ends_with(['\'', '`']);
    let found = refusal.match_indices(key).map(|(at, _)| at);
    found.filter(is_whole).find(is_quoted)
}

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
                let place = place.of(part_of(&located[at + entry.len()..]));
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
    /// The entry that both have, and where: `b.toml:3: source.github is in a.toml:1, too`.
    pub fn add(&mut self, other: Self) -> Result<(), String> {
        let twice = |entry: String| {
            let place = |set: &EntryPlaces| set.0.get(&entry).map(|place| place.of(""));
            match (place(&other.places), place(&self.places)) {
                (Some(here), Some(there)) => format!("{here}: {entry} is in {there}, too"),
                _ => format!("{entry} is there twice"),
            }
        };
        add_entries("source", &mut self.sources, other.sources).map_err(twice)?;
        add_entries("endpoint", &mut self.endpoints, other.endpoints).map_err(twice)?;
        self.places.0.extend(other.places.0);
        Ok(())
    }
}

/// The part of a refusal that is about one entry.
fn part_of(rest: &str) -> &str {
    let ends = ["; source.", "; endpoint."].iter().filter_map(|next| rest.find(next));
    &rest[..ends.min().unwrap_or(rest.len())]
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::ConfigurationSet;
    use crate::api::apply::FileFormat;

    fn set(name: &str, text: &str) -> ConfigurationSet {
        ConfigurationSet::parse(text, FileFormat::Toml, Path::new(name)).expect("a set")
    }

    #[test]
    fn a_refusal_has_the_line_of_the_setting_that_it_names() {
        let text = "[endpoint.app]\nurl = \"https://a/\"\nretry_max = \"1s\"\ntimeout = \"2s\"\n\
                    [source.in]\nsecret = \"x\"\n";
        let set = set("a.toml", text);
        for (refusal, located) in [
            ("endpoint.app: 'retry_max' (--retry-max): is less", "a.toml:3: endpoint.app: "),
            ("endpoint.app: `timeout` (--timeout) is too long", "a.toml:4: endpoint.app: "),
            ("endpoint.app: url: is no URL", "a.toml:2: endpoint.app: "),
            ("endpoint.app: the timeout_x is 'retry_maximum'", "a.toml:1: endpoint.app: "),
        ] {
            assert!(set.located(refusal).starts_with(located), "{}", set.located(refusal));
        }
        let both = "nothing was changed: endpoint.app: no; source.in: 'secret' is short";
        let located = set.located(both);
        assert_eq!(
            located,
            "nothing was changed: a.toml:1: endpoint.app: no; a.toml:6: source.in: 'secret' is \
             short"
        );
    }

    #[test]
    fn an_entry_in_two_files_is_named_with_both_places() {
        let mut all = set("a.toml", "\n[source.in]\n");
        let why = all.add(set("b.toml", "[source.other]\n[source.in]\n")).expect_err("twice");
        assert_eq!(why, "b.toml:2: source.in is in a.toml:2, too");
    }
}
