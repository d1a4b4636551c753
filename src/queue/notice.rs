//! The daemon's own events: what the operator wants to be told without asking. They come from the built-in source
//! `hookbox` and go to the endpoints that name it (`--from hookbox`), like any other event; with no such endpoint there
//! are none.
//!
//! Coalesced, so that an outage is one message: of one kind about one thing there is at most one in
//! `limits::NOTICE_GAP_MS`, and the next one says how many there were. Never in a circle: an endpoint hears nothing of
//! itself, and the end of one of these deliveries makes no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Draft, Queue};
use crate::model::{DeliveryId, EndpointId, Event, EventId, Header, HoldReason, Now, limits, time};
use crate::record::DeadLetter;

/// The name of the built-in source. No other may have it.
pub const OWN_SOURCE: &str = "hookbox";

/// What was told, and what is still to be told.
#[derive(Debug, Default)]
pub struct Notices {
    /// By kind and what it is about.
    told: BTreeMap<(String, String), Told>,
}

#[derive(Debug)]
struct Told {
    /// None of its kind before this.
    next_at: u64,
    /// How many there were meanwhile, and the last of them.
    more: u64,
    last: Option<Notice>,
}

#[derive(Clone, Debug)]
struct Notice {
    kind: String,
    about: Option<EndpointId>,
    data: Value,
}

impl Queue {
    /// Something outside the queue that the operator wants to hear of (`hookbox.disk.low`).
    pub(super) fn announce(&mut self, now: Now, kind: &str, data: Value, draft: &mut Draft) {
        self.tell(now, Notice { kind: kind.to_owned(), about: None, data }, draft);
    }

    pub(super) fn tell_offline(&mut self, now: Now, draft: &mut Draft) {
        let away: Vec<&str> = self.link.away.iter().filter_map(|id| self.name_of(*id)).take(20).collect();
        let data = json!({"since": time::rfc3339(now.wall_ms), "endpoints": away});
        self.tell(now, Notice { kind: "hookbox.offline".to_owned(), about: None, data }, draft);
    }

    pub(super) fn tell_online(&mut self, now: Now, draft: &mut Draft) {
        let data = json!({"at": time::rfc3339(now.wall_ms)});
        self.tell(now, Notice { kind: "hookbox.online".to_owned(), about: None, data }, draft);
    }

    pub(super) fn tell_failing(&mut self, now: Now, id: EndpointId, error: &str, draft: &mut Draft) {
        self.about(now, "hookbox.endpoint.failing", id, json!({"last_error": error}), draft);
    }

    pub(super) fn tell_recovered(&mut self, now: Now, id: EndpointId, draft: &mut Draft) {
        self.about(now, "hookbox.endpoint.recovered", id, json!({}), draft);
    }

    pub(super) fn tell_held(&mut self, now: Now, id: EndpointId, reason: &HoldReason, draft: &mut Draft) {
        self.about(now, "hookbox.endpoint.held", id, json!({"reason": reason}), draft);
    }

    pub(super) fn tell_parked(&mut self, now: Now, delivery: DeliveryId, reason: &str, draft: &mut Draft) {
        let data = json!({"delivery": delivery.to_string(), "reason": reason, "parked": true});
        self.about(now, "hookbox.endpoint.held", delivery.endpoint, data, draft);
    }

    /// A dead letter; told by the next run, so that many of them are one message.
    pub(super) fn tell_dead(&mut self, now: Now, dead: &DeadLetter, own: bool) {
        if own || !self.matcher.wants_own() {
            return;
        }
        let id = dead.delivery.endpoint;
        let data = json!({
            "endpoint": self.name_of(id), "delivery": dead.delivery.to_string(), "attempts": dead.attempts,
            "reason": dead.reason,
        });
        let kind = "hookbox.delivery.dead".to_owned();
        let about = id.to_string();
        let told = self.notices.told.entry((kind.clone(), about)).or_insert(Told { next_at: 0, more: 0, last: None });
        // From the first of them on: a stream of deaths must not put it off for ever.
        if told.more == 0 {
            told.next_at = told.next_at.max(now.mono_ms + limits::NOTICE_WAIT_MS);
        }
        told.more += 1;
        told.last = Some(Notice { kind, about: Some(id), data });
    }

    fn about(&mut self, now: Now, kind: &str, id: EndpointId, mut data: Value, draft: &mut Draft) {
        data["endpoint"] = json!(self.name_of(id));
        self.tell(now, Notice { kind: kind.to_owned(), about: Some(id), data }, draft);
    }

    fn tell(&mut self, now: Now, notice: Notice, draft: &mut Draft) {
        if !self.matcher.wants_own() {
            return;
        }
        // What is about a source is told for each of them.
        let source = notice.data["source"].as_str().unwrap_or_default();
        let about = notice.about.map_or_else(|| source.to_owned(), |id| id.to_string());
        let told =
            self.notices.told.entry((notice.kind.clone(), about)).or_insert(Told { next_at: 0, more: 0, last: None });
        if now.mono_ms < told.next_at {
            told.more += 1;
            told.last = Some(notice);
            return;
        }
        told.next_at = now.mono_ms + limits::NOTICE_GAP_MS;
        self.write(now, notice, 1, draft);
    }

    /// When something is to be told that was kept back.
    pub(super) fn notices_due(&self) -> Option<u64> {
        self.notices.told.values().filter(|told| told.last.is_some()).map(|told| told.next_at).min()
    }

    /// Tells what was kept back for long enough, and forgets what was told long ago.
    pub(super) fn flush_notices(&mut self, now: Now, draft: &mut Draft) {
        if self.notices.told.is_empty() {
            return;
        }
        let mut due = Vec::new();
        self.notices.told.retain(|_, told| {
            if told.next_at > now.mono_ms {
                return true;
            }
            let Some(notice) = told.last.take() else { return false };
            told.next_at = now.mono_ms + limits::NOTICE_GAP_MS;
            due.push((notice, std::mem::take(&mut told.more)));
            true
        });
        for (notice, count) in due {
            self.write(now, notice, count, draft);
        }
    }

    fn name_of(&self, id: EndpointId) -> Option<&str> {
        self.state.lanes.get(&id).map(|lane| lane.endpoint.name.as_str())
    }

    /// Accepts it as an event.
    fn write(&mut self, now: Now, notice: Notice, count: u64, draft: &mut Draft) {
        let Notice { kind, about, mut data } = notice;
        if count > 1 {
            data["count"] = json!(count);
        }
        let body = json!({"type": kind, "timestamp": time::rfc3339(now.wall_ms), "data": data}).to_string();
        let seq = self.state.next_seq;
        let event = Arc::new(Event {
            id: EventId { seq, tag: self.tag_of(seq) },
            source: 0,
            source_name: OWN_SOURCE.to_owned(),
            kind,
            received_at: now.wall_ms,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: vec![Header::new("content-type", "application/json")],
            body: body.into(),
            from_provider: false,
            first_id: None,
        });
        let fan_out: Vec<EndpointId> =
            self.matcher.fan_out(&event).into_iter().filter(|id| Some(*id) != about).collect();
        if fan_out.is_empty() {
            return;
        }
        self.take_in(event, None, fan_out, &[], draft);
    }
}
