//! A set out of the text of a file, with the line of what is wrong.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::de::DeTable;

use super::configuration_set::{ConfigurationSet, Entry, EntryPlace, EntryPlaces};
use super::{json_lines, unique_keys};
use crate::api::spec::{Spec, SpecError};
use crate::model::check_name;

/// The tables of a file.
const TABLES: [&str; 2] = ["source", "endpoint"];

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// Tables [source.NAME] and [endpoint.NAME]
    Toml,
    /// An object with the members source and endpoint
    Json,
}

impl FileFormat {
    /// That of a file, by its name.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// What is wrong in a file of sources and endpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SetFileError {
    pub file: PathBuf,
    pub line: Option<usize>,
    pub what: String,
}

impl fmt::Display for SetFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.what),
            None => write!(f, "{}: {}", self.file.display(), self.what),
        }
    }
}

/// A text, and where its keys stand.
struct Document {
    file: PathBuf,
    values: Map<String, Value>,
    /// Of each key, its path and its line.
    lines: Vec<(Vec<String>, usize)>,
}

impl ConfigurationSet {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong: the file, the line, and how to fix it.
    pub fn parse(text: &str, format: FileFormat, file: &Path) -> Result<Self, SetFileError> {
        let mut document = match format {
            FileFormat::Toml => Document::of_toml(text, file)?,
            FileFormat::Json => Document::of_json(text, file)?,
        };

        if let Some(key) = document.values.keys().find(|key| !TABLES.contains(&key.as_str())) {
            let what = format!(
                "unknown '{key}': a file has [source.NAME] and [endpoint.NAME], and in JSON the \
                 members source and endpoint"
            );
            return Err(document.wrong(&[key], what));
        }
        let (sources, endpoints) = (document.entries("source")?, document.entries("endpoint")?);
        let names = sources.keys().map(|name| ("source", name));
        let names = names.chain(endpoints.keys().map(|name| ("endpoint", name)));
        let places =
            names.map(|(noun, name)| (format!("{noun}.{name}"), document.place(noun, name)));
        let places = EntryPlaces(places.collect());
        Ok(Self { sources, endpoints, places })
    }
}

impl Document {
    fn of_toml(text: &str, file: &Path) -> Result<Self, SetFileError> {
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |at: usize| ends.partition_point(|end| *end < at) + 1;
        let wrong = |line, what| SetFileError { file: file.to_owned(), line, what };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            wrong(error.span().map(|span| line(span.start)), error.message().replace('\n', " "))
        })?;

        let mut lines = Vec::new();
        if let Ok(document) = DeTable::parse(text) {
            lines_of(document.get_ref(), &[], &line, &mut lines);
        }
        let mut document = Self { file: file.to_owned(), values: Map::new(), lines };
        for (key, value) in table {
            let value = json_of(value).map_err(|RefusedValue { mut path, what }| {
                path.push(key.clone());
                path.reverse();
                document.refused(&path, &what)
            })?;
            document.values.insert(key, value);
        }
        Ok(document)
    }

    fn of_json(text: &str, file: &Path) -> Result<Self, SetFileError> {
        let read = unique_keys::check(text).and_then(|()| serde_json::from_str(text));
        let values = read.map_err(|error| SetFileError {
            file: file.to_owned(),
            line: Some(error.line()).filter(|line| *line > 0),
            what: error.to_string(),
        })?;
        Ok(Self { file: file.to_owned(), values, lines: json_lines::of(text) })
    }

    /// The entries of one of the tables.
    fn entries<S: Spec>(
        &mut self,
        noun: &str,
    ) -> Result<std::collections::BTreeMap<String, Entry<S>>, SetFileError> {
        let entries = match self.values.shift_remove(noun) {
            None => return Ok(Default::default()),
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                let what = format!("'{noun}' holds tables: write [{noun}.NAME]");
                return Err(self.wrong(&[noun], what));
            }
        };
        let read = entries.into_iter().map(|(name, settings)| {
            let entry = self.entry(noun, &name, settings)?;
            Ok((name, entry))
        });
        read.collect()
    }

    fn entry<S: Spec>(
        &self,
        noun: &str,
        name: &str,
        settings: Value,
    ) -> Result<Entry<S>, SetFileError> {
        let wrong = |path: &[&str], why: &dyn fmt::Display| {
            self.wrong(path, format!("{noun}.{name}: {why}"))
        };
        check_name(name).map_err(|why| wrong(&[noun, name], &why))?;
        let Value::Object(settings) = settings else {
            let why = format!("must be a table: write [{noun}.{name}]");
            return Err(wrong(&[noun, name], &why));
        };

        // Each key alone first: an error then has its line.
        for (key, value) in &settings {
            let alone = Map::from_iter([(key.clone(), value.clone())]);
            Entry::<S>::read(alone).map_err(|why: SpecError| wrong(&[noun, name, key], &why))?;
        }
        Entry::read(settings).map_err(|why| wrong(&[noun, name], &why))
    }

    /// A value that JSON cannot have, with its entry and its setting.
    fn refused(&self, path: &[String], what: &str) -> SetFileError {
        let known: Vec<&str> = path.iter().map(String::as_str).collect();
        let what = match known.as_slice() {
            [noun, name, settings @ ..] if !settings.is_empty() => {
                format!("{noun}.{name}: '{}': {what}", settings.join("."))
            }
            other => format!("'{}': {what}", other.join(".")),
        };
        // What stands in a list has the line of its key.
        let line = (1..=known.len()).rev().find_map(|length| self.line(&known[..length]));
        SetFileError { file: self.file.clone(), line, what }
    }

    fn wrong(&self, path: &[&str], what: String) -> SetFileError {
        SetFileError { file: self.file.clone(), line: self.line(path), what }
    }

    fn line(&self, path: &[&str]) -> Option<usize> {
        let found = self.lines.iter().find(|(known, _)| known.iter().eq(path));
        found.map(|(_, line)| *line)
    }

    /// Where an entry and its settings stand.
    fn place(&self, noun: &str, name: &str) -> EntryPlace {
        let settings = self.lines.iter().filter_map(|(path, line)| match path.as_slice() {
            [of, entry, key] if of == noun && entry == name => Some((key.clone(), *line)),
            _ => None,
        });
        EntryPlace {
            file: self.file.display().to_string(),
            line: self.line(&[noun, name]),
            settings: settings.collect(),
        }
    }
}

