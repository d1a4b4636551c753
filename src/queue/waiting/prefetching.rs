//! Reads ahead: entries of the endpoints' streams come into their prefetches, from memory when they
//! are at hand, else by reading the log. So many reads are under way at a time (`limits::LOADS`);
//! others wait for their turns.

use crate::queue::action::{Action, ReadOrder, StreamOrder};
use std::collections::BTreeMap;

use crate::model::share::{Share, ShareHolder};
use crate::model::{EndpointId, Now, Seq, limits};
use crate::queue::input::StreamRead;
use crate::queue::stream::order::Keys;
use crate::queue::stream::stream_entry::StreamEntry;
use crate::queue::{Draft, Queue, State};

impl Queue {
    /// Takes entries of the stream into the prefetch: from memory when they are at hand, else by a
    /// refill.
    pub(in crate::queue) fn fill(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        self.share_retries(id, now);
        let endpoint = self.state.endpoint(id);
        let back = endpoint.reads_back().is_some();
        let wants_more = endpoint.may_prefetch() && (endpoint.wants_first_attempts() || back);
        if !wants_more || endpoint.prefetch().is_reading() {
            return;
        }

        let keys = endpoint.keys();
        let unread = endpoint.prefetch().unread();
        let left = endpoint.prefetch_left();
        let half_full = endpoint.prefetch().len() > endpoint.prefetch_capacity() / 2;
        let is_recent = |from: &Seq| {
            *from >= self.recent.covers_from() && endpoint.kept.first_from(*from).is_none()
        };
        if let Some(from) = unread.filter(is_recent) {
            let entries = self.recent.entries(id, from, &keys).take(left + 1);
            let mut entries: Vec<StreamEntry> = entries.collect();
            // Looking into bodies is not for this thread. What is not at hand in full is read from
            // the log, with all before it.
            if !entries.iter().any(|entry| keys.lacks(entry)) {
                // There may be more behind these: some of them may not come into the prefetch after
                // all.
                let unread = entries.get(left).map(|entry| entry.position);
                self.state.endpoint_mut(id).read_forward_to(unread);
                entries.truncate(left);
                return self.take_forward(id, entries, now, draft);
            }
        }

        if half_full {
            return;
        }
        if self.loads < limits::LOADS {
            return self.refill(id, keys, draft);
        }
        // So many reads are under way already: it has its turn when one of them has ended.
        if unread.is_some() || back {
            self.turns.awaiting_read.push(id);
        }
    }

    /// Each source leaves the others their part of the endpoint's retries.
    fn share_retries(&mut self, id: EndpointId, now: Now) {
        let endpoint = self.state.endpoint_mut(id);
        endpoint.share_retries();
        for source in endpoint.take_left_out() {
            let of =
                if source == 0 { ShareHolder::Endpoint(id) } else { ShareHolder::Source(source) };
            self.full_shares.note(Share::Retries, of, now);
        }
    }

    /// Those whose streams are to be read have their turns, the first of them first, as long as
    /// more reads may be under way.
    pub(in crate::queue) fn run_reads(&mut self, now: Now, draft: &mut Draft) {
        while self.loads < limits::LOADS
            && let Some(id) = self.turns.awaiting_read.pop()
        {
            if !self.link.keeps_back(id) {
                self.fill(id, now, draft);
            }
            self.wake(id);
        }
    }

    pub(in crate::queue) fn may_read_more(&self) -> bool {
        !self.turns.awaiting_read.is_empty() && self.loads < limits::LOADS
    }

    /// A read of the log has ended: see `run_reads`.
    pub(in crate::queue) fn load_ended(&mut self) {
        self.loads = self.loads.saturating_sub(1);
    }

    /// Has the stream read from the log, forward, or backward where nothing is left forward.
    fn refill(&mut self, id: EndpointId, keys: Keys, draft: &mut Draft) {
        let log = (self.state.first_seq, self.state.next_seq);
        let endpoint = self.state.endpoint_mut(id);
        let Some((from, until, kept)) = endpoint.next_part(log) else { return };

        endpoint.set_reading(true);
        let max_entries = endpoint.prefetch_left().max(1);
        let max_bytes = limits::PREFETCH_BYTES.saturating_sub(endpoint.prefetch().bytes());
        let order = StreamOrder { endpoint: id, from, until, kept, max_entries, max_bytes, keys };
        draft.actions.push(Action::Read(ReadOrder::Stream(order)));
        self.loads += 1;
    }

