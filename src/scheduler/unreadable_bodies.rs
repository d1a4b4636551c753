//! Bodies that say they are JSON, in which something was looked for, and which are not.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::limits;

/// How many events came in of which something was looked for in a JSON body that cannot be read, by
/// source. Since the start.
#[derive(Debug, Default)]
pub struct UnreadableBodies {
    by_source: Mutex<BTreeMap<String, u64>>,
}

impl UnreadableBodies {
    pub(super) fn count(&self, source: &str) {
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        if by_source.len() < limits::SOURCES || by_source.contains_key(source) {
            *by_source.entry(source.to_owned()).or_default() += 1;
        }
    }

    /// Keeps the counts of these sources: names come and go, and there is a limit of them.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        by_source.retain(|name, _| is_there(name));
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.by_source.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of a source.
    #[must_use]
    pub fn of(&self, source: &str) -> u64 {
        self.by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(source)
            .copied()
            .unwrap_or(0)
    }
}
