//! Why a delivery stands where it stands, in sentences: `delivery explain`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Admin;
use super::deliveries::{event_of, show_one};
use super::endpoints::hold_name;
use super::events::{endpoint_name, read as read_event};
use super::fields::show_rate;
use super::http::{Answer, Call, Problem};
use super::select::state_name;
use super::walk::{self, Walker, unexpected};
use crate::model::time::{format_duration_ms, rfc3339};
use crate::model::{CatchUpMode, DeliveryId, DeliveryState, HoldReason, WallMs};
use crate::queue::input::Keys;
use crate::queue::{Query, Reason, Reply};

pub(super) async fn show(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let id: DeliveryId = call.arg.parse().map_err(|e| Problem::bad(format!("{e}")))?;
    walk::value(admin, move |walker| explain(walker, id).map(Answer::ok)).await
}

fn explain(walker: &Walker, id: DeliveryId) -> Result<Value, Problem> {
    let event = event_of(walker, id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
    let admin = &walker.admin;
    let explained = match walker.ask(&Query::Explain { delivery: id, key: lane_key(walker, id, event.seq)? })? {
        Reply::Explained(explained) => explained,
        other => return Err(unexpected(&other)),
    };
    let teller = Teller { now: admin.wall_ms(), endpoint: endpoint_name(admin, id.endpoint) };
    let mut reasons = Vec::new();
    for reason in &explained.reasons {
        let head = match reason {
            Reason::Parked { head, .. } | Reason::Behind { head, .. } => event_of(walker, *head)?,
            _ => None,
        };
        let (kind, text, mut facts) = teller.tell(reason, &head.map(|id| id.to_string()).unwrap_or_default());
        facts["kind"] = json!(kind);
        facts["text"] = json!(text);
        reasons.push(facts);
    }
    let mut attempts = json!(explained.attempts);
    if reasons.is_empty() {
        // The state does not keep how often what has ended was attempted: the log does.
        let shown = show_one(walker, id)?;
        attempts = shown["attempts"].clone();
        reasons.push(ended(id, explained.state, &shown));
    }
    if let Some(error) = explained.last.map(|last| last_error(walker, last, id)).transpose()?.flatten() {
        let (attempts, text) = (explained.attempts, format!("its last attempt failed: {error}"));
        reasons.push(json!({"kind": "last_error", "text": text, "error": error, "attempts": attempts}));
    }
    let first = reasons.first().and_then(|reason| reason["text"].as_str()).unwrap_or_default();
    let summary = format!("{} to {} is {}: {first}", id, teller.endpoint, state_name(explained.state));
    Ok(json!({
        "id": id.to_string(),
        "event": event.to_string(),
        "endpoint": teller.endpoint,
        "state": state_name(explained.state),
        "attempts": attempts,
        "summary": summary,
        "reasons": reasons,
    }))
}

/// The delivery's lane, where its endpoint has one for each key.
fn lane_key(walker: &Walker, id: DeliveryId, event: u64) -> Result<Option<u64>, Problem> {
    let directory = walker.admin.handle.directory();
    let Some(endpoint) = directory.endpoints.iter().find(|endpoint| endpoint.id == id.endpoint) else {
        return Ok(None);
    };
    let keys = Keys::of(endpoint);
    if keys.order.is_none() {
        return Ok(None);
    }
    Ok(read_event(walker, event)?.and_then(|(event, _)| keys.order_key(&event)))
}

/// What the attempt at record `last` came to.
fn last_error(walker: &Walker, last: u64, id: DeliveryId) -> Result<Option<String>, Problem> {
    let Some(record) = walker.log().read(last)? else { return Ok(None) };
    let attempt = record.attempts().find(|attempt| attempt.delivery == id);
    Ok(attempt.and_then(|attempt| {
        let status = attempt.report.response.as_ref().map(|response| format!("answered {}", response.status));
        attempt.error().map(str::to_owned).or(status)
    }))
}

/// How it ended, out of the log.
fn ended(id: DeliveryId, state: DeliveryState, shown: &Value) -> Value {
    let last = shown["history"].as_array().and_then(|history| history.last()).cloned().unwrap_or_default();
    let order = shown["operator"].as_array().and_then(|orders| orders.last()).cloned().unwrap_or_default();
    let said = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    match state {
        DeliveryState::Delivered => {
            let (number, at) = (&last["number"], &last["started_at"]);
            let text = match number.as_u64() {
                Some(number) => format!("it was delivered at attempt {number}, made at {}", said(at)),
                None => "it was delivered; its history is not in the log any more".to_owned(),
            };
            json!({"kind": "delivered", "text": text, "number": number, "at": at})
        }
        DeliveryState::Dead => match shown["reason"].as_str() {
            Some(reason) => {
                let at = said(&shown["died_at"]);
                let text = format!(
                    "it was given up at {at}: {reason}; attempt it again with `hookboxctl dlq retry {id}`, or drop it with \
                     `hookboxctl dlq discard {id}`"
                );
                json!({"kind": "dead", "text": text, "at": at, "reason": reason})
            }
            None => json!({"kind": "dead", "text": "it is a dead letter"}),
        },
        DeliveryState::Cancelled if order["what"].is_string() => {
            let text = format!("it was {} at {}", said(&order["what"]), said(&order["at"]));
            json!({"kind": "cancelled", "text": text, "at": order["at"]})
        }
        _ => json!({"kind": "cancelled", "text": "it was cancelled when its endpoint was deleted"}),
    }
}

/// Puts reasons into words.
struct Teller {
    now: WallMs,
    endpoint: String,
}

impl Teller {
    /// The kind of a reason, its sentence, and its facts. `head` is the event of the delivery that the lane waits for.
    fn tell(&self, reason: &Reason, head: &str) -> (&'static str, String, Value) {
        match reason {
            Reason::Hold { .. }
            | Reason::Offline { .. }
            | Reason::Clock { .. }
            | Reason::Breaker { .. }
            | Reason::Paused { .. } => self.tell_endpoint(reason),
            Reason::UnderWay { .. }
            | Reason::Parked { .. }
            | Reason::Behind { .. }
            | Reason::Retry { .. }
            | Reason::InBatch { .. } => self.tell_own(reason, head),
            _ => self.tell_room(reason),
        }
    }

    /// What stands between the endpoint and its receiver.
    fn tell_endpoint(&self, reason: &Reason) -> (&'static str, String, Value) {
        let name = &self.endpoint;
        match reason {
            Reason::Hold { reason, since } => {
                let why = match reason {
                    HoldReason::Operator => "you put it there",
                    HoldReason::Gone => "its receiver answered 410 Gone",
                    HoldReason::Failing => "there was nothing but failure for as long as its --hold-after allows",
                    HoldReason::Receiver => "its receiver asked for it (webhook-delivery: hold)",
                    HoldReason::Parked => "its lane is parked behind a delivery that fails",
                };
                let text = format!(
                    "endpoint {name} has been on hold since {} ({why}): it waits and does not expire; let it go on with \
                     `hookboxctl endpoint release {name}`",
                    self.since(*since)
                );
                ("hold", text, json!({"reason": hold_name(reason), "since": rfc3339(*since)}))
            }
            Reason::Offline { since, probe_at } => {
                let text = format!(
                    "this machine has been offline since {}: nothing is counted against it, and the next probe goes out {}",
                    self.since(*since),
                    self.until(*probe_at)
                );
                ("offline", text, json!({"since": rfc3339(*since), "probe_at": rfc3339(*probe_at)}))
            }
            Reason::Clock { until } => {
                let text = format!(
                    "the wall clock cannot be believed, and signatures carry its time: what is signed waits for a sane one, \
                     until {} at the latest",
                    self.until(*until)
                );
                ("clock", text, json!({"until": rfc3339(*until)}))
            }
            Reason::Breaker { since, probe_at, failures } => {
                let text = format!(
                    "the breaker of endpoint {name} has been open since {}, after {failures} failures in a row: only one \
                     probe at a time goes out, the next {}, or at once with `hookboxctl endpoint release {name}`",
                    self.since(*since),
                    self.until(*probe_at)
                );
                let facts = json!({"since": rfc3339(*since), "probe_at": rfc3339(*probe_at), "failures": failures});
                ("breaker", text, facts)
            }
            Reason::Paused { until } => {
                let text = format!(
                    "the receiver of {name} asked to be left alone (Retry-After): it goes on {}, or at once with \
                     `hookboxctl endpoint release {name}`",
                    self.until(*until)
                );
                ("paused", text, json!({"until": rfc3339(*until)}))
            }
            _ => self.turn(),
        }
    }

    /// Its attempts, its batch, its lane.
    fn tell_own(&self, reason: &Reason, head: &str) -> (&'static str, String, Value) {
        match reason {
            Reason::UnderWay { number, batch: Some(batch), members } => {
                let text =
                    format!("attempt {number} of batch {batch} is under way, with {}", count(*members, "delivery"));
                ("in_flight", text, json!({"number": number, "batch": batch.to_string(), "members": members}))
            }
            Reason::UnderWay { number, members, .. } if *members > 1 => (
                "in_flight",
                format!("a batch of {members} is being put together"),
                json!({"number": number, "members": members}),
            ),
            Reason::UnderWay { number, .. } => {
                ("in_flight", format!("attempt {number} is under way"), json!({"number": number}))
            }
            Reason::Parked { head: delivery, itself, attempts, .. } => {
                let mend = format!(
                    "mend its receiver and use `hookboxctl delivery retry {delivery}`, or `hookboxctl delivery cancel {delivery}`"
                );
                let text = match itself {
                    true => format!(
                        "its lane is parked, and it is the head of it, after {attempts} failed attempts: {mend}"
                    ),
                    false => {
                        format!("its lane is parked behind {head} ({delivery}), which failed {attempts} times: {mend}")
                    }
                };
                let facts =
                    json!({"head": delivery.to_string(), "event": head, "itself": itself, "attempts": attempts});
                ("parked", text, facts)
            }
            Reason::Behind { head: delivery, under_way, attempts, due_at } => {
                let state = match (under_way, due_at) {
                    (true, _) => format!("attempt {} is under way", attempts + 1),
                    (_, Some(due_at)) => format!("attempt {} is due {}", attempts + 1, self.until(*due_at)),
                    (_, None) => "it waits, too".to_owned(),
                };
                let text = format!("its lane waits for {head} ({delivery}) to end: {state}");
                let facts = json!({
                    "head": delivery.to_string(), "event": head, "in_flight": under_way, "attempts": attempts,
                    "due_at": due_at.map(rfc3339),
                });
                ("lane", text, facts)
            }
            Reason::Retry { number, due_at, most, gives_up_in_ms } => {
                let of = most.map(|most| format!(" of {most}")).unwrap_or_default();
                let left = format_duration_ms(*gives_up_in_ms);
                let text = format!(
                    "attempt {number}{of} is due {}; by the policy of {} it is given up {left} from now at the latest",
                    self.until(*due_at),
                    self.endpoint
                );
                let facts = json!({
                    "number": number, "max_attempts": most, "due_at": rfc3339(*due_at), "gives_up_in_ms": gives_up_in_ms,
                });
                ("retry", text, facts)
            }
            Reason::InBatch { batch, members, number, due_at } => {
                let when = due_at.map_or_else(|| "later".to_owned(), |at| self.until(at));
                let text = format!("it is one of {members} in batch {batch}, whose attempt {number} is due {when}");
                let facts = json!({
                    "batch": batch.to_string(), "members": members, "number": number, "due_at": due_at.map(rfc3339),
                });
                ("batch", text, facts)
            }
            _ => self.turn(),
        }
    }

    /// Rates and places.
    fn tell_room(&self, reason: &Reason) -> (&'static str, String, Value) {
        let name = &self.endpoint;
        match reason {
            Reason::NoConsumer => {
                let text = format!(
                    "nobody takes deliveries of {name} right now: start a consumer, `hookboxctl consume {name}`"
                );
                ("no_consumer", text, json!({}))
            }
            Reason::Rate { rate, next_at } => {
                let shown = show_rate(*rate);
                let text = format!("{name} has a rate of {shown}: the next attempt may go {}", self.until(*next_at));
                ("rate", text, json!({"rate": shown, "next_at": rfc3339(*next_at)}))
            }
            Reason::CatchingUp { mode, next_at } => {
                let order = match mode {
                    CatchUpMode::Oldest => "oldest first",
                    CatchUpMode::Newest => "newest first",
                    CatchUpMode::Latest => "only the latest of each key",
                };
                let text =
                    format!("{name} catches up, {order}, at a pace: the next attempt may go {}", self.until(*next_at));
                ("catching_up", text, json!({"mode": mode, "next_at": rfc3339(*next_at)}))
            }
            Reason::Window { in_flight, width, most } => {
                let text = format!(
                    "{} under way to {name}, and its window has a width of {width} (it grows with success, up to {most})",
                    attempts_are(*in_flight)
                );
                ("window", text, json!({"in_flight": in_flight, "width": width, "concurrency": most}))
            }
            Reason::Retries { waiting, most } => {
                let text = format!(
                    "{waiting} deliveries of {name} wait for a retry, and no first attempts are made above {most} of them"
                );
                ("retries", text, json!({"waiting": waiting, "most": most}))
            }
            Reason::Places { in_flight, most, doubtful } => {
                let whose =
                    if *doubtful { "to endpoints that keep failing or took nothing yet" } else { "over all endpoints" };
                let text = format!("{} under way {whose}, and there are {most} places", attempts_are(*in_flight));
                ("places", text, json!({"in_flight": in_flight, "most": most, "doubtful": doubtful}))
            }
            Reason::Share { own, left } => {
                let text =
                    format!("{} under way to {name}; the {left} places left are kept for others", attempts_are(*own));
                ("share", text, json!({"own": own, "left": left}))
            }
            Reason::Gathering { max_events, closes_at } => {
                let text = format!(
                    "its batch is open: it closes {}, or at {}",
                    self.until(*closes_at),
                    count(*max_events as usize, "event")
                );
                ("gathering", text, json!({"max_events": max_events, "closes_at": rfc3339(*closes_at)}))
            }
            Reason::InLine { before } => {
                let text = format!("{} of {name} before it, each for its first attempt", count(*before, "delivery"));
                ("in_line", text, json!({"before": before}))
            }
            Reason::OnDisk { before_at_most } => {
                let text = match before_at_most {
                    0 => "it is about to be read from the disk".to_owned(),
                    n => format!("it waits on the disk behind its endpoint's backlog, at most {n} before it"),
                };
                ("backlog", text, json!({"before_at_most": before_at_most}))
            }
            _ => self.turn(),
        }
    }

    fn turn(&self) -> (&'static str, String, Value) {
        ("turn", "nothing keeps it: it goes out at once".to_owned(), json!({}))
    }

    fn since(&self, at: WallMs) -> String {
        format!("{} ({} ago)", rfc3339(at), format_duration_ms(seconds(self.now.saturating_sub(at))))
    }

    fn until(&self, at: WallMs) -> String {
        match at.saturating_sub(self.now) {
            0 => "now".to_owned(),
            left => format!("in {} (at {})", format_duration_ms(seconds(left)), rfc3339(at)),
        }
    }
}

/// People need no milliseconds above a second.
fn seconds(ms: u64) -> u64 {
    if ms >= 1000 { ms / 1000 * 1000 } else { ms }
}

fn attempts_are(number: usize) -> String {
    if number == 1 { "1 attempt is".to_owned() } else { format!("{number} attempts are") }
}

fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::Teller;
    use crate::model::{BatchId, CatchUpMode, DeliveryId, HoldReason, Rate};
    use crate::queue::Reason;

    /// Every reason becomes a sentence that says when or what to do.
    #[test]
    fn reasons_are_sentences() {
        let teller = Teller { now: 1_767_300_000_000, endpoint: "app".into() };
        let (now, head) = (teller.now, DeliveryId { seq: 7, endpoint: 1 });
        let batch = BatchId { seq: 9, part: 0 };
        let said = |reason: Reason| {
            let (kind, text, facts) = teller.tell(&reason, "evt_x");
            assert!(facts.is_object() && !text.ends_with('.'), "{kind}: {text}");
            (kind, text)
        };
        let table = [
            (Reason::Hold { reason: HoldReason::Gone, since: now - 65_000 }, "hold", "410 Gone"),
            (Reason::Hold { reason: HoldReason::Operator, since: now }, "hold", "hookboxctl endpoint release app"),
            (Reason::Offline { since: now - 5_000, probe_at: now + 3_200 }, "offline", "the next probe goes out in 3s"),
            (Reason::Clock { until: now + 60_000 }, "clock", "in 1m"),
            (
                Reason::Breaker { since: now, probe_at: now + 2_000, failures: 12 },
                "breaker",
                "after 12 failures in a row",
            ),
            (Reason::Paused { until: now + 30_000 }, "paused", "Retry-After"),
            (Reason::UnderWay { number: 2, batch: None, members: 1 }, "in_flight", "attempt 2 is under way"),
            (Reason::UnderWay { number: 1, batch: Some(batch), members: 3 }, "in_flight", "with 3 deliveries"),
            (Reason::Parked { head, itself: true, attempts: 5, last: 1 }, "parked", "hookboxctl delivery retry dlv_"),
            (Reason::Parked { head, itself: false, attempts: 5, last: 1 }, "parked", "behind evt_x"),
            (Reason::Behind { head, under_way: true, attempts: 0, due_at: None }, "lane", "attempt 1 is under way"),
            (
                Reason::Behind { head, under_way: false, attempts: 3, due_at: Some(now + 9_000) },
                "lane",
                "attempt 4 is due in 9s",
            ),
            (
                Reason::Retry { number: 4, due_at: now + 12_000, most: Some(9), gives_up_in_ms: 60_000 },
                "retry",
                "attempt 4 of 9 is due in 12s",
            ),
            (Reason::InBatch { batch, members: 5, number: 2, due_at: Some(now) }, "batch", "one of 5 in batch bat_"),
            (Reason::NoConsumer, "no_consumer", "hookboxctl consume app"),
            (Reason::Rate { rate: Rate { count: 10, per_ms: 60_000 }, next_at: now + 6_000 }, "rate", "10/m"),
            (Reason::CatchingUp { mode: CatchUpMode::Newest, next_at: now + 1_000 }, "catching_up", "newest first"),
            (Reason::Window { in_flight: 1, width: 1, most: 16 }, "window", "1 attempt is under way to app"),
            (Reason::Retries { waiting: 9_000, most: 8_192 }, "retries", "above 8192"),
            (Reason::Places { in_flight: 128, most: 128, doubtful: true }, "places", "keep failing"),
            (Reason::Share { own: 40, left: 20 }, "share", "20 places left are kept for others"),
            (Reason::Gathering { max_events: 100, closes_at: now + 4_000 }, "gathering", "closes in 4s"),
            (Reason::InLine { before: 1 }, "in_line", "1 delivery"),
            (Reason::OnDisk { before_at_most: 12 }, "backlog", "at most 12 before it"),
            (Reason::Turn, "turn", "at once"),
        ];
        for (reason, kind, part) in table {
            let (found, text) = said(reason);
            assert!(found == kind && text.contains(part), "{found}: {text}: {part}");
        }
    }
}
