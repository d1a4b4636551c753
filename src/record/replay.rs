//! Replays as records hold them.

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::model::time::Moment;
use crate::model::{EndpointId, EventFilter, EventId, Seq, WallMs};

/// A replay in progress: a filter over old events, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    pub id: u64,
    pub filter: ReplayFilter,
    /// The next record to look at, and the last one.
    pub next: Seq,
    pub end: Seq,
    /// New deliveries a second; no limit when `None`.
    pub rate: Option<u32>,
    pub started_at: WallMs,
    /// When its next slice is due, and how far ahead that was when it was decided.
    #[serde(default)]
    pub due_at: WallMs,
    #[serde(default)]
    pub pause_ms: u64,
    /// The user of the socket's group who asked for it; `None` for root and the daemon's own user.
    #[serde(default)]
    pub member: Option<u32>,
    /// The endpoint that the filter names, whatever it is called by now.
    #[serde(default)]
    pub to: Option<EndpointId>,
    /// Events up to `end` that retention has relocated behind it before their turn came: they are
    /// delivered at last, from where they stand then.
    #[serde(default)]
    pub left: RoaringTreemap,
}

impl Replay {
    /// Retention has relocated an event, which stood at this record.
    pub(crate) fn relocated(&mut self, event: Seq, stood_at: Seq) {
        if self.next <= stood_at && stood_at <= self.end {
            self.left.insert(event);
        }
    }
}

/// Which old events are delivered again, and where to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplayFilter {
    pub since: Option<WallMs>,
    pub until: Option<WallMs>,
    /// A source's name.
    pub source: Option<String>,
    /// A glob over the event type.
    pub kind: Option<String>,
    pub event: Option<EventId>,
    /// The name that an endpoint had; without it each event goes where it went before.
    pub to: Option<String>,
}

impl ReplayFilter {
    /// Remembers a filter whose times are fixed, and where its events go.
    #[must_use]
    pub fn new(events: &EventFilter, to: Option<String>) -> Self {
        // The times are of the wall clock, so no present time is needed.
        let fixed = |moment: Moment| moment.at(0);
        Self {
            since: events.since.map(fixed),
            until: events.until.map(fixed),
            source: events.source.clone(),
            kind: events.kind.clone(),
            event: events.event,
            to,
        }
    }

    /// The filter of events in it.
    #[must_use]
    pub fn events(&self) -> EventFilter {
        EventFilter {
            source: self.source.clone(),
            kind: self.kind.clone(),
            event: self.event,
            since: self.since.map(Moment::At),
            until: self.until.map(Moment::At),
        }
    }
}
