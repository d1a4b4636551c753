//! Changes of the endpoints' health as lines of the daemon's log: a breaker that opens or closes,
//! an endpoint that is put on hold, a lane that waits, dead letters.
//!
//! The first change of a kind at an endpoint is one line at once. Those that follow within
//! `limits::CHANGE_LINE_GAP_MS` are one more, which says how many there were. Of all endpoints
//! together at most `limits::CHANGE_LINES` lines are written in that time, and one that counts the
//! others. Lines are written here and not on the thread that decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::model::time::{self, format_duration_ms};
use crate::model::{EndpointId, HoldReason, TraceContext, limits};
use crate::queue::{Death, HealthEvent, HealthReport};
use crate::scheduler::Clock;

/// Writes lines until nobody sends changes any more.
pub async fn run(mut changes: broadcast::Receiver<Arc<HealthReport>>, clock: Clock) {
    let mut log = ChangeLog::default();
    loop {
        let wait_ms = log.next_look().map(|at| at.saturating_sub(clock().mono_ms));
        let look = async {
            match wait_ms {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                // While nothing happens, nothing wakes the daemon.
                None => std::future::pending().await,
            }
        };

        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => log.see(clock().mono_ms, change).iter().for_each(write),
                Err(RecvError::Lagged(missed)) => log.left_out += missed,
                Err(RecvError::Closed) => return,
            },
            () = look => log.due(clock().mono_ms).iter().for_each(write),
        }
    }
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
enum ChangeLine {
    /// A change, and how many of its kind it stands for.
    Change(Arc<HealthReport>, u64),
    /// Changes of many endpoints that were left out.
    LeftOut(u64),
}

/// Changes of one kind at one endpoint are distinguished from others.
type ChangeSubject = (EndpointId, u8);

/// Which lines are written when.
#[derive(Debug, Default)]
struct ChangeLog {
    subjects: BTreeMap<ChangeSubject, SubjectState>,
    /// Lines since `began`.
    lines: usize,
    began: u64,
    left_out: u64,
}

#[derive(Debug)]
struct SubjectState {
    /// No line before this time.
    next_at: u64,
    /// The last change that was kept back, and how many there were.
    kept: Option<(Arc<HealthReport>, u64)>,
}

impl ChangeLog {
    /// Takes a change in. Returns what is to be written at once.
    fn see(&mut self, now_mono: u64, change: Arc<HealthReport>) -> Vec<ChangeLine> {
        let mut lines = self.due(now_mono);
        let subject = (change.endpoint.id, kind(&change.what));
        match self.subjects.get_mut(&subject) {
            Some(state) => {
                let count = state.kept.take().map_or(0, |(_, count)| count);
                state.kept = Some((change, count + 1));
            }
            None => {
                let next_at = now_mono + limits::CHANGE_LINE_GAP_MS;
                self.subjects.insert(subject, SubjectState { next_at, kept: None });
                lines.extend(self.line(ChangeLine::Change(change, 1)));
            }
        }
        lines
    }

    /// When there is something to write or to forget at the earliest.
    fn next_look(&self) -> Option<u64> {
        let left_out = (self.left_out > 0).then_some(self.began + limits::CHANGE_LINE_GAP_MS);
        let subjects = self.subjects.values().map(|state| state.next_at);
        subjects.chain(left_out).min()
    }

    /// What was kept back for long enough.
    fn due(&mut self, now_mono: u64) -> Vec<ChangeLine> {
        let mut lines = Vec::new();
        if now_mono >= self.began + limits::CHANGE_LINE_GAP_MS {
            (self.began, self.lines) = (now_mono, 0);
            if self.left_out > 0 {
                lines.push(ChangeLine::LeftOut(std::mem::take(&mut self.left_out)));
            }
        }

        let mut kept = Vec::new();
        self.subjects.retain(|_, state| {
            if now_mono < state.next_at {
                return true;
            }
            state.next_at = now_mono + limits::CHANGE_LINE_GAP_MS;
            let was_kept = state.kept.take();
            let goes_on = was_kept.is_some();
            kept.extend(was_kept);
            goes_on
        });
        let kept = kept.into_iter().map(|(change, count)| ChangeLine::Change(change, count));
        let kept: Vec<ChangeLine> = kept.filter_map(|line| self.line(line)).collect();
        lines.extend(kept);
        lines
    }

    /// Gives the line back when it may be written, and else counts it.
    fn line(&mut self, line: ChangeLine) -> Option<ChangeLine> {
        if self.lines < limits::CHANGE_LINES {
            self.lines += 1;
            return Some(line);
        }
        self.left_out += match &line {
            ChangeLine::Change(_, count) | ChangeLine::LeftOut(count) => *count,
        };
        None
    }
}

/// The end of a run of failures belongs to its beginning.
fn kind(what: &HealthEvent) -> u8 {
    match what {
        HealthEvent::Failing { .. } | HealthEvent::Recovered => 0,
        HealthEvent::Held { .. } => 1,
        HealthEvent::Parked { .. } => 2,
        HealthEvent::Died(_) => 3,
        HealthEvent::Lagging { .. } | HealthEvent::CaughtUp => 4,
        HealthEvent::ReplayEnded { .. } => 5,
    }
}

