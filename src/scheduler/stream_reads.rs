//! Reads endpoints' streams out of the log. Many endpoints may have to be read at a time, as after
//! a start with a backlog of each; those that are read forward in the same part of the log share
//! one walk over it.

use std::collections::HashMap;
use std::sync::Arc;

use super::read_log::{ReadLog, Walk, event_of};
use crate::model::{EndpointId, Event, EventFilter, Seq, limits};
use crate::queue::{KeptRead, Keys, StreamEntry};
use crate::record::{Record, Sieve};

/// How much of an endpoint's stream is read at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPart {
    pub endpoint: EndpointId,
    pub max_entries: usize,
    /// Of events, beyond which entries come without theirs.
    pub max_bytes: usize,
}

/// Lets pass the records that place a delivery in the stream of one of these endpoints.
pub(super) fn stream_sieve(endpoints: Vec<EndpointId>) -> Sieve {
    Sieve::deliveries(&EventFilter::default(), Some(endpoints))
}

/// Reads endpoints' streams forward in `records`, each from its own position on; `end` is the last
/// record. Returns the entries of each and where to go on.
pub(super) fn refill(
    records: Walk<'_>,
    end: Seq,
    wanted: &[(Seq, StreamPart)],
) -> Vec<(Vec<StreamEntry>, Seq)> {
    let mut found: Vec<_> = wanted.iter().map(|(_, part)| StreamCollector::new(part)).collect();
    let of_endpoint: HashMap<EndpointId, usize> =
        wanted.iter().enumerate().map(|(index, (_, part))| (part.endpoint, index)).collect();
    let mut open = found.len();
    let mut budget = WalkBudget::default();
    // All before it was looked at.
    let mut reached = 0;
    let mut is_whole = true;

    for (seq, record) in records {
        if budget.is_spent() || open == 0 {
            is_whole = false;
            break;
        }
        budget.charge(record.as_ref());
        reached = seq + 1;

        let Some(record) = record else { continue };
        let event = event_of(&record);
        // Positions that it holds for other records are read by `refill_kept`, in their order.
        for waiting in record.stream_positions(seq).filter(|waiting| waiting.position == seq) {
            let Some(index) = of_endpoint.get(&waiting.delivery.endpoint).copied() else {
                continue;
            };
            let of_stream = &mut found[index];
            if wanted[index].0 <= seq && !of_stream.is_full() {
                of_stream.take(StreamEntry::new(waiting, event.clone()));
                open -= usize::from(of_stream.is_full());
            }
        }
    }
    if is_whole {
        reached = reached.max(end + 1);
    }

    let next = |(found, (from, _)): (StreamCollector<'_>, &(Seq, StreamPart))| {
        let last = found.entries.last().filter(|_| found.is_full());
        let next = last.map_or(reached, |last| last.position + 1);
        (found.entries, next.max(*from))
    };
    found.into_iter().zip(wanted).map(next).collect()
}

/// Reads an endpoint's stream backward in `records`, which end before `from`, down to `until`.
/// Returns the entries, the latest first, and the last record that was looked at: `until` when all
/// was read.
pub(super) fn refill_back(
    records: Walk<'_>,
    (from, until): (Seq, Seq),
    wanted: &StreamPart,
) -> (Vec<StreamEntry>, Seq) {
    let mut found = StreamCollector::new(wanted);
    let mut budget = WalkBudget::default();
    let mut next = from;

    for (seq, record) in records {
        if seq < until {
            break;
        }
        if budget.is_spent() || found.is_full() {
            return (found.entries, next);
        }
        budget.charge(record.as_ref());
        next = seq;

        let Some(record) = record else { continue };
        let mut own = record.stream_positions(seq).filter(|waiting| waiting.position == seq);
        if let Some(waiting) = own.find(|waiting| waiting.delivery.endpoint == wanted.endpoint) {
            found.take(StreamEntry::new(waiting, event_of(&record)));
        }
    }

    (found.entries, until)
}

/// Reads kept positions of an endpoint's stream, forward from `from`, or backward from before it
/// down to `until`. Returns the entries, in the order of the reading, and where to go on.
pub(super) fn refill_kept(
    log: &impl ReadLog,
    kept: &KeptRead,
    (from, until): (Seq, Option<Seq>),
    wanted: &StreamPart,
    keys: &Keys,
) -> (Vec<StreamEntry>, Seq) {
    let is_asked = |position| match until {
        None => position >= from,
        Some(until) => until <= position && position < from,
    };

    let sieve = stream_sieve(vec![wanted.endpoint]);
    let mut entries: Vec<StreamEntry> = Vec::new();
    for part in &kept.parts {
        // One that cannot be read is lost, which is settled apart.
        let first = log.forward(part.record, &sieve, |all| all.next());
        let Some((_, Some(record))) = first.filter(|(seq, _)| *seq == part.record) else {
            continue;
        };
        let waiting = record.stream_positions(part.record).filter(|waiting| {
            let (position, endpoint) = (waiting.position, waiting.delivery.endpoint);
            let is_here = part.first <= position && position <= part.last;
            endpoint == wanted.endpoint && is_here && is_asked(position)
        });
        let mut here: Vec<StreamEntry> = waiting
            .map(|waiting| {
                let key = waiting.key;
                let mut entry = StreamEntry::new(waiting, None);
                keys.take_over(&mut entry, part.record, key);
                entry
            })
            .collect();
        if until.is_some() {
            here.reverse();
        }
        entries.extend(here);

        if entries.len() >= wanted.max_entries {
            entries.truncate(wanted.max_entries);
            let last = entries.last().map_or(from, |entry| entry.position);
            return (entries, if until.is_some() { last } else { last + 1 });
        }
    }
    (entries, until.map_or(kept.next, |until| kept.next.max(until)))
}

