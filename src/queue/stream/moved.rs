//! Where relocated events stand, in a few bits each: a backlog of weeks is relocated more than
//! once, and must not take the memory of a small box.
//!
//! Retention reads a segment in the order of its records and writes what is needed of it in that
//! order. So within a *run* the events and the records that hold them have the same order, and two
//! compressed sets are enough: the k-th event stands at the k-th record. An event that comes
//! before the last one of each run begins another run. There are about as many of these as times
//! that one event was relocated.

use std::fmt;

use roaring::RoaringTreemap;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::relocation::SegmentRange;
use crate::model::Seq;

/// Relocated events, each with the record that holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MovedEvents {
    runs: Vec<MovedRun>,
}

/// Events and records in the same order.
#[derive(Clone, Debug, Default, PartialEq)]
struct MovedRun {
    events: RoaringTreemap,
    records: RoaringTreemap,
}

impl MovedRun {
    fn get(&self, event: Seq) -> Option<Seq> {
        if !self.events.contains(event) {
            return None;
        }
        self.records.select(self.events.rank(event) - 1)
    }

    fn forget(&mut self, event: Seq) {
        if let Some(at) = self.get(event) {
            self.events.remove(event);
            self.records.remove(at);
        }
    }

    /// Whether this pair may be added at the end.
    fn may_take(&self, event: Seq, at: Seq) -> bool {
        self.events.max().is_none_or(|last| last < event)
            && self.records.max().is_none_or(|last| last < at)
    }

    /// The places of the records of a range: from the first number to before the second.
    fn places(&self, range: SegmentRange) -> (u64, u64) {
        let before = if range.first == 0 { 0 } else { self.records.rank(range.first - 1) };
        (before, self.records.rank(range.last))
    }

    /// The first and the last event that stand in a range.
    fn events_at(&self, range: SegmentRange) -> Option<(Seq, Seq)> {
        let (from, to) = self.places(range);
        if from >= to {
            return None;
        }
        Some((self.events.select(from)?, self.events.select(to - 1)?))
    }
}

impl MovedEvents {
    /// The record that holds this event, if it was relocated.
    #[must_use]
    pub fn get(&self, event: Seq) -> Option<Seq> {
        self.runs.iter().find_map(|run| run.get(event))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.events.len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// All of them, with their records.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        self.runs.iter().flat_map(|run| run.events.iter().zip(&run.records))
    }

    /// Record `at` holds this event from now on.
    pub(in crate::queue) fn insert(&mut self, event: Seq, at: Seq) {
        for run in &mut self.runs {
            run.forget(event);
        }
        self.tidy();

        // The run that ends last before it, so that there are few of them.
        let fits = self.runs.iter_mut().filter(|run| run.may_take(event, at));
        let run = match fits.max_by_key(|run| run.events.max()) {
            Some(run) => run,
            None => {
                self.runs.push(MovedRun::default());
                self.runs.last_mut().expect("it was just added")
            }
        };
        run.events.insert(event);
        run.records.insert(at);
    }

    /// All events that were relocated.
    pub(in crate::queue) fn events(&self) -> RoaringTreemap {
        let mut all = RoaringTreemap::new();
        self.runs.iter().for_each(|run| all |= &run.events);
        all
    }

    /// The events that stand in a range.
    pub(in crate::queue) fn events_in(&self, range: SegmentRange) -> RoaringTreemap {
        let mut all = RoaringTreemap::new();
        for run in &self.runs {
            let Some((first, last)) = run.events_at(range) else { continue };
            let mut here = RoaringTreemap::new();
            here.insert_range(first..=last);
            all |= here & &run.events;
        }
        all
    }

    /// The records of a range that hold events.
    pub(in crate::queue) fn records_in(&self, range: SegmentRange) -> RoaringTreemap {
        let mut here = RoaringTreemap::new();
        here.insert_range(range.first..=range.last);
        self.runs.iter().fold(RoaringTreemap::new(), |all, run| all | (&here & &run.records))
    }

    /// The last record that holds one, up to this one.
    pub(in crate::queue) fn last_record(&self, upto: Seq) -> Option<Seq> {
        let last = |run: &MovedRun| run.records.select(run.records.rank(upto).checked_sub(1)?);
        self.runs.iter().filter_map(last).max()
    }

