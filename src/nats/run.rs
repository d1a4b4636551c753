//! From a configuration to running routes, and the end.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::box_client::BoxClient;
use super::config::NatsConfig;
use super::connect::{ConnectFailure, Connection, connect};
use super::counts::BridgeCounts;
use super::intake::InRoute;
use super::out::OutRoute;
use super::promise::Weight;
use super::pulse::{LineGap, RoutePulse};
use super::setup::{Looked, Setup, SetupError, refuse_broken};
use crate::model::{Clock, limits};
use crate::service::clock;
use crate::service::exit::Exit;
use crate::service::notify::{self, NotifyState};
use crate::service::scrape;
use crate::service::signals::StopSignals;
use crate::service::stdio;

/// Threads of the runtime: the machines this runs on have two cores, seldom more.
const WORKERS: usize = 2;
/// How long `--check` waits for a server and for the daemon.
const CHECK: Duration = Duration::from_secs(10);
/// Before something that is not there yet is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

fn runtime() -> Result<Runtime, Exit> {
    let built =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    built.map_err(|error| Exit::new(Exit::IO, format!("the system gives no threads: {error}")))
}

/// `--check`: the configuration is valid; what it is worth, where that can be asked.
pub fn check(config: &NatsConfig, create: bool) -> Result<(), Exit> {
    stdio::print("the configuration is valid\n").map_err(Exit::output)?;
    // The service manager checks at each start, when a server may be away.
    if std::env::var_os("INVOCATION_ID").is_some() {
        return Ok(());
    }

    runtime()?.block_on(async {
        let looked = tokio::time::timeout(CHECK, look_once(config, create)).await;
        match looked.unwrap_or_else(|_| Err(SetupError::Passing("no answer in time".to_owned()))) {
            Ok(looked) => {
                for one in &looked {
                    for found in &one.findings {
                        stdio::print(format_args!("{}: {found}\n", one.route))
                            .map_err(Exit::output)?;
                    }
                }
                refuse_broken(&looked, config.nats.strict).or_else(not_asked)
            }
            Err(error) => not_asked(error),
        }
    })
}

/// What may be there in a moment is no fault of a configuration.
fn not_asked(error: SetupError) -> Result<(), Exit> {
    match error {
        SetupError::Fatal(exit) => Err(exit),
        SetupError::Passing(why) => {
            stdio::note(format_args!(
                "hookbox-nats: note: what the streams promise was not asked: {why}"
            ));
            Ok(())
        }
    }
}

async fn look_once(config: &NatsConfig, create: bool) -> Result<Vec<Looked>, SetupError> {
    let connected = connect(config, Arc::default(), clock::system()).await;
    let connection = connected.map_err(|failure| match failure {
        ConnectFailure::Away(why) => SetupError::Passing(why),
        ConnectFailure::Refused(what) => SetupError::Fatal(Exit::new(Exit::UNAVAILABLE, what)),
    })?;
    let daemon = BoxClient::new(&config.hookbox);
    let setup = Setup { config, connection: &connection, daemon: &daemon, create };
    setup.look().await.map(|(looked, _)| looked)
}

/// Runs the routes until a signal comes.
pub fn run(config: NatsConfig, create: bool) -> Result<(), Exit> {
    runtime()?.block_on(async {
        let mut signals = caught_signals()?;
        tokio::spawn(note_hangups(hangups()?));
        let clock: Clock = clock::system();
        let counts = Arc::new(BridgeCounts::of(&config));
        let pulses = Pulses::default();
        // It runs; what it waits for may take as long as it likes.
        notify::notify(&[NotifyState::Ready, NotifyState::Status("connecting to NATS")]);
        let watched = tokio::spawn(watch_over(pulses.clone(), clock.clone()));
        let connection = tokio::select! {
            connection = connected(&config, &counts, &clock) => connection?,
            () = signals.next() => return Ok(()),
        };
        let daemon = Arc::new(BoxClient::new(&config.hookbox));
        let bridge = Bridge { config, create, clock, connection, daemon, counts, pulses };
        let (stop, stopped) = watch::channel(false);
        bridge.serve_metrics(&stopped)?;

        let consumers = tokio::select! {
            looked = bridge.look() => looked?,
            () = signals.next() => return Ok(()),
            () = bridge.connection.closed() => return Err(refused(&bridge.config)),
        };
        let mut routes = bridge.start(consumers, &stopped);
        let names = bridge.names().join(", ");
        tracing::info!(routes = names, "ready");
        notify::notify(&[NotifyState::Status(&names)]);

        let is_closed = tokio::select! {
            () = signals.next() => false,
            () = bridge.connection.closed() => true,
        };
        tracing::info!("stopping: what is under way is finished");
        notify::stopping("stopping");
        stop.send_replace(true);
        while routes.join_next().await.is_some() {}
        watched.abort();
        tracing::info!("stopped");
        if is_closed {
            return Err(refused(&bridge.config));
        }
        Ok(())
    })
}

