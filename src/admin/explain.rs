//! Why a delivery stands where it stands, in sentences: `delivery explain`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Admin;
use super::deliveries::{event_of, show_one};
use super::endpoints::hold_name;
use super::events::{endpoint_name, read as read_event};
use super::filters::state_name;
use super::http::{ApiRequest, ApiResponse, Problem};
use super::walk::{self, LogScan};
use crate::api::values::Text;
use crate::api::views::{DeliveryDetailView, ExplainView, ReasonView};
use crate::model::time::{format_duration_ms, rfc3339};
use crate::model::{CatchUpMode, DeliveryId, DeliveryState, HoldReason, WallMs};
use crate::queue::Keys;
use crate::queue::{ExplainQuery, WaitReason};

pub(super) async fn show(
    admin: &Arc<Admin>,
    mut request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let id: DeliveryId = request.arg.parse().map_err(|e| Problem::bad(format!("{e}")))?;
    walk::value(admin, move |scan| explain(scan, id).map(ApiResponse::ok)).await
}

fn explain(scan: &LogScan, id: DeliveryId) -> Result<ExplainView, Problem> {
    let event = event_of(scan, id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
    let admin = &scan.admin;
    let explained =
        scan.ask(&ExplainQuery { delivery: id, key: lane_key(scan, id, event.seq)? })?;
    let teller = Teller { now: admin.wall_ms(), endpoint: endpoint_name(admin, id.endpoint) };
    let mut reasons = Vec::new();
    for reason in &explained.reasons {
        let head = match reason {
            WaitReason::Parked { head, .. } | WaitReason::Behind { head, .. } => {
                event_of(scan, *head)?
            }
            _ => None,
        };
        let head = head.map(|id| id.to_string()).unwrap_or_default();
        let (kind, text, facts) = teller.tell(reason, &head);
        reasons.push(reason_view(kind, text, facts));
    }

    let mut attempts = explained.attempts;
    if reasons.is_empty() {
        // The state does not keep how often what has ended was attempted: the log does.
        let shown = show_one(scan, id)?;
        attempts = shown.delivery.attempts;
        reasons.push(ended(id, explained.state, &shown));
    }
    let error = explained.last.map(|last| last_error(scan, last, id)).transpose()?.flatten();
    if let Some(error) = error {
        let text = format!("its last attempt failed: {error}");
        let facts = json!({"error": error, "attempts": explained.attempts});
        reasons.push(reason_view("last_error", text, facts));
    }

    let first = reasons.first().map(|reason| reason.text.as_str()).unwrap_or_default();
    let state = state_name(explained.state);
    Ok(ExplainView {
        id: Text(id),
        event: Text(event),
        summary: format!("{id} to {} is {state}: {first}", teller.endpoint),
        endpoint: teller.endpoint,
        state: explained.state.into(),
        attempts,
        reasons,
    })
}

fn reason_view(kind: &str, text: String, facts: Value) -> ReasonView {
    let facts = match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    };
    ReasonView { kind: kind.to_owned(), text, facts }
}

/// The delivery's lane, where its endpoint has one for each key.
fn lane_key(scan: &LogScan, id: DeliveryId, event: u64) -> Result<Option<u64>, Problem> {
    let directory = scan.admin.handle.directory();
    let Some(endpoint) = directory.endpoints.iter().find(|endpoint| endpoint.id == id.endpoint)
    else {
        return Ok(None);
    };
    let keys = Keys::of(endpoint);
    if keys.order.is_none() {
        return Ok(None);
    }
    Ok(read_event(scan, event)?.and_then(|(event, _)| keys.order_key(&event)))
}

/// What the attempt at record `last` came to.
fn last_error(scan: &LogScan, last: u64, id: DeliveryId) -> Result<Option<String>, Problem> {
    let Some(record) = scan.log().read(last)? else { return Ok(None) };
    let attempt = record.attempts().find(|attempt| attempt.delivery == id);
    Ok(attempt.and_then(|attempt| {
        let status = attempt
            .report
            .response
            .as_ref()
            .map(|response| format!("answered {}", response.status));
        attempt.error().map(str::to_owned).or(status)
    }))
}