/// The lines of all keys, with those of the tables in them.
fn lines_of(
    table: &DeTable<'_>,
    path: &[String],
    line: &dyn Fn(usize) -> usize,
    found: &mut Vec<(Vec<String>, usize)>,
) {
    for (key, value) in table {
        let path: Vec<String> = path.iter().cloned().chain([key.get_ref().to_string()]).collect();
        found.push((path.clone(), line(key.span().start)));
        // Below a setting there are no keys of ours.
        if path.len() < 3
            && let Some(inner) = value.get_ref().as_table()
        {
            lines_of(inner, &path, line, found);
        }
    }
}

/// A value that is refused, and the keys that lead to it, the innermost first.
struct RefusedValue {
    path: Vec<String>,
    what: String,
}

impl RefusedValue {
    fn new(what: String) -> Self {
        Self { path: Vec::new(), what }
    }
}

/// A value of TOML as JSON has it.
fn json_of(value: toml::Value) -> Result<Value, RefusedValue> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => {
            serde_json::Number::from_f64(number).map(Value::Number).ok_or_else(|| {
                RefusedValue::new(format!("{number} is not a number that a setting can have"))
            })?
        }
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(time) => {
            let what = format!("{time} is a time, which no setting is: put it in quotes");
            return Err(RefusedValue::new(what));
        }

        toml::Value::Array(list) => {
            Value::Array(list.into_iter().map(json_of).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let member = |(key, value): (String, toml::Value)| match json_of(value) {
                Ok(value) => Ok((key, value)),
                Err(mut refused) => {
                    refused.path.push(key);
                    Err(refused)
                }
            };
            Value::Object(table.into_iter().map(member).collect::<Result<_, _>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{ConfigurationSet, FileFormat};

    #[test]
    fn values_that_only_toml_has_are_named_with_entry_setting_and_line() {
        for (text, what) in [
            (
                "[endpoint.a]\nurl = \"https://a/\"\nmax_age = 2026-01-01\n",
                "f.toml:3: endpoint.a: 'max_age': 2026-01-01 is a time",
            ),
            ("[endpoint.a]\njitter = inf\n", "f.toml:2: endpoint.a: 'jitter': inf is not a number"),
            ("[source.a]\n\nset.x = nan\n", "f.toml:3: source.a: 'set.x': NaN is not a number"),
            ("[source.a]\nallow = [2026-01-01]\n", "f.toml:2: source.a: 'allow': 2026-01-01"),
            ("source = 2026-01-01\n", "f.toml:1: 'source': 2026-01-01 is a time"),
        ] {
            let refused = ConfigurationSet::parse(text, FileFormat::Toml, Path::new("f.toml"));
            let refused = refused.expect_err(text).to_string();
            assert!(refused.starts_with(what), "{refused}");
        }
    }
}
