//! Which records a list wants, as far as their bytes say it: what cannot be wanted need not be
//! decoded, which is most of what reading a long log costs.

use memchr::memmem::Finder;

use crate::model::EventFilter;

/// The kinds that hold an event, by their names in logs.
const EVENTS: [&str; 2] = ["EventAccepted", "EventCarried"];
/// The other kinds that put a delivery into a stream.
const POSITIONS: [&str; 4] = ["DeliveryRetried", "PlaceCarried", "PositionsRelocated", "Replayed"];
/// What stands between the version of a record and the name of its kind: a map of one entry.
const MAP_OF_ONE: u8 = 0x81;
/// Short texts begin with this byte plus their length.
const SHORT_TEXT: u8 = 0xa0;
const SHORT_TEXT_MAX: u8 = 0xbf;

/// Lets pass what may be wanted. It may let pass too much, never too little.
#[derive(Clone, Debug)]
pub struct Sieve {
    /// Texts that each event has which is wanted.
    texts: Vec<Finder<'static>>,
    /// Whether deliveries of older events are wanted as well.
    positions: bool,
}

impl Sieve {
    /// Of records that hold an event which may pass this filter.
    #[must_use]
    pub fn events(filter: &EventFilter) -> Self {
        // Between the wildcards of a pattern stands what each text has that matches.
        let of_kind = filter.kind.iter().flat_map(|kind| kind.split(['*', '?']));
        let texts = filter.source.as_deref().into_iter().chain(of_kind);
        let texts = texts.filter(|text| !text.is_empty());
        Self { texts: texts.map(|text| Finder::new(text).into_owned()).collect(), positions: false }
    }

    /// Of records that make or place a delivery of an event which may pass this filter.
    #[must_use]
    pub fn deliveries(filter: &EventFilter) -> Self {
        Self { positions: true, ..Self::events(filter) }
    }

    /// Whether a record of these bytes may be wanted. What does not look like a record is for
    /// whoever decodes it.
    #[must_use]
    pub fn passes(&self, record: &[u8]) -> bool {
        match kind_of(record) {
            None => true,
            Some(kind) if is_one_of(kind, &EVENTS) => {
                self.texts.iter().all(|text| text.find(record).is_some())
            }
            Some(kind) => self.positions && is_one_of(kind, &POSITIONS),
        }
    }
}

/// The name of a record's kind.
fn kind_of(record: &[u8]) -> Option<&[u8]> {
    let [super::codec::VERSION, MAP_OF_ONE, length @ SHORT_TEXT..=SHORT_TEXT_MAX, rest @ ..] =
        record
    else {
        return None;
    };
    rest.get(..usize::from(length - SHORT_TEXT))
}

fn is_one_of(kind: &[u8], kinds: &[&str]) -> bool {
    kinds.iter().any(|known| known.as_bytes() == kind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{Sieve, kind_of};
    use crate::model::{EventFilter, EventTraits};
    use crate::record::tests::record;
    use crate::record::{Record, encode};

    fn bytes(record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(record, &mut bytes);
        bytes
    }

    /// Filters by all of the name, by its first and last characters, and by another one.
    fn filters(name: &str) -> Vec<EventFilter> {
        let by = |source: Option<&str>, kind: Option<String>| EventFilter {
            source: source.map(ToOwned::to_owned),
            kind,
            ..EventFilter::default()
        };
        let ends = name.chars().next().zip(name.chars().next_back());
        let pattern = ends.map(|(first, last)| format!("{first}*{last}"));
        let other = || Some("no such type".to_owned());
        vec![
            by(None, None),
            by(Some(name), None),
            by(None, pattern),
            by(Some(name), Some("?*".to_owned())),
            by(None, other()),
            by(Some("nobody"), other()),
        ]
    }

    proptest! {
        #[test]
        fn a_record_that_is_wanted_passes(record in record()) {
            let bytes = bytes(&record);
            prop_assert!(kind_of(&bytes).is_some());
            let held = record.held_event();
            let name = held.map_or("x", |held| held.event.source_name.as_str());
            for filter in filters(name) {
                let event = held.map(|held| EventTraits::from(&**held.event));
                let is_wanted = event.is_some_and(|event| filter.matches(&event));
                prop_assert!(Sieve::events(&filter).passes(&bytes) || !is_wanted, "{:?}", filter);
                let places = held.is_none() && record.stream_positions(9).next().is_some();
                let passes = Sieve::deliveries(&filter).passes(&bytes);
                prop_assert!(passes || !(is_wanted || places), "{:?}", filter);
            }
        }

        #[test]
        fn what_holds_no_event_does_not_pass_for_one(record in record()) {
            let all = Sieve::events(&EventFilter::default());
            prop_assert_eq!(all.passes(&bytes(&record)), record.held_event().is_some());
        }
    }

    #[test]
    fn an_event_without_the_texts_does_not_pass() {
        let start = [b"\x01\x81\xadEventAccepted".as_slice(), b" of github, push"].concat();
        for (source, kind, expected) in [
            (Some("github"), None, true),
            (None, Some("p*h"), true),
            (Some("stripe"), None, false),
            (Some("github"), Some("pull*"), false),
        ] {
            let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
            let filter =
                EventFilter { source: owned(source), kind: owned(kind), ..EventFilter::default() };
            assert_eq!(Sieve::events(&filter).passes(&start), expected, "{filter:?}");
        }
        let everything = Sieve::events(&EventFilter::default());
        assert!(everything.passes(b"no record"), "whoever decodes it says so");
    }
}
