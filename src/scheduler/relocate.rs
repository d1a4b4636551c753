//! Relocation: how a segment that is to be dropped is read, slice by slice, so that what still
//! lives in it can be written anew. The queue decides what of a slice lives; here is only what may.
//! Between two slices everything else has its turn.

use roaring::RoaringTreemap;

use crate::model::{Seq, limits};
use crate::queue::{AliveRange, Relocate, RelocatedEvent, RelocationSlice, RetireSegment};
use crate::record::{DeadLetter, Record};

/// Where the records of the segment are read from.
pub trait Records {
    type Error;

    /// One record; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, seq: Seq) -> Result<Option<Record>, Self::Error>;

    /// The next slice of the records `from` to `last`: [`slice()`] of them.
    ///
    /// # Errors
    /// When one of them cannot be read.
    fn slice(&self, from: Seq, last: Seq) -> Result<(RelocationSlice, Seq), Self::Error>;
}

/// A segment that is being retired.
#[derive(Clone, Debug)]
pub struct Retiring {
    pub first: Seq,
    pub last: Seq,
    head: [u8; 32],
    /// Where the walk through its records goes on.
    next: Seq,
    walked: bool,
    /// What lives in it and was not written anew yet, as the queue has last said.
    alive: Option<AliveRange>,
    /// Records that were read for their events, and hold none.
    without_events: RoaringTreemap,
}

impl Retiring {
    #[must_use]
    pub fn new(first: Seq, last: Seq, head: [u8; 32]) -> Self {
        let without_events = RoaringTreemap::new();
        Self { first, last, head, next: first, walked: false, alive: None, without_events }
    }

    /// Whether the queue has to be asked what lives in it: at the beginning, and when all that it
    /// said has been written anew. That is a few times for a segment, because the answer takes the
    /// queue as long as there is much.
    #[must_use]
    pub fn is_to_be_asked(&self) -> bool {
        self.alive.is_none()
    }

    /// What the queue has said.
    pub fn see(&mut self, mut alive: AliveRange) {
        alive.events -= &self.without_events;
        self.alive = Some(alive);
    }

    /// Whether dead letters have to be relocated now, or events. Of dead letters only the notes
    /// are, and before all else.
    #[must_use]
    pub fn wants(&self) -> (bool, bool) {
        let Some(alive) = &self.alive else { return (false, false) };
        let dead_letters = !alive.dead_letter_seqs.is_empty();
        let events = (alive.walk && !self.walked) || !alive.events.is_empty();
        (dead_letters, events && !dead_letters)
    }

    /// What to ask of the queue next. `keep` says what becomes of a dead letter: `None` when its
    /// time is over. `None` when something that lives cannot be found: then the segment stays.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn next_step<R: Records>(
        &mut self,
        records: &R,
        keep: &mut dyn FnMut(DeadLetter) -> Option<DeadLetter>,
    ) -> Result<Option<RetirementStep>, R::Error> {
        let (first, last) = (self.first, self.last);
        let Some(mut alive) = self.alive.take() else { return Ok(None) };

        let slice = if !alive.dead_letter_seqs.is_empty() {
            // Before all else: whatever is discarded now needs its event no more.
            let some: Vec<Seq> = alive.dead_letter_seqs.iter().take(limits::SLICE).collect();
            alive.dead_letter_seqs.remove_range(..=some.last().copied().unwrap_or(last));
            if !alive.dead_letter_seqs.is_empty() {
                self.alive = Some(alive);
            }
            dead_letters(&some, records, keep)?
        } else if alive.walk && !self.walked {
            let (mut slice, next) = records.slice(self.next, last)?;
            for event in &mut slice.events {
                event.known = alive.events.contains(event.at);
            }
            slice.find_keys(&alive.latest);
            (self.next, self.walked) = (next, next > last);
            if !self.walked {
                self.alive = Some(alive);
            }
            Some(slice)
        } else if !alive.events.is_empty() {
            let slice = known_events(&mut alive.events, &mut self.without_events, records)?;
            if !alive.events.is_empty() {
                self.alive = Some(alive);
            }
            slice
        } else {
            let (head, walked) = (self.head, self.walked);
            let without_events = self.without_events.clone();
            let retire = RetireSegment { first, last, head, walked, without_events };
            return Ok(Some(RetirementStep::Drop(retire)));
        };
        Ok(slice.map(|slice| RetirementStep::Relocate(Relocate { first, last, slice })))
    }
}