/// How it ended, out of the log.
fn ended(id: DeliveryId, state: DeliveryState, shown: &DeliveryDetailView) -> ReasonView {
    let action = shown.operator.last();
    match state {
        DeliveryState::Delivered => match shown.history.last() {
            Some(last) => {
                let (number, at) = (last.number, rfc3339(last.started_at.0));
                let text = format!("it was delivered at attempt {number}, made at {at}");
                reason_view("delivered", text, json!({"number": number, "at": at}))
            }
            None => {
                let text = "it was delivered; its history is not in the log any more".to_owned();
                reason_view("delivered", text, json!({"number": null, "at": null}))
            }
        },
        DeliveryState::Dead => match &shown.delivery.reason {
            Some(reason) => {
                let at = shown.delivery.died_at.map_or_else(|| "?".to_owned(), |at| rfc3339(at.0));
                let text = format!(
                    "it was given up at {at}: {reason}; attempt it again with `hookboxctl dlq \
                     retry {id}`, or drop it with `hookboxctl dlq discard {id}`"
                );
                reason_view("dead", text, json!({"at": at, "reason": reason}))
            }
            None => reason_view("dead", "it is a dead letter".to_owned(), json!({})),
        },
        _ => match action {
            Some(action) if state == DeliveryState::Cancelled => {
                let at = rfc3339(action.at.0);
                let text = format!("it was {} at {at}", action.what);
                reason_view("cancelled", text, json!({"at": at}))
            }
            _ => {
                let text = "it was cancelled when its endpoint was deleted".to_owned();
                reason_view("cancelled", text, json!({}))
            }
        },
    }
}

/// Puts reasons into words.
struct Teller {
    now: WallMs,
    endpoint: String,
}

impl Teller {
    /// The kind of a reason, its sentence, and its facts. `head` is the event of the delivery that
    /// the lane waits for.
    fn tell(&self, reason: &WaitReason, head: &str) -> (&'static str, String, Value) {
        match reason {
            WaitReason::Hold { .. }
            | WaitReason::Offline { .. }
            | WaitReason::Clock { .. }
            | WaitReason::Breaker { .. }
            | WaitReason::Paused { .. } => self.tell_endpoint(reason),
            WaitReason::UnderWay { .. }
            | WaitReason::Parked { .. }
            | WaitReason::Behind { .. }
            | WaitReason::Retry { .. }
            | WaitReason::InBatch { .. } => self.tell_own(reason, head),
            _ => self.tell_endpoint_limit(reason),
        }
    }

    /// What stands between the endpoint and its receiver.
    fn tell_endpoint(&self, reason: &WaitReason) -> (&'static str, String, Value) {
        let name = &self.endpoint;
        match reason {
            WaitReason::Hold { reason, since } => {
                let why = match reason {
                    HoldReason::Operator => "you put it there",
                    HoldReason::Gone => "its receiver answered 410 Gone",
                    HoldReason::Failing => {
                        "there was nothing but failure for as long as its --hold-after allows"
                    }
                    HoldReason::Receiver => "its receiver asked for it (webhook-delivery: hold)",
                    HoldReason::Parked => "its lane is parked behind a delivery that fails",
                };
                let text = format!(
                    "endpoint {name} has been on hold since {} ({why}): it waits and does not \
                     expire; let it go on with `hookboxctl endpoint release {name}`",
                    self.since(*since)
                );
                ("hold", text, json!({"reason": hold_name(reason), "since": rfc3339(*since)}))
            }
            WaitReason::Offline { since, probe_at } => {
                let text = format!(
                    "this machine has been offline since {}: nothing is counted against it, and \
                     the next probe goes out {}",
                    self.since(*since),
                    self.until(*probe_at)
                );
                ("offline", text, json!({"since": rfc3339(*since), "probe_at": rfc3339(*probe_at)}))
            }
            WaitReason::Clock { until } => {
                let text = format!(
                    "the wall clock cannot be believed, and signatures carry its time: what is \
                     signed waits for a sane one, until {} at the latest",
                    self.until(*until)
                );
                ("clock", text, json!({"until": rfc3339(*until)}))
            }
            WaitReason::Breaker { since, probe_at, failures } => {
                let text = format!(
                    "the breaker of endpoint {name} has been open since {}, after {failures} \
                     failures in a row: only one probe at a time goes out, the next {}, or at \
                     once with `hookboxctl endpoint release {name}`",
                    self.since(*since),
                    self.until(*probe_at)
                );
                let facts = json!({"since": rfc3339(*since), "probe_at": rfc3339(*probe_at), "failures": failures});
                ("breaker", text, facts)
            }
            WaitReason::Paused { until } => {
                let text = format!(
                    "the receiver of {name} asked to be left alone (Retry-After): it goes on {}, \
                     or at once with `hookboxctl endpoint release {name}`",
                    self.until(*until)
                );
                ("paused", text, json!({"until": rfc3339(*until)}))
            }
            _ => self.turn(),
        }
    }

