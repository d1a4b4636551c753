//! Deliveries that waited in the streams of their endpoints: how many of them the log still has,
//! and which are lost.

use std::collections::{BTreeMap, HashMap, VecDeque};

use roaring::RoaringTreemap;

use super::ask_queue::AskQueue;
use crate::log::{LogError, Reader};
use crate::model::{EndpointId, Seq, limits};
use crate::queue::{EventsQuery, Loss, StreamWaits};
use crate::record::{Record, WaitingDelivery};

/// Events that are looked up in one step.
const LOOKED_UP: usize = 64;

/// Reads the streams from the oldest position that waits, and counts what waits there.
#[derive(Debug)]
pub(super) struct StreamReading {
    streams: BTreeMap<EndpointId, StreamWaits>,
    /// By endpoint: what was found of its stream.
    found: HashMap<EndpointId, FoundOf>,
    /// Records whose events stand among those that cannot be read.
    events: RoaringTreemap,
    /// Where the streams are read on, and the record at which they end.
    next: Seq,
    end: Seq,
}

/// Of what one endpoint waits for.
#[derive(Debug, Default)]
struct FoundOf {
    count: u64,
    revived: RoaringTreemap,
    /// Deliveries whose positions are there, and whose events are not.
    without_events: RoaringTreemap,
}

impl StreamReading {
    pub fn new(streams: Vec<StreamWaits>, events: RoaringTreemap, end: Seq) -> Self {
        let next = streams.iter().map(|stream| stream.low + 1).min().unwrap_or(end);
        let streams = streams.into_iter().map(|stream| (stream.endpoint, stream)).collect();
        Self { streams, found: HashMap::new(), events, next, end }
    }

    /// How many records there are to be read.
    pub fn to_read(&self) -> u64 {
        self.end.saturating_sub(self.next)
    }

    pub fn read_slice(&mut self, reader: &Reader) -> Result<(), LogError> {
        let upto = self.end.min(self.next + limits::REFILL_SCAN as u64);
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
        for WaitingDelivery { delivery, position, event, .. } in record.stream_positions(seq) {
            let stream = self.streams.get(&delivery.endpoint);
            if stream.is_none_or(|stream| !stream.waits(seq, position, delivery.seq)) {
                continue;
            }

            let found = self.found.entry(delivery.endpoint).or_default();
            // One that was asked for again several times waits at several positions, and is one.
            let is_first = seq == delivery.seq || found.revived.insert(delivery.seq);
            found.count += u64::from(is_first);
            if self.events.contains(event) {
                found.without_events.insert(delivery.seq);
            }
        }
    }

    /// What each endpoint has lost, once all was read.
    pub fn losses(&mut self, unreadable: &RoaringTreemap) -> VecDeque<StreamLosses> {
        let streams = std::mem::take(&mut self.streams);
        let losses = |(endpoint, waits)| {
            let found = self.found.remove(&endpoint).unwrap_or_default();
            StreamLosses::new(waits, found, unreadable)
        };
        streams.into_iter().map(losses).collect()
    }
}

/// What is lost of one endpoint's stream.
#[derive(Debug)]
pub(super) struct StreamLosses {
    waits: StreamWaits,
    without_events: RoaringTreemap,
    /// How many deliveries waited at lost positions.
    lost: usize,
    /// Those of them that are known by name, because they had been asked for again, and whose
    /// events have not been looked up yet.
    named: RoaringTreemap,
    moved: Vec<Seq>,
    ended: Vec<Seq>,
}

impl StreamLosses {
    fn new(waits: StreamWaits, found: FoundOf, unreadable: &RoaringTreemap) -> Self {
        let in_memory = (&waits.at_hand & unreadable).len();
        let lost = usize::try_from(waits.count.saturating_sub(found.count + in_memory))
            .unwrap_or(usize::MAX);
        let named = &waits.revived - &found.revived;
        let (moved, ended) = (Vec::new(), Vec::new());
        Self { waits, without_events: found.without_events, lost, named, moved, ended }
    }

    fn nameless(&self) -> usize {
        self.lost - self.moved.len() - self.ended.len()
    }

    /// Whether there are events to be looked up.
    pub fn is_looking_up(&self) -> bool {
        self.nameless() > 0 && !self.named.is_empty()
    }

    /// Looks up some of the events: a delivery whose event is there gets another position. `None`
    /// when something stood in the way.
    pub fn look_up(&mut self, reader: &Reader, queue: &mut impl AskQueue) -> Option<()> {
        let some: Vec<Seq> = self.named.iter().take(self.nameless().min(LOOKED_UP)).collect();
        for key in some {
            let has_event = has_event(key, reader, queue)?;
            if has_event {
                self.moved.push(key)
            } else {
                self.ended.push(key)
            }
            self.named.remove(key);
        }
        Some(())
    }

    /// What is to be settled, in slices.
    pub fn into_losses(mut self, unreadable: &RoaringTreemap) -> Vec<Loss> {
        let (endpoint, nameless) = (self.waits.endpoint, self.nameless());
        self.ended.extend(candidates(&self.waits, unreadable).take(nameless));
        self.ended.extend(&self.without_events);

        let slices = self.moved.chunks(limits::SLICE);
        let moved = slices.map(|slice| Loss::Positions { endpoint, deliveries: slice.to_vec() });
        let slices = self.ended.chunks(limits::SLICE);
        let ended = slices.map(|slice| Loss::Deliveries { endpoint, deliveries: slice.to_vec() });
        moved.chain(ended).collect()
    }
}

/// Whether the event of a delivery that was made by this record, and is not a replay, can be read.
fn has_event(key: Seq, reader: &Reader, queue: &mut impl AskQueue) -> Option<bool> {
    let views = queue.ask(EventsQuery(vec![key]))?;
    let at = views.first().map_or(key, |view| view.stands_at);
    match reader.read(at) {
        Ok(record) => Some(record.is_some_and(|record| record.held_event().is_some())),
        Err(error) if error.is_damage() => Some(false),
        Err(_) => None,
    }
}

/// Names for deliveries that waited at lost positions: records that may have made them, those first
/// at which the endpoint still waits.
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
