//! When endpoints have something to do at the earliest: one time for each, on the monotonic clock.
//!
//! Invariant: `by_time` and `time_of` are one relation, read from both sides.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::EndpointId;

/// The next time of each endpoint that has one.
#[derive(Debug, Default)]
pub struct Schedule {
    by_time: BTreeSet<(u64, EndpointId)>,
    time_of: BTreeMap<EndpointId, u64>,
}

impl Schedule {
    /// It has something to do at this time and not before, or at no time.
    pub fn set(&mut self, id: EndpointId, at: Option<u64>) {
        if self.time_of.get(&id).copied() == at {
            return;
        }
        self.forget(id);
        if let Some(at) = at {
            self.time_of.insert(id, at);
            self.by_time.insert((at, id));
        }
    }

    /// It has something to do at this time, or earlier.
    pub fn set_sooner(&mut self, id: EndpointId, at: u64) {
        if self.time_of.get(&id).is_none_or(|planned| at < *planned) {
            self.set(id, Some(at));
        }
    }

    pub fn forget(&mut self, id: EndpointId) {
        if let Some(at) = self.time_of.remove(&id) {
            self.by_time.remove(&(at, id));
        }
    }

    /// The first time of all.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The first endpoint whose time has come; it has none from then on.
    pub fn pop_due(&mut self, now_mono: u64) -> Option<EndpointId> {
        let (at, id) = self.by_time.first().copied()?;
        if at > now_mono {
            return None;
        }
        self.forget(id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn an_endpoint_has_one_time_and_the_first_comes_first() {
        let mut schedule = Schedule::default();
        schedule.set(1, Some(30));
        schedule.set(2, Some(20));
        schedule.set(1, Some(10));
        assert_eq!((schedule.first(), schedule.pop_due(5)), (Some(10), None));

        schedule.set_sooner(2, 25);
        schedule.set_sooner(3, 40);
        assert_eq!((schedule.pop_due(25), schedule.pop_due(25)), (Some(1), Some(2)));

        schedule.set(3, None);
        assert_eq!((schedule.first(), schedule.pop_due(100)), (None, None));
    }
}
