//! The events of attempts were read from the log: the attempts begin.

use std::sync::Arc;

use crate::model::{DeliveryId, Event, Now, Seq};
use crate::queue::action::{Action, AttemptOrder, ReadOrder};
use crate::queue::reports::event_unreadable;
use crate::queue::{Draft, Queue};

impl Queue {
    /// The event of an attempt was read, or is not in the log any more.
    pub(in crate::queue) fn loaded(
        &mut self,
        now: Now,
        delivery: DeliveryId,
        event: Option<Arc<Event>>,
        draft: &mut Draft,
    ) {
        // The endpoint may have been deleted while the log was read.
        let endpoint = self.state.find(delivery.endpoint);
        let Some(job) = endpoint.and_then(|endpoint| endpoint.in_flight(delivery.seq)) else {
            return;
        };

        // The event may have been relocated since it was asked for: read it again at its new
        // record.
        if event.is_none()
            && let Some(event) = self.stands_elsewhere(job.event, job.read_at)
        {
            let endpoint = self.state.endpoint_mut(delivery.endpoint);
            if let Some(job) = endpoint.in_flight_mut(delivery.seq) {
                job.read_at = Some(event);
            }
            draft.actions.push(Action::Read(ReadOrder::Event { delivery, event }));
            return;
        }

        match event {
            Some(event) => self.ready.push((delivery, event)),
            None => {
                self.finished(now, delivery, event_unreadable(now), draft);
            }
        }
    }

    /// The record that holds this event now.
    pub(in crate::queue) fn record_of(&self, event: Seq) -> Seq {
        self.state.held_at(event)
    }

    /// The record that holds this event now, when it is another than the one that was read.
    pub(in crate::queue) fn stands_elsewhere(
        &self,
        event: Seq,
        read_at: Option<Seq>,
    ) -> Option<Seq> {
        self.state.stands_at(event).filter(|at| read_at != Some(*at))
    }

    /// Starts the attempts whose events were read. Those that the operator has ended meanwhile end
    /// at once.
    pub(in crate::queue) fn run_ready(&mut self, now: Now, draft: &mut Draft) {
        for (delivery, event) in std::mem::take(&mut self.ready) {
            // The endpoint may have been deleted since the event was read.
            let Some(endpoint) = self.state.find_mut(delivery.endpoint) else { continue };
            let settings = endpoint.settings.clone();
            let job = endpoint.in_flight_mut(delivery.seq).expect("it was read to be attempted");

            if job.ended {
                let lane = job.lane;
                self.take_out_of_flight(delivery);
                self.free(delivery.endpoint, lane, now);
                self.wake(delivery.endpoint);
                continue;
            }

            // It shows only now whose it is: its source may have its share of the retries.
            let is_news = job.source != event.source && job.position.is_some();
            (job.own, job.source) = (event.is_own(), event.source);
            if is_news && endpoint.leaves_out(event.source) {
                self.leave_for_later(delivery, now);
                continue;
            }

            let job = endpoint.in_flight(delivery.seq).expect("it is still in flight");
            let number = job.attempts + 1;
            draft.actions.push(Action::Attempt(AttemptOrder::One {
                delivery,
                number,
                endpoint: settings,
                event,
            }));
        }
    }

    /// A delivery goes back into the stream instead of being attempted.
    fn leave_for_later(&mut self, delivery: DeliveryId, now: Now) {
        let job = self.take_out_of_flight(delivery).expect("its event was read to attempt it");
        self.state.endpoint_mut(delivery.endpoint).leave_in_stream(&job);
        self.free(delivery.endpoint, job.lane, now);
        self.wake(delivery.endpoint);
    }
}
