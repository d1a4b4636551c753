//! A store in memory that can die: before a commit is durable, or after it and before anybody hears
//! of it.

use std::sync::Arc;

use hookbox::model::{DeliveryId, Event, Seq, WallMs};
use hookbox::queue::State;
use hookbox::record::{Record, Sieve, decode, encode};
use hookbox::scheduler::{ReadLog, Store, Walk, event_of};

/// How the next commit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Durable,
    /// The process dies with nothing of it on disk.
    DiesBefore,
    /// The process dies with all of it on disk.
    DiesAfter,
}

#[derive(Debug)]
pub struct Died;

#[derive(Debug)]
pub struct Token(());

/// Segments of records, with the checkpoints before them. Most of these are complete only some
/// commits after their segment was begun, and never when the process dies before.
#[derive(Debug)]
pub struct Disk {
    segments: Vec<Segment>,
    /// What retention dropped, for messages.
    dropped: Vec<Segment>,
    pub fate: Fate,
    roll_at: usize,
    /// The checkpoint that is being written into the newest segment, and in how many commits it is
    /// complete.
    pending: Option<(Vec<u8>, u64)>,
}

#[derive(Debug)]
struct Segment {
    first: Seq,
    /// Once it is complete.
    checkpoint: Option<Vec<u8>>,
    /// As they came back from their encoding, which is kept as well: a sieve looks at it.
    records: Vec<Record>,
    encoded: Vec<Vec<u8>>,
}

impl Disk {
    pub fn new(roll_at: usize) -> Self {
        Self {
            segments: vec![Segment {
                first: 1,
                checkpoint: None,
                records: Vec::new(),
                encoded: Vec::new(),
            }],
            dropped: Vec::new(),
            fate: Fate::Durable,
            roll_at,
            pending: None,
        }
    }

    pub fn first(&self) -> Seq {
        self.segments.first().map_or(1, |segment| segment.first)
    }

    pub fn last(&self) -> Seq {
        self.segments.last().map_or(0, |segment| segment.first + segment.records.len() as u64 - 1)
    }

    pub fn read(&self, seq: Seq) -> Option<Record> {
        self.find(seq).map(|(record, _)| record.clone())
    }

    /// A record, and its encoding.
    fn find(&self, seq: Seq) -> Option<(&Record, &[u8])> {
        let behind = self.segments.partition_point(|segment| segment.first <= seq);
        let segment = &self.segments[behind.checked_sub(1)?];
        let at = usize::try_from(seq - segment.first).ok()?;
        Some((segment.records.get(at)?, &segment.encoded[at]))
    }

    pub fn event(&self, seq: Seq) -> Option<Arc<Event>> {
        event_of(&self.read(seq)?)
    }

    pub fn forward(&self, from: Seq) -> impl Iterator<Item = (Seq, Record)> + '_ {
        self.refs(from).map(|(seq, record)| (seq, record.clone()))
    }

    pub fn refs(&self, from: Seq) -> impl Iterator<Item = (Seq, &Record)> + '_ {
        self.encoded(from).map(|(seq, record, _)| (seq, record))
    }

    /// Records with their encodings. Segments may leave no gap, so they follow one another.
    fn encoded(&self, from: Seq) -> impl Iterator<Item = (Seq, &Record, &Vec<u8>)> + '_ {
        let begin =
            self.segments.partition_point(|segment| segment.first <= from).saturating_sub(1);
        self.segments[begin..].iter().flat_map(move |segment| {
            // Only the first of them has records before `from`.
            let before = usize::try_from(from.saturating_sub(segment.first)).unwrap_or(usize::MAX);
            let before = before.min(segment.records.len());
            let records = segment.records[before..].iter().zip(&segment.encoded[before..]);
            (segment.first + before as u64..)
                .zip(records)
                .map(|(seq, (record, bytes))| (seq, record, bytes))
        })
    }

    pub fn backward(&self, before: Seq) -> impl Iterator<Item = (Seq, Record)> + '_ {
        let from = before.min(self.last() + 1);
        (self.first()..from).rev().filter_map(|seq| self.read(seq).map(|record| (seq, record)))
    }

    /// The oldest sealed segment's range, unless a start needs it.
    pub fn oldest_sealed(&self) -> Option<(Seq, Seq)> {
        let oldest = self.segments.first().filter(|_| self.segments.len() > 1)?;
        let last = oldest.first + oldest.records.len() as u64 - 1;
        (last < self.base().first).then_some((oldest.first, last))
    }

    /// The segment with the newest complete checkpoint, or the first one.
    fn base(&self) -> &Segment {
        let newest = self.segments.iter().rev().find(|segment| segment.checkpoint.is_some());
        newest.or(self.segments.first()).expect("there is always one")
    }

    /// What the process that died was still to write is gone with it.
    pub fn lose_pending(&mut self) {
        self.pending = None;
    }

    pub fn drop_segment(&mut self, first: Seq) {
        assert!(first < self.base().first, "what a start needs is never dropped");
        let at = self.segments.iter().position(|segment| segment.first == first);
        self.dropped.extend(at.map(|at| self.segments.remove(at)));
    }

    /// The state as a start-up would fold it: the newest complete checkpoint and the records behind
    /// it.
    pub fn fold(&self) -> State {
        let base = self.base();
        let mut state = match &base.checkpoint {
            Some(bytes) => State::from_checkpoint(bytes).expect("the checkpoint reads back"),
            None => State::new(),
        };
        for (seq, record) in self.refs(base.first) {
            state.apply(seq, record).expect("what was remembered can be folded");
        }
        state
    }

    /// Writes on at the checkpoint, with a commit.
    fn write_checkpoint(&mut self) {
        match self.pending.take() {
            Some((checkpoint, 0)) => {
                let active = self.segments.last_mut().expect("there is always one");
                active.checkpoint = Some(checkpoint);
            }
            Some((checkpoint, left)) => self.pending = Some((checkpoint, left - 1)),
            None => {}
        }
    }
}

