//! Why a delivery waits: the facts behind `hookboxctl delivery explain`. Changes nothing. The
//! sentences are made where they are shown.

use super::ask::ExplainQuery;
use super::explanation::{Explanation, WaitReason, on_the_wall};
use crate::model::{
    DeliveryId, DeliveryState, EndpointId, Now, Order, Seq, SourceId, WallMs, limits,
};
use crate::queue::Queue;
use crate::queue::attempts::slots::has_its_share_of_slots;
use crate::queue::endpoint::{EndpointQueue, TimerKey};
use crate::queue::folding::state::Retrying;

impl Queue {
    /// Why a delivery waits.
    #[must_use]
    pub fn explain(&self, now: Now, asked: &ExplainQuery) -> Explanation {
        let ExplainQuery { delivery, key, source } = *asked;
        let state = self.delivery_state(delivery);
        let id = delivery.endpoint;
        let endpoint = self.state.find(id);
        let waiting = endpoint.and_then(|endpoint| endpoint.retrying.get(&delivery.seq));
        let attempts = waiting.map_or(0, |waiting| waiting.attempts);
        let last = waiting.map(|waiting| waiting.last).filter(|last| *last > 0);

        let reasons = match (endpoint, state) {
            (Some(endpoint), DeliveryState::InFlight) => {
                vec![under_way(endpoint, delivery.seq)]
            }
            (Some(endpoint), DeliveryState::Pending | DeliveryState::Held) => {
                let question = Question {
                    queue: self,
                    endpoint,
                    now,
                    seq: delivery.seq,
                    lane: lane_of(endpoint, waiting, key),
                    source,
                };
                question.reasons(waiting)
            }
            _ => Vec::new(),
        };

        Explanation { delivery, state, attempts, last, reasons }
    }
}

/// The lane of a delivery.
fn lane_of(endpoint: &EndpointQueue, waiting: Option<&Retrying>, key: Option<u64>) -> Option<u64> {
    match (endpoint.settings.order, waiting) {
        (_, Some(waiting)) => endpoint.lane_of_key(waiting.key),
        (Order::None, None) => None,
        (Order::Strict, None) => Some(crate::queue::stream::lanes::STRICT),
        (Order::Key, None) => key,
    }
}

/// The attempt that is in flight for a delivery.
fn under_way(endpoint: &EndpointQueue, seq: Seq) -> WaitReason {
    if let Some(job) = endpoint.in_flight(seq) {
        return WaitReason::UnderWay { number: job.attempts + 1, batch: None, members: 1 };
    }

    let mut batches = endpoint.batches_in_flight();
    if let Some(batch) =
        batches.find(|batch| batch.members.iter().any(|m| m.delivery == seq && !m.ended))
    {
        let members = batch.members.iter().filter(|member| !member.ended).count();
        return WaitReason::UnderWay { number: batch.attempts + 1, batch: Some(batch.id), members };
    }

    let attempts = endpoint.retrying.get(&seq).map_or(0, |waiting| waiting.attempts);
    WaitReason::UnderWay { number: attempts + 1, batch: None, members: endpoint.gathering().len() }
}

/// One question about a delivery that waits.
struct Question<'a> {
    queue: &'a Queue,
    endpoint: &'a EndpointQueue,
    now: Now,
    seq: Seq,
    lane: Option<u64>,
    source: Option<SourceId>,
}