    /// Its attempts, its batch, its lane.
    fn tell_own(&self, reason: &WaitReason, head: &str) -> (&'static str, String, Value) {
        match reason {
            WaitReason::UnderWay { number, batch: Some(batch), members } => {
                let text = format!(
                    "attempt {number} of batch {batch} is under way, with {}",
                    count(*members, "delivery")
                );
                (
                    "in_flight",
                    text,
                    json!({"number": number, "batch": batch.to_string(), "members": members}),
                )
            }
            WaitReason::UnderWay { number, members, .. } if *members > 1 => (
                "in_flight",
                format!("a batch of {members} is being put together"),
                json!({"number": number, "members": members}),
            ),
            WaitReason::UnderWay { number, .. } => {
                ("in_flight", format!("attempt {number} is under way"), json!({"number": number}))
            }
            WaitReason::Parked { head: delivery, itself, attempts, .. } => {
                let mend = format!(
                    "mend its receiver and use `hookboxctl delivery retry {delivery}`, or \
                     `hookboxctl delivery cancel {delivery}`"
                );
                let text = match itself {
                    true => format!(
                        "its lane is parked, and it is the head of it, after {attempts} failed \
                         attempts: {mend}"
                    ),
                    false => {
                        format!(
                            "its lane is parked behind {head} ({delivery}), which failed \
                             {attempts} times: {mend}"
                        )
                    }
                };
                let facts = json!({"head": delivery.to_string(), "event": head, "itself": itself, "attempts": attempts});
                ("parked", text, facts)
            }
            WaitReason::Behind { head: delivery, under_way, attempts, due_at } => {
                let state = match (under_way, due_at) {
                    (true, _) => format!("attempt {} is under way", attempts + 1),
                    (_, Some(due_at)) => {
                        format!("attempt {} is due {}", attempts + 1, self.until(*due_at))
                    }
                    (_, None) => "it waits, too".to_owned(),
                };
                let text = format!("its lane waits for {head} ({delivery}) to end: {state}");
                let facts = json!({
                    "head": delivery.to_string(), "event": head, "in_flight": under_way, "attempts": attempts,
                    "due_at": due_at.map(rfc3339),
                });
                ("lane", text, facts)
            }
            WaitReason::Retry { number, due_at, most, gives_up_in_ms } => {
                let of = most.map(|most| format!(" of {most}")).unwrap_or_default();
                let left = format_duration_ms(*gives_up_in_ms);
                let text = format!(
                    "attempt {number}{of} is due {}; by the policy of {} it is given up {left} \
                     from now at the latest",
                    self.until(*due_at),
                    self.endpoint
                );
                let facts = json!({
                    "number": number, "max_attempts": most, "due_at": rfc3339(*due_at), "gives_up_in_ms": gives_up_in_ms,
                });
                ("retry", text, facts)
            }
            WaitReason::InBatch { batch, members, number, due_at } => {
                let when = due_at.map_or_else(|| "later".to_owned(), |at| self.until(at));
                let text = format!(
                    "it is one of {members} in batch {batch}, whose attempt {number} is due {when}"
                );
                let facts = json!({
                    "batch": batch.to_string(), "members": members, "number": number, "due_at": due_at.map(rfc3339),
                });
                ("batch", text, facts)
            }
            _ => self.turn(),
        }
    }

