//! Sources and endpoints of the system's files, applied before anything is taken in.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use crate::admin::{Admin, BootApply, apply_at_start, check_entries};
use crate::api::ConfigurationSet;
use crate::api::apply::FileFormat;
use crate::api::values::SecretText;
use crate::config::layers::{apply_files, apply_text};
use crate::ingest::Origins;
use crate::model::secret::Secret;
use crate::service::stdio;

/// Applies the files that belong to this configuration; `None` when it is not the system's.
pub async fn run(admin: &Admin, config: Option<&Path>) -> Option<BootApply> {
    let files = match apply_files(config?)? {
        Ok(files) => files,
        Err(error) => return Some(apply_at_start(admin, Vec::new(), Err(error.to_string())).await),
    };
    let wanted = read(&files);
    Some(apply_at_start(admin, files, wanted).await)
}

/// `--check`: the first thing that is wrong with these files. The service manager checks at each
/// start: the daemon serves without them then, and reports it.
pub fn check(config: Option<&Path>) -> Result<(), Exit> {
    let Some(files) = config.and_then(apply_files) else { return Ok(()) };
    let read = files.map_err(|error| error.to_string()).and_then(|files| read(&files));
    let checked = read.and_then(|set| match check_entries(&set) {
        Ok(()) => Ok(set),
        Err(why) => Err(set.located(&why)),
    });
    match checked {
        Ok(set) => {
            for note in unreadable_secrets(&set) {
                stdio::note(format_args!("hookboxd: note: {}", set.located(&note)));
            }
            Ok(())
        }
        Err(why) if std::env::var_os("INVOCATION_ID").is_some() => {
            stdio::note(format_args!("hookboxd: note: nothing of apply.d will be applied: {why}"));
            Ok(())
        }
        Err(why) => Err(Exit::new(Exit::CONFIG, why)),
    }
}

/// Secrets that stand in files which whoever checks cannot read. What `env:` and `cred:` name is
/// there only for the daemon.
fn unreadable_secrets(set: &ConfigurationSet) -> Vec<String> {
    let sources =
        set.sources.iter().map(|(name, entry)| ("source", name, entry.settings.secret.as_ref()));
    let endpoints = set
        .endpoints
        .iter()
        .map(|(name, entry)| ("endpoint", name, entry.settings.secret.as_ref()));

    let given = sources.chain(endpoints).filter_map(|(kind, name, secret)| {
        let SecretText(Secret(text)) = secret?;
        text.starts_with("file:").then_some((kind, name, text))
    });
    let missing = given.filter_map(|(kind, name, text)| {
        let why = Origins::default().reference(text).err()?;
        Some(format!("{kind}.{name}: secret: {why}"))
    });
    missing.collect()
}

/// The entries of all files.
fn read(files: &[PathBuf]) -> Result<ConfigurationSet, String> {
    let mut all = ConfigurationSet::default();
    for file in files {
        let text = apply_text(file).map_err(|error| error.to_string())?;
        let format = FileFormat::of(file).unwrap_or(FileFormat::Toml);
        let set =
            ConfigurationSet::parse(&text, format, file).map_err(|error| error.to_string())?;
        all.add(set)?;
    }
    Ok(all)
}
