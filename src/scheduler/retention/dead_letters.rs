//! Too many dead letters, or too many bytes of them: the oldest are discarded.
//!
//! One that cannot be read is passed over, and keeps nothing else from being discarded: when it is
//! damaged, its loss is settled apart (see `losses`), and anything else may pass.

use super::access::LogAccess;
use crate::model::{Seq, limits};
use crate::queue::{
    DeadLetterSeqsQuery, DiscardDeadLetters, OldestDeadLetterSeqsQuery, Refusal, Revive,
    StatusQuery,
};
use crate::record::DeadLetter;
use crate::scheduler::losses::AskQueue;

/// Dead letters weighed in one step.
const WEIGHED: usize = 32;

/// Work under way on dead letters.
#[derive(Clone, Copy, Debug)]
pub(super) enum DeadLetterWork {
    /// Adds up their bytes, the newest first.
    Weigh { before: Seq, bytes: u64, passed_over: PassedOver },
    /// Discards those that died up to `upto`; with 0 as many as there are too many. Those up to
    /// `done` are discarded or passed over.
    Discard { upto: Seq, done: Seq, passed_over: PassedOver },
}

/// Dead letters that were passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PassedOver {
    pub count: usize,
    /// Some of them can perhaps be read another time.
    pub may_pass: bool,
}

/// What a step came to.
#[derive(Debug)]
pub(super) enum DeadLetterStep {
    More(DeadLetterWork),
    Done(PassedOver),
    /// The queue gave no answer: to be tried again.
    Failed,
}

impl DeadLetterWork {
    pub fn weigh() -> Self {
        Self::Weigh { before: Seq::MAX, bytes: 0, passed_over: PassedOver::default() }
    }

    pub fn discard(upto: Seq) -> Self {
        Self::Discard { upto, done: 0, passed_over: PassedOver::default() }
    }

    /// Does a little of it.
    pub fn step(self, access: LogAccess<'_>) -> DeadLetterStep {
        let step = match self {
            Self::Weigh { before, bytes, passed_over } => weigh(access, before, bytes, passed_over),
            Self::Discard { upto, done, passed_over } => discard(access, upto, done, passed_over),
        };
        step.unwrap_or(DeadLetterStep::Failed)
    }
}

impl PassedOver {
    /// The dead letter with this number; `None` when it is passed over.
    fn dead_letter(&mut self, access: LogAccess<'_>, seq: Seq) -> Option<DeadLetter> {
        match access.dead_letter(seq) {
            Ok(Some(dead)) => return Some(dead),
            Ok(None) => tracing::debug!(seq, "a dead letter is not where it should be"),
            Err(error) => {
                tracing::debug!(seq, %error, "a dead letter cannot be read");
                self.may_pass |= !error.is_lasting();
            }
        }
        self.count += 1;
        None
    }
}

/// Adds up the events of dead letters until they are too many bytes; what is older is discarded.
/// `None` when the queue gives no answer.
fn weigh(
    mut access: LogAccess<'_>,
    before: Seq,
    mut bytes: u64,
    mut passed_over: PassedOver,
) -> Option<DeadLetterStep> {
    let most = access.retention.dead_bytes.unwrap_or(u64::MAX);
    let seqs = access.ask(DeadLetterSeqsQuery { before, limit: WEIGHED })?;

    for seq in &seqs {
        let Some(dead) = passed_over.dead_letter(access, *seq) else { continue };
        // An event that is lost has no bytes any more.
        bytes += access.event_bytes(dead.event)?.unwrap_or(0);
        if bytes > most {
            return Some(DeadLetterStep::More(DeadLetterWork::discard(*seq)));
        }
    }

    let more = |last: &Seq| {
        DeadLetterStep::More(DeadLetterWork::Weigh { before: *last, bytes, passed_over })
    };
    Some(seqs.last().map_or(DeadLetterStep::Done(passed_over), more))
}

