//! The files that are applied when the daemon starts, and what is different from them later.

use std::path::PathBuf;

use super::configured::Configured;
use super::plan::{ConfiguredNow, PlanOptions, PlannedChange, plan};
use crate::api::apply::ConfigurationSet;
use crate::api::values::Time;
use crate::api::views::{ApplyAction, BootApplyView};
use crate::model::WallMs;

/// The set that these files are.
pub const BOOT_SET: &str = "apply.d";
/// Differences that are named.
const NAMED: usize = 32;

/// What was applied at the start.
#[derive(Clone, Debug)]
pub struct BootApply {
    pub files: Vec<PathBuf>,
    /// What they say; an error when they cannot be read.
    pub wanted: Result<ConfigurationSet, String>,
    pub at: WallMs,
    /// How much they changed, or why nothing of them was applied.
    pub applied: Result<usize, String>,
}

impl BootApply {
    /// What there is to say of it by now; `None` when there is nothing.
    #[must_use]
    pub fn view(&self, now: &ConfiguredNow) -> Option<BootApplyView> {
        let drift = self.drift(now);
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
