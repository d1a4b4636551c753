//! The daemon's own events, which notify the operator. They come from the built-in source `hookbox`
//! and go to the endpoints that name it (`--from hookbox`), like any other event; without such an
//! endpoint there are none. How often they are sent, and what matching them may cost: see
//! `notices`.
//!
//! They never cause each other: an endpoint gets no notice about itself, and the end of a notice's
//! own delivery causes no other notice.

use std::sync::Arc;

use serde_json::{Value, json};

use super::accept::Acceptance;
use super::action::{Action, Death, HealthEvent, HealthReport};
use super::new_event::FanOut;
use super::notices::{Notice, OWN_SOURCE};
use super::{Draft, Queue};
use crate::model::{
    DeliveryId, EndpointId, Event, Fingerprints, Header, HoldReason, Now, RequestHead, Seq, time,
};
use crate::record::{DeadLetter, LOST};

impl Queue {
    /// Has a change of an endpoint's health written to the daemon's log.
    pub(super) fn report_change(&self, id: EndpointId, what: HealthEvent, draft: &mut Draft) {
        let endpoint = self.state.endpoint(id).settings.clone();
        draft.actions.push(Action::Report(HealthReport { endpoint, what }));
    }

    /// Something that happened outside of the queue (`hookbox.disk.low`).
    pub(super) fn announce(&mut self, now: Now, kind: &str, data: Value, draft: &mut Draft) {
        self.notify(now, Notice { kind: kind.to_owned(), about: None, data }, draft);
    }

    pub(super) fn notify_offline(&mut self, now: Now, draft: &mut Draft) {
        let away: Vec<&str> =
            self.link.away.iter().filter_map(|id| self.name_of(*id)).take(20).collect();
        let data = json!({"since": time::rfc3339(now.wall_ms), "endpoints": away});
        self.notify(now, Notice { kind: "hookbox.offline".to_owned(), about: None, data }, draft);
    }

    pub(super) fn notify_online(&mut self, now: Now, draft: &mut Draft) {
        let data = json!({"at": time::rfc3339(now.wall_ms)});
        self.notify(now, Notice { kind: "hookbox.online".to_owned(), about: None, data }, draft);
    }

    pub(super) fn notify_failing(
        &mut self,
        now: Now,
        id: EndpointId,
        error: &str,
        draft: &mut Draft,
    ) {
        self.notify_about(now, "hookbox.endpoint.failing", id, json!({"last_error": error}), draft);
    }

    /// It answers again: what happened meanwhile.
    pub(super) fn notify_recovered(
        &mut self,
        now: Now,
        id: EndpointId,
        meanwhile: Value,
        draft: &mut Draft,
    ) {
        self.notify_about(now, "hookbox.endpoint.recovered", id, meanwhile, draft);
    }

    /// The oldest delivery that waits has become older than the operator wants.
    pub(super) fn notify_lagging(
        &mut self,
        now: Now,
        id: EndpointId,
        age_ms: u64,
        draft: &mut Draft,
    ) {
        let endpoint = self.state.endpoint(id);
        let data = json!({
            "oldest_since": time::rfc3339(now.wall_ms.saturating_sub(age_ms)),
            "oldest_age": time::format_duration_ms(age_ms / 1000 * 1000),
            "waiting": endpoint.undone,
            "last_error": endpoint.last_error_with_words(),
        });
        self.notify_about(now, "hookbox.endpoint.lagging", id, data, draft);
    }

    /// Nothing that old waits any more: what happened meanwhile.
    pub(super) fn notify_caught_up(
        &mut self,
        now: Now,
        id: EndpointId,
        meanwhile: Value,
        draft: &mut Draft,
    ) {
        self.notify_about(now, "hookbox.endpoint.caught_up", id, meanwhile, draft);
    }

    pub(super) fn notify_held(
        &mut self,
        now: Now,
        id: EndpointId,
        reason: &HoldReason,
        error: &str,
        draft: &mut Draft,
    ) {
        let data = json!({"reason": reason, "last_error": error});
        self.notify_about(now, "hookbox.endpoint.held", id, data, draft);
    }

