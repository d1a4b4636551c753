//! Names to addresses. A trait, so that tests can be a name server that lies.
//!
//! The system's resolver blocks for as long as a name server is silent: ten seconds and more. So
//! each look-up has a thread of its own, with bounds that keep names whose servers are silent from
//! holding up the others:
//!
//! * a name is looked up once at a time, for everybody who asks for it meanwhile;
//! * at most `limits::LOOKUPS` at a time, of which names that were found the last time always find
//!   `limits::LOOKUPS_RESERVED`;
//! * one that takes longer than `limits::LOOKUP_SLOW_MS` leaves its slot to another: nothing can
//!   end it, so there may be `limits::LOOKUP_THREADS` with these. However many names turn out to be
//!   silent at once, one that nobody knows anything of yet waits a second for each
//!   `limits::LOOKUPS` of them, not for the end of theirs;
//! * names that took longer the last time get at most `limits::LOOKUPS_SLOW`: names that nobody
//!   knows anything of yet go before them.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::limits;

use super::boxed::Boxed;

/// Finds the addresses of a name. The guard checks them afterwards; a resolver need not.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`, in the order in which they are to be tried.
    fn resolve<'a>(&'a self, name: &'a str) -> Boxed<'a, io::Result<Vec<IpAddr>>>;
}

type LookupResult = Result<Vec<IpAddr>, (io::ErrorKind, String)>;
/// Called with a name whose look-up has to wait for those of others.
pub type WaitObserver = Arc<dyn Fn(&str) + Send + Sync>;

type LookupFn = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The system's resolver (`getaddrinfo`).
#[derive(Clone)]
pub struct SystemResolver {
    table: Arc<Mutex<LookupTable>>,
    ask: LookupFn,
    slow_after: Duration,
    observer: Option<WaitObserver>,
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        let ask =
            |name: &str| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect());
        Self::with(Arc::new(ask), Duration::from_millis(limits::LOOKUP_SLOW_MS))
    }
}

/// How the last look-up of a name went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum NameHistory {
    /// It was found the last time, in good time.
    Good,
    Unknown,
    Slow,
}

/// A look-up that runs or waits.
struct PendingLookup {
    kind: NameHistory,
    is_running: bool,
    waiters: Vec<oneshot::Sender<LookupResult>>,
}

/// Look-ups that run or wait, and how earlier ones went.
#[derive(Default)]
struct LookupTable {
    pending: HashMap<String, PendingLookup>,
    waiting: VecDeque<String>,
    known: HashMap<String, NameHistory>,
    /// Where timers run: a look-up may be started by the thread of another one.
    runtime: Option<tokio::runtime::Handle>,
}

impl LookupTable {
    fn running(&self, which: impl Fn(NameHistory) -> bool) -> usize {
        self.pending.values().filter(|lookup| lookup.is_running && which(lookup.kind)).count()
    }

    /// Whether a look-up of this kind may start beside those that run. A look-up holds a slot until
    /// it has turned out to be slow, and a thread until it ends.
    fn may_start(&self, kind: NameHistory) -> bool {
        let running = |which| self.running(|kind| kind == which);
        let (good, unknown, slow) =
            (running(NameHistory::Good), running(NameHistory::Unknown), running(NameHistory::Slow));
        let slots = good + unknown;
        let threads = good + unknown + slow;

        match kind {
            // Names that were found the last time may have every slot and every thread.
            NameHistory::Good => slots < limits::LOOKUPS && threads < limits::LOOKUP_THREADS,
            // Those that nobody knows leave some of both to them.
            NameHistory::Unknown => {
                unknown < limits::LOOKUPS - limits::LOOKUPS_RESERVED
                    && slots < limits::LOOKUPS
                    && threads < limits::LOOKUP_THREADS - limits::LOOKUPS_RESERVED
            }
            // Those that were slow the last time hold no slot. They are few, and wait while all
            // others together have as many threads as there are slots.
            NameHistory::Slow => slow < limits::LOOKUPS_SLOW && threads < limits::LOOKUPS,
        }
    }

