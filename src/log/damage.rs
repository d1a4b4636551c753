//! Damage that is known: for `status`, and so that nothing is read in vain twice.

use std::sync::{Mutex, MutexGuard, PoisonError};

use roaring::RoaringTreemap;

use super::error::LogProblem;
use crate::model::Seq;

/// Problems that `status` reports; `log verify` reports all of them.
pub(super) const REPORTED: usize = 100;

#[derive(Debug, Default)]
pub(super) struct KnownDamage {
    /// At most [`REPORTED`].
    problems: Mutex<Vec<LogProblem>>,
    /// The records that could not be read so far, all of them.
    unreadable: Mutex<RoaringTreemap>,
}

impl KnownDamage {
    pub fn problems(&self) -> Vec<LogProblem> {
        locked(&self.problems).clone()
    }

    /// Adds a problem, unless one of the same records is known: what is found later of records that
    /// were lost is only that they are missing.
    pub fn add(&self, problem: &LogProblem) {
        let mut problems = locked(&self.problems);
        let is_known = problems.iter().any(|known| known.is_about_the_same(problem));
        if problems.len() < REPORTED && !is_known {
            problems.push(problem.clone());
        }
    }

    /// The records up to this one were dropped: what was wrong with them is over.
    pub fn forget_to(&self, last: Seq) {
        locked(&self.problems).retain(|known| known.last > last);
        locked(&self.unreadable).remove_range(..=last);
    }

    pub fn unreadable(&self) -> RoaringTreemap {
        locked(&self.unreadable).clone()
    }

    pub fn add_unreadable(&self, first: Seq, last: Seq) {
        locked(&self.unreadable).insert_range(first..=last);
    }

    pub fn is_unreadable(&self, seq: Seq) -> bool {
        locked(&self.unreadable).contains(seq)
    }

    /// The end of the unreadable range that begins at `seq`; `None` when that record is not known
    /// to be unreadable.
    pub fn unreadable_from(&self, seq: Seq) -> Option<Seq> {
        let unreadable = locked(&self.unreadable);
        (seq..).take_while(|seq| unreadable.contains(*seq)).last()
    }

    /// The beginning of the unreadable range that ends at `seq`.
    pub fn unreadable_to(&self, seq: Seq) -> Option<Seq> {
        let unreadable = locked(&self.unreadable);
        (1..=seq).rev().take_while(|seq| unreadable.contains(*seq)).last()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