    /// What stands in a dropped range is no more.
    pub(in crate::queue) fn forget_standing(&mut self, range: SegmentRange) {
        for run in &mut self.runs {
            if let Some((first, last)) = run.events_at(range) {
                run.events.remove_range(first..=last);
                run.records.remove_range(range.first..=range.last);
            }
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.runs.retain(|run| !run.events.is_empty());
    }

    /// Bytes that it takes in a checkpoint, and about as many in memory.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let of_run = |run: &MovedRun| run.events.serialized_size() + run.records.serialized_size();
        self.runs.iter().map(of_run).sum()
    }

    /// Whether the two sets of each run agree.
    fn is_sound(&self) -> bool {
        self.runs.iter().all(|run| run.events.len() == run.records.len())
    }
}

impl Serialize for MovedEvents {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.runs.iter().map(|run| (&run.events, &run.records)))
    }
}

/// Checkpoints of earlier versions have a map of the events to their records.
impl<'de> Deserialize<'de> for MovedEvents {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(MovedVisitor)
    }
}

struct MovedVisitor;

impl<'de> Visitor<'de> for MovedVisitor {
    type Value = MovedEvents;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("relocated events and their records")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MovedEvents, A::Error> {
        let mut moved = MovedEvents::default();
        while let Some((event, at)) = map.next_entry()? {
            moved.insert(event, at);
        }
        Ok(moved)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MovedEvents, A::Error> {
        let mut moved = MovedEvents::default();
        while let Some((events, records)) = seq.next_element()? {
            moved.runs.push(MovedRun { events, records });
        }
        match moved.is_sound() {
            true => Ok(moved),
            false => Err(serde::de::Error::custom("relocated events without records")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{prop_assert_eq, proptest};

    use super::MovedEvents;
    use crate::queue::stream::relocation::SegmentRange;

    proptest! {
        /// It says what a plain map says, whatever is relocated in whatever order, and reads back.
        #[test]
        fn it_is_a_map(
            steps in proptest::collection::vec((0u64..300, 0u8..20), 1..200),
            from in 0u64..300, len in 0u64..100,
        ) {
            let (mut moved, mut map) = (MovedEvents::default(), BTreeMap::new());
            let mut at = 100;
            for (event, step) in steps {
                at += 1 + u64::from(step);
                moved.insert(event, at);
                map.insert(event, at);
                if step == 0 {
                    let range = SegmentRange { first: at - 30, last: at - 10 };
                    moved.forget_standing(range);
                    map.retain(|_, at| !range.holds(*at));
                }
            }

            let range = SegmentRange { first: from, last: from + len };
            let here: Vec<u64> =
                map.iter().filter(|(_, at)| range.holds(**at)).map(|(event, _)| *event).collect();
            prop_assert_eq!(moved.events_in(range).iter().collect::<Vec<_>>(), here);
            prop_assert_eq!(moved.len(), map.len() as u64);
            let mut at: Vec<u64> = map.values().copied().filter(|at| range.holds(*at)).collect();
            at.sort_unstable();
            prop_assert_eq!(moved.records_in(range).iter().collect::<Vec<_>>(), at);
            let last = map.values().copied().filter(|at| *at <= from).max();
            prop_assert_eq!(moved.last_record(from), last);
            prop_assert_eq!(moved.iter().collect::<BTreeMap<_, _>>(), map.clone());
            prop_assert_eq!(moved.events().iter().collect::<Vec<_>>(),
                map.keys().copied().collect::<Vec<_>>());
            for event in 0..300 {
                prop_assert_eq!(moved.get(event), map.get(&event).copied());
            }

            let bytes = rmp_serde::to_vec(&moved).expect("it is written");
            prop_assert_eq!(&rmp_serde::from_slice::<MovedEvents>(&bytes).expect("reads"), &moved);
            let bytes = rmp_serde::to_vec(&map).expect("it is written");
            let old: MovedEvents = rmp_serde::from_slice(&bytes).expect("an earlier version's");
            prop_assert_eq!(old.iter().collect::<BTreeMap<_, _>>(), map);
        }
    }

    /// Each second record is an event, and all of them are relocated several times, with others
    /// between them.
    #[test]
    fn a_long_backlog_takes_a_few_bits_an_event() {
        const EVENTS: u64 = 200_000;
        let mut moved = MovedEvents::default();
        let mut next = 2 * EVENTS;
        for _ in 0..4 {
            for event in 0..EVENTS {
                moved.insert(2 * event, next);
                next += 2;
            }
        }
        assert_eq!(moved.len(), EVENTS);
        let per_event = moved.bytes() as f64 / EVENTS as f64;
        assert!(per_event < 1.0, "{per_event} bytes an event");
        assert!(moved.runs.len() <= 2, "{} runs", moved.runs.len());
    }
}