fn write(line: &ChangeLine) {
    let (change, count) = match line {
        ChangeLine::Change(change, count) => (change, *count),
        ChangeLine::LeftOut(count) => {
            return tracing::warn!(
                changes = count,
                "further changes of endpoints were left out: see `hookboxctl status`"
            );
        }
    };

    let endpoint = &change.endpoint.name;
    match &change.what {
        HealthEvent::Failing { error } => tracing::warn!(
            endpoint,
            error,
            changes = count,
            "an endpoint keeps failing: its breaker opens, and only probes are sent until one \
             succeeds"
        ),
        HealthEvent::Recovered => {
            tracing::info!(endpoint, changes = count, "an endpoint has recovered");
        }
        HealthEvent::Lagging { age_ms } => tracing::warn!(
            endpoint,
            oldest = format_duration_ms(age_ms / 1000 * 1000),
            changes = count,
            "an endpoint lags: its oldest delivery is older than its warn_after; see `hookboxctl \
             endpoint show {endpoint}`"
        ),
        HealthEvent::CaughtUp => {
            tracing::info!(endpoint, changes = count, "an endpoint has caught up");
        }
        HealthEvent::Held { reason, error } => write_hold(endpoint, reason, error, count),
        HealthEvent::Parked { delivery, reason } => tracing::warn!(
            endpoint,
            %delivery,
            reason,
            lanes = count,
            "a lane waits for you: see `hookboxctl delivery explain {delivery}`"
        ),
        HealthEvent::Died(death) => write_death(endpoint, death, count),
        HealthEvent::ReplayEnded { replay, next, end } => tracing::warn!(
            endpoint,
            replay,
            next,
            end,
            replays = count,
            "a replay has ended before its end: its endpoint was deleted"
        ),
    }
}

fn write_death(endpoint: &str, death: &Death, count: u64) {
    let Death { delivery, reason, died_at, traceparent } = death;
    let trace = TraceContext::of_request(traceparent.as_slice());
    tracing::warn!(
        endpoint,
        %delivery,
        reason,
        died_at = time::rfc3339(*died_at),
        trace_id = trace.as_ref().map(TraceContext::trace_id),
        dead_letters = count,
        "given up: see `hookboxctl dlq list --endpoint {endpoint}`"
    );
}

fn write_hold(endpoint: &str, reason: &HoldReason, error: &str, count: u64) {
    tracing::warn!(
        endpoint,
        error,
        reason = %reason_text(reason),
        changes = count,
        "an endpoint is put on hold: its deliveries wait until `hookboxctl endpoint release \
         {endpoint}`"
    );
}

/// In the words of `endpoint show`.
fn reason_text(reason: &HoldReason) -> String {
    let text = serde_json::to_value(reason).ok();
    text.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{ChangeLine, ChangeLog};
    use crate::model::{DeliveryId, Endpoint, EndpointId, limits};
    use crate::queue::{Death, HealthEvent, HealthReport};

    const GAP: u64 = limits::CHANGE_LINE_GAP_MS;

    fn change(id: EndpointId, what: HealthEvent) -> Arc<HealthReport> {
        let endpoint = Endpoint { id, ..Endpoint::new(format!("e{id}"), "pull:") };
        Arc::new(HealthReport { endpoint: Arc::new(endpoint), what })
    }

    fn died(id: EndpointId, seq: u64) -> Arc<HealthReport> {
        let delivery = DeliveryId { seq, endpoint: id };
        let (reason, died_at) = ("gone".to_owned(), 1_800_000_000_000);
        change(id, HealthEvent::Died(Death { delivery, reason, died_at, traceparent: None }))
    }

    /// How many changes each line stands for.
    fn counts(lines: &[ChangeLine]) -> Vec<u64> {
        let count = |line: &ChangeLine| match line {
            ChangeLine::Change(_, count) | ChangeLine::LeftOut(count) => *count,
        };
        lines.iter().map(count).collect()
    }

    #[test]
    fn sixty_dead_letters_are_two_lines_that_count_them_all() {
        let mut log = ChangeLog::default();
        let at_once: Vec<ChangeLine> = (0..60).flat_map(|n| log.see(GAP + n, died(1, n))).collect();
        assert_eq!(counts(&at_once), [1]);
        assert_eq!(log.due(2 * GAP - 1), []);

        assert_eq!(log.next_look(), Some(2 * GAP));
        let later = log.due(2 * GAP);
        assert_eq!(later, [ChangeLine::Change(died(1, 59), 59)], "the last one, for all of them");
        assert_eq!(log.due(3 * GAP), []);
        assert!(log.subjects.is_empty(), "what is quiet is forgotten");
        assert_eq!(log.next_look(), None, "and nothing wakes the daemon");
    }

    #[test]
    fn each_endpoint_and_each_kind_has_a_line_of_its_own_at_once() {
        let mut log = ChangeLog::default();
        let failing = || HealthEvent::Failing { error: "answered 500".to_owned() };
        for id in 1..7 {
            assert_eq!(counts(&log.see(GAP, change(id, failing()))), [1]);
            assert_eq!(counts(&log.see(GAP, died(id, 1))), [1]);
        }

        // Where it flaps, the last change is reported.
        assert_eq!(log.see(GAP + 1, change(1, HealthEvent::Recovered)), []);
        assert_eq!(log.see(GAP + 2, change(1, failing())), []);
        assert_eq!(log.due(2 * GAP), [ChangeLine::Change(change(1, failing()), 2)]);
    }

    #[test]
    fn all_endpoints_together_are_bounded_and_none_is_lost_in_the_count() {
        let mut log = ChangeLog::default();
        let most = limits::CHANGE_LINES;
        let all = 3 * u32::try_from(most).expect("a small number");
        let written: usize = (0..all).map(|id| log.see(GAP, died(id, 1)).len()).sum();
        assert_eq!(written, most);
        assert_eq!(log.due(2 * GAP), [ChangeLine::LeftOut(u64::from(all) - most as u64)]);
    }
}