/// What one walk over the log may cost before others have their turns.
#[derive(Debug, Default)]
pub(super) struct WalkBudget {
    records: usize,
    passed_over: usize,
    /// Of events, whoever gets them.
    bytes: usize,
}

impl WalkBudget {
    pub fn is_spent(&self) -> bool {
        self.records >= limits::REFILL_SCAN
            || self.passed_over >= limits::REFILL_PASSED_OVER
            || self.bytes >= limits::LOG_READ_BYTES
    }

    pub fn charge(&mut self, record: Option<&Record>) {
        match record {
            Some(record) => {
                self.records += 1;
                self.bytes += record.held_event().map_or(0, |held| held.event.cost());
            }
            None => self.passed_over += 1,
        }
    }
}

struct StreamCollector<'a> {
    wanted: &'a StreamPart,
    entries: Vec<StreamEntry>,
    bytes: usize,
}

impl<'a> StreamCollector<'a> {
    fn new(wanted: &'a StreamPart) -> Self {
        Self { wanted, entries: Vec::new(), bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.wanted.max_entries
    }

    fn take(&mut self, mut entry: StreamEntry) {
        let cost = entry.loaded.as_ref().map_or(0, |event| event.cost());
        if self.bytes + cost > self.wanted.max_bytes {
            // Its event is read again when its turn comes; what is asked of it now, `complete`
            // looks up.
            entry.loaded = None;
        } else {
            self.bytes += cost;
        }
        self.entries.push(entry);
    }
}

/// Writes into entries what their endpoint's pointers ask for, reading the events that are not at
/// hand. Where that is too much for once, the rest of the entries is left out; gives the position
/// of the first that was.
pub(super) fn complete(
    entries: &mut Vec<StreamEntry>,
    keys: &Keys,
    mut read: impl FnMut(Seq) -> Option<Arc<Event>>,
) -> Option<Seq> {
    if keys.is_empty() {
        return None;
    }

    let mut bytes = 0;
    let read_on = |entry: &mut StreamEntry| {
        if bytes >= limits::LOG_READ_BYTES {
            return false;
        }
        if !keys.lacks(entry) {
            return true;
        }
        let at = keys.moved.get(&entry.event).copied().unwrap_or(entry.event);
        // One that is not there may have been relocated, which only the queue knows: it asks
        // again.
        if let Some(event) = entry.loaded.clone().or_else(|| read(at)) {
            bytes += event.cost();
            keys.fill(entry, &event);
        }
        true
    };
    let done = entries.iter_mut().map(read_on).take_while(|read| *read).count();

    let rest = entries.get(done).map(|entry| entry.position);
    entries.truncate(done);
    rest
}

#[cfg(test)]
mod tests {
    use super::super::testing::accepted;
    use super::{StreamPart, refill};
    use crate::model::{EndpointId, Seq, limits};
    use crate::queue::StreamEntry;
    use crate::record::Record;

    fn part(endpoint: EndpointId, max_entries: usize) -> StreamPart {
        StreamPart { endpoint, max_entries, max_bytes: 1 << 20 }
    }

    /// Event `seq` is for the endpoints that divide it.
    fn log(records: Seq, endpoints: EndpointId) -> impl Iterator<Item = (Seq, Option<Record>)> {
        (1..=records).map(move |seq| {
            let fan_out: Vec<_> =
                (1..=endpoints).filter(|id| seq.is_multiple_of(u64::from(*id))).collect();
            (seq, (!fan_out.is_empty()).then(|| accepted(seq, fan_out)))
        })
    }

    fn positions(found: &[(Vec<StreamEntry>, Seq)]) -> Vec<(Vec<Seq>, Seq)> {
        let of_stream = |(entries, next): &(Vec<StreamEntry>, Seq)| {
            (entries.iter().map(|entry| entry.position).collect(), *next)
        };
        found.iter().map(of_stream).collect()
    }

    #[test]
    fn streams_that_share_a_walk_are_read_as_each_alone() {
        let wanted = [(1, part(2, 100)), (5, part(3, 2)), (40, part(7, 100)), (1, part(60, 100))];

        let together = positions(&refill(&mut log(50, 9), 50, &wanted));
        let alone: Vec<_> = wanted
            .iter()
            .map(|(from, part)| {
                let mut rest = log(50, 9).filter(|(seq, _)| seq >= from);
                positions(&refill(&mut rest, 50, &[(*from, *part)])).remove(0)
            })
            .collect();

        assert_eq!(together, alone);
        assert_eq!(together[1], (vec![6, 9], 10));
        assert_eq!(together[2], (vec![42, 49], 51));
    }

    #[test]
    fn a_walk_ends_when_all_are_full() {
        let wanted = [(1, part(1, 3)), (2, part(2, 1))];
        let mut records = log(1_000, 2);
        let found = refill(&mut records, 1_000, &wanted);

        assert_eq!(positions(&found), [(vec![1, 2, 3], 4), (vec![2], 3)]);
        assert!(records.next().is_some_and(|(seq, _)| seq < 10));
    }

    #[test]
    fn a_walk_over_what_is_of_no_interest_ends_as_well() {
        let endless = limits::REFILL_PASSED_OVER as u64 * 2;
        let mut records = (1..=endless).map(|seq| (seq, None));
        let found = refill(&mut records, endless, &[(1, part(1, 3))]);

        assert_eq!(positions(&found), [(vec![], limits::REFILL_PASSED_OVER as u64 + 1)]);
    }
}