    /// What holds its endpoint back: nobody who takes, a rate, a pace, a window, retries.
    fn tell_endpoint_limit(&self, reason: &WaitReason) -> (&'static str, String, Value) {
        let name = &self.endpoint;
        match reason {
            WaitReason::NoConsumer => {
                let text = format!(
                    "nobody takes deliveries of {name} right now: start a consumer, `hookboxctl \
                     consume {name}`"
                );
                ("no_consumer", text, json!({}))
            }
            WaitReason::Rate { rate, next_at } => {
                let shown = rate.to_string();
                let text = format!(
                    "{name} has a rate of {shown}: the next attempt may go {}",
                    self.until(*next_at)
                );
                ("rate", text, json!({"rate": shown, "next_at": rfc3339(*next_at)}))
            }
            WaitReason::CatchingUp { mode, next_at } => {
                let order = match mode {
                    CatchUpMode::Oldest => "oldest first",
                    CatchUpMode::Newest => "newest first",
                    CatchUpMode::Latest => "only the latest of each key",
                };
                let text = format!(
                    "{name} catches up, {order}, at a pace: the next attempt may go {}",
                    self.until(*next_at)
                );
                ("catching_up", text, json!({"mode": mode, "next_at": rfc3339(*next_at)}))
            }
            WaitReason::Window { in_flight, width, most } => {
                let text = format!(
                    "{} under way to {name}, and its window has a width of {width} (it grows with \
                     success, up to {most})",
                    attempts_are(*in_flight)
                );
                (
                    "window",
                    text,
                    json!({"in_flight": in_flight, "width": width, "concurrency": most}),
                )
            }
            WaitReason::Retries { waiting, most } => {
                let text = format!(
                    "{waiting} deliveries of {name} wait for a retry, and no first attempts are \
                     made above {most} of them"
                );
                ("retries", text, json!({"waiting": waiting, "most": most}))
            }
            _ => self.tell_line(reason),
        }
    }

