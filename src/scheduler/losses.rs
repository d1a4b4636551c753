//! Settling the loss of records: the log is compared with what the state waits for, and what cannot
//! be found any more is ended, so that nothing waits for ever and the counts are those of the
//! lists. See `queue::losses` for what becomes of it.
//!
//! It is done before the daemon serves when records are found missing while the log is opened, and
//! in small steps between the reader's orders when damage shows later. Reading the streams from the
//! oldest place that waits is what takes time; it happens once for each loss. What is found is as
//! of the moment when the state was asked: what lies in the log does not change any more, and a
//! delivery that waits at a lost place cannot be taken up meanwhile, unless it is in memory.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringTreemap;

use super::relocate::{self, Records};
use crate::log::{LogError, Reader};
use crate::model::{DeliveryId, EndpointId, Seq, limits};
use crate::queue::{
    EventsQuery, Loss, QueueRequest, RelocationSlice, SettleLoss, StreamWaits, Unsettled,
    UnsettledQuery,
};
use crate::record::Record;

/// Whoever can ask the queue and wait for the answer.
pub trait AskQueue {
    /// The answer; `None` when the queue cannot give one now.
    fn ask<R: QueueRequest>(&mut self, request: R) -> Option<R::Answer>;
}

/// What was settled, for whoever reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledLosses {
    /// Records that cannot be read, and were not known to be so before.
    pub records: u64,
    /// Deliveries that ended as dead letters.
    pub deliveries: u64,
    /// Deliveries that wait at another place now.
    pub placed: u64,
    /// Dead letters of which only the names are left.
    pub dead_letter_seqs: u64,
}

/// A settlement under way.
#[derive(Debug)]
pub struct Settling {
    unreadable: RoaringTreemap,
    unsettled: Unsettled,
    streams: BTreeMap<EndpointId, StreamWaits>,
    /// By endpoint: what was found of its stream.
    found: HashMap<EndpointId, FoundOf>,
    /// Where the streams are read on.
    next: Seq,
    done: SettledLosses,
}

/// Of what one endpoint waits for.
#[derive(Debug, Default)]
struct FoundOf {
    count: u64,
    revived: RoaringTreemap,
    /// Deliveries whose places are there, and whose events are not.
    without_events: RoaringTreemap,
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

        let Some(mut unsettled) = queue.ask(UnsettledQuery(unreadable.clone())) else {
            return SettleStep::Failed;
        };
        if unsettled.records.is_empty() && unsettled.streams.is_empty() && unsettled.dead.is_empty()
        {
            return SettleStep::Done { settled: SettledLosses::default(), unreadable };
        }

        let streams = std::mem::take(&mut unsettled.streams);
        let streams: BTreeMap<EndpointId, StreamWaits> =
            streams.into_iter().map(|s| (s.endpoint, s)).collect();
        let next = streams.values().map(|stream| stream.low + 1).min().unwrap_or(unsettled.end);