    /// The filter of an endpoint could not be evaluated for this event.
    pub(super) fn notify_undecided(
        &mut self,
        now: Now,
        id: EndpointId,
        event: Seq,
        draft: &mut Draft,
    ) {
        // A batch may bring tens of thousands of these at once, and others wait for what they cost.
        if !self.matcher.wants_own() {
            return;
        }

        let data = json!({
            "event": self.event_id(event).to_string(),
            "reason": "filter too expensive: the event was not delivered to this endpoint",
        });
        self.notify_about(now, "hookbox.endpoint.filter_too_expensive", id, data, draft);
    }

    pub(super) fn notify_parked(
        &mut self,
        now: Now,
        delivery: DeliveryId,
        reason: &str,
        draft: &mut Draft,
    ) {
        let what = HealthEvent::Parked { delivery, reason: reason.to_owned() };
        self.report_change(delivery.endpoint, what, draft);

        let data = json!({"delivery": delivery.to_string(), "reason": reason, "parked": true});
        self.notify_about(now, "hookbox.endpoint.held", delivery.endpoint, data, draft);
    }

    /// An event that was accepted and goes nowhere, because it has passed too many hookbox daemons.
    pub(super) fn notify_looping(&mut self, now: Now, event: &Event, draft: &mut Draft) {
        let data = json!({
            "source": event.source_name, "event": event.id.to_string(), "hops": event.hops(),
        });
        let notice = Notice { kind: "hookbox.event.looping".to_owned(), about: None, data };
        self.notify(now, notice, draft);
    }

    /// A dead letter, with the request of its last attempt when it died by that. Sent by a later
    /// run, so that many of them are one message.
    pub(super) fn notify_dead(
        &mut self,
        now: Now,
        dead: &DeadLetter,
        last: Option<&RequestHead>,
        own: bool,
        draft: &mut Draft,
    ) {
        let what = HealthEvent::Died(Death {
            delivery: dead.delivery,
            reason: dead.reason.clone(),
            died_at: dead.died_at,
            traceparent: last.and_then(RequestHead::traceparent).cloned(),
        });
        self.report_change(dead.delivery.endpoint, what, draft);
        let id = dead.delivery.endpoint;
        // The log cannot say what a lost event was about.
        let may_be_own = own || (dead.reason == LOST && self.gets_own(id));
        if may_be_own || !self.matcher.wants_own() {
            return;
        }

        let data = json!({
            "endpoint": self.name_of(id), "delivery": dead.delivery.to_string(),
            "attempts": dead.attempts, "reason": dead.reason,
            "last_error": self.last_error_of(id),
        });
        let notice = Notice { kind: "hookbox.delivery.dead".to_owned(), about: Some(id), data };
        self.notices.keep_back(now, notice);
    }

    /// Whether the daemon's own events go to this endpoint.
    pub(super) fn gets_own(&self, id: EndpointId) -> bool {
        let found = self.state.endpoints.get(&id);
        found.is_some_and(|endpoint| endpoint.settings.from.iter().any(|from| from == OWN_SOURCE))
    }

    fn notify_about(
        &mut self,
        now: Now,
        kind: &str,
        id: EndpointId,
        mut data: Value,
        draft: &mut Draft,
    ) {
        data["endpoint"] = json!(self.name_of(id));
        self.notify(now, Notice { kind: kind.to_owned(), about: Some(id), data }, draft);
    }

    /// Sends a notice now, or keeps it back.
    fn notify(&mut self, now: Now, notice: Notice, draft: &mut Draft) {
        if !self.matcher.wants_own() {
            return;
        }
        if let Some(notice) = self.notices.admit(now, notice) {
            self.send_notice(now, notice, 1, draft);
        }
    }

    /// When a notice that was kept back may be sent.
    pub(super) fn notices_due(&self) -> Option<u64> {
        self.notices.due_at()
    }