/// Discards some of the oldest dead letters: up to `upto`, or as many as there are too many. `None`
/// when the queue gives no answer.
fn discard(
    mut access: LogAccess<'_>,
    upto: Seq,
    done: Seq,
    mut passed_over: PassedOver,
) -> Option<DeadLetterStep> {
    let wanted = if upto > 0 { limits::SLICE } else { too_many(access)?.min(limits::SLICE) };
    if wanted == 0 {
        return Some(DeadLetterStep::Done(passed_over));
    }

    let seqs = access.ask(OldestDeadLetterSeqsQuery { after: done, limit: limits::SLICE })?;
    let (mut last, mut deliveries) = (done, Vec::new());
    for seq in seqs.into_iter().filter(|seq| upto == 0 || *seq <= upto) {
        if deliveries.len() == wanted {
            break;
        }
        last = seq;
        if let Some(dead) = passed_over.dead_letter(access, seq) {
            let DeadLetter { delivery, event, attempts, last, .. } = dead;
            let dead_letter_seq = Some(seq);
            deliveries.push(Revive { delivery, event, attempts, last, dead_letter_seq });
        }
    }
    if last == done {
        return Some(DeadLetterStep::Done(passed_over));
    }

    let asked = deliveries.len();
    let count = match access.handle.ask_blocking(DiscardDeadLetters { deliveries }) {
        Ok(changed) => changed.count,
        // The only one of them is not a dead letter any more.
        Err(Refusal::Impossible(_)) => 0,
        Err(_) => return None,
    };
    if count > 0 {
        tracing::info!(count, "discarded the oldest dead letters: there were more than are kept");
    }
    passed_over.count += asked - count;
    Some(DeadLetterStep::More(DeadLetterWork::Discard { upto, done: last, passed_over }))
}

fn too_many(mut access: LogAccess<'_>) -> Option<usize> {
    let status = access.ask(StatusQuery)?;
    let most = access.retention.dead_events.unwrap_or(u64::MAX);
    Some(usize::try_from(status.dead.saturating_sub(most)).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::{DeadLetterStep, DeadLetterWork, PassedOver};
    use crate::model::limits;
    use crate::queue::StatusQuery;
    use crate::scheduler::losses::AskQueue;
    use crate::scheduler::retention::Retention;
    use crate::scheduler::retention::access::LogAccess;
    use crate::scheduler::testing::TestScheduler;

    /// Five dead letters in each of two segments, of which the disk does not give back the first.
    fn half_lost() -> TestScheduler {
        TestScheduler::new(|core| {
            core.import_dead(5);
            core.roll();
            core.import_dead(5);
            core.give_up_oldest();
        })
    }

    fn run(access: LogAccess<'_>, work: DeadLetterWork) -> PassedOver {
        let mut work = work;
        for _ in 0..100 {
            work = match work.step(access) {
                DeadLetterStep::More(work) => work,
                DeadLetterStep::Done(passed_over) => return passed_over,
                DeadLetterStep::Failed => panic!("there was no answer"),
            };
        }
        panic!("it has no end: {work:?}")
    }

    #[test]
    fn dead_letters_that_cannot_be_read_keep_no_others_from_being_discarded() {
        let world = half_lost();
        let retention = Retention { dead_events: Some(7), ..Retention::default() };
        let mut access = world.access(&retention);
        let passed_over = run(access, DeadLetterWork::discard(0));
        assert_eq!(passed_over, PassedOver { count: 5, may_pass: false });
        assert_eq!(access.ask(StatusQuery).expect("an answer").dead, 7);
    }

    #[test]
    fn any_number_that_cannot_be_read_is_passed_over() {
        let lost = 17 * limits::SLICE as u64;
        let world = TestScheduler::new(|core| {
            (0..17).for_each(|_| core.import_dead(limits::SLICE as u64));
            core.roll();
            core.import_dead(5);
            core.give_up_oldest();
        });
        let retention = Retention { dead_events: Some(lost), ..Retention::default() };
        let mut access = world.access(&retention);
        let passed_over = run(access, DeadLetterWork::discard(0));
        assert_eq!(passed_over.count as u64, lost);
        assert_eq!(access.ask(StatusQuery).expect("an answer").dead, lost);
    }

    #[test]
    fn too_many_bytes_are_found_behind_dead_letters_that_cannot_be_read() {
        let world = half_lost();
        let retention = Retention { dead_bytes: Some(1), ..Retention::default() };
        let mut access = world.access(&retention);
        run(access, DeadLetterWork::weigh());
        assert_eq!(access.ask(StatusQuery).expect("an answer").dead, 5, "those that are lost");
    }
}
