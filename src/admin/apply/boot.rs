//! The files that are applied when the daemon starts, and what is different from them later.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::configured::Configured;
use super::plan::{ConfiguredNow, PlanOptions, PlannedChange, plan};
use crate::api::apply::ConfigurationSet;
use crate::api::values::Time;
use crate::api::views::{ApplyAction, BootApplyView};
use crate::model::WallMs;
use crate::scheduler::Directory;

/// The set that these files are.
pub const BOOT_SET: &str = "apply.d";
/// Differences that are named.
const NAMED: usize = 32;

/// What was applied at the start.
#[derive(Debug)]
pub struct BootApply {
    pub files: Vec<PathBuf>,
    /// What they say; an error when they cannot be read.
    pub wanted: Result<ConfigurationSet, String>,
    pub at: WallMs,
    /// How much they changed, or why nothing of them was applied.
    pub applied: Result<usize, String>,
    pub known: KnownDrift,
}

/// What was found to be different, for as long as nothing else is configured: with thousands of
/// entries it takes a while to find out, and `status` is asked often.
#[derive(Debug, Default)]
pub struct KnownDrift(Mutex<Option<(Weak<Directory>, Vec<String>)>>);

impl KnownDrift {
    /// The differences from this directory; `find` finds them out where they are not known.
    fn of(&self, directory: &Arc<Directory>, find: impl FnOnce() -> Vec<String>) -> Vec<String> {
        // Whoever asks meanwhile waits for the same answer.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A weak reference keeps the address, so that no later directory has it.
        match &*known {
            Some((of, drift)) if of.as_ptr() == Arc::as_ptr(directory) => drift.clone(),
            _ => {
                let drift = find();
                *known = Some((Arc::downgrade(directory), drift.clone()));
                drift
            }
        }
    }
}

impl BootApply {
    /// What there is to say of it by now; `None` when there is nothing. May take a while: not for a
    /// thread that others wait for.
    #[must_use]
    pub fn view(
        &self,
        directory: &Arc<Directory>,
        configured: impl FnOnce(&Directory) -> ConfiguredNow,
    ) -> Option<BootApplyView> {
        let drift = self.known.of(directory, || self.drift(&configured(directory)));
        let error = self.applied.clone().err();
        if self.files.is_empty() && drift.is_empty() && error.is_none() {
            return None;
        }
        Some(BootApplyView {
            files: self.files.iter().map(|file| file.display().to_string()).collect(),
            at: Time(self.at),
            changed: self.applied.clone().unwrap_or(0),
            error,
            drift,
        })
    }

    /// What applying them now would change, and what nobody asks for any more.
    fn drift(&self, now: &ConfiguredNow) -> Vec<String> {
        let Ok(wanted) = &self.wanted else { return Vec::new() };
        // Nothing of this is done, so that nothing has to be refused.
        let options = PlanOptions { set: Some(BOOT_SET.to_owned()), prune: true, force: true };
        let mut drift = match plan(now, wanted, &options) {
            Ok(plan) => {
                let sources = plan.sources.iter().map(difference);
                sources.chain(plan.endpoints.iter().map(difference)).collect()
            }
            // They may quote what stands in a file, as the error does.
            Err(whys) if whys.len() == 1 => vec!["1 entry that cannot be applied".to_owned()],
            Err(whys) => vec![format!("{} entries that cannot be applied", whys.len())],
        };

        if drift.len() > NAMED {
            let more = drift.len() - NAMED;
            drift.truncate(NAMED);
            drift.push(format!("and {more} more"));
        }
        drift
    }
}

fn difference<T: Configured>(change: &PlannedChange<T>) -> String {
    let what = match change.action() {
        ApplyAction::Create => "not there".to_owned(),
        ApplyAction::Delete => "in no file any more".to_owned(),
        ApplyAction::Rename => format!("named {}", change.previous_name().unwrap_or_default()),
        ApplyAction::Change => {
            let fields: Vec<&str> =
                change.fields.iter().map(|field| field.field.as_str()).collect();
            fields.join(", ")
        }
    };
    format!("{} {} ({what})", T::NOUN, change.name())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::KnownDrift;
    use crate::scheduler::Directory;

    #[test]
    fn differences_are_found_out_once_for_each_directory() {
        let known = KnownDrift::default();
        let first = Arc::new(Directory::default());
        let drift = |directory: &Arc<Directory>, name: &str| {
            let mut found = false;
            let drift = known.of(directory, || {
                found = true;
                vec![name.to_owned()]
            });
            (drift.concat(), found)
        };

        assert_eq!(drift(&first, "a"), ("a".to_owned(), true));
        assert_eq!(drift(&first, "b"), ("a".to_owned(), false), "nothing has changed");
        drop(first);
        let second = Arc::new(Directory::default());
        assert_eq!(drift(&second, "b"), ("b".to_owned(), true), "another one");
    }
}
