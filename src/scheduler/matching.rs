//! Finding out where events go, before they are handed to the thread that decides: what it costs is
//! up to their senders.
//!
//! Most events need so little that it is done where they come in. The others go to a few threads
//! (`limits::FILTER_WORKERS`), by turns of their sources, of which none has all of these threads: a
//! source that sends what is expensive waits for itself. Everything is counted in steps (see
//! `queue::filter`), so that there is always an end: `limits::FILTER_STEPS` for an event,
//! `limits::FILTER_REQUEST_STEPS` for all of one request.
//!
//! What is made or changed of an endpoint is compiled here as well.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::shares::ShareCounts;
use super::unreadable_bodies::UnreadableBodies;
use crate::model::json::pointer;
use crate::model::share::{Share, ShareHolder};
use crate::model::{Header, SourceId, limits};
use crate::queue::matcher::{FanOut, Matcher, Steps, filter_input};
use crate::queue::{Matched, NewEvent, Refusal};

/// Bytes of a body that are parsed in a step, as where ordering keys are looked up.
const PARSED_IN_STEP: usize = 4;
/// Endpoints whose sources and types are compared in a step.
const COMPARED_IN_STEP: usize = 4;

/// The threads, and what waits for them. They are started when they are needed first, and end with
/// the last handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Workers {
    owner: Arc<Owner>,
    unreadable: Arc<UnreadableBodies>,
    shares: Arc<ShareCounts>,
}

/// Ends the threads.
#[derive(Debug, Default)]
struct Owner(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    jobs: Mutex<Jobs>,
    woken: Condvar,
}

type WorkerJob = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Jobs {
    waiting: HashMap<SourceId, VecDeque<WorkerJob>>,
    /// Sources with jobs that wait, each once.
    turns: VecDeque<SourceId>,
    running: HashMap<SourceId, usize>,
    /// How many wait, over all.
    count: usize,
    threads: usize,
    closed: bool,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs")
            .field("count", &self.count)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Workers {
    pub fn new(shares: Arc<ShareCounts>) -> Self {
        Self { shares, ..Self::default() }
    }

    /// What could not be read of what came in.
    pub fn unreadable(&self) -> &UnreadableBodies {
        &self.unreadable
    }

    /// The events with the endpoints that they go to.
    ///
    /// # Errors
    /// When too much waits to be matched, or too many deliveries would be made.
    pub async fn matched(
        &self,
        matcher: Arc<Matcher>,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Matched>, Refusal> {
        let events = match at_once(&matcher, events) {
            Ok(matched) => matched,
            Err(events) => {
                let source = events.first().map_or(0, |event| event.source.id);
                self.run(source, move || at_length(&matcher, events)).await??
            }
        };

        let count = |CheckedEvent { matched, is_unreadable }| {
            if is_unreadable {
                self.unreadable.count(&matched.event.source.name);
            }
            matched
        };
        Ok(events.into_iter().map(count).collect())
    }

    /// Does something on one of the threads when it is the source's turn.
    ///
    /// # Errors
    /// When too much waits already.
    pub async fn run<T: Send + 'static>(
        &self,
        source: SourceId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let job: WorkerJob = Box::new(move || {
            // Whoever asked may have gone.
            if !sender.is_closed() {
                let _ = sender.send(work());
            }
        });
        self.owner
            .0
            .add(source, job)
            .inspect_err(|_| self.shares.note(Share::FilterWork, ShareHolder::Source(source)))?;
        receiver.await.map_err(|_| Refusal::Stopping)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.woken.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, source: SourceId, job: WorkerJob) -> Result<(), Refusal> {
        let mut jobs = self.lock();
        let own = jobs.waiting.get(&source).map_or(0, VecDeque::len);
        if own >= limits::FILTER_WAITING || jobs.count >= limits::FILTER_WAITING_ALL {
            return Err(Refusal::Busy);
        }

        while jobs.threads < limits::FILTER_WORKERS {
            let shared = self.clone();
            let thread = std::thread::Builder::new().name("hookbox-filter".to_owned());
            match thread.spawn(move || shared.work()) {
                Ok(_handle) => jobs.threads += 1,
                // Those that there are do it all.
                Err(_) if jobs.threads > 0 => break,
                Err(_) => return Err(Refusal::Busy),
            }
        }

        jobs.count += 1;
        jobs.waiting.entry(source).or_default().push_back(job);
        if own == 0 {
            jobs.turns.push_back(source);
        }

        drop(jobs);
        self.woken.notify_one();
        Ok(())
    }

    /// What a thread does until the last handle is gone.
    fn work(&self) {
        let mut jobs = self.lock();
        while !jobs.closed {
            let Some((source, job)) = jobs.next() else {
                jobs = self.woken.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(jobs);
            job();
            jobs = self.lock();
            jobs.ended(source);
            // What it kept waiting may be for another thread.
            self.woken.notify_one();
        }
    }
}

impl Jobs {
    /// The next job of the first source whose turn it is and that has not its share.
    fn next(&mut self) -> Option<(SourceId, WorkerJob)> {
        let share = limits::FILTER_WORKERS - 1;
        let may =
            |source: &SourceId| self.running.get(source).is_none_or(|running| *running < share);
        let at = self.turns.iter().position(may)?;
        let source = self.turns.remove(at)?;
        let waiting = self.waiting.get_mut(&source)?;
        let job = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        self.count -= 1;
        *self.running.entry(source).or_default() += 1;
        Some((source, job))
    }

    fn ended(&mut self, source: SourceId) {
        if let Some(running) = self.running.get_mut(&source) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&source);
            }
        }
    }
}

