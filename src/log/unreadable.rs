//! The records that the log cannot return: no segment holds them, their segment is lost, or reading
//! them has failed.

use roaring::RoaringTreemap;

use super::damage::REPORTED;
use super::error::{LogError, LogProblem};
use super::reader::Reader;
use crate::model::Seq;
use crate::record::Record;

impl Reader {
    /// The records from `from` to what is durable that are known to be unreadable. Gaps that were
    /// reported when they came about count, too.
    #[must_use]
    pub fn unreadable(&self, from: Seq) -> RoaringTreemap {
        let durable = self.durable();
        let mut found = self.segments.damage.unreadable();

        let mut next = from;
        for slot in self.segments.all() {
            if next < slot.first {
                found.insert_range(next..slot.first);
            }
            if slot.lost().is_some() {
                found.insert_range(slot.first..=slot.last());
            }
            next = next.max(slot.last() + 1);
        }
        if next <= durable {
            found.insert_range(next..=durable);
        }

        found.remove_range(..from);
        found.remove_range(durable + 1..);
        found
    }

    /// Reads everything that was reported as damaged, so that it is known exactly which of its
    /// records are unreadable.
    pub fn examine_damage(&self) {
        for problem in self.damage() {
            let within = |item: &Result<(Seq, Record), LogError>| match item {
                Ok((seq, _)) => *seq <= problem.last,
                Err(LogError::Damaged(found)) => found.first <= problem.last,
                // Nothing is known of the rest.
                Err(_) => false,
            };
            self.forward(problem.first).take_while(within).for_each(drop);
        }
    }

    /// Reports, for `status`, records that were lost before the log was opened. Nobody reads them
    /// any more, so nobody would find that out: `lost` comes from the state, which forgets them
    /// when retention drops their segments.
    pub fn report_lost(&self, lost: &RoaringTreemap) {
        let mut range: Option<(Seq, Seq)> = None;
        for seq in lost {
            range = match range {
                Some((first, last)) if last + 1 == seq => Some((first, seq)),
                Some(ended) if !self.report_lost_range(ended) => return,
                Some(_) | None => Some((seq, seq)),
            };
        }
        if let Some(ended) = range {
            self.report_lost_range(ended);
        }
    }

    /// Returns whether more can be reported.
    fn report_lost_range(&self, (first, last): (Seq, Seq)) -> bool {
        let known = self.damage();
        if !known.iter().any(|known| known.first <= last && known.last >= first) {
            let what = "they were lost before this start, and what waited for them has ended";
            let segment = self.segments.segment_of(first);
            self.segments.damage.add(&LogProblem { segment, first, last, what: what.to_owned() });
        }
        known.len() < REPORTED
    }

    /// Reports, for `status`, that the records from `first` to the one before the oldest segment
    /// are missing. `first` comes from the state: retention has dropped nothing from there on.
    /// `None` when there are none, or when the log's own list says that retention has dropped them.
    #[must_use]
    pub fn report_missing_before(&self, first: Seq) -> Option<LogProblem> {
        let oldest = self.segments.oldest()?;
        let last = oldest.first.checked_sub(1).filter(|last| first <= *last)?;
        if self.segments.is_known_gap(first, last) {
            return None;
        }

        let what = "they are missing: no segment holds them, and retention has not dropped them"
            .to_owned();
        let problem = LogProblem { segment: first, first, last, what };
        self.segments.damage.add(&problem);
        Some(problem)
    }
}
