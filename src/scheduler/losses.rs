//! Settling the loss of records: the log is compared with what the state waits for, and what cannot
//! be found any more is ended, so that nothing waits for ever and the counts are those of the
//! lists. See `queue::retention::losses` for what becomes of it.
//!
//! It is done before the daemon serves when records are found missing while the log is opened, and
//! in small steps between the reader's orders when damage shows later. Reading the streams from the
//! oldest position that waits, and all dead letters when some are lost, is what takes time; it
//! happens once for each loss. What is found is as of the moment when the state was asked: what
//! lies in the log does not change any more, and a delivery that waits at a lost position cannot be
//! taken up meanwhile, unless it is in memory.

mod ask_queue;
mod dead_letters;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use roaring::RoaringTreemap;

pub use self::ask_queue::AskQueue;
use self::dead_letters::LostDeadLetters;
use self::streams::{StreamLosses, StreamReading};
use super::relocate::{self, Records};
use crate::log::{LogError, Reader};
use crate::model::{Seq, limits};
use crate::queue::{Loss, RelocationSlice, SettleLoss, Unsettled, UnsettledQuery};
use crate::record::Record;

/// Slices that are settled in one step; each is a commit.
const LOSSES_IN_STEP: usize = 4;

/// What was settled, for whoever reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledLosses {
    /// Records that cannot be read, and were not known to be so before.
    pub records: u64,
    /// Deliveries that ended as dead letters.
    pub deliveries: u64,
    /// Deliveries that wait at another position now.
    pub moved: u64,
    /// Dead letters of which only the names are left.
    pub dead_letter_seqs: u64,
}

/// A settlement under way.
#[derive(Debug)]
pub struct Settling {
    unreadable: RoaringTreemap,
    records: RoaringTreemap,
    streams: StreamReading,
    dead_letters: LostDeadLetters,
    stage: Stage,
    /// What was found to be lost, slice by slice, and is not settled yet.
    losses: VecDeque<Loss>,
    done: SettledLosses,
}

/// What is done next, once all that was found so far is settled.
#[derive(Debug)]
enum Stage {
    /// Reads the streams.
    Streams,
    /// Ends deliveries that wait for a retry and whose events are lost.
    Retries,
    /// Finds out which deliveries of one stream after the other are lost.
    StreamLosses(VecDeque<StreamLosses>),
    /// Reads the dead letters.
    DeadLetters,
    /// Says that nothing waits among the lost records any more.
    Records,
    Done,
}

/// What a step came to.
#[derive(Debug)]
pub enum SettleStep {
    /// There is more to do.
    More(Box<Settling>),
    /// All is settled that follows from these records.
    Done { settled: SettledLosses, unreadable: RoaringTreemap },
    /// Something stood in the way: to be tried again.
    Failed,
}

impl Settling {
    /// Looks whether there is anything to settle. `first` is the first record that retention has
    /// not dropped.
    pub fn begin(reader: &Reader, first: Seq, queue: &mut impl AskQueue) -> SettleStep {
        let unreadable = reader.unreadable(first);
        if unreadable.is_empty() {
            return SettleStep::Done { settled: SettledLosses::default(), unreadable };
        }

        let Some(unsettled) = queue.ask(UnsettledQuery(unreadable.clone())) else {
            return SettleStep::Failed;
        };
        if unsettled.records.is_empty() && unsettled.streams.is_empty() && unsettled.dead.is_empty()
        {
            return SettleStep::Done { settled: SettledLosses::default(), unreadable };
        }

        let Unsettled { records, streams, end, events, dead, .. } = *unsettled;
        let (lost, all) = (unsettled.lost_dead_letter_seqs, unsettled.dead_letter_seqs);

        SettleStep::More(Box::new(Self {
            unreadable,
            done: SettledLosses { records: records.len(), ..SettledLosses::default() },
            records,
            streams: StreamReading::new(streams, events, end),
            dead_letters: LostDeadLetters::new(lost, &all, dead),
            stage: Stage::Streams,
            losses: VecDeque::new(),
        }))
    }

    /// How many records there are to be read at most.
    #[must_use]
    pub fn to_read(&self) -> u64 {
        self.streams.to_read() + self.dead_letters.to_read()
    }

    /// Reads a little, or settles a little of what was found.
    pub fn step(mut self: Box<Self>, reader: &Reader, queue: &mut impl AskQueue) -> SettleStep {
        match self.advance(reader, queue) {
            Some(()) if matches!(self.stage, Stage::Done) && self.losses.is_empty() => {
                SettleStep::Done { settled: self.done, unreadable: self.unreadable }
            }
            Some(()) => SettleStep::More(self),
            None => SettleStep::Failed,
        }
    }