impl Disk {
    /// All that there ever was, for messages.
    pub fn all(&self) -> impl Iterator<Item = (Seq, &Record)> + '_ {
        let segments = self.dropped.iter().chain(&self.segments);
        segments.flat_map(|segment| (segment.first..).zip(&segment.records))
    }

    /// The record by which the last position of a delivery in the stream was taken up, for
    /// messages.
    pub fn passed_over(&self, delivery: DeliveryId) -> String {
        let mut state = State::new();
        let (mut position, mut taken_up) = (delivery.seq, None);
        for (seq, record) in self.all() {
            state.apply(seq, record).expect("what was remembered can be folded");
            match record {
                Record::StreamPositionRelocated { waiting } if waiting.delivery == delivery => {
                    (position, taken_up) = (seq, None)
                }
                Record::DeliveryRetried { delivery: other, in_stream: true, .. }
                    if *other == delivery =>
                {
                    (position, taken_up) = (seq, None);
                }
                _ => {}
            }

            let Some(endpoint) = state.endpoints.get(&delivery.endpoint) else { continue };
            if seq > position && taken_up.is_none() && endpoint.taken_up(position) {
                taken_up =
                    Some(format!("position {position} by {seq}, low {}: {record:?}", endpoint.low));
            }
        }
        taken_up.unwrap_or_else(|| "not yet".to_owned())
    }

    /// Every prefix of the log folds, and folding from one checkpoint to the next gives that one.
    pub fn check_prefixes(&self) {
        let mut folded = None;
        for segment in &self.segments {
            let begun = segment.checkpoint.as_deref().map(State::from_checkpoint);
            let begun = begun.transpose().expect("the checkpoint reads back");
            if let (Some(begun), Some(folded)) = (&begun, &folded) {
                assert_eq!(folded, begun, "the checkpoint before record {}", segment.first);
            }

            let is_first = segment.first == 1;
            let Some(mut state) = begun.or(folded.take()).or(is_first.then(State::new)) else {
                // What is before its first checkpoint has been dropped.
                continue;
            };
            for (seq, record) in (segment.first..).zip(&segment.records) {
                state.apply(seq, record).expect("every prefix folds");
            }
            folded = Some(state);
        }
        assert!(folded.is_some(), "there is no state to start from");
    }
}

impl ReadLog for Disk {
    fn first(&self) -> Seq {
        self.first()
    }

    fn last(&self) -> Seq {
        self.last()
    }

    fn event(&self, seq: Seq) -> Option<Arc<Event>> {
        self.event(seq)
    }

    fn forward<T>(&self, from: Seq, sieve: &Sieve, take: impl Fn(Walk<'_>) -> T) -> T {
        let sifted = |(seq, record, bytes): (Seq, &Record, &Vec<u8>)| {
            (seq, sieve.passes(bytes).then(|| record.clone()))
        };
        take(&mut self.encoded(from).map(sifted))
    }

    fn backward<T>(&self, before: Seq, sieve: &Sieve, take: impl Fn(Walk<'_>) -> T) -> T {
        let seqs = (self.first()..before.min(self.last() + 1)).rev();
        let found = seqs.filter_map(|seq| self.find(seq).map(|found| (seq, found)));
        let sifted = |(seq, (record, bytes)): (Seq, (&Record, &[u8]))| {
            (seq, sieve.passes(bytes).then(|| record.clone()))
        };
        take(&mut found.map(sifted))
    }
}

impl Store for &mut Disk {
    type Token = Token;
    type Error = Died;

    fn commit(&mut self, records: &[Record]) -> Result<Token, Died> {
        if self.fate == Fate::DiesBefore {
            return Err(Died);
        }
        let active = self.segments.last_mut().expect("there is always one");
        for record in records {
            let mut bytes = Vec::new();
            encode(record, &mut bytes);
            active.records.push(decode(&bytes).expect("what was encoded can be decoded"));
            active.encoded.push(bytes);
        }
        self.write_checkpoint();
        if self.fate == Fate::DiesAfter { Err(Died) } else { Ok(Token(())) }
    }

    fn wants_roll(&self, _wall_ms: WallMs) -> bool {
        let active = self.segments.last().expect("there is always one");
        // That of the active segment was lost with an earlier process.
        let lacks_checkpoint = self.base().first != active.first && !active.records.is_empty();
        self.pending.is_none() && (active.records.len() >= self.roll_at || lacks_checkpoint)
    }

    fn roll(&mut self, checkpoint: Vec<u8>, _wall_ms: WallMs) -> Result<(), Died> {
        let first = self.last() + 1;
        self.segments.push(Segment {
            first,
            checkpoint: None,
            records: Vec::new(),
            encoded: Vec::new(),
        });
        // A small one is complete at once.
        self.pending = Some((checkpoint, first % 5 * 6));
        if first.is_multiple_of(5) {
            self.write_checkpoint();
        }
        Ok(())
    }
}