    /// A refill has read the stream, forward or backward.
    pub(in crate::queue) fn refilled(
        &mut self,
        now: Now,
        id: EndpointId,
        read: StreamRead,
        asked: Keys,
        draft: &mut Draft,
    ) {
        self.load_ended();
        let first_seq = self.state.first_seq;
        // The endpoint may have been deleted while the log was read.
        let Some(endpoint) = self.state.find_mut(id) else { return };
        endpoint.set_reading(false);
        // Retention may have dropped the records before they were read, so they are read again.
        if !endpoint.holds_still(&read, first_seq) {
            return self.wake(id);
        }
        let StreamRead { from, mut entries, next, .. } = read;

        // The endpoint's pointers may have changed meanwhile, and events may have been relocated.
        // What was found where it was looked for is looked for there again.
        let keys = endpoint.keys();
        let mut asked = if asked.asks_as(&keys) { asked } else { keys };
        let missing = missing(&self.state, &asked, &mut entries);
        if !missing.is_empty() {
            asked.moved.extend(missing);
            return self.refill(id, asked, draft);
        }

        // Where the stream is to be read from elsewhere by now, this read is of no use.
        let next_seq = self.state.next_seq;
        let endpoint = self.state.endpoint_mut(id);
        if endpoint.prefetch().unread() == Some(from) && next > from {
            endpoint.read_forward_to((next < next_seq).then_some(next));
            self.take_forward(id, entries, now, draft);
        } else if endpoint.reads_back().is_some_and(|(before, _)| before == from) && next < from {
            self.take_back(id, entries, next, now, draft);
        }
        self.wake(id);
    }

    /// Takes entries that go forward into the prefetch.
    fn take_forward(
        &mut self,
        id: EndpointId,
        entries: Vec<StreamEntry>,
        now: Now,
        draft: &mut Draft,
    ) {
        let endpoint = self.state.endpoint_mut(id);
        // While the newest go first, what has just come in goes before what waited.
        let in_front = endpoint.takes_in_front();
        let mut superseded = Vec::new();
        for mut entry in entries {
            if !endpoint.may_prefetch() {
                endpoint.read_again_from(entry.position);
                break;
            }

            entry.key = endpoint.lane_of(&entry);
            if !endpoint.is_worth_taking(&entry, &mut superseded) {
                continue;
            }

            let born = entry.born;
            endpoint.take_into_prefetch(entry, now.mono_ms, in_front);
            endpoint.read_past(born);
        }

        let more = endpoint.prefetch().unread().is_some() && endpoint.may_prefetch();
        if more {
            self.wake(id);
        }
        self.supersede(id, superseded, now, draft);
    }

    /// Takes entries that go backward into the prefetch; of those with a key, only the newest.
    fn take_back(
        &mut self,
        id: EndpointId,
        entries: Vec<StreamEntry>,
        next: Seq,
        now: Now,
        draft: &mut Draft,
    ) {
        let endpoint = self.state.endpoint_mut(id);
        let (mut superseded, mut learned) = (Vec::new(), Vec::new());
        let (mut reached, mut too_many_keys) = (next, false);
        for mut entry in entries {
            if !endpoint.may_prefetch() {
                reached = entry.position + 1;
                break;
            }

            // One that waits for a retry learns its key here: it was attempted before the key was
            // asked for.
            let delivery = entry.delivery.seq;
            entry.key = endpoint.lane_of(&entry);
            let lacks_key = |waiting| endpoint.lacks_key(delivery, waiting);
            if endpoint.retrying.get(&delivery).is_some_and(lacks_key) {
                learned.extend(entry.key.map(|key| (delivery, key)));
            }

            // Of each key the first one met is the newest. Without memory for its key the reading
            // stops, because then it would not be known for older ones.
            // A dead letter counts: its receiver may have seen it.
            let is_cancelled = endpoint.cancelled.contains(delivery);
            if let Some(key) = entry.key.filter(|_| endpoint.is_latest() && !is_cancelled) {
                superseded.extend(endpoint.older_waiting(key, delivery));
                let waits =
                    endpoint.retrying.contains_key(&delivery) || endpoint.stands_in_stream(&entry);
                if waits && endpoint.has_newer(key, delivery) {
                    superseded.push(delivery);
                    continue;
                }
                if !endpoint.note_latest(key, delivery) {
                    (reached, too_many_keys) = (entry.position + 1, true);
                    break;
                }
            }

            endpoint.take_into_prefetch(entry, now.mono_ms, false);
        }

        endpoint.read_back_to(reached, too_many_keys);
        self.learn_keys(id, learned, draft);
        self.supersede(id, superseded, now, draft);
    }
}

/// Where the events stand whose entries still lack what was asked for. Those that are not in the
/// log any more, or cannot be read where they stand, get keys nevertheless: what is wrong with them
/// shows when their turn comes.
fn missing(state: &State, asked: &Keys, entries: &mut [StreamEntry]) -> BTreeMap<Seq, Seq> {
    let mut stands_at = BTreeMap::new();
    for entry in entries.iter_mut().filter(|entry| asked.lacks(entry)) {
        let tried = asked.moved.get(&entry.event).copied().unwrap_or(entry.event);
        match state.stands_at(entry.event).filter(|at| *at != tried) {
            Some(at) => {
                stands_at.insert(entry.event, at);
            }
            None => asked.fill_nothing(entry),
        }
    }
    stands_at
}