    /// Sends the notices that were kept back for long enough.
    pub(super) fn flush_notices(&mut self, now: Now, draft: &mut Draft) {
        self.notices.forget_old(now);
        for subject in self.notices.due(now) {
            if let Some((notice, count)) = self.notices.take_due(now, subject) {
                self.send_notice(now, notice, count, draft);
            }
        }
    }

    fn last_error_of(&self, id: EndpointId) -> Option<String> {
        self.state.endpoints.get(&id).and_then(|endpoint| endpoint.last_error_with_words())
    }

    fn name_of(&self, id: EndpointId) -> Option<&str> {
        self.state.endpoints.get(&id).map(|endpoint| endpoint.settings.name.as_str())
    }

    /// Accepts a notice as an event.
    fn send_notice(&mut self, now: Now, notice: Notice, count: u64, draft: &mut Draft) {
        let Notice { kind, about, mut data } = notice;
        if count > 1 {
            data["count"] = json!(count);
        }

        let body = json!({"type": kind, "timestamp": time::rfc3339(now.wall_ms), "data": data})
            .to_string();
        let id = self.event_id(self.state.next_seq);
        let event = Arc::new(Event {
            id,
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

        let (fan_out, steps) = self.matcher.fan_out_own(&event);
        self.notices.spend(steps);
        let FanOut { wanted: mut waiting, mut undecided, keys, .. } = fan_out;

        // No endpoint gets notices about itself.
        waiting.retain(|id| Some(*id) != about);
        undecided.retain(|id| Some(*id) != about);
        if waiting.is_empty() && undecided.is_empty() {
            return;
        }

        let acceptance = Acceptance {
            event,
            dedupe: None,
            fingerprints: Fingerprints::default(),
            waiting,
            ended: Vec::new(),
            keys,
        };
        self.remember_event(acceptance, draft);

        // Counted without another notice, which would be of the same kind.
        self.remember_undecided(now, id.seq, undecided, draft);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::model::{Endpoint, Now, limits};
    use crate::queue::{CreateEndpoint, Input, Queue, State};
    use crate::record::Record;

    const KINDS: usize = 20;

    fn sent(records: &[Record]) -> usize {
        records.iter().filter(|record| matches!(record, Record::EventAccepted { .. })).count()
    }

    /// Announces `KINDS` things at once, to an endpoint with this filter. Returns how many notices
    /// are sent at once, and after each tenth of a second.
    fn announce_many(filter: &str) -> Vec<usize> {
        let mut now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };
        let mut queue = Queue::new(State::new(), 1, now);
        let watch = Endpoint {
            from: vec!["hookbox".into()],
            filter: Some(filter.into()),
            ..Endpoint::new("w", "pull:")
        };
        let made = queue.handle(now, CreateEndpoint(Box::new(watch)));
        made.answer.expect("it is not refused");

        let data = json!({"text": "a".repeat(100_000)});
        let announce =
            |n| Input::Announce { kind: format!("hookbox.test.{n}"), data: data.clone() };
        let mut counts =
            vec![(0..KINDS).map(|n| sent(&queue.handle(now, announce(n)).records)).sum()];
        counts[0] += sent(&queue.run(now).records);
        while counts.len() < 3 * KINDS {
            assert!(
                queue.next_wake(now).is_none_or(|due| due > now.mono_ms),
                "a notice that is kept back has a time of its own"
            );
            now.mono_ms += 100;
            counts.push(sent(&queue.run(now).records));
        }
        counts
    }

    #[test]
    fn matching_notices_takes_a_hundredth_of_the_time_however_many_there_are() {
        assert_eq!(announce_many("@.type")[0], KINDS, "cheap ones are sent at once");
        let costly = announce_many("search(@.body.data.text, '(a|aa|aaa)*b')");
        let a_time = usize::try_from(100 * limits::FILTER_OWN_PACE / limits::FILTER_OWN_STEPS)
            .expect("a number");
        assert!(costly[0] <= 2, "{costly:?}");
        assert!(costly[1..].iter().all(|count| *count <= a_time), "{costly:?}");
        assert_eq!(costly.iter().sum::<usize>(), KINDS, "none is lost: {costly:?}");
    }
}