impl Question<'_> {
    fn id(&self) -> EndpointId {
        self.endpoint.settings.id
    }

    fn wall(&self, mono_ms: u64) -> WallMs {
        on_the_wall(self.now, mono_ms)
    }

    fn reasons(&self, waiting: Option<&Retrying>) -> Vec<WaitReason> {
        let mut reasons = Vec::new();
        if let Some((reason, since)) = &self.endpoint.hold {
            reasons.push(WaitReason::Hold { reason: reason.clone(), since: *since });
            // Nothing else matters until it is released.
            reasons.extend(
                self.lane_ahead().filter(|ahead| matches!(ahead, WaitReason::Parked { .. })),
            );
            return reasons;
        }

        reasons.extend(self.lane_ahead());
        self.kept_by_endpoint(&mut reasons);
        let due = match waiting {
            Some(waiting) => self.retry(waiting, &mut reasons),
            None => true,
        };

        // Behind others of its lane nothing else keeps it back.
        let is_behind = reasons
            .iter()
            .any(|r| matches!(r, WaitReason::Behind { .. } | WaitReason::Parked { .. }));
        if due && !is_behind {
            self.kept_by_rates(&mut reasons);
            self.kept_by_slots(waiting.is_none(), &mut reasons);
            self.kept_by_batch(&mut reasons);
        }

        if waiting.is_none() {
            // It is not read from the log while its lane waits.
            let before = self.first_attempts_before();
            reasons.extend(
                before.filter(|p| !is_behind || *p != WaitReason::OnDisk { before_at_most: 0 }),
            );
        }

        if reasons.is_empty() {
            reasons.push(WaitReason::Turn);
        }
        reasons
    }

    /// What keeps all deliveries of the endpoint back.
    fn kept_by_endpoint(&self, reasons: &mut Vec<WaitReason>) {
        let (queue, endpoint, now) = (self.queue, self.endpoint, self.now.mono_ms);
        if let Some(offline) = queue.link.offline.filter(|_| queue.link.keeps_back(self.id())) {
            let (since, probe_at) =
                (self.wall(offline.since), self.wall(offline.probe_at.max(now)));
            reasons.push(WaitReason::Offline { since, probe_at });
        }
        let signs = self.endpoint.settings.signs();
        if let Some(until) = queue.clock_until.filter(|until| signs && *until > now) {
            reasons.push(WaitReason::Clock { until: self.wall(until) });
        }

        if let Some(open) = endpoint.breaker().open {
            let (since, probe_at) = (open.since, self.wall(endpoint.next_probe_at(open, now)));
            reasons.push(WaitReason::Breaker {
                since,
                probe_at,
                failures: endpoint.breaker().failures_in_row,
            });
        }
        if endpoint.paused_until() > now {
            reasons.push(WaitReason::Paused { until: self.wall(endpoint.paused_until()) });
        }
    }

    /// The delivery of its endpoint that has to end first, if there is one.
    fn lane_ahead(&self) -> Option<WaitReason> {
        let lane = self.lane?;
        let at = |seq| DeliveryId { seq, endpoint: self.id() };

        // One of its lane is in flight, alone or in a batch.
        let in_flight = self.endpoint.all_in_flight().filter(|job| job.lane == self.lane);
        let in_batches = self.endpoint.batches_in_flight().flat_map(|batch| &batch.members);
        let in_batches = in_batches.filter(|member| member.lane == self.lane && !member.ended);
        let in_flight = in_flight.map(|job| (job.delivery.seq, job.attempts));
        let in_flight =
            in_flight.chain(in_batches.map(|member| (member.delivery, member.attempts))).min();
        if let Some((seq, attempts)) = in_flight.filter(|(seq, _)| *seq != self.seq) {
            return Some(WaitReason::Behind {
                head: at(seq),
                under_way: true,
                attempts,
                due_at: None,
            });
        }

        // The head of its lane waits: parked, or for a retry.
        let head = self.endpoint.lanes().head(lane)?;
        let waiting = self.endpoint.retrying.get(&head)?;
        let itself = head == self.seq;
        if waiting.parked {
            let (attempts, last) = (waiting.attempts, waiting.last);
            return Some(WaitReason::Parked { head: at(head), itself, attempts, last });
        }

        let timer = waiting.batch.map_or(TimerKey::One(head), TimerKey::Batch);
        // Members of one batch are sent together.
        let together = waiting.batch.is_some_and(|id| {
            self.endpoint.batches.get(&id).is_some_and(|batch| batch.members.contains(&self.seq))
        });
        let due_at = self.endpoint.due_of_timer(timer).map(|due| self.wall(due));
        (!itself && !together).then(|| WaitReason::Behind {
            head: at(head),
            under_way: false,
            attempts: waiting.attempts,
            due_at,
        })
    }

    /// Its own timer, or that of its batch. Returns whether it is due.
    fn retry(&self, waiting: &Retrying, reasons: &mut Vec<WaitReason>) -> bool {
        let now = self.now.mono_ms;
        if let Some((id, batch)) =
            waiting.batch.and_then(|id| Some((id, self.endpoint.batches.get(&id)?)))
        {
            let due = self.endpoint.due_of_timer(TimerKey::Batch(id));
            let (members, number) = (batch.members.len(), batch.attempts + 1);
            let due_at = due.map(|due| self.wall(due));
            reasons.push(WaitReason::InBatch { batch: id, members, number, due_at });
            return due.is_some_and(|due| due <= now);
        }

        let Some(due) = self.endpoint.due_of_timer(TimerKey::One(self.seq)) else { return false };
        let age_ms = self.endpoint.age_ms(waiting.born(), self.queue.ran_at(self.now));
        let policy = &self.endpoint.settings.retry;
        reasons.push(WaitReason::Retry {
            number: waiting.attempts + 1,
            due_at: self.wall(due),
            most: policy.max_attempts,
            gives_up_in_ms: policy.max_age_ms.saturating_sub(age_ms),
        });
        due <= now
    }

    /// What keeps back a delivery that is due or was never attempted: rates.
    fn kept_by_rates(&self, reasons: &mut Vec<WaitReason>) {
        let (queue, endpoint, now) = (self.queue, self.endpoint, self.now.mono_ms);
        let settings = &endpoint.settings;
        if endpoint.lacks_consumers() {
            reasons.push(WaitReason::NoConsumer);
        }
        if let (Some(rate), Some(next)) =
            (settings.rate, endpoint.rate_ready_at().filter(|at| *at > now))
        {
            reasons.push(WaitReason::Rate { rate, next_at: self.wall(next) });
        }
        if let Some(catching) = endpoint.catching_up().filter(|catching| self.seq < catching.end) {
            let own = settings.catch_up.rate.map(|rate| catching.bucket.ready_at(rate, 1));
            let overall = queue.pace_ready_at();
            if let Some(next) = own.max(overall).filter(|at| *at > now) {
                reasons
                    .push(WaitReason::CatchingUp { mode: catching.mode, next_at: self.wall(next) });
            }
        }
    }

    /// What keeps back a delivery that is due or was never attempted: windows and slots.
    fn kept_by_slots(&self, first: bool, reasons: &mut Vec<WaitReason>) {
        let (queue, endpoint) = (self.queue, self.endpoint);
        let settings = &endpoint.settings;
        if !settings.is_leased() && endpoint.under_way() >= endpoint.window() {
            let (in_flight, width) = (endpoint.under_way(), endpoint.window());
            reasons.push(WaitReason::Window { in_flight, width, most: settings.concurrency });
        }
        if first && endpoint.is_full_of_retries() {
            let most = endpoint.retrying_max();
            reasons.push(WaitReason::Retries { waiting: endpoint.retrying.len(), most });
        } else if let Some(source) =
            self.source.filter(|source| first && endpoint.leaves_out(*source))
        {
            let waiting = endpoint.retrying.of_source(source);
            reasons.push(WaitReason::SourceRetries { waiting });
        }

        // Endpoints of which nothing is known have slots of their own.
        let is_first = endpoint.is_unknown() && queue.slots.first < limits::IN_FLIGHT_FIRST;
        let on_probation = endpoint.is_on_probation()
            && queue.slots.on_probation >= limits::IN_FLIGHT_ON_PROBATION;
        if !settings.is_leased()
            && !is_first
            && (on_probation || queue.slots.in_flight >= limits::IN_FLIGHT)
        {
            let (in_flight, most) = match on_probation {
                true => (queue.slots.on_probation, limits::IN_FLIGHT_ON_PROBATION),
                false => (queue.slots.in_flight, limits::IN_FLIGHT),
            };
            reasons.push(WaitReason::Slots { in_flight, most, on_probation });
        } else if !settings.is_leased()
            && !endpoint.is_on_probation()
            && has_its_share_of_slots(endpoint.under_way(), queue.slots.in_flight)
        {
            let (own, left) = (endpoint.under_way(), limits::IN_FLIGHT - queue.slots.in_flight);
            reasons.push(WaitReason::Share { own, left });
        }
    }

    /// What keeps back a delivery that is due or was never attempted: its batch is open.
    fn kept_by_batch(&self, reasons: &mut Vec<WaitReason>) {
        let (endpoint, now) = (self.endpoint, self.now.mono_ms);
        if let (Some(batch), Some(at)) = (endpoint.settings.batch, endpoint.batch_closes_at(now)) {
            reasons.push(WaitReason::Gathering {
                max_events: batch.max_events,
                closes_at: self.wall(at),
            });
        }
    }

    /// How many deliveries of its endpoint have their first attempts before it.
    fn first_attempts_before(&self) -> Option<WaitReason> {
        let at = self.endpoint.prefetch().position(self.seq);
        if let Some(before) = at {
            return (before > 0).then_some(WaitReason::InLine { before });
        }

        // It is not in memory yet. Each delivery that waits in the stream has a record of its own.
        let prefetched = self.endpoint.prefetch().len() as u64;
        let from = self.endpoint.first_unread().unwrap_or(self.seq);
        let by_records = prefetched + self.seq.saturating_sub(from);
        let before_at_most = self.endpoint.in_stream().saturating_sub(1).min(by_records);
        Some(WaitReason::OnDisk { before_at_most })
    }
}

#[cfg(test)]
mod tests;
