//! Carrying forward: how a segment that is to be dropped is read, slice by slice. The queue decides what of a slice
//! still lives; here is only what may. Between two slices everything else has its turn.

use crate::model::{DeliveryId, Seq, limits};
use crate::queue::{AliveRange, Carriage, CarriedEvent, Input};
use crate::record::{DeadLetter, Record, Waiting};

/// Where the records of the segment are read from.
pub trait Records {
    type Error;

    /// One record; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, seq: Seq) -> Result<Option<Record>, Self::Error>;

    /// The next slice of the records `from` to `last`: [`slice`] of them.
    ///
    /// # Errors
    /// When one of them cannot be read.
    fn slice(&self, from: Seq, last: Seq) -> Result<(Carriage, Seq), Self::Error>;
}

/// A segment on its way out.
#[derive(Clone, Debug)]
pub struct Retiring {
    pub first: Seq,
    pub last: Seq,
    head: [u8; 32],
    /// Where the walk through its records goes on.
    next: Seq,
    walked: bool,
}

impl Retiring {
    #[must_use]
    pub fn new(first: Seq, last: Seq, head: [u8; 32]) -> Self {
        Self { first, last, head, next: first, walked: false }
    }

    /// Whether events have to be carried forward now: of dead letters only the notes are, and before all else.
    #[must_use]
    pub fn wants_events(&self, alive: &AliveRange) -> bool {
        alive.graves.is_empty() && ((alive.walk && !self.walked) || !alive.events.is_empty())
    }

    /// What to tell the queue next, from what it says is alive. `judge` says what becomes of a dead letter: `None`
    /// when its time is over. `None` when something that lives cannot be found: then the segment stays.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn next_input<R: Records>(
        &mut self,
        alive: &AliveRange,
        records: &R,
        judge: &mut dyn FnMut(DeadLetter) -> Option<DeadLetter>,
    ) -> Result<Option<Input>, R::Error> {
        let (first, last) = (self.first, self.last);
        let slice = if !alive.graves.is_empty() {
            // Before all else: whatever is discarded now needs its event no more.
            match dead_letters(&alive.graves, records, judge)? {
                Some(slice) => slice,
                None => return Ok(None),
            }
        } else if alive.walk && !self.walked {
            let (slice, next) = records.slice(self.next, last)?;
            self.next = next;
            self.walked = next > last;
            slice
        } else if !alive.events.is_empty() {
            match known_events(&alive.events, records)? {
                Some(slice) => slice,
                None => return Ok(None),
            }
        } else {
            return Ok(Some(Input::Retire { first, last, head: self.head, walked: self.walked }));
        };
        Ok(Some(Input::Carry { first, last, slice }))
    }
}

/// What may live among `records`, of which `from` is the first and `last` the last; and where to go on.
pub fn slice<E>(
    records: impl Iterator<Item = Result<(Seq, Record), E>>,
    (from, last): (Seq, Seq),
) -> Result<(Carriage, Seq), E> {
    let mut slice = Carriage::default();
    let (mut next, mut bytes) = (from, 0);
    for (seen, record) in records.enumerate() {
        let full = seen >= limits::CARRY_RECORDS || bytes >= limits::CARRY_BYTES;
        if full || slice.places.len() >= limits::CARRY_PLACES {
            return Ok((slice, next));
        }
        let (at, record) = record?;
        if at > last {
            break;
        }
        next = at + 1;
        bytes += take(&mut slice, at, record);
    }
    Ok((slice, next.max(last + 1)))
}

/// Takes in a record; the bytes of its event.
fn take(slice: &mut Carriage, at: Seq, record: Record) -> usize {
    let mut bytes = 0;
    match record {
        Record::EventAccepted { event, fan_out, .. } => {
            bytes = event.cost();
            let place = |endpoint: &u32| Waiting {
                delivery: DeliveryId { seq: at, endpoint: *endpoint },
                position: at,
                event: at,
                attempts: 0,
                last: 0,
                key: None,
            };
            slice.places.extend(fan_out.iter().map(place));
            slice.events.push(CarriedEvent { seq: at, at, event, fan_out });
        }
        Record::EventCarried { seq, event, fan_out } => {
            bytes = event.cost();
            slice.events.push(CarriedEvent { seq, at, event, fan_out });
        }
        Record::Replayed { event, endpoint, .. } => {
            let delivery = DeliveryId { seq: at, endpoint };
            slice.places.push(Waiting { delivery, position: at, event, attempts: 0, last: 0, key: None });
        }
        Record::DeliveryRetried { delivery, event, attempts, last, in_stream: true, .. } => {
            slice.places.push(Waiting { delivery, position: at, event, attempts, last, key: None });
        }
        Record::PlaceCarried { waiting } => slice.places.push(Waiting { position: at, ..waiting }),
        _ => {}
    }
    bytes
}

fn known_events<R: Records>(stand_at: &[Seq], records: &R) -> Result<Option<Carriage>, R::Error> {
    let mut slice = Carriage::default();
    let mut bytes = 0;
    for at in stand_at {
        let Some(record) = records.read(*at)? else { return Ok(None) };
        bytes += take(&mut slice, *at, record);
        if bytes >= limits::CARRY_BYTES {
            break;
        }
    }
    slice.places.clear();
    Ok(Some(slice).filter(|slice| !slice.events.is_empty()))
}

fn dead_letters<R: Records>(
    graves: &[Seq],
    records: &R,
    judge: &mut dyn FnMut(DeadLetter) -> Option<DeadLetter>,
) -> Result<Option<Carriage>, R::Error> {
    let mut slice = Carriage::default();
    for grave in graves {
        let Some(dead) = records.read(*grave)?.and_then(|record| record.dead_letter(*grave)) else { return Ok(None) };
        let delivery = dead.delivery;
        match judge(dead) {
            Some(dead) => slice.dead.push((*grave, dead)),
            None => slice.expired.push((*grave, delivery)),
        }
    }
    Ok(Some(slice))
}