    /// The names whose turn it is, in the order in which they were asked for within their kind.
    /// Those for which nobody waits any more are dropped.
    fn next(&mut self) -> Vec<String> {
        let mut started = Vec::new();
        for kind in [NameHistory::Good, NameHistory::Unknown, NameHistory::Slow] {
            for name in self.waiting.clone() {
                let Some(lookup) = self.pending.get_mut(&name).filter(|lookup| lookup.kind == kind)
                else {
                    continue;
                };
                lookup.waiters.retain(|waiter| !waiter.is_closed());

                let is_wanted = !lookup.waiters.is_empty();
                if is_wanted && !self.may_start(kind) {
                    break;
                }

                self.waiting.retain(|waiting| *waiting != name);
                match self.pending.get_mut(&name) {
                    Some(lookup) if is_wanted => {
                        lookup.is_running = true;
                        started.push(name);
                    }
                    _ => drop(self.pending.remove(&name)),
                }
            }
        }
        started
    }

    fn learn(&mut self, name: &str, kind: NameHistory) {
        if self.known.len() >= limits::LOOKUPS_KNOWN && !self.known.contains_key(name) {
            self.known.clear();
        }
        self.known.insert(name.to_owned(), kind);
    }
}

impl SystemResolver {
    fn with(ask: LookupFn, slow_after: Duration) -> Self {
        Self { table: Arc::default(), ask, slow_after, observer: None }
    }

    /// Reports names that have to wait.
    #[must_use]
    pub fn with_observer(self, observer: WaitObserver) -> Self {
        Self { observer: Some(observer), ..self }
    }

    fn table(&self) -> MutexGuard<'_, LookupTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let (waiter, answer) = oneshot::channel();
        {
            let mut table = self.table();
            table.runtime.get_or_insert_with(tokio::runtime::Handle::current);
            let kind = table.known.get(name).copied().unwrap_or(NameHistory::Unknown);
            if !table.pending.contains_key(name) {
                table.waiting.push_back(name.to_owned());
                let lookup = PendingLookup { kind, is_running: false, waiters: Vec::new() };
                table.pending.insert(name.to_owned(), lookup);
            }
            if let Some(lookup) = table.pending.get_mut(name) {
                lookup.waiters.push(waiter);
            }
        }

        self.start();
        if let Some(observer) = &self.observer
            && self.table().pending.get(name).is_some_and(|lookup| !lookup.is_running)
        {
            observer(name);
        }

