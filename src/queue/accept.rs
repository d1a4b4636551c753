//! An event comes in: is it known already, and which endpoints does it go to?

use std::sync::Arc;

use super::input::{Accepted, NewEvent, Refusal, Reply};
use super::{Draft, Queue};
use crate::model::{EndpointId, Event, EventId, Now, Seq, WallMs, limits};
use crate::record::Record;

impl Queue {
    /// Accepts events, all or none.
    pub(super) fn accept(&mut self, now: Now, events: Vec<NewEvent>, draft: &mut Draft) -> Reply {
        for event in &events {
            if !self.state.sources.contains_key(&event.source.id) {
                return Reply::Refused(Refusal::NotFound { what: "source", name: event.source.name.clone() });
            }
        }
        if let Some(refusal) = self.full_bin(&events) {
            return Reply::Refused(refusal);
        }
        Reply::Accepted(events.into_iter().map(|event| self.accept_one(now, event, draft)).collect())
    }

    /// Whether these events are for a bin that has no room for them. A bin takes what anybody sends, so its budget is
    /// small and its own.
    fn full_bin(&self, events: &[NewEvent]) -> Option<Refusal> {
        let source = &events.first().filter(|event| event.source.verify == "bin")?.source;
        let used = self.state.bins.get(&source.id).copied().unwrap_or_default();
        let bytes: u64 = events.iter().map(|event| event.body.len() as u64).sum();
        let full = used.events + events.len() as u64 > limits::BIN_EVENTS || used.bytes + bytes > limits::BIN_BYTES;
        full.then(|| Refusal::BinFull { name: source.name.clone() })
    }

    fn accept_one(&mut self, now: Now, new: NewEvent, draft: &mut Draft) -> Accepted {
        let since = now.wall_ms.saturating_sub(new.source.dedupe_window_ms);
        if let Some(first) = new.dedupe.and_then(|fingerprint| self.state.dedupe.find(fingerprint, since)) {
            self.remember(Record::DuplicateSeen { event: first, at: now.wall_ms }, draft);
            return Accepted { id: EventId { seq: first, tag: self.tag_of(first) }, duplicate: true };
        }
        let seq = self.state.next_seq;
        let dedupe = new.dedupe;
        let event = Arc::new(into_event(new, EventId { seq, tag: self.tag_of(seq) }, now.wall_ms));
        let fan_out = self.matcher.fan_out(&event);
        self.take_in(event, dedupe, fan_out, &[], draft);
        Accepted { id: EventId { seq, tag: self.tag_of(seq) }, duplicate: false }
    }

    /// Remembers an event with its fan-out: where it waits, and where it has ended already, as records behind it say.
    pub(super) fn take_in(
        &mut self,
        event: Arc<Event>,
        dedupe: Option<u64>,
        waits: Vec<EndpointId>,
        ended: &[EndpointId],
        draft: &mut Draft,
    ) {
        let seq = event.id.seq;
        let fan_out = [waits.as_slice(), ended].concat();
        self.remember(Record::EventAccepted { event: event.clone(), dedupe, fan_out }, draft);
        for endpoint in &waits {
            self.stream_grew(*endpoint, seq);
        }
        if !waits.is_empty() {
            self.recent.push_event(event, waits);
        }
    }

    /// The part of an event's id that tells logs apart: drawn from the log's salt and the event's number, so that a
    /// duplicate can be answered with the first id without reading it back.
    pub(super) fn tag_of(&self, seq: Seq) -> u64 {
        // A bijective mixer (SplitMix64's finalizer): different numbers never get the same tag.
        let mut x = self.state.salt ^ seq.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
}

fn into_event(new: NewEvent, id: EventId, received_at: WallMs) -> Event {
    Event {
        id,
        source: new.source.id,
        source_name: new.source.name.clone(),
        kind: new.kind,
        received_at,
        dedupe_key: new.dedupe_key,
        request_line: new.request_line,
        remote: new.remote,
        headers: new.headers,
        body: new.body,
        from_provider: new.source.is_provider(),
        first_id: None,
    }
}