        let done = SettledLosses { records: unsettled.records.len(), ..SettledLosses::default() };
        SettleStep::More(Box::new(Self {
            unreadable,
            unsettled: *unsettled,
            streams,
            found: HashMap::new(),
            next,
            done,
        }))
    }

    /// How many records there are to be read at most.
    #[must_use]
    pub fn to_read(&self) -> u64 {
        self.unsettled.end.saturating_sub(self.next)
    }

    /// Reads a slice of the streams, or settles what was found once all was read.
    pub fn step(mut self: Box<Self>, reader: &Reader, queue: &mut impl AskQueue) -> SettleStep {
        if self.next < self.unsettled.end {
            return match self.read_slice(reader) {
                Ok(()) => SettleStep::More(self),
                Err(error) => {
                    tracing::error!(%error, "cannot tell yet what was lost with the records that \
                                             cannot be read");
                    SettleStep::Failed
                }
            };
        }
        match self.settle(reader, queue) {
            Some(()) => SettleStep::Done { settled: self.done, unreadable: self.unreadable },
            None => SettleStep::Failed,
        }
    }

    fn read_slice(&mut self, reader: &Reader) -> Result<(), LogError> {
        let end = self.unsettled.end;
        let upto = end.min(self.next + limits::REFILL_SCAN as u64);
        for item in reader.forward(self.next) {
            match item {
                Ok((seq, _)) if seq >= upto => break,
                Ok((seq, record)) => self.take(seq, &record),
                // It is known by now, and looked at the next time.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        self.next = upto;
        Ok(())
    }

    /// Counts what waits at this record.
    fn take(&mut self, seq: Seq, record: &Record) {
        let mut waits = |delivery: DeliveryId, event: Seq| {
            let stream = self.streams.get(&delivery.endpoint);
            if stream.is_none_or(|stream| !stream.waits(seq, delivery.seq)) {
                return;
            }
            let found = self.found.entry(delivery.endpoint).or_default();
            // One that was asked for again several times waits at several places, and is one.
            let is_first = seq == delivery.seq || found.revived.insert(delivery.seq);
            found.count += u64::from(is_first);
            if self.unsettled.events.contains(event) {
                found.without_events.insert(delivery.seq);
            }
        };

        for place in record.stream_positions(seq) {
            waits(place.delivery, place.event);
        }
    }

    /// Has the queue settle everything, slice by slice.
    fn settle(&mut self, reader: &Reader, queue: &mut impl AskQueue) -> Option<()> {
        loop {
            let ended = queue.ask(SettleLoss(Loss::Events(self.unreadable.clone())))?;
            self.done.deliveries += ended as u64;
            if ended == 0 {
                break;
            }
        }
        for stream in std::mem::take(&mut self.streams).into_values() {
            self.settle_stream(&stream, reader, queue)?;
        }
        self.settle_graves(reader, queue)?;
        for (first, last) in ranges(&self.unsettled.records) {
            queue.ask(SettleLoss(Loss::Records { first, last }))?;
        }
        Some(())
    }

    fn settle_stream(
        &mut self,
        stream: &StreamWaits,
        reader: &Reader,
        queue: &mut impl AskQueue,
    ) -> Option<()> {
        let endpoint = stream.endpoint;
        let found = self.found.remove(&endpoint).unwrap_or_default();
        let in_memory = (&stream.at_hand & &self.unreadable).len();
        let lost = usize::try_from(stream.count.saturating_sub(found.count + in_memory))
            .unwrap_or(usize::MAX);

        // Those that had been asked for again are known by name.
        let named = &stream.revived - &found.revived;
        let (mut placed, mut ended) = (Vec::new(), Vec::new());
        for key in named.iter().take(lost) {
            if self.has_event(key, reader, queue)? { placed.push(key) } else { ended.push(key) }
        }

        let nameless = lost - placed.len() - ended.len();
        ended.extend(candidates(stream, &self.unreadable).take(nameless));
        ended.extend(&found.without_events);

        for slice in placed.chunks(limits::SLICE) {
            let loss = Loss::Places { endpoint, deliveries: slice.to_vec() };
            self.done.placed += queue.ask(SettleLoss(loss))? as u64;
        }
        for slice in ended.chunks(limits::SLICE) {
            let loss = Loss::Deliveries { endpoint, deliveries: slice.to_vec() };
            self.done.deliveries += queue.ask(SettleLoss(loss))? as u64;
        }
        Some(())
    }

    /// Whether the event of a delivery that was made by this record, and is no replay, can be read.
    fn has_event(&self, key: Seq, reader: &Reader, queue: &mut impl AskQueue) -> Option<bool> {
        let views = queue.ask(EventsQuery(vec![key]))?;
        let at = views.first().map_or(key, |view| view.stands_at);
        match reader.read(at) {
            Ok(record) => Some(record.is_some_and(|record| record.held_event().is_some())),
            Err(error) if error.is_damage() => Some(false),
            Err(_) => None,
        }
    }

    /// Dead letters whose dead_letter_seqs are lost are those that no dead_letter_seq which can be
    /// read names.
    fn settle_graves(&mut self, reader: &Reader, queue: &mut impl AskQueue) -> Option<()> {
        if self.unsettled.dead.is_empty() {
            return Some(());
        }

        let mut named: HashMap<EndpointId, RoaringTreemap> = HashMap::new();
        for dead_letter_seq in
            &self.unsettled.dead_letter_seqs - &self.unsettled.lost_dead_letter_seqs
        {
            match reader.read(dead_letter_seq) {
                Ok(record) => {
                    if let Some(dead) =
                        record.and_then(|record| record.dead_letter(dead_letter_seq))
                    {
                        named.entry(dead.delivery.endpoint).or_default().insert(dead.delivery.seq);
                    }
                }
                Err(error) if error.is_damage() => {}
                Err(_) => return None,
            }
        }

        let dead = std::mem::take(&mut self.unsettled.dead);
        let nameless = dead.iter().flat_map(|(endpoint, dead)| {
            let known = named.remove(endpoint).unwrap_or_default();
            (dead - known)
                .into_iter()
                .map(|seq| DeliveryId { seq, endpoint: *endpoint })
                .collect::<Vec<_>>()
        });

        // Which of them is whose makes no difference any more.
        let lost = self.unsettled.lost_dead_letter_seqs.iter().chain(std::iter::repeat(0));
        let pairs: Vec<(Seq, DeliveryId)> = lost.zip(nameless).collect();

        for slice in pairs.chunks(limits::SLICE) {
            self.done.dead_letter_seqs +=
                queue.ask(SettleLoss(Loss::DeadLetterSeqs(slice.to_vec())))? as u64;
        }
        Some(())
    }
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
    /// Says what was settled, if there was anything.
    pub fn report(&self) {
        if *self == Self::default() {
            return;
        }
        let Self { records, deliveries, placed, dead_letter_seqs } = *self;
        tracing::error!(
            records,
            deliveries,
            placed,
            dead_letter_seqs,
            "records of the log are lost: the deliveries whose events were among them are dead \
             letters now, with the reason 'lost' (`hookboxctl dlq list`); `hookboxctl log verify` \
             names the records"
        );
    }
}

/// Names for deliveries that waited at lost places: records that may have made them, those first at
/// which the endpoint still waits.
fn candidates<'a>(
    stream: &'a StreamWaits,
    unreadable: &RoaringTreemap,
) -> impl Iterator<Item = Seq> + 'a {
    let free =
        unreadable - &stream.elsewhere - &stream.cancelled - &stream.revived - &stream.at_hand;
    let mut open = &free - &stream.ahead;
    open.remove_range(..=stream.low);
    let others = free - &open;
    open.into_iter().chain(others)
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