    /// `None` when something stood in the way.
    fn advance(&mut self, reader: &Reader, queue: &mut impl AskQueue) -> Option<()> {
        if !self.losses.is_empty() {
            for loss in self.losses.drain(..self.losses.len().min(LOSSES_IN_STEP)) {
                self.done.count(loss, queue)?;
            }
            return Some(());
        }

        match &mut self.stage {
            Stage::Streams if self.streams.to_read() > 0 => {
                self.streams.read_slice(reader).inspect_err(report_failure).ok()?;
            }
            Stage::Streams => self.stage = Stage::Retries,

            Stage::Retries => {
                if self.done.count(Loss::Events(self.unreadable.clone()), queue)? == 0 {
                    let losses = self.streams.losses(&self.unreadable);
                    self.stage = Stage::StreamLosses(losses);
                }
            }

            Stage::StreamLosses(streams) => match streams.front_mut() {
                Some(stream) if stream.is_looking_up() => stream.look_up(reader, queue)?,
                Some(_) => {
                    let found = streams.pop_front().map(|s| s.into_losses(&self.unreadable));
                    self.losses.extend(found.into_iter().flatten());
                }
                None => self.stage = Stage::DeadLetters,
            },

            Stage::DeadLetters if self.dead_letters.to_read() > 0 => {
                self.dead_letters.read_slice(reader).inspect_err(report_failure).ok()?;
            }
            Stage::DeadLetters => {
                self.losses.extend(self.dead_letters.take_losses());
                self.stage = Stage::Records;
            }

            Stage::Records => {
                let lost = ranges(&self.records).into_iter();
                self.losses.extend(lost.map(|(first, last)| Loss::Records { first, last }));
                self.stage = Stage::Done;
            }
            Stage::Done => {}
        }
        Some(())
    }
}

fn report_failure(error: &LogError) {
    tracing::error!(%error, "cannot tell yet what was lost with the records that cannot be read");
}

/// The log without the records that are lost and settled: nothing of them lives, so they hold no
/// segment back.
pub struct Readable<'a> {
    pub reader: &'a Reader,
    pub settled: &'a RoaringTreemap,
}

impl Readable<'_> {
    fn is_settled(&self, error: &LogError) -> bool {
        let LogError::Damaged(problem) = error else { return false };
        self.settled.contains_range(problem.first..=problem.last)
    }
}

impl Records for Readable<'_> {
    type Error = LogError;

    fn read(&self, seq: Seq) -> Result<Option<Record>, LogError> {
        match self.reader.read(seq) {
            Err(error) if self.is_settled(&error) => Ok(None),
            read => read,
        }
    }

    fn slice(&self, from: Seq, last: Seq) -> Result<(RelocationSlice, Seq), LogError> {
        let records = self.reader.forward(from);
        let readable =
            records.filter(|item| !item.as_ref().is_err_and(|error| self.is_settled(error)));
        relocate::slice(readable, (from, last))
    }
}

/// Settles what is known to be lost before anything is served, unless that takes long: then it is
/// done later. Returns whether there is nothing left to do.
pub fn settle_at_start(reader: &Reader, first: Seq, queue: &mut impl AskQueue) -> bool {
    reader.examine_damage();
    let mut step = Settling::begin(reader, first, queue);
    loop {
        step = match step {
            SettleStep::More(settling) if settling.to_read() <= limits::LOSS_READ_AT_START => {
                settling.step(reader, queue)
            }
            SettleStep::More(_) | SettleStep::Failed => return false,
            SettleStep::Done { settled, .. } => {
                settled.report();
                return true;
            }
        };
    }
}

impl SettledLosses {
    /// Has the queue settle a part, and counts it. Answers how many deliveries or dead letters were
    /// changed by it.
    fn count(&mut self, loss: Loss, queue: &mut impl AskQueue) -> Option<usize> {
        let mut none = 0;
        let count = match &loss {
            Loss::Events(_) | Loss::Deliveries { .. } => &mut self.deliveries,
            Loss::Positions { .. } => &mut self.moved,
            Loss::DeadLetters(_) => &mut self.dead_letter_seqs,
            Loss::Records { .. } => &mut none,
        };
        let changed = queue.ask(SettleLoss(loss))?;
        *count += changed as u64;
        Some(changed)
    }

    /// Says what was settled, if there was anything.
    pub fn report(&self) {
        if *self == Self::default() {
            return;
        }
        let Self { records, deliveries, moved, dead_letter_seqs } = *self;
        tracing::error!(
            records,
            deliveries,
            moved,
            dead_letter_seqs,
            "records of the log are lost: the deliveries whose events were among them are dead \
             letters now, with the reason 'lost' (`hookboxctl dlq list`); `hookboxctl log verify` \
             names the records"
        );
    }
}

/// The ranges without gaps that a set is made of.
fn ranges(set: &RoaringTreemap) -> Vec<(Seq, Seq)> {
    let mut ranges: Vec<(Seq, Seq)> = Vec::new();
    for seq in set {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => ranges.push((seq, seq)),
        }
    }
    ranges
}
