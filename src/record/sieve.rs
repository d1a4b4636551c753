//! Which records a list wants, as far as their bytes say it: what cannot be wanted need not be
//! decoded, which is most of what reading a long log costs.

use memchr::memmem::Finder;

use super::raw_fields::is_for_one_of;
use crate::model::{EndpointId, EventFilter};

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
    /// Texts that each event has which is wanted; `None`: no events are.
    texts: Option<Vec<Finder<'static>>>,
    /// The endpoints, in their order, of which an event is wanted that is for one of them; `None`:
    /// of all.
    endpoints: Option<Vec<EndpointId>>,
    /// Whether deliveries of older events are wanted as well.
    positions: bool,
    /// Whether all the other kinds are wanted.
    others: bool,
}

impl Sieve {
    /// Of records that hold an event which may pass this filter.
    #[must_use]
    pub fn events(filter: &EventFilter) -> Self {
        // Between the wildcards of a pattern stands what each text has that matches.
        let of_kind = filter.kind.iter().flat_map(|kind| kind.split(['*', '?']));
        let texts = filter.source.as_deref().into_iter().chain(of_kind);
        let texts = texts.filter(|text| !text.is_empty());
        let texts = Some(texts.map(|text| Finder::new(text).into_owned()).collect());
        Self { texts, endpoints: None, positions: false, others: false }
    }

    /// Of records that make or place a delivery of an event which may pass this filter, to one of
    /// these endpoints or to any.
    #[must_use]
    pub fn deliveries(filter: &EventFilter, mut endpoints: Option<Vec<EndpointId>>) -> Self {
        if let Some(endpoints) = &mut endpoints {
            endpoints.sort_unstable();
        }
        Self { endpoints, positions: true, ..Self::events(filter) }
    }

    /// Of records that say what became of deliveries: all that hold no event.
    #[must_use]
    pub fn outcomes() -> Self {
        Self { texts: None, endpoints: None, positions: true, others: true }
    }

    /// Whether a record of these bytes may be wanted. What does not look like a record is for
    /// whoever decodes it.
    #[must_use]
    pub fn passes(&self, record: &[u8]) -> bool {
        match kind_of(record) {
            None => true,
            Some(kind) if is_one_of(kind, &EVENTS) => self.passes_event(record),
            Some(kind) => self.others || (self.positions && is_one_of(kind, &POSITIONS)),
        }
    }

    fn passes_event(&self, record: &[u8]) -> bool {
        let Some(texts) = &self.texts else { return false };
        let is_for_one = |endpoints: &Vec<_>| is_for_one_of(record, endpoints).unwrap_or(true);
        self.endpoints.as_ref().is_none_or(is_for_one)
            && texts.iter().all(|text| text.find(record).is_some())
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
    use crate::model::{EndpointId, EventFilter, EventTraits};
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
                let passes = Sieve::deliveries(&filter, None).passes(&bytes);
                prop_assert!(passes || !(is_wanted || places), "{:?}", filter);
            }
        }

        /// Not even one whose event is for all the others.
        #[test]
        fn an_event_passes_for_the_endpoints_that_it_is_for(record in record()) {
            let bytes = bytes(&record);
            let fan_out = record.held_event().map(|held| held.fan_out.to_vec());
            let passes = |endpoints: &[EndpointId]| {
                let all = EventFilter::default();
                Sieve::deliveries(&all, Some(endpoints.to_vec())).passes(&bytes)
            };
            if let Some(fan_out) = fan_out {
                for id in &fan_out {
                    prop_assert!(passes(&[id.wrapping_add(1), *id]));
                }
                let stranger = (0..).find(|id| !fan_out.contains(id)).expect("there are others");
                prop_assert!(!passes(&[stranger]) && !passes(&[]));
            }
        }

        #[test]
        fn outcomes_are_all_that_holds_no_event(record in record()) {
            let passes = Sieve::outcomes().passes(&bytes(&record));
            prop_assert_eq!(passes, record.held_event().is_none());
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
