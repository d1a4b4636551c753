//! Which requests share a step, and with it a commit.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;

use super::envelope::Envelope;
use crate::model::limits;
use crate::queue::Growth;

/// What a request counts beside the bodies of its events.
const REQUEST_BYTES: usize = 512;

/// The large requests that wait. The commit of a large body takes long, so the body is written some
/// blocks at a time, and then has a step of its own, by turns with steps of all others: nobody
/// waits for more than one of these.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    large: VecDeque<Envelope>,
    /// The last step was one of others.
    is_turn_of_large: bool,
}

impl Gathering {
    pub fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// The next large request, while it waits.
    pub fn front(&self) -> Option<&Envelope> {
        self.large.front()
    }

    pub fn is_turn_of_large(&self) -> bool {
        self.is_turn_of_large && self.has_large()
    }

    /// Some of a large body was written: others have their turn.
    pub fn end_turn_of_large(&mut self) {
        self.is_turn_of_large = false;
    }

    /// The next large request, when it is their turn.
    pub fn large_in_turn(&mut self) -> Option<Envelope> {
        if self.is_turn_of_large { self.next_large() } else { None }
    }

    /// The next large request, because there are no others.
    pub fn next_large(&mut self) -> Option<Envelope> {
        self.is_turn_of_large = false;
        self.large.pop_front()
    }

    /// The first request and whatever else has come by now: they share the commit, within what one
    /// step may hold. Large ones wait for their turn. `admit` takes a request in, or refuses it; it
    /// is given the bytes that came so far, and gives those that came with this one.
    pub fn gather(
        &mut self,
        first: Envelope,
        channel: &Receiver<Envelope>,
        admit: impl Fn(Envelope, usize) -> Option<(Envelope, usize)>,
    ) -> Vec<Envelope> {
        self.is_turn_of_large = true;
        let (mut requests, mut bytes) = (Vec::new(), 0);
        let others = std::iter::from_fn(|| channel.try_recv().ok());

        // Refusing takes time as well, so those that are refused count.
        for request in std::iter::once(first).chain(others).take(limits::STEP_INPUTS) {
            if event_bytes(&request) >= limits::LARGE_REQUEST {
                self.large.push_back(request);
            } else if let Some((request, len)) = admit(request, bytes) {
                requests.push(request);
                bytes += len;
            }
            if bytes >= limits::STEP_BYTES {
                break;
            }
        }
        requests
    }
}

/// About how many bytes come with a request.
pub(super) fn event_bytes(request: &Envelope) -> usize {
    match request.growth() {
        Growth::Events { bytes, .. } => bytes,
        Growth::Backlog { bytes } => REQUEST_BYTES + bytes,
        Growth::None | Growth::Settings => REQUEST_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::{Envelope, Gathering, event_bytes};
    use crate::model::limits::{LARGE_REQUEST, STEP_BYTES, STEP_INPUTS};
    use crate::model::{Event, EventId, Source};
    use crate::queue::matcher::FanOut;
    use crate::queue::testing::new_event;
    use crate::queue::{Accept, ImportEvents, ImportedEvent, Matched, Refusal, StatusQuery};

    fn request() -> Envelope {
        Envelope::ask(StatusQuery, None).0
    }

    /// An event with a large body.
    fn large() -> Envelope {
        let source = Arc::new(Source::new("in", "none"));
        let event = new_event(source, Vec::new(), vec![b'x'; LARGE_REQUEST].into());
        let accept = Accept(vec![Matched { event, fan_out: FanOut::default() }]);
        Envelope::ask(accept, None).0
    }

    #[test]
    fn a_step_is_bounded_whether_its_requests_are_taken_in_or_refused() {
        let (sender, receiver) = channel();
        (0..4 * STEP_INPUTS).for_each(|_| sender.send(request()).expect("sent"));

        let refuse = |request: Envelope, _| {
            request.refuse(Refusal::NoDiskSpace("over its share".to_owned()));
            None
        };
        let mut gathering = Gathering::default();
        assert!(gathering.gather(request(), &receiver, refuse).is_empty());
        let all = gathering.gather(request(), &receiver, |r, _| Some((r, 1)));
        assert_eq!(all.len(), STEP_INPUTS);
        let large = gathering.gather(request(), &receiver, |r, _| Some((r, STEP_BYTES / 2)));
        assert_eq!(large.len(), 2);
        assert_eq!(receiver.try_iter().count(), 2 * STEP_INPUTS + 1, "what is left");
    }

    #[test]
    fn imports_count_what_they_bring() {
        let event = Event {
            id: EventId { seq: 1, tag: 1 },
            source: 1,
            source_name: "in".into(),
            kind: "t".into(),
            received_at: 1,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: Vec::new(),
            body: vec![b'x'; LARGE_REQUEST / 4].into(),
            from_provider: false,
            first_id: None,
        };
        let imported = ImportedEvent {
            event,
            dedupe: None,
            content: None,
            identity: 1,
            deliver_to: Vec::new(),
            dead: Vec::new(),
        };
        let import =
            |count| Envelope::ask(ImportEvents { events: vec![imported.clone(); count] }, None).0;
        assert!(event_bytes(&import(1)) >= LARGE_REQUEST / 4);

        let (sender, receiver) = channel();
        (0..3).for_each(|_| sender.send(import(4)).expect("sent"));
        let mut gathering = Gathering::default();
        let gathered = gathering.gather(import(1), &receiver, |r, _| Some((r, 1)));
        assert_eq!(gathered.len(), 1, "each of the large ones has a commit of its own");
        assert!(gathering.has_large());
    }

    #[test]
    fn what_waits_for_large_bodies_waits_for_one_of_them() {
        let (sender, receiver) = channel();
        (0..3).for_each(|_| sender.send(large()).expect("sent"));
        (0..5).for_each(|_| sender.send(request()).expect("sent"));

        let mut gathering = Gathering::default();
        let admit = |request: Envelope, _| Some((request, 1));
        let gathered = gathering.gather(large(), &receiver, admit);
        assert_eq!(gathered.len(), 5, "all others go first");

        for _ in 0..2 {
            let turn = gathering.large_in_turn().expect("one has its turn");
            assert!(event_bytes(&turn) >= LARGE_REQUEST);
            assert!(gathering.large_in_turn().is_none(), "and then others");
            assert_eq!(gathering.gather(request(), &receiver, admit).len(), 1);
        }
        assert!(gathering.next_large().is_some() && gathering.next_large().is_some());
        assert!(!gathering.has_large());
    }
}
