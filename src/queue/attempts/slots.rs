//! The slots of attempts in flight: who gets one, and who waits for one.
//!
//! Of `limits::IN_FLIGHT` slots endpoints on probation, which fail, or want a second slot and took
//! nothing yet, get half; an endpoint that has some gets no more than its share of what is free, so
//! that many that hang leave the others a slot. Beside these, `limits::IN_FLIGHT_FIRST` are for the
//! first attempts to endpoints of which nothing is known.

use crate::model::share::{Share, ShareHolder};
use crate::model::{EndpointId, Now, limits};
use crate::queue::endpoint::SlotKind;
use crate::queue::{Draft, Queue};

impl Queue {
    /// The slot that the next attempt of an endpoint takes; `None` when it has to wait for one.
    pub(in crate::queue) fn slot_for(&mut self, id: EndpointId, now: Now) -> Option<SlotKind> {
        let endpoint = self.state.endpoint(id);
        let own = endpoint.under_way();
        if endpoint.settings.is_leased() {
            if !self.slots.has_for_lease() {
                self.turns.awaiting_lease.push(id);
                return None;
            }
            if has_its_share_of_leases(own, self.slots.free_for_lease()) {
                self.await_share(id, Share::Leases, now);
                return None;
            }
            return Some(SlotKind::Lease);
        }

        // An endpoint of which nothing is known has a slot at once.
        if endpoint.is_unknown() && self.slots.has_for_first() {
            return Some(SlotKind::First);
        }

        if endpoint.is_on_probation() {
            if self.slots.on_probation >= limits::IN_FLIGHT_ON_PROBATION {
                self.full_shares.note(Share::ProbationSlots, ShareHolder::Endpoint(id), now);
                self.turns.awaiting_slot.push(id);
                return None;
            }
            // Whoever failed, and whoever wants a second, shares what is left after one slot for
            // each that has none.
            let free = self.slots.free();
            if own > 0 && free <= self.idle_endpoints() {
                self.await_share(id, Share::ProbationSlots, now);
                return None;
            }
            return Some(SlotKind::Probation);
        }

        if has_its_share_of_slots(own, self.slots.in_flight) {
            self.await_share(id, Share::SlotsInFlight, now);
            return None;
        }
        Some(SlotKind::Plain)
    }

    /// It has attempts in flight, and has another one when somebody gives a slot back, or one of
    /// its own has ended.
    fn await_share(&mut self, id: EndpointId, share: Share, now: Now) {
        if self.turns.awaiting_share.push(id) {
            self.full_shares.note(share, ShareHolder::Endpoint(id), now);
        }
    }

    /// Whether some endpoint may have its turn now.
    pub(in crate::queue) fn has_turns(&self) -> bool {
        let newcomers = !self.turns.newcomers.is_empty() && self.has_newcomer_slot();
        let slots = !self.turns.awaiting_slot.is_empty() && self.slots.has_for_probation();
        let leases = !self.turns.awaiting_lease.is_empty() && self.slots.has_for_lease();
        let runnable = !self.turns.runnable.is_empty() && self.slots.free() > 0;
        newcomers || slots || leases || runnable
    }

    /// Those that wait for a slot have their turns before others, the first of them first, as long
    /// as there are slots.
    pub(in crate::queue) fn run_awaiting(&mut self, now: Now, draft: &mut Draft) {
        while self.slots.has_for_probation()
            && let Some(id) = self.turns.awaiting_slot.pop()
        {
            self.run_unless_offline(id, now, draft);
        }
        while self.slots.has_for_lease()
            && let Some(id) = self.turns.awaiting_lease.pop()
        {
            self.run_unless_offline(id, now, draft);
        }
    }

    /// Those of which nothing is known have slots of their own, however many attempts are under
    /// way; when these are taken, they have those of endpoints on probation, and then wait for
    /// their turn.
    pub(in crate::queue) fn run_newcomers(&mut self, now: Now, draft: &mut Draft) {
        while self.has_newcomer_slot()
            && let Some(id) = self.turns.newcomers.pop()
        {
            self.run_unless_offline(id, now, draft);
        }
    }

    /// Whether there is a slot for one of which nothing is known.
    fn has_newcomer_slot(&self) -> bool {
        self.slots.has_for_first() || self.slots.has_for_probation()
    }

    /// Endpoints with nothing under way, as counted once in a run. With more than all the slots it
    /// makes no difference how many there are, so it is not counted on.
    fn idle_endpoints(&mut self) -> usize {
        let idle = self.state.living().filter(|endpoint| endpoint.under_way() == 0);
        *self.idle.get_or_insert_with(|| idle.take(limits::IN_FLIGHT).count())
    }

    /// An attempt gives its slot back, which is somebody else's turn.
    pub(in crate::queue) fn vacate(&mut self, slot: SlotKind) {
        self.slots.give_back(slot);
        if slot != SlotKind::First {
            self.let_one_share();
        }
    }

    /// A slot is free: one of those that had their share may have more now. All of them have
    /// attempts in flight, whose ends wake them as well.
    fn let_one_share(&mut self) {
        if let Some(id) = self.turns.awaiting_share.pop() {
            self.wake(id);
        }
    }
}

/// Whether an endpoint with `own` attempts in flight has its share of the slots, of which `all`
/// are taken.
pub(in crate::queue) fn has_its_share_of_slots(own: usize, all: usize) -> bool {
    let free = limits::IN_FLIGHT.saturating_sub(all);
    own > 0 && own >= limits::IN_FLIGHT_SHARE * free.saturating_sub(limits::IN_FLIGHT_RESERVED)
}

