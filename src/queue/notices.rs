//! Which notices were sent, and which are kept back. Volatile.
//!
//! A notice is an event of the built-in source `hookbox` about the daemon itself (see `notify`).
//! Notices are coalesced, so that an outage is one message: of one kind about one thing there is at
//! most one in `limits::NOTICE_GAP_MS`, and the next one says how many there were.
//!
//! Notices are matched with filters on the thread that decides, so matching them has a budget:
//! `limits::FILTER_OWN_STEPS` for each of them, and for all together `limits::FILTER_OWN_PACE` in a
//! millisecond, which is a hundredth of the thread's time. A notice beyond the budget is kept back
//! like one that comes too soon.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::{EndpointId, Now, limits};

/// The name of the built-in source. No other source may have it.
pub const OWN_SOURCE: &str = "hookbox";

/// A message to the operator.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub kind: String,
    /// The endpoint it is about.
    pub about: Option<EndpointId>,
    pub data: Value,
}

/// A kind of notice, and the thing that it is about.
type Subject = (String, String);

impl Notice {
    fn subject(&self) -> Subject {
        let about = match self.about {
            Some(id) => id.to_string(),
            // Notices about a source are coalesced for each source.
            None => self.data["source"].as_str().unwrap_or_default().to_owned(),
        };
        (self.kind.clone(), about)
    }
}

/// The notices about all subjects.
#[derive(Debug, Default)]
pub(super) struct Notices {
    subjects: BTreeMap<Subject, NoticeState>,
    /// Subjects with a notice that is kept back, by the time when it may be sent.
    kept_back: BTreeSet<(u64, Subject)>,
    /// The other subjects, by the time when they can be forgotten.
    quiet: BTreeSet<(u64, Subject)>,
    budget: MatchingBudget,
}

/// The notices about one subject.
#[derive(Debug, Default)]
struct NoticeState {
    /// No notice before this time.
    next_at: u64,
    /// The last notice that was kept back, and how many there were.
    kept: Option<(Notice, u64)>,
}

impl NoticeState {
    fn keep(&mut self, notice: Notice) {
        let count = self.kept.take().map_or(0, |(_, count)| count);
        self.kept = Some((notice, count + 1));
    }
}

/// The steps that matching notices took, as far as their time is not over.
#[derive(Debug, Default)]
struct MatchingBudget {
    spent: u64,
    at: u64,
}

impl MatchingBudget {
    /// When the next notice may be matched.
    fn free_at(&mut self, now: Now) -> u64 {
        let recovered = now.mono_ms.saturating_sub(self.at).saturating_mul(limits::FILTER_OWN_PACE);
        (self.spent, self.at) = (self.spent.saturating_sub(recovered), now.mono_ms);

        let excess = self.spent.saturating_sub(limits::FILTER_OWN_STEPS);
        now.mono_ms + excess.div_ceil(limits::FILTER_OWN_PACE)
    }
}

impl Notices {
    /// Gives the notice back when it may be sent now, and else keeps it back.
    pub(super) fn admit(&mut self, now: Now, notice: Notice) -> Option<Notice> {
        self.change(notice.subject(), |state, budget| {
            state.next_at = state.next_at.max(budget.free_at(now));
            if now.mono_ms < state.next_at {
                state.keep(notice);
                return None;
            }

            state.next_at = now.mono_ms + limits::NOTICE_GAP_MS;
            Some(notice)
        })
    }

    /// Keeps a notice back for `limits::NOTICE_WAIT_MS`, so that many of them are one message.
    pub(super) fn keep_back(&mut self, now: Now, notice: Notice) {
        self.change(notice.subject(), |state, _| {
            // Counted from the first of them: a stream of notices must not delay the message
            // forever.
            if state.kept.is_none() {
                state.next_at = state.next_at.max(now.mono_ms + limits::NOTICE_WAIT_MS);
            }
            state.keep(notice);
        });
    }

    /// When the first notice that is kept back may be sent.
    pub(super) fn due_at(&self) -> Option<u64> {
        self.kept_back.first().map(|(at, _)| *at)
    }

    /// The subjects with a notice that is due, in their order.
    pub(super) fn due(&self, now: Now) -> Vec<Subject> {
        let due = self.kept_back.iter().take_while(|(at, _)| *at <= now.mono_ms);
        let mut subjects: Vec<Subject> = due.map(|(_, subject)| subject.clone()).collect();
        subjects.sort_unstable();
        subjects
    }

    /// Takes the notice about a subject that is due, and how many there were; `None` when the
    /// budget does not allow for it now.
    pub(super) fn take_due(&mut self, now: Now, subject: Subject) -> Option<(Notice, u64)> {
        self.change(subject, |state, budget| {
            let free_at = budget.free_at(now);
            if free_at > now.mono_ms {
                state.next_at = free_at;
                return None;
            }

            state.next_at = now.mono_ms + limits::NOTICE_GAP_MS;
            state.kept.take()
        })
    }

    /// Forgets subjects of which a notice was sent long ago.
    pub(super) fn forget_old(&mut self, now: Now) {
        while let Some((at, subject)) = self.quiet.pop_first() {
            if at > now.mono_ms {
                self.quiet.insert((at, subject));
                break;
            }
            self.subjects.remove(&subject);
        }
    }

    /// Matching a notice took this many steps.
    pub(super) fn spend(&mut self, steps: u64) {
        self.budget.spent = self.budget.spent.saturating_add(steps);
    }

    /// Changes the state of a subject, and its place among those that are kept back or quiet.
    fn change<T>(
        &mut self,
        subject: Subject,
        change: impl FnOnce(&mut NoticeState, &mut MatchingBudget) -> T,
    ) -> T {
        let state = self.subjects.entry(subject.clone()).or_default();
        let mut place = (state.next_at, subject);
        self.kept_back.remove(&place);
        self.quiet.remove(&place);

        let result = change(state, &mut self.budget);

        place.0 = state.next_at;
        if state.kept.is_some() {
            self.kept_back.insert(place);
        } else {
            self.quiet.insert(place);
        }
        result
    }
}
