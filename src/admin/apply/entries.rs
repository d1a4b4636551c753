//! What is wrong with the entries of files whatever is configured already: for those who check
//! files without a daemon.

use super::configured::Configured;
use super::kept::is_struck_out;
use super::wording::in_files;
use crate::api::apply::{ConfigurationSet, Entry};
use crate::api::spec::given_keys;
use crate::model::{Endpoint, Source};

/// Checks each entry alone. What is struck out of one is put back from what is configured, and so
/// is not looked at.
///
/// # Errors
/// The first thing that is wrong: the entry, and how to fix it.
pub fn check_entries(set: &ConfigurationSet) -> Result<(), String> {
    set.sources.iter().try_for_each(|(name, entry)| check::<Source>(name, entry))?;
    set.endpoints.iter().try_for_each(|(name, entry)| check::<Endpoint>(name, entry))
}

fn check<T: Configured>(name: &str, entry: &Entry<T::Settings>) -> Result<(), String> {
    let mut one = T::plain(name);
    let taken = match given_keys(&entry.settings).values().any(is_struck_out) {
        true => Ok(()),
        false => one.take(entry.settings.clone()),
    };
    let checked = taken.and_then(|()| one.take_secrets(&entry.settings, None, 0));
    checked.map_err(|why| format!("{}.{name}: {}", T::NOUN, in_files(&why)))
}