    /// Who goes first: other endpoints, its own batch, the deliveries before it.
    fn tell_line(&self, reason: &WaitReason) -> (&'static str, String, Value) {
        let name = &self.endpoint;
        match reason {
            WaitReason::Places { in_flight, most, doubtful } => {
                let whose = if *doubtful {
                    "to endpoints that keep failing or took nothing yet"
                } else {
                    "over all endpoints"
                };
                let text = format!(
                    "{} under way {whose}, and there are {most} places",
                    attempts_are(*in_flight)
                );
                (
                    "places",
                    text,
                    json!({"in_flight": in_flight, "most": most, "doubtful": doubtful}),
                )
            }
            WaitReason::Share { own, left } => {
                let text = format!(
                    "{} under way to {name}; the {left} places left are kept for others",
                    attempts_are(*own)
                );
                ("share", text, json!({"own": own, "left": left}))
            }
            WaitReason::Gathering { max_events, closes_at } => {
                let text = format!(
                    "its batch is open: it closes {}, or at {}",
                    self.until(*closes_at),
                    count(*max_events as usize, "event")
                );
                (
                    "gathering",
                    text,
                    json!({"max_events": max_events, "closes_at": rfc3339(*closes_at)}),
                )
            }
            WaitReason::InLine { before } => {
                let text = format!(
                    "{} of {name} before it, each for its first attempt",
                    count(*before, "delivery")
                );
                ("in_line", text, json!({"before": before}))
            }
            WaitReason::OnDisk { before_at_most } => {
                let text = match before_at_most {
                    0 => "it is about to be read from the disk".to_owned(),
                    n => format!(
                        "it waits on the disk behind its endpoint's backlog, at most {n} before it"
                    ),
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
        format!(
            "{} ({} ago)",
            rfc3339(at),
            format_duration_ms(seconds(self.now.saturating_sub(at)))
        )
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
    use crate::queue::WaitReason;

    /// Every reason becomes a sentence that says when or what to do.
    #[allow(clippy::too_many_lines, reason = "a table of cases")]
    #[test]
    fn reasons_are_sentences() {
        let teller = Teller { now: 1_767_300_000_000, endpoint: "app".into() };
        let (now, head) = (teller.now, DeliveryId { seq: 7, endpoint: 1 });
        let batch = BatchId { seq: 9, part: 0 };
        let said = |reason: WaitReason| {
            let (kind, text, facts) = teller.tell(&reason, "evt_x");
            assert!(facts.is_object() && !text.ends_with('.'), "{kind}: {text}");
            (kind, text)
        };
        let table = [
            (
                WaitReason::Hold { reason: HoldReason::Gone, since: now - 65_000 },
                "hold",
                "410 Gone",
            ),
            (
                WaitReason::Hold { reason: HoldReason::Operator, since: now },
                "hold",
                "hookboxctl endpoint release app",
            ),
            (
                WaitReason::Offline { since: now - 5_000, probe_at: now + 3_200 },
                "offline",
                "the next probe goes out in 3s",
            ),
            (WaitReason::Clock { until: now + 60_000 }, "clock", "in 1m"),
            (
                WaitReason::Breaker { since: now, probe_at: now + 2_000, failures: 12 },
                "breaker",
                "after 12 failures in a row",
            ),
            (WaitReason::Paused { until: now + 30_000 }, "paused", "Retry-After"),
            (
                WaitReason::UnderWay { number: 2, batch: None, members: 1 },
                "in_flight",
                "attempt 2 is under way",
            ),
            (
                WaitReason::UnderWay { number: 1, batch: Some(batch), members: 3 },
                "in_flight",
                "with 3 deliveries",
            ),
            (
                WaitReason::Parked { head, itself: true, attempts: 5, last: 1 },
                "parked",
                "hookboxctl delivery retry dlv_",
            ),
            (
                WaitReason::Parked { head, itself: false, attempts: 5, last: 1 },
                "parked",
                "behind evt_x",
            ),
            (
                WaitReason::Behind { head, under_way: true, attempts: 0, due_at: None },
                "lane",
                "attempt 1 is under way",
            ),
            (
                WaitReason::Behind {
                    head,
                    under_way: false,
                    attempts: 3,
                    due_at: Some(now + 9_000),
                },
                "lane",
                "attempt 4 is due in 9s",
            ),
            (
                WaitReason::Retry {
                    number: 4,
                    due_at: now + 12_000,
                    most: Some(9),
                    gives_up_in_ms: 60_000,
                },
                "retry",
                "attempt 4 of 9 is due in 12s",
            ),
            (
                WaitReason::InBatch { batch, members: 5, number: 2, due_at: Some(now) },
                "batch",
                "one of 5 in batch bat_",
            ),
            (WaitReason::NoConsumer, "no_consumer", "hookboxctl consume app"),
            (
                WaitReason::Rate { rate: Rate { count: 10, per_ms: 60_000 }, next_at: now + 6_000 },
                "rate",
                "10/m",
            ),
            (
                WaitReason::CatchingUp { mode: CatchUpMode::Newest, next_at: now + 1_000 },
                "catching_up",
                "newest first",
            ),
            (
                WaitReason::Window { in_flight: 1, width: 1, most: 16 },
                "window",
                "1 attempt is under way to app",
            ),
            (WaitReason::Retries { waiting: 9_000, most: 8_192 }, "retries", "above 8192"),
            (
                WaitReason::Places { in_flight: 128, most: 128, doubtful: true },
                "places",
                "keep failing",
            ),
            (
                WaitReason::Share { own: 40, left: 20 },
                "share",
                "20 places left are kept for others",
            ),
            (
                WaitReason::Gathering { max_events: 100, closes_at: now + 4_000 },
                "gathering",
                "closes in 4s",
            ),
            (WaitReason::InLine { before: 1 }, "in_line", "1 delivery"),
            (WaitReason::OnDisk { before_at_most: 12 }, "backlog", "at most 12 before it"),
            (WaitReason::Turn, "turn", "at once"),
        ];
        for (reason, kind, part) in table {
            let (found, text) = said(reason);
            assert!(found == kind && text.contains(part), "{found}: {text}: {part}");
        }
    }
}
