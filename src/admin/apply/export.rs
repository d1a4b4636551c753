//! What is configured, as a file has it.

use serde_json::{Map, Value};

use super::configured::Configured;
use super::plan::ConfiguredNow;
use crate::api::Spec;
use crate::api::spec::given_keys;
use crate::api::views::ExportView;

/// Sources and endpoints by their names, with the settings that are not at their defaults; only
/// those of a set, when one is named. Temporary sources are left out.
#[must_use]
pub fn export(now: &ConfiguredNow, set: Option<&str>) -> ExportView {
    let sources = now.sources.iter().map(AsRef::as_ref);
    let endpoints = now.endpoints.iter().map(|(endpoint, _)| endpoint.as_ref());
    ExportView { source: entries(sources, set), endpoint: entries(endpoints, set) }
}

fn entries<'a, T: Configured + 'a>(
    all: impl Iterator<Item = &'a T>,
    set: Option<&str>,
) -> Map<String, Value> {
    let is_of_set = |one: &&T| set.is_none_or(|set| one.applied_set() == Some(set));
    let chosen = all.filter(|one| !one.is_temporary()).filter(is_of_set);
    let mut entries: Vec<(String, Value)> =
        chosen.map(|one| (one.name().to_owned(), Value::Object(settings(one)))).collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries.into_iter().collect()
}

/// The settings of one, with where its secret is found, if it only says that.
fn settings<T: Configured>(one: &T) -> Map<String, Value> {
    let mut settings = given_keys(&one.exported().without(&one.defaults()));
    let newest = one.secrets().first().map(|newest| &newest.secret);
    if let Some(reference) = newest.filter(|secret| secret.is_reference()) {
        settings.insert("secret".to_owned(), Value::from(reference.0.clone()));
    }
    settings
}