/// The client has given up, which it does when the servers refuse it.
fn refused(config: &NatsConfig) -> Exit {
    let what = format!(
        "{} will not have this client (the lines before say why): check credentials, nkey, user \
         and certificates",
        config.nats.servers.join(", ")
    );
    Exit::new(Exit::UNAVAILABLE, what)
}

/// Connects, and waits for servers that are away.
async fn connected(
    config: &NatsConfig,
    counts: &BridgeCounts,
    clock: &Clock,
) -> Result<Connection, Exit> {
    let lines = LineGap::new(clock.clone());
    loop {
        match connect(config, counts.connection.clone(), clock.clone()).await {
            Ok(connection) => return Ok(connection),
            Err(ConnectFailure::Refused(what)) => return Err(Exit::new(Exit::UNAVAILABLE, what)),
            Err(ConnectFailure::Away(why)) => {
                if let Some(left_out) = lines.open() {
                    tracing::warn!(why, left_out, "not connected yet; it is tried again");
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// HUP, which has daemons read their configuration again.
fn hangups() -> Result<Signal, Exit> {
    signal(SignalKind::hangup())
        .map_err(|error| Exit::new(Exit::IO, format!("cannot catch signals: {error}")))
}

/// Says that HUP changes nothing here. It would end the program without giving back its leases.
async fn note_hangups(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::warn!("SIGHUP: the configuration is read at the start alone: restart the bridge");
    }
}

/// What asks the bridge to end.
fn caught_signals() -> Result<StopSignals, Exit> {
    StopSignals::catch()
        .map_err(|error| Exit::new(Exit::IO, format!("cannot catch signals: {error}")))
}

/// The loops that are watched, by their routes.
type Pulses = Arc<std::sync::Mutex<Vec<(String, Arc<RoutePulse>)>>>;

/// Everything that the routes share.
struct Bridge {
    config: NatsConfig,
    create: bool,
    clock: Clock,
    connection: Connection,
    daemon: Arc<BoxClient>,
    counts: Arc<BridgeCounts>,
    pulses: Pulses,
}

impl Bridge {
    fn names(&self) -> Vec<String> {
        let out = self.counts.out.iter().map(|counts| counts.name.clone());
        out.chain(self.counts.intake.iter().map(|counts| counts.name.clone())).collect()
    }

    fn serve_metrics(&self, stopped: &watch::Receiver<bool>) -> Result<(), Exit> {
        let Some(address) = self.config.metrics.listen else { return Ok(()) };
        let (listener, _) = scrape::bind(address).map_err(|error| {
            let what = format!("[metrics] listen: cannot listen on {address}: {error}");
            Exit::new(Exit::CANNOT_CREATE, what)
        })?;
        let (counts, connection) = (self.counts.clone(), self.connection.clone());
        let page: scrape::MakePage = Arc::new(move || {
            let page = counts.page(connection.is_up());
            Box::pin(std::future::ready(Some(page)))
        });
        tokio::spawn(scrape::serve(listener, page, self.clock.clone(), stopped.clone()));
        Ok(())
    }

    /// Looks at streams and consumers, and waits for what is not there yet.
    async fn look(&self) -> Result<Vec<PullConsumer>, Exit> {
        let lines = LineGap::new(self.clock.clone());
        loop {
            let (config, create) = (&self.config, self.create);
            let setup =
                Setup { config, connection: &self.connection, daemon: &self.daemon, create };
            let within = Duration::from_millis(limits::NATS_ANSWER_MS);
            let looked = async {
                self.connection.up().await;
                setup.look().await
            };

            let why = match tokio::time::timeout(within, looked).await {
                Ok(Ok((looked, consumers))) => {
                    report(&looked);
                    match refuse_broken(&looked, config.nats.strict) {
                        Ok(()) => return Ok(consumers),
                        Err(SetupError::Fatal(exit)) => return Err(exit),
                        Err(SetupError::Passing(why)) => why,
                    }
                }
                Ok(Err(SetupError::Fatal(exit))) => return Err(exit),
                Ok(Err(SetupError::Passing(why))) => why,
                Err(_) => format!("no answer from {}", config.nats.servers.join(", ")),
            };
            if let Some(left_out) = lines.open() {
                tracing::warn!(why, left_out, "not ready yet; it is tried again");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Starts the routes.
    fn start(&self, consumers: Vec<PullConsumer>, stopped: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut routes = JoinSet::new();
        let mut pulses = Vec::new();
        let shared = || (self.connection.clone(), self.daemon.clone());
        for (config, counts) in self.config.out.iter().zip(&self.counts.out) {
            // It was checked when the file was read.
            let Ok(template) = config.template() else { continue };
            let ((connection, daemon), counts) = (shared(), counts.clone());
            let (own, box_name) = ((config.clone(), template), self.config.box_name());
            let route =
                OutRoute::new(own, box_name, connection, daemon, counts, self.clock.clone());
            pulses.push((config.route(), route.pulse.clone()));
            routes.spawn(route.run(stopped.clone()));
        }

        let intake = self.config.intake.iter().zip(&self.counts.intake).zip(consumers);
        for ((config, counts), consumer) in intake {
            let ((connection, daemon), counts) = (shared(), counts.clone());
            let (own, clock) = (config.clone(), self.clock.clone());
            let route = InRoute::new(own, connection, consumer, daemon, counts, clock);
            pulses.push((config.route(), route.pulse.clone()));
            routes.spawn(route.run(stopped.clone()));
        }
        *self.pulses.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = pulses;
        routes
    }
}

/// Says what the streams promise, a line a sentence.
fn report(looked: &[Looked]) {
    for one in looked {
        for finding in &one.findings {
            let route = &one.route;
            match finding.weight {
                Weight::Note => tracing::info!(route, "{finding}"),
                Weight::Weak | Weight::Broken => tracing::warn!(route, "{finding}"),
            }
        }
    }
}

/// A route whose loop does not come round any more.
fn hanging(pulses: &Pulses) -> Option<String> {
    let pulses = pulses.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    pulses.iter().find(|(_, pulse)| !pulse.is_alive()).map(|(route, _)| route.clone())
}

/// Says to the service manager that it lives, as long as all loops come round.
async fn watch_over(pulses: Pulses, clock: Clock) {
    let pause = notify::pause();
    let lines = LineGap::new(clock);
    loop {
        match hanging(&pulses) {
            None => notify::notify(&[NotifyState::Watchdog]),
            Some(route) if lines.open().is_some() => {
                tracing::error!(route, "a route does not come round any more");
            }
            Some(_) => {}
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Pulses, hanging};
    use crate::model::{Clock, Now, limits};
    use crate::nats::pulse::RoutePulse;

    #[test]
    fn one_route_that_hangs_is_enough_for_no_sign_of_life() {
        let ms = Arc::new(AtomicU64::new(0));
        let read = ms.clone();
        let clock: Clock =
            Arc::new(move || Now { mono_ms: read.load(Ordering::Relaxed), wall_ms: 0 });
        let pulses = Pulses::default();
        // Without routes it waits for servers, for as long as it likes.
        assert_eq!(hanging(&pulses), None);

        let of = |route: &str| (route.to_owned(), Arc::new(RoutePulse::new(clock.clone())));
        pulses.lock().expect("no panic").extend([of("a"), of("b")]);
        ms.store(limits::NATS_ALIVE_MS, Ordering::Relaxed);
        pulses.lock().expect("no panic")[0].1.beat();
        assert_eq!(hanging(&pulses).as_deref(), Some("b"));
        pulses.lock().expect("no panic")[1].1.beat();
        assert_eq!(hanging(&pulses), None);
    }
}
