//! Files and folders on the command line, read as one set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::api::ApplyBody;
use crate::api::apply::{ConfigurationSet, FileFormat, entry_json};
use crate::ctl::error::CtlError;
use crate::ctl::files::read_text;

/// The set of all files.
///
/// # Errors
/// Names the file and the line of what is wrong.
pub(in crate::ctl) fn set<'a>(
    files: impl Iterator<Item = &'a PathBuf>,
    format: Option<FileFormat>,
) -> Result<ConfigurationSet, CtlError> {
    let mut all = ConfigurationSet::default();
    for file in files {
        for file in expanded(file)? {
            let format = format_of(&file, format)?;
            let text = read_text(&file)?;
            let set = ConfigurationSet::parse(&text, format, &file)
                .map_err(|error| CtlError::Usage(error.to_string()))?;
            all.add(set).map_err(CtlError::Usage)?;
        }
    }
    Ok(all)
}

/// A set as it stands in a request.
pub(in crate::ctl) fn body(set: &ConfigurationSet) -> ApplyBody {
    ApplyBody {
        source: object(&set.sources, entry_json),
        endpoint: object(&set.endpoints, entry_json),
        ..ApplyBody::default()
    }
}

/// A file, or the files of a folder by their names.
fn expanded(file: &Path) -> Result<Vec<PathBuf>, CtlError> {
    if file == Path::new("-") {
        return Ok(vec![file.to_owned()]);
    }
    let failed = |error| CtlError::Io { what: format!("cannot read {}", file.display()), error };
    if !file.metadata().map_err(failed)?.is_dir() {
        return Ok(vec![file.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(file).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        if FileFormat::of(&path).is_some() && !is_hidden {
            found.push(path);
        }
    }
    found.sort();

    if found.is_empty() {
        let what = format!("{} has no files *.toml or *.json", file.display());
        return Err(CtlError::Usage(what));
    }
    Ok(found)
}

fn format_of(file: &Path, given: Option<FileFormat>) -> Result<FileFormat, CtlError> {
    let stdin = (file == Path::new("-")).then_some(FileFormat::Toml);
    given.or(stdin).or_else(|| FileFormat::of(file)).ok_or_else(|| {
        let what = format!(
            "{}: is it TOML or JSON? Name it *.toml or *.json, or give --format",
            file.display()
        );
        CtlError::Usage(what)
    })
}

fn object<E>(
    entries: &BTreeMap<String, E>,
    json: impl Fn(&E) -> Map<String, Value>,
) -> Map<String, Value> {
    entries.iter().map(|(name, entry)| (name.clone(), Value::Object(json(entry)))).collect()
}