/// An event with its endpoints, and whether something was looked for in its body that says it is
/// JSON and is not.
struct CheckedEvent {
    matched: Matched,
    is_unreadable: bool,
}

/// Matches events if that takes little and makes few deliveries; else it gives them back.
fn at_once(matcher: &Matcher, events: Vec<NewEvent>) -> Result<Vec<CheckedEvent>, Vec<NewEvent>> {
    let mut steps = Steps::new(limits::FILTER_INLINE_STEPS);
    let mut deliveries = 0;
    let mut found = Vec::with_capacity(events.len());
    for event in &events {
        let _looked_at = steps.take(compared(matcher));
        let facts = filter_input(event);
        let fan_out = matcher.fan_out(false, &facts, &mut steps);
        let is_unreadable = is_unreadable(event, &fan_out, &mut steps);
        deliveries += fan_out.wanted.len();
        if steps.left() == 0 || deliveries > limits::REQUEST_DELIVERIES {
            return Err(events);
        }
        found.push((fan_out, is_unreadable));
    }

    let checked = |(event, (fan_out, is_unreadable))| {
        let matched = Matched { event, fan_out };
        CheckedEvent { matched, is_unreadable }
    };
    Ok(events.into_iter().zip(found).map(checked).collect())
}

/// Matches events within all the steps that there are.
///
/// # Errors
/// When they would make too many deliveries.
fn at_length(matcher: &Matcher, events: Vec<NewEvent>) -> Result<Vec<CheckedEvent>, Refusal> {
    let mut left = limits::FILTER_REQUEST_STEPS;
    let mut deliveries = 0;
    let one = |event: NewEvent| {
        let given = left.min(limits::FILTER_STEPS);
        let mut steps = Steps::new(given);
        let _looked_at = steps.take(compared(matcher));
        let matched = matcher.matched(event, &mut steps);
        let is_unreadable = is_unreadable(&matched.event, &matched.fan_out, &mut steps);
        left -= given - steps.left();

        deliveries += matched.fan_out.wanted.len();
        if deliveries > limits::REQUEST_DELIVERIES {
            let limit = limits::REQUEST_DELIVERIES;
            return Err(Refusal::TooMany { what: "deliveries of one request", limit });
        }
        Ok(CheckedEvent { matched, is_unreadable })
    };
    events.into_iter().map(one).collect()
}

/// The steps of comparing an event with the sources and types of all endpoints.
fn compared(matcher: &Matcher) -> usize {
    matcher.len() / COMPARED_IN_STEP
}

