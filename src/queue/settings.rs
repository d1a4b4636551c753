//! How much the operator's settings take. Sources and endpoints stand in every checkpoint and in
//! memory, so that one of them, and all together, have a limit in bytes beside their number.

use std::collections::BTreeMap;

use serde::Serialize;

use super::decision::Refusal;
use super::folding::state::State;
use crate::model::size::format_bytes;
use crate::model::{EndpointId, SourceId, limits};

/// One source or endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingsOwner {
    Source(SourceId),
    Endpoint(EndpointId),
}

/// The bytes of each, as the log encodes them.
#[derive(Clone, Debug, Default)]
pub struct SettingsSizes {
    bytes: BTreeMap<SettingsOwner, u64>,
    all: u64,
}

impl SettingsSizes {
    /// Those of a state.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let mut settings = Self::default();
        for (id, source) in &state.sources {
            settings.set(SettingsOwner::Source(*id), encoded(source.as_ref()));
        }
        for endpoint in state.living() {
            settings.set(
                SettingsOwner::Endpoint(endpoint.settings.id),
                encoded(endpoint.settings.as_ref()),
            );
        }
        settings
    }

    /// What all of them take.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.all
    }

    pub fn set(&mut self, setting: SettingsOwner, bytes: u64) {
        let before = self.bytes.insert(setting, bytes).unwrap_or(0);
        self.all = self.all - before + bytes;
    }

    pub fn forget(&mut self, setting: SettingsOwner) {
        self.all -= self.bytes.remove(&setting).unwrap_or(0);
    }

    /// Takes account of a source or an endpoint that is about to be set, or refuses it.
    ///
    /// # Errors
    /// When it would take too much.
    pub fn account(
        &mut self,
        owner: SettingsOwner,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), Refusal> {
        let bytes = encoded(value);
        self.check(owner, name, bytes)?;
        self.set(owner, bytes);
        Ok(())
    }

    /// Refuses a source or an endpoint that would take too much. One that gets no larger is never
    /// refused: a log of an earlier version may hold more.
    fn check(&self, setting: SettingsOwner, name: &str, bytes: u64) -> Result<(), Refusal> {
        let before = self.bytes.get(&setting).copied().unwrap_or(0);
        if bytes <= before {
            return Ok(());
        }

        let what = match setting {
            SettingsOwner::Source(_) => "source",
            SettingsOwner::Endpoint(_) => "endpoint",
        };
        let takes = format_bytes(bytes);
        if bytes > limits::SETTINGS_BYTES {
            let limit = format_bytes(limits::SETTINGS_BYTES);
            return Err(Refusal::Invalid(format!(
                "the settings of {what} '{name}' take {takes}, the limit for one {what} is \
                 {limit}: make them smaller; a large key set can be fetched instead of given"
            )));
        }

        if self.all - before + bytes > limits::SETTINGS_BYTES_ALL {
            let (all, limit) = (format_bytes(self.all), format_bytes(limits::SETTINGS_BYTES_ALL));
            return Err(Refusal::Invalid(format!(
                "the settings of {what} '{name}' take {takes}, and those of all sources and \
                 endpoints {all} of the limit of {limit}: delete some, or make them smaller"
            )));
        }
        Ok(())
    }
}

/// As it stands in a checkpoint.
fn encoded(value: &impl Serialize) -> u64 {
    // What cannot be encoded has no place in the log either.
    let mut bytes = Vec::new();
    let written = rmp_serde::encode::write(&mut bytes, value);
    written.map_or(u64::MAX / 4, |()| bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::{SettingsOwner, SettingsSizes, limits};

    fn refusal(settings: &SettingsSizes, setting: SettingsOwner, bytes: u64) -> String {
        settings
            .check(setting, "a", bytes)
            .map_or_else(|refusal| refusal.to_string(), |()| String::new())
    }

    #[test]
    fn one_and_all_have_a_limit() {
        let mut settings = SettingsSizes::default();
        let (one, other) = (SettingsOwner::Source(1), SettingsOwner::Endpoint(1));
        assert_eq!(refusal(&settings, one, limits::SETTINGS_BYTES), "");
        let why = refusal(&settings, one, limits::SETTINGS_BYTES + 1);
        assert!(why.contains("source 'a'") && why.contains("256.0 KiB"), "{why}");

        for n in 10..10 + limits::SETTINGS_BYTES_ALL / limits::SETTINGS_BYTES {
            settings.set(
                SettingsOwner::Source(u32::try_from(n).expect("small")),
                limits::SETTINGS_BYTES,
            );
        }
        let why = refusal(&settings, other, 1);
        assert!(
            why.contains("endpoint 'a'") && why.contains("16.0 MiB of the limit of 16.0 MiB"),
            "{why}"
        );

        settings.forget(SettingsOwner::Source(10));
        assert_eq!(
            (settings.all(), refusal(&settings, other, 1)),
            (15 * (1 << 20) + 768 * 1024, String::new())
        );
    }

    #[test]
    fn what_gets_no_larger_is_not_refused() {
        let mut settings = SettingsSizes::default();
        settings.set(SettingsOwner::Source(1), 100 << 20);
        assert_eq!(refusal(&settings, SettingsOwner::Source(1), 90 << 20), "");
        assert_ne!(refusal(&settings, SettingsOwner::Source(2), 1000), "");
    }
}
