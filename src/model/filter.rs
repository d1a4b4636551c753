//! Which events and deliveries: the one filter of lists, replays, dead-letter operations, exports
//! and dry runs.
//!
//! A filter is at once the options of the command line, the parameters of a request and the fields
//! of a body.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::glob::glob;
use super::time::Moment;
use super::{Event, EventId, WallMs, as_text};

/// Which events. What is not given lets everything pass.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EventFilter {
    /// Only events of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only events of this type; * and ? stand for any characters
    #[arg(long = "type", value_name = "GLOB")]
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Only this event
    #[arg(long, value_name = "ID")]
    #[serde(with = "as_text")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub event: Option<EventId>,
    /// From this time on: 2026-11-23T13:20:00Z, 2026-11-23 (UTC), unix seconds or milliseconds, or
    /// 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    #[serde(with = "as_text")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub since: Option<Moment>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    #[serde(with = "as_text")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub until: Option<Moment>,
}

/// Which deliveries. What is not given lets everything pass.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DeliveryFilter {
    #[command(flatten)]
    #[serde(flatten)]
    pub events: EventFilter,
    /// Only deliveries to this endpoint
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
}

/// What a filter looks at in an event; of one that is lost, not all is known.
#[derive(Clone, Copy, Debug)]
pub struct EventTraits<'a> {
    pub id: EventId,
    /// The id that receivers of an imported event know.
    pub first_id: Option<EventId>,
    pub source: Option<&'a str>,
    pub kind: Option<&'a str>,
    /// The time that the filter is about.
    pub at: Option<WallMs>,
}

impl<'a> From<&'a Event> for EventTraits<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            id: event.id,
            first_id: event.first_id,
            source: Some(&event.source_name),
            kind: Some(&event.kind),
            at: Some(event.received_at),
        }
    }
}

impl EventFilter {
    /// Times that are given as "ago" become times of the wall clock. Done once, before the filter
    /// is used.
    #[must_use]
    pub fn at(mut self, now: WallMs) -> Self {
        self.since = self.since.map(|since| Moment::At(since.at(now)));
        self.until = self.until.map(|until| Moment::At(until.at(now)));
        self
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    #[must_use]
    pub fn matches(&self, event: &EventTraits<'_>) -> bool {
        self.source.as_deref().is_none_or(|source| event.source == Some(source))
            && self
                .kind
                .as_deref()
                .is_none_or(|pattern| event.kind.is_some_and(|kind| glob(pattern, kind)))
            && self.event.is_none_or(|id| event.is(id))
            && self.is_in_time(event.at)
    }

    fn is_in_time(&self, at: Option<WallMs>) -> bool {
        let fixed = |moment: Moment| match moment {
            Moment::At(at) => at,
            Moment::Ago(_) => unreachable!("a filter is fixed in time before it is used"),
        };
        match at {
            Some(at) => {
                self.since.is_none_or(|since| at >= fixed(since))
                    && self.until.is_none_or(|until| at < fixed(until))
            }
            None => self.since.is_none() && self.until.is_none(),
        }
    }
}

impl EventTraits<'_> {
    /// Whether it has this id. Of a lost event only the record is known.
    fn is(&self, id: EventId) -> bool {
        id == self.id || Some(id) == self.first_id || (self.id.tag == 0 && id.seq == self.id.seq)
    }
}

impl DeliveryFilter {
    /// See [`EventFilter::at`].
    #[must_use]
    pub fn at(self, now: WallMs) -> Self {
        Self { events: self.events.at(now), ..self }
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a delivery of this event to this endpoint passes.
    #[must_use]
    pub fn matches(&self, event: &EventTraits<'_>, endpoint: &str) -> bool {
        self.endpoint.as_deref().is_none_or(|wanted| wanted == endpoint)
            && self.events.matches(event)
    }
}

#[cfg(test)]
mod tests {
    use super::{DeliveryFilter, EventFilter, EventTraits};
    use crate::model::EventId;
    use crate::model::time::Moment;

    const ID: EventId = EventId { seq: 7, tag: 9 };

    fn event() -> EventTraits<'static> {
        EventTraits { id: ID, first_id: None, source: Some("s"), kind: Some("a.b"), at: Some(100) }
    }

    fn filter(json: serde_json::Value) -> EventFilter {
        serde_json::from_value(json).expect("a filter")
    }

    #[test]
    fn everything_that_is_given_has_to_match() {
        use serde_json::json;
        for (given, expected) in [
            (json!({}), true),
            (json!({"source": "s", "type": "a.*"}), true),
            (json!({"source": "s", "type": "b.*"}), false),
            (json!({"source": "t"}), false),
            (json!({"event": ID.to_string()}), true),
            (json!({"event": EventId { seq: 7, tag: 8 }.to_string()}), false),
        ] {
            assert_eq!(filter(given.clone()).matches(&event()), expected, "{given}");
        }
        let delivery = DeliveryFilter { endpoint: Some("e".into()), ..DeliveryFilter::default() };
        assert!(delivery.matches(&event(), "e") && !delivery.matches(&event(), "f"));
    }

    #[test]
    fn since_is_in_and_until_is_not() {
        let between = |since, until| EventFilter {
            since: Some(Moment::At(since)),
            until: Some(Moment::At(until)),
            ..EventFilter::default()
        };
        assert!(between(100, 101).matches(&event()));
        assert!(!between(101, 200).matches(&event()) && !between(0, 100).matches(&event()));
        let ago = EventFilter { since: Some(Moment::Ago(50)), ..EventFilter::default() };
        assert!(ago.clone().at(140).matches(&event()) && !ago.at(200).matches(&event()));
    }

    #[test]
    fn of_a_lost_event_only_what_is_known_matches() {
        let id = EventId { tag: 0, ..ID };
        let lost = EventTraits { id, source: None, kind: None, at: None, ..event() };
        assert!(EventFilter::default().matches(&lost));
        assert!(EventFilter { event: Some(ID), ..EventFilter::default() }.matches(&lost));
        assert!(!EventFilter { source: Some("s".into()), ..EventFilter::default() }.matches(&lost));
        assert!(
            !EventFilter { since: Some(Moment::At(0)), ..EventFilter::default() }.matches(&lost)
        );
    }
}
