//! When what waits at an endpoint is due, on the monotonic clock.
//!
//! Invariants: what waits has a timer, or stands behind others of its lane, never both; `due` and
//! `due_of` are one relation, read from both sides.

use std::collections::{BTreeMap, BTreeSet};

use super::delivery::TimerKey;

/// The timers of one endpoint.
#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeSet<(u64, TimerKey)>,
    due_of: BTreeMap<TimerKey, u64>,
    /// What waits behind others of its lane: when it is due.
    behind: BTreeMap<TimerKey, u64>,
    /// Of what waits: what the operator asked for, in spite of pauses.
    urgent: BTreeSet<TimerKey>,
}

impl Timers {
    /// It is due at this time.
    pub fn set(&mut self, timer: TimerKey, due_mono: u64) {
        self.forget(timer);
        self.due.insert((due_mono, timer));
        self.due_of.insert(timer, due_mono);
    }

    /// It is due at this time, and waits behind others until then and perhaps longer.
    pub fn set_behind(&mut self, timer: TimerKey, due_mono: u64) {
        self.forget(timer);
        self.behind.insert(timer, due_mono);
    }

    /// It is due at this time if it was due later. What has no timer gets none.
    pub fn make_sooner(&mut self, timer: TimerKey, due_mono: u64) {
        if let Some(behind) = self.behind.get_mut(&timer) {
            *behind = due_mono.min(*behind);
        }
        if let Some(due) = self.due_of.get_mut(&timer).filter(|due| **due > due_mono) {
            self.due.remove(&(*due, timer));
            self.due.insert((due_mono, timer));
            *due = due_mono;
        }
    }

    pub fn forget(&mut self, timer: TimerKey) {
        self.behind.remove(&timer);
        self.urgent.remove(&timer);
        if let Some(due) = self.due_of.remove(&timer) {
            self.due.remove(&(due, timer));
        }
    }

    /// When its timer goes off, if it has one.
    #[must_use]
    pub fn get(&self, timer: TimerKey) -> Option<u64> {
        self.due_of.get(&timer).copied()
    }

    /// When it is due that waits behind others.
    #[must_use]
    pub fn get_behind(&self, timer: TimerKey) -> Option<u64> {
        self.behind.get(&timer).copied()
    }

    /// It is the first of its lane now: when it is due.
    pub fn take_behind(&mut self, timer: TimerKey) -> Option<u64> {
        self.behind.remove(&timer)
    }

    /// Nothing stands behind others any more, because the lanes are made anew.
    pub fn take_all_behind(&mut self) -> BTreeMap<TimerKey, u64> {
        std::mem::take(&mut self.behind)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// All of them, the first that is due first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, TimerKey)> + '_ {
        self.due.iter().copied()
    }

    /// Those that are due by now.
    pub fn due(&self, now_mono: u64) -> impl Iterator<Item = (u64, TimerKey)> + '_ {
        self.iter().take_while(move |(due, _)| *due <= now_mono)
    }

    /// Its attempt begins.
    ///
    /// # Panics
    /// When it has no such timer: whoever begins it has just read the timer.
    pub fn take(&mut self, due: u64, timer: TimerKey) {
        let had_timer = self.due.remove(&(due, timer)) && self.due_of.remove(&timer).is_some();
        assert!(had_timer, "{timer:?} is to be attempted, and has no timer at {due}");
    }

    /// The operator asked for it alone: pauses do not keep it.
    pub fn make_urgent(&mut self, timer: TimerKey) {
        self.urgent.insert(timer);
    }

    pub fn is_no_longer_urgent(&mut self, timer: TimerKey) {
        self.urgent.remove(&timer);
    }

    /// What the operator asked for.
    pub fn urgent(&self) -> impl Iterator<Item = TimerKey> + '_ {
        self.urgent.iter().copied()
    }

    /// Everything is due at once.
    pub fn make_all_due(&mut self, now_mono: u64) {
        self.due = self.due_of.keys().map(|timer| (now_mono, *timer)).collect();
        self.due_of.values_mut().for_each(|due| *due = now_mono);
        self.behind.values_mut().for_each(|due| *due = now_mono);
    }
}