/// Whether an endpoint whose consumers hold `own` deliveries has its share of those that may be
/// leased, of which so many are left.
fn has_its_share_of_leases(own: usize, free: usize) -> bool {
    own > 0 && own >= limits::IN_FLIGHT_SHARE * free
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::has_its_share_of_leases;
    use crate::model::{Endpoint, Now, Source, limits};
    use crate::queue::matcher::Steps;
    use crate::queue::{
        Accept, Action, CreateEndpoint, CreateSource, Decision, Input, NewEvent, Queue, ReadOrder,
        State, StreamOrder, StreamRead,
    };

    const NOW: Now = Now { mono_ms: 1_000, wall_ms: 1_800_000_000_000 };

    /// A queue with a source and so many endpoints.
    fn queue(endpoints: usize, url: &str) -> Queue {
        let mut queue = Queue::new(State::new(), 1, NOW);
        queue.handle(NOW, CreateSource(Box::new(Source::new("in", "none"))));
        for n in 0..endpoints {
            let endpoint = Endpoint::new(format!("e{n}"), url);
            queue.handle(NOW, CreateEndpoint(Box::new(endpoint)));
        }
        queue
    }

    /// An event for all of them, and what follows from it at once.
    fn accept(queue: &mut Queue, bytes: usize) -> Decision {
        let event = NewEvent {
            source: queue.state().sources.values().next().expect("the source").clone(),
            kind: "t".into(),
            dedupe_key: None,
            dedupe: None,
            beside: Default::default(),
            request_line: String::new(),
            remote: String::new(),
            headers: Vec::new(),
            body: Bytes::from(vec![b'0'; bytes]),
        };
        let event = queue.matcher().matched(event, &mut Steps::new(limits::FILTER_STEPS));
        queue.handle(NOW, Accept(vec![event]));
        queue.run(NOW)
    }

    #[test]
    fn who_waits_for_a_slot_stands_in_the_queue_once() {
        const ENDPOINTS: usize = 150;
        let mut queue = queue(ENDPOINTS, "http://hangs.example/");
        for _ in 0..100 {
            accept(&mut queue, 1);
        }
        assert_eq!(queue.slots.on_probation, limits::IN_FLIGHT_ON_PROBATION, "all hang");
        assert!(
            !queue.turns.awaiting_slot.is_empty() && queue.turns.awaiting_slot.len() <= ENDPOINTS,
            "{} wait",
            queue.turns.awaiting_slot.len()
        );
        assert!(queue.turns.awaiting_share.len() <= ENDPOINTS);
    }

    #[test]
    fn one_pull_endpoint_does_not_lease_all() {
        let mut free = limits::LEASES;
        let mut lease_all = || {
            let mut own = 0;
            while free > 0 && !has_its_share_of_leases(own, free) {
                (own, free) = (own + 1, free - 1);
            }
            own
        };
        let leased: Vec<usize> = (0..4).map(|_| lease_all()).collect();
        assert!(leased[0] > 3_000 && leased[3] > 10, "{leased:?}");
    }

    #[test]
    fn who_waits_for_a_read_stands_in_the_queue_once_and_has_its_turn() {
        const ENDPOINTS: usize = limits::LOADS + 10;
        let mut before = queue(ENDPOINTS, "http://app.example/");
        accept(&mut before, 1);
        let mut queue = Queue::new(before.state().clone(), 1, NOW);
        let mut asked = BTreeSet::new();
        let mut reads = queue.run(NOW).actions;
        for _ in 0..50 {
            reads.extend(accept(&mut queue, 1).actions);
        }
        assert!(
            queue.turns.awaiting_read.len() <= ENDPOINTS,
            "{} wait",
            queue.turns.awaiting_read.len()
        );

        while let Some(action) = reads.pop() {
            let (from, next) = (1, queue.state().next_seq);
            match action {
                Action::Read(ReadOrder::Stream(StreamOrder { endpoint, from, keys, .. })) => {
                    asked.insert(endpoint);
                    let read = StreamRead { from, next, ..StreamRead::default() };
                    queue.handle(NOW, Input::Refilled { endpoint, read, keys });
                }
                Action::Read(ReadOrder::Ages { endpoint, .. }) => {
                    let read = StreamRead { from, next, ..StreamRead::default() };
                    queue.handle(NOW, Input::AgesRead { endpoint, read });
                }
                _ => continue,
            }
            reads.extend(queue.run(NOW).actions);
        }
        assert_eq!(asked.len(), ENDPOINTS, "nobody is left out");
    }

    /// The reader's queue takes all that the scheduler may ask for at a time; if it did not, the
    /// daemon would end.
    #[test]
    fn consumers_have_no_more_read_than_the_reader_takes() {
        const ENDPOINTS: usize = 8;
        let mut queue = queue(ENDPOINTS, "pull:");
        for _ in 0..limits::PREFETCH {
            accept(&mut queue, 9_000);
        }
        for endpoint in 1..=ENDPOINTS {
            let endpoint = u32::try_from(endpoint).expect("a small number");
            queue.handle(NOW, Input::Wanted { endpoint, total: limits::LEASE_MAX });
        }

        let reads = queue
            .run(NOW)
            .actions
            .iter()
            .filter(|action| matches!(action, Action::Read(ReadOrder::Event { .. })))
            .count();
        assert!(
            reads > limits::ATTEMPTS + limits::LOADS + limits::REPLAYS,
            "{reads}: more than attempts alone ask for"
        );
        assert!(reads <= limits::READS);
    }
}