/// Whether something was looked for in a body that says it is JSON and is not. With too few steps
/// left to parse the body it is not known, and the body does not count.
fn is_unreadable(event: &NewEvent, fan_out: &FanOut, steps: &mut Steps) -> bool {
    let source = &event.source;
    let lacks = |field: &Option<String>, found: bool| field.is_some() && !found;
    let is_lacking = lacks(&source.type_field, !event.kind.is_empty())
        || lacks(&source.id_field, event.dedupe_key.is_some());

    let is_asked_for = fan_out.unreadable || is_lacking;
    if event.body.is_empty() || !is_asked_for || !says_json(&event.headers) {
        return false;
    }
    if fan_out.unreadable {
        return true;
    }
    let may_parse = is_lacking && steps.take(1 + event.body.len() / PARSED_IN_STEP).is_ok();
    may_parse && pointer::find(&event.body, [None]).is_err()
}

/// Whether the content type is JSON, or one that is written in it.
fn says_json(headers: &[Header]) -> bool {
    headers.iter().filter(|header| header.name == "content-type").any(|header| {
        let text = header.text();
        let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;

    use super::{Workers, at_length, at_once, says_json};
    use crate::model::share::{Share, ShareHolder};
    use crate::model::{Endpoint, Header, Now, Source, limits};
    use crate::queue::matcher::Matcher;
    use crate::queue::testing::new_event;
    use crate::queue::{NewEvent, Refusal};

    fn event(source: u32, body: &str) -> NewEvent {
        let source = Source { id: source, ..Source::new(format!("s{source}"), "none") };
        let headers = vec![Header::new("content-type", "application/json")];
        new_event(Arc::new(source), headers, Bytes::from(body.to_owned()))
    }

    fn matcher(filter: &str) -> Arc<Matcher> {
        let mut matcher = Matcher::default();
        matcher.set(&Endpoint {
            id: 1,
            filter: Some(filter.to_owned()),
            ..Endpoint::new("e", "http://x/")
        });
        Arc::new(matcher)
    }

    #[tokio::test]
    async fn one_source_leaves_the_others_a_thread_and_waits_for_itself() {
        let workers = Workers::default();
        let (started, starts) = channel();
        let (go_on, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut hogs = Vec::new();
        for _ in 0..limits::FILTER_WAITING {
            let (started, gate) = (started.clone(), gate.clone());
            let workers = workers.clone();
            hogs.push(tokio::spawn(async move {
                workers
                    .run(1, move || {
                        let _ = started.send(());
                        let _ = gate.lock().map(|gate| gate.recv());
                    })
                    .await
            }));
            tokio::task::yield_now().await;
        }

        tokio::task::spawn_blocking(move || starts.recv())
            .await
            .expect("it ran")
            .expect("the first one has begun");
        assert_eq!(workers.run(2, || 7).await, Ok(7), "another source is served");

        for _ in 0..2 {
            let workers = workers.clone();
            hogs.push(tokio::spawn(async move { workers.run(1, || ()).await }));
            tokio::task::yield_now().await;
        }
        assert_eq!(workers.run(1, || ()).await, Err(Refusal::Busy), "its own places are taken");
        assert_eq!(workers.run(2, || 8).await, Ok(8));

        let full = workers.shares.seen().lately(Now::default());
        assert!(
            full.iter()
                .all(|full| full.share == Share::FilterWork && full.of == ShareHolder::Source(1))
                && !full.is_empty()
        );

        drop(go_on);
        let mut done = 0;
        for hog in hogs {
            done += usize::from(hog.await.expect("no panic").is_ok());
        }
        assert!(done >= limits::FILTER_WAITING, "all that had a place were served: {done}");

        // A thread gives the source's place back just after its answer.
        let is_idle = || {
            let jobs = workers.owner.0.lock();
            jobs.running.is_empty() && jobs.count == 0
        };
        while !is_idle() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn what_takes_long_is_given_back_and_all_of_a_request_has_an_end() {
        let costly = matcher("search(@.body.t, '[a-z]{16,40}==')");
        let body = format!(r#"{{"t":"{}"}}"#, "a".repeat(200_000));
        let Err(back) = at_once(&costly, vec![event(1, "{}"), event(1, &body)]) else {
            panic!("it was done at once")
        };
        assert_eq!(back.len(), 2);
        let many = (0..12).map(|_| event(1, &body)).chain([event(1, "{}")]).collect();
        let matched = at_length(&costly, many).expect("few deliveries");
        assert!(matched[..12].iter().all(|one| one.matched.fan_out.undecided == [1]));
        let cheap =
            at_once(&matcher("@.body.t == 'x'"), vec![event(1, r#"{"t":"x"}"#), event(1, "{}")]);
        let Ok(cheap) = cheap else { panic!("it was not done at once") };
        let wanted: Vec<usize> = cheap.iter().map(|one| one.matched.fan_out.wanted.len()).collect();
        assert_eq!(wanted, [1, 0]);
    }

    #[test]
    fn a_large_body_is_not_parsed_where_it_comes_in() {
        let lacking = |len: usize| {
            let mut event = event(1, &"[".repeat(len));
            let source = Source { type_field: Some("/t".into()), ..Source::clone(&event.source) };
            (event.source, event.kind) = (Arc::new(source), String::new());
            event
        };
        let matcher = Matcher::default();
        let Ok(small) = at_once(&matcher, vec![lacking(100)]) else { panic!("it is small") };
        assert!(small[0].is_unreadable);

        let large = 4 * usize::try_from(limits::FILTER_INLINE_STEPS).expect("it fits");
        let Err(back) = at_once(&matcher, vec![lacking(large)]) else {
            panic!("it was parsed at once")
        };
        assert!(at_length(&matcher, back).expect("few deliveries")[0].is_unreadable);
    }

    #[tokio::test]
    async fn json_that_cannot_be_read_is_counted_where_something_is_looked_for() {
        let workers = Workers::default();
        let asks = matcher("@.body.a == 1");
        let not_asked = matcher("@.type == 'x'");
        for (matcher, body, count) in
            [(&asks, "{}", 0), (&asks, "{", 1), (&asks, "", 1), (&not_asked, "{", 1)]
        {
            workers.matched(matcher.clone(), vec![event(1, body)]).await.expect("matched");
            assert_eq!(workers.unreadable().of("s1"), count, "{body}");
        }

        let mut looked_for = event(1, "{");
        looked_for.source =
            Arc::new(Source { type_field: Some("/t".into()), ..Source::clone(&looked_for.source) });
        looked_for.kind.clear();
        workers.matched(not_asked.clone(), vec![looked_for]).await.expect("matched");
        assert_eq!(workers.unreadable().of("s1"), 2);

        workers.unreadable().retain(|name| name != "s1");
        assert_eq!(workers.unreadable().all().len(), 0, "the source is gone");

        let kind = |value: &str| says_json(&[Header::new("content-type", value.to_owned())]);
        assert!(
            kind("application/json")
                && kind("Application/CloudEvents+JSON; charset=utf-8")
                && !kind("text/plain")
        );
    }

    /// Endpoints without a filter cost something as well, and a batch is decided at once.
    #[test]
    fn a_batch_at_many_endpoints_is_matched_elsewhere_and_makes_so_many_deliveries_at_most() {
        let mut matcher = Matcher::default();
        for id in 1..=limits::ENDPOINTS {
            let id = u32::try_from(id).expect("few");
            matcher.set(&Endpoint { id, ..Endpoint::new(format!("e{id}"), "http://x/") });
        }
        let events = |count: usize| vec![event(1, "{}"); count];
        let most = limits::REQUEST_DELIVERIES / limits::ENDPOINTS;
        assert!(at_once(&matcher, events(1)).is_ok());
        let back = at_once(&matcher, events(most)).err().expect("it costs too many steps");
        assert_eq!(back.len(), most);

        assert!(at_length(&matcher, back).is_ok_and(|all| all.len() == most));
        let refused = at_length(&matcher, events(most + 1)).err();
        assert!(matches!(refused, Some(Refusal::TooMany { .. })), "{refused:?}");
    }
}