/// What is asked of the queue for a segment that goes.
#[derive(Clone, Debug)]
pub enum RetirementStep {
    /// Write anew what lives of a slice.
    Relocate(Relocate),
    /// Nothing lives in it any more.
    Drop(RetireSegment),
}

/// What may live among `records`, of which `from` is the first and `last` the last; and where to go
/// on.
pub fn slice<E>(
    records: impl Iterator<Item = Result<(Seq, Record), E>>,
    (from, last): (Seq, Seq),
) -> Result<(RelocationSlice, Seq), E> {
    let mut slice = RelocationSlice::default();
    let (mut next, mut bytes) = (from, 0);

    for (seen, record) in records.enumerate() {
        let full = seen >= limits::RELOCATE_RECORDS || bytes >= limits::RELOCATE_BYTES;
        if full || slice.positions.len() >= limits::RELOCATE_POSITIONS {
            return Ok((slice, next));
        }

        let (at, record) = record?;
        if at > last {
            break;
        }
        next = at + 1;
        bytes += take(&mut slice, at, &record);
    }
    Ok((slice, next.max(last + 1)))
}

/// Takes in a record; the bytes of its event.
fn take(slice: &mut RelocationSlice, at: Seq, record: &Record) -> usize {
    slice.positions.extend(record.stream_positions(at).map(|waiting| (at, waiting)));

    let Some(held) = record.held_event() else { return 0 };
    let (event, fan_out) = (held.event.clone(), held.fan_out.to_vec());
    let bytes = event.cost();
    let seq = held.relocated_from.unwrap_or(at);
    slice.events.push(RelocatedEvent { seq, at, event, fan_out, known: false });
    bytes
}

/// Reads the next of the events that stand at these records, which are taken from them. Those that
/// hold no event are added to `without_events`.
fn known_events<R: Records>(
    stand_at: &mut RoaringTreemap,
    without_events: &mut RoaringTreemap,
    records: &R,
) -> Result<Option<RelocationSlice>, R::Error> {
    let mut slice = RelocationSlice::default();
    let (mut bytes, mut last) = (0, 0);
    for at in stand_at.iter().take(limits::SLICE) {
        let Some(record) = records.read(at)? else { return Ok(None) };
        if record.held_event().is_none() {
            without_events.insert(at);
        }
        bytes += take(&mut slice, at, &record);
        last = at;
        if bytes >= limits::RELOCATE_BYTES {
            break;
        }
    }
    stand_at.remove_range(..=last);

    slice.positions.clear();
    slice.events.iter_mut().for_each(|event| event.known = true);
    Ok(Some(slice))
}

fn dead_letters<R: Records>(
    dead_letter_seqs: &[Seq],
    records: &R,
    keep: &mut dyn FnMut(DeadLetter) -> Option<DeadLetter>,
) -> Result<Option<RelocationSlice>, R::Error> {
    let mut slice = RelocationSlice::default();
    for dead_letter_seq in dead_letter_seqs {
        let Some(dead) =
            records.read(*dead_letter_seq)?.and_then(|record| record.dead_letter(*dead_letter_seq))
        else {
            return Ok(None);
        };
        let delivery = dead.delivery;
        match keep(dead) {
            Some(dead) => slice.dead.push((*dead_letter_seq, dead)),
            None => slice.expired.push((*dead_letter_seq, delivery)),
        }
    }
    Ok(Some(slice))
}

#[cfg(test)]
mod tests;