        let gone = |_| io::Error::other("the look-up broke off");
        answer.await.map_err(gone)?.map_err(|(kind, why)| io::Error::new(kind, why))
    }

    /// Starts those whose turn it is.
    fn start(&self) {
        let started = self.table().next();
        for name in started {
            let (me, of_thread) = (self.clone(), name.clone());
            let thread = std::thread::Builder::new()
                .name("hookbox-lookup".to_owned())
                .stack_size(limits::LOOKUP_STACK);
            let spawned = thread.spawn(move || {
                let found = (me.ask)(&of_thread).map_err(|error| (error.kind(), error.to_string()));
                me.end(&of_thread, &found);
            });

            match spawned {
                Ok(_) => self.watch(name),
                Err(error) => {
                    self.end(&name, &Err((error.kind(), format!("no thread for it: {error}"))))
                }
            }
        }
    }

    /// A look-up that takes its time gives its slot to another of its kind.
    fn watch(&self, name: String) {
        let Some(runtime) = self.table().runtime.clone() else { return };
        let me = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(me.slow_after).await;
            {
                let mut table = me.table();
                let Some(lookup) = table.pending.get_mut(&name).filter(|lookup| lookup.is_running)
                else {
                    return;
                };
                lookup.kind = NameHistory::Slow;
                table.learn(&name, NameHistory::Slow);
            }
            me.start();
        });
    }

    fn end(&self, name: &str, found: &LookupResult) {
        let waiters = {
            let mut table = self.table();
            let Some(lookup) = table.pending.remove(name) else { return };

            // One that was slow and is found is not known to be good before it is found quickly.
            let kind = match (lookup.kind, found) {
                (NameHistory::Slow, Ok(_)) if table.known.get(name) == Some(&NameHistory::Slow) => {
                    NameHistory::Unknown
                }
                (NameHistory::Slow, _) => NameHistory::Slow,
                (_, Ok(_)) => NameHistory::Good,
                (_, Err(_)) => NameHistory::Unknown,
            };
            table.learn(name, kind);
            lookup.waiters
        };

        for waiter in waiters {
            let _ = waiter.send(found.clone());
        }
        self.start();
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Boxed<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(self.look_up(name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use super::{Resolve, SystemResolver};
    use crate::model::limits;

    /// Name servers of names that begin with `silent`, until they are let go.
    #[derive(Clone, Default)]
    struct Silence(Arc<(Mutex<(bool, usize)>, Condvar)>);

    impl Silence {
        fn resolver(&self, slow_after: Duration) -> SystemResolver {
            let silence = self.clone();
            let ask = move |name: &str| {
                if name.starts_with("silent") {
                    silence.wait();
                }
                Ok(vec!["192.0.2.1".parse().expect("an address")])
            };
            SystemResolver::with(Arc::new(ask), slow_after)
        }

        fn wait(&self) {
            let mut state = self.0.0.lock().expect("whole");
            state.1 += 1;
            self.0.1.notify_all();
            while !state.0 {
                state = self.0.1.wait(state).expect("whole");
            }
        }

        fn await_asked(&self, count: usize) {
            let mut state = self.0.0.lock().expect("whole");
            while state.1 < count {
                state = self.0.1.wait(state).expect("whole");
            }
        }

        fn end(&self) -> usize {
            let mut state = self.0.0.lock().expect("whole");
            state.0 = true;
            self.0.1.notify_all();
            state.1
        }
    }

    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn silent_servers_leave_threads_for_names_that_were_found() {
        let silence = Silence::default();
        let resolver = silence.resolver(NEVER);
        resolver.resolve("good.example").await.expect("found");
        let hanging: Vec<_> = (0..200)
            .map(|n| {
                let resolver = resolver.clone();
                tokio::spawn(async move { resolver.resolve(&format!("silent{n}.example")).await })
            })
            .collect();
        silence.await_asked(limits::LOOKUPS - limits::LOOKUPS_RESERVED);
        resolver.resolve("good.example").await.expect("not queued behind them");
        silence.end();
        for one in hanging {
            one.await.expect("ended").expect("found");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn names_that_wait_are_reported_and_others_are_not() {
        let silence = Silence::default();
        let reported = Arc::new(Mutex::new(HashSet::new()));
        let log = reported.clone();
        let resolver = silence.resolver(NEVER).with_observer(Arc::new(move |name| {
            log.lock().expect("whole").insert(name.to_owned());
        }));
        resolver.resolve("good.example").await.expect("found");
        let running = limits::LOOKUPS - limits::LOOKUPS_RESERVED;
        let mut hanging: Vec<_> = (0..running + 3).map(|n| format!("silent{n}.example")).collect();
        let last = hanging.split_off(running);
        let ask = |name: String| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.resolve(&name).await })
        };

        let mut asked: Vec<_> = hanging.into_iter().map(ask).collect();
        silence.await_asked(running);
        assert!(reported.lock().expect("whole").is_empty());
        asked.extend(last.iter().cloned().map(ask));
        while reported.lock().expect("whole").len() < 3 {
            tokio::task::yield_now().await;
        }
        resolver.resolve("good.example").await.expect("it finds its part");
        assert_eq!(*reported.lock().expect("whole"), last.into_iter().collect());
        silence.end();
        for one in asked {
            one.await.expect("ended").expect("found");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_name_that_nobody_knows_goes_before_those_that_are_known_to_be_slow() {
        let silence = Silence::default();
        let resolver = silence.resolver(Duration::from_millis(1));
        let names: Vec<String> =
            (0..2 * limits::LOOKUPS).map(|n| format!("silent{n}.example")).collect();
        names.iter().for_each(|name| resolver.table().learn(name, super::NameHistory::Slow));

        let hanging: Vec<_> = names
            .into_iter()
            .map(|name| {
                let resolver = resolver.clone();
                tokio::spawn(async move { resolver.resolve(&name).await })
            })
            .collect();

        silence.await_asked(limits::LOOKUPS_SLOW);
        for n in 0..3 * limits::LOOKUPS {
            resolver.resolve(&format!("new{n}.example")).await.expect("not queued behind them");
        }
        assert_eq!(silence.end(), limits::LOOKUPS_SLOW);
        for one in hanging {
            one.await.expect("ended").expect("found");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn names_that_turn_out_to_be_silent_make_room_for_others_that_nobody_knows() {
        let silence = Silence::default();
        let resolver = silence.resolver(Duration::from_millis(50));
        // As after a start: nothing is known of any name.
        let count = 3 * (limits::LOOKUPS - limits::LOOKUPS_RESERVED);
        let hanging: Vec<_> = (0..count)
            .map(|n| {
                let resolver = resolver.clone();
                tokio::spawn(async move { resolver.resolve(&format!("silent{n}.example")).await })
            })
            .collect();
        silence.await_asked(limits::LOOKUPS - limits::LOOKUPS_RESERVED);
        let good =
            tokio::time::timeout(Duration::from_secs(60), resolver.resolve("good.example")).await;
        good.expect("it does not wait for the end of theirs").expect("found");
        assert!(hanging.iter().all(|one| !one.is_finished()), "which has not come");

        // There is an end to these threads as well, and a part that names which were found can
        // have.
        let more: Vec<_> = (0..limits::LOOKUP_THREADS)
            .map(|n| {
                let resolver = resolver.clone();
                tokio::spawn(
                    async move { resolver.resolve(&format!("silent-too{n}.example")).await },
                )
            })
            .collect();
        silence.await_asked(limits::LOOKUP_THREADS - limits::LOOKUPS_RESERVED);
        let good =
            tokio::time::timeout(Duration::from_secs(60), resolver.resolve("good.example")).await;
        good.expect("it has a slot").expect("found");
        assert!(resolver.table().running(|_| true) <= limits::LOOKUP_THREADS);

        silence.end();
        for one in hanging.into_iter().chain(more) {
            one.await.expect("ended").expect("found");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_name_is_looked_up_once_for_all_who_ask() {
        let silence = Silence::default();
        let resolver = silence.resolver(NEVER);

        let asking: Vec<_> = (0..50)
            .map(|_| {
                let resolver = resolver.clone();
                tokio::spawn(async move { resolver.resolve("silent.example").await })
            })
            .collect();

        silence.await_asked(1);

        // All of them have asked, and one thread does it.
        while resolver.table().pending["silent.example"].waiters.len() < asking.len() {
            tokio::task::yield_now().await;
        }

        assert_eq!(silence.end(), 1);
        let mut found = HashSet::new();
        for one in asking {
            found.insert(one.await.expect("ended").expect("found"));
        }
        assert_eq!(found.len(), 1);
        assert!(resolver.table().pending.is_empty());
    }

    #[tokio::test]
    async fn the_systems_own_answers() {
        let found = SystemResolver::default().resolve("localhost").await.expect("found");
        assert!(found.iter().all(std::net::IpAddr::is_loopback) && !found.is_empty());
        assert!(SystemResolver::default().resolve("no-such-name.invalid").await.is_err());
    }
}
