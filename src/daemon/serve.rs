//! From an opened log to a running daemon, and its shutdown.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngCore;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::check::policy;
use super::exit::Exit;
use super::fresh_config::FreshConfig;
use super::history::HistoryKeeper;
use super::idle_exit::{EndedIdle, IdleExit};
use super::refusal_mark::RefusalMark;
use super::reload;
use super::sockets::Sockets;
use super::start::Opened;
use super::{adapters, boot_apply, change_log, ctl_hint, deliver, housekeeping, service_manager};
use crate::admin::{self, Admin, AdminInfo};
use crate::config::Config;
use crate::config::args::Args;
use crate::ingest::{Ingest, IngestLimits, Keyring, Listener, Origins};
use crate::model::limits;
use crate::model::share::{Share, ShareHolder};
use crate::outbound::LeaseHub;
use crate::outbound::{NoteShare, Outbound, OutboundSettings, SystemResolver};
use crate::scheduler::{self, Clock, Fatal, Handle, Retention, SchedulerParts};
use crate::service::logging::Levels;
use crate::service::scrape;
use crate::service::signals::StopSignals;

/// How long attempts in flight may take when the daemon stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Threads of the runtime: the machines this runs on have two cores, seldom more.
const WORKERS: usize = 2;

/// What runs beside the scheduler thread.
struct Services {
    handle: Handle,
    ingest: Arc<Ingest>,
    outbound: Arc<Outbound>,
    stop: watch::Sender<bool>,
    ingress: Vec<tokio::task::JoinHandle<()>>,
    admin: tokio::task::JoinHandle<()>,
    in_flight: Arc<AtomicUsize>,
    history: Arc<HistoryKeeper>,
    idle: Option<IdleExit>,
}

/// The threads that serve, and the signals, which are caught from now on: one that comes while the
/// log is being opened does not end the process halfway.
pub fn runtime() -> Result<(Runtime, Signals), Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(limits::BLOCKING_THREADS)
        .thread_name("hookbox-io")
        .thread_stack_size(limits::IO_STACK)
        .enable_all()
        .build()
        .map_err(|error| Exit::new(Exit::IO, format!("no thread can be started: {error}")))?;
    let signals = runtime.block_on(async { Signals::catch() })?;
    Ok((runtime, signals))
}

/// Serves until a signal stops it.
pub fn run(
    args: &Args,
    config: Config,
    levels: &Levels,
    clock: Clock,
    (Opened { log, reader, queue, problems }, sockets): (Opened, Sockets),
    (runtime, signals): (Runtime, Signals),
) -> Result<(), Exit> {
    let (handle, channels) = scheduler::channel();
    let changes = handle.changes();
    handle.shares().read_time_from(&clock);
    handle.meters().read_time_from(&clock);
    if RefusalMark::of(&config.data).is_set() {
        handle.health().disk.resume_refusing();
    }
    let (attempts, orders) = mpsc::channel(limits::ATTEMPTS * 2 + limits::LEASES);

    let parts = SchedulerParts {
        log,
        reader: reader.clone(),
        queue,
        channels,
        handle: handle.clone(),
        clock: clock.clone(),
        attempts,
        retention: retention(&config),
        fatal: fatal(),
    };
    let thread = scheduler::start(parts).map_err(|error| Exit::new(Exit::IO, error.to_string()))?;

    runtime.spawn(change_log::run(changes, clock.clone()));

    let served: Result<Option<EndedIdle>, Exit> = runtime.block_on(async {
        let origins = Origins {
            environment: Some(Arc::new(|name| std::env::var(name).ok())),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into),
            cache: Some(config.data.join("jwks")),
            fetch: None,
        };

        let outbound = outbound(&config, &clock, &origins, handle.shares().clone())?;
        let files = (&config, args.config.as_deref());
        let inside = (outbound, origins, orders, reader);
        let mut running = open(files, &clock, &handle, sockets, inside).await?;
        if !problems.is_empty() {
            tracing::warn!(
                problems = problems.len(),
                "serving with a damaged log; see `hookboxctl log verify`"
            );
        }

        let idle = running.idle.take();
        let ended = until_stopped(signals, args, config, levels, &running, idle).await?;
        stop(running).await;
        Ok(ended)
    });

    // The thread commits what it has, and closes the log.
    let _closing = service_manager::more_time("closing the log");
    handle.stop();
    let closed =
        thread.join().map_err(|_| Exit::new(Exit::SOFTWARE, "the scheduler thread panicked"))?;
    let ended = served?;
    closed?;
    if let Some(idle) = ended {
        idle.finish(handle.health().durable.load(Ordering::Acquire));
    }
    tracing::info!("stopped: everything that was acknowledged is stored");
    Ok(())
}

/// How long events and dead letters are kept.
fn retention(config: &Config) -> Retention {
    let kept = &config.retention;
    Retention {
        delivered_ms: kept.delivered.0,
        delivered_events: kept.delivered_events,
        delivered_bytes: kept.delivered_bytes.map(|bytes| bytes.0),
        dead_ms: kept.dead.0,
        dead_events: kept.dead_events,
        dead_bytes: kept.dead_bytes.map(|bytes| bytes.0),
    }
}

/// Starts the services, and announces that the daemon is ready.
async fn open(
    (config, config_file): (&Config, Option<&Path>),
    clock: &Clock,
    handle: &Handle,
    mut sockets: Sockets,
    (outbound, origins, orders, reader): (
        Arc<Outbound>,
        Origins,
        mpsc::Receiver<scheduler::AttemptOrder>,
        crate::log::Reader,
    ),
) -> Result<Services, Exit> {
    let lent = adapters::lookup(&origins);
    let speaks_tls = sockets.listeners.iter().any(Listener::is_tls);
    let ingest = open_ingest(config, clock, handle, (&outbound, origins), speaks_tls)?;

    let (admin_listener, socket) = sockets.admin(config)?;
    let Sockets { listeners, metrics, idle_ms, .. } = sockets;
    let addresses: Vec<String> = listeners.iter().map(Listener::address).collect();
    let (direct, post_to) = direct(&listeners);

    let (stop, stopped) = watch::channel(false);
    let hub = lease_hub(handle, clock);
    let history =
        HistoryKeeper::open(&config.data, handle.clone(), ingest.refusals(), clock.clone());

    let has_file = config_file.is_some();
    let info = admin_info(config, clock, &addresses, &direct);
    let adapters = adapters::lend(outbound.clone(), &ingest, lent, &hub, &history, has_file);
    let mut admin = admin_api(handle, clock, reader, &ingest, (info, adapters));
    // Before anything comes in: what the files ask for is there from the first request on.
    admin.info.applied = boot_apply::run(&admin, config_file).await.map(Arc::new);
    let admin = Arc::new(admin);
    report_unusable(&ingest);

    let in_flight = Arc::new(AtomicUsize::new(0));
    let (out, counter) = (outbound.clone(), in_flight.clone());
    tokio::spawn(deliver::run(orders, out, hub.clone(), handle.clone(), counter));
    tokio::spawn(async move { hub.run().await });
    tokio::spawn(history.clone().run(stopped.clone()));
    tokio::spawn(housekeeping::run(
        ingest.clone(),
        outbound.clone(),
        handle.clone(),
        clock.clone(),
        RefusalMark::of(&config.data),
        stopped.clone(),
    ));
    serve_metrics(metrics, &admin, &stopped);
    let admin = tokio::spawn(admin.serve(admin_listener, stopped.clone()));

    // Before the first connection, which may wait in a passed socket already: what it brings has to
    // be delivered after a power cut, too.
    let idle = idle_ms.map(|ms| {
        IdleExit::new(handle.clone(), clock.clone(), ms, addresses.clone(), &config.data)
    });
    handle.health().accepting.store(true, Ordering::Release);
    // Not before: what it reports first is whether events are accepted.
    tokio::spawn(service_manager::report(handle.clone(), addresses.clone(), stopped.clone()));
    let serve = |listener| tokio::spawn(ingest.clone().serve(listener, stopped.clone()));
    let ingress: Vec<_> = listeners.into_iter().map(serve).collect();
    announce_ready(&addresses, &post_to, &socket);

    let handle = handle.clone();
    Ok(Services { handle, ingest, outbound, stop, ingress, admin, in_flight, history, idle })
}

/// Says which sources refuse everything for want of something that is kept elsewhere. That may read
/// files, which can take its time.
fn report_unusable(ingest: &Arc<Ingest>) {
    let ingest = ingest.clone();
    drop(tokio::task::spawn_blocking(move || ingest.report_unusable()));
}

/// What takes events in. Each module gets what it needs of the others as functions: they do not
/// know each other.
fn open_ingest(
    config: &Config,
    clock: &Clock,
    handle: &Handle,
    (outbound, origins): (&Arc<Outbound>, Origins),
    speaks_tls: bool,
) -> Result<Arc<Ingest>, Exit> {
    let fresh = FreshConfig::read(config).map_err(|what| Exit::new(Exit::CONFIG, what))?;
    let origins = Origins { fetch: Some(housekeeping::fetch(outbound.clone())), ..origins };
    let ingest = Ingest::new(handle.clone(), clock.clone(), ingest_limits(config));
    let tls = fresh.tls().filter(|_| speaks_tls);
    let ingest = Arc::new(ingest.with_tls(tls).with_keys(Keyring::new(origins)));
    fresh.set(&ingest, clock().wall_ms);
    Ok(ingest)
}

/// The admin API, before the files of the start are applied.
fn admin_api(
    handle: &Handle,
    clock: &Clock,
    reader: crate::log::Reader,
    ingest: &Ingest,
    (info, adapters): (AdminInfo, admin::Adapters),
) -> Admin {
    Admin {
        handle: handle.clone(),
        log: Arc::new(reader),
        clock: clock.clone(),
        random: Arc::new(|bytes| rand::rng().fill_bytes(bytes)),
        refusals: adapters::refusals(&ingest.refusals()),
        info,
        adapters,
        context: admin::CallerContext::default(),
    }
}

/// Who leases the deliveries of pull endpoints to their consumers.
fn lease_hub(handle: &Handle, clock: &Clock) -> Arc<LeaseHub> {
    let random = Arc::new(|bytes: &mut [u8]| rand::rng().fill_bytes(bytes));
    LeaseHub::new(handle.clone(), clock.clone(), random)
}

/// What the admin API says of the daemon.
fn admin_info(
    config: &Config,
    clock: &Clock,
    addresses: &[String],
    direct: &[String],
) -> AdminInfo {
    AdminInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: clock(),
        // Absolute, for a ctl that runs in another folder.
        data: std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone()),
        listen: addresses.to_vec(),
        direct: direct.to_vec(),
        applied: None,
    }
}

/// Serves the metrics where that is configured.
fn serve_metrics(
    listener: Option<TcpListener>,
    admin: &Arc<Admin>,
    stopped: &watch::Receiver<bool>,
) {
    let Some(listener) = listener else { return };
    let (page, clock) = (admin.metrics_page(), admin.clock.clone());
    tokio::spawn(scrape::serve(listener, page, clock, stopped.clone()));
}

fn ingest_limits(config: &Config) -> IngestLimits {
    IngestLimits {
        connections: super::descriptors::for_connections(config.limits.connections),
        head_timeout_ms: config.limits.head_timeout.0,
        body_timeout_ms: config.limits.body_timeout.0,
        ..IngestLimits::default()
    }
}

fn outbound(
    config: &Config,
    clock: &Clock,
    origins: &Origins,
    shares: Arc<scheduler::ShareCounts>,
) -> Result<Arc<Outbound>, Exit> {
    let note_share: NoteShare = Arc::new(move |share, of| shares.note(share, of));
    let note = note_share.clone();
    let waits =
        Arc::new(move |name: &str| note(Share::Lookups, ShareHolder::Name(name.to_owned())));
    let settings = OutboundSettings {
        extra_ca: config.outbound.extra_ca.clone(),
        user_agent: concat!("hookbox/", env!("CARGO_PKG_VERSION")).to_owned(),
        resolver: Arc::new(SystemResolver::default().with_observer(waits)),
        lookup: Some(adapters::lookup(origins)),
        policy: policy(config),
        random: Arc::new(|bytes| rand::rng().fill_bytes(bytes)),
        note_share,
        command_marks: command_marks(config, clock),
    };
    let outbound = Outbound::new(settings, clock.clone())
        .map_err(|error| Exit::new(Exit::CONFIG, error.to_string()))?;
    outbound.end_commands_of_before();
    Ok(outbound)
}

/// The data folder among all of this machine, and this daemon among all that have served it.
fn command_marks(config: &Config, clock: &Clock) -> (String, String) {
    let folder = std::fs::metadata(&config.data);
    let folder = folder.map(|folder| format!("{:x}-{:x}", folder.dev(), folder.ino()));
    let daemon = format!("{:x}-{:x}", clock().wall_ms, std::process::id());
    (folder.unwrap_or_else(|_| config.data.display().to_string()), daemon)
}

/// The addresses that can be posted to from here: those of a proxy's protocol only where there are
/// no others. And the URL of the first.
fn direct(listeners: &[Listener]) -> (Vec<String>, String) {
    let (proxied, direct): (Vec<&Listener>, Vec<&Listener>) =
        listeners.iter().partition(|listener| listener.is_proxied());
    let direct = if direct.is_empty() { proxied } else { direct };

    let url = direct.first().map(|listener| listener.url()).unwrap_or_default();
    (direct.into_iter().map(Listener::address).collect(), url)
}

fn announce_ready(addresses: &[String], post_to: &str, socket: &Path) {
    tracing::info!(listen = addresses.join(","), socket = %socket.display(), "ready");
    let ctl = ctl_hint::ctl_with(socket);
    tracing::info!(
        "post webhooks to {post_to}/in/SOURCE; next: {ctl} source create NAME --verify SCHEME, \
         then {ctl} endpoint create NAME --url URL"
    );
    service_manager::ready();
}

/// The signals that the daemon obeys.
pub struct Signals {
    stop: StopSignals,
    hup: Signal,
}

impl Signals {
    fn catch() -> Result<Self, Exit> {
        let failed = |error| Exit::new(Exit::IO, format!("cannot catch signals: {error}"));
        // Not for its own sake: a process that ignores it, which it may inherit from the one that
        // starts it, does not learn how its children end.
        drop(signal(SignalKind::child()).map_err(failed)?);
        let stop = StopSignals::catch().map_err(failed)?;
        Ok(Self { stop, hup: signal(SignalKind::hangup()).map_err(failed)? })
    }
}

/// Waits for TERM or INT, or for the end of a daemon that nobody needs; reads the configuration
/// again on HUP.
async fn until_stopped(
    mut signals: Signals,
    args: &Args,
    mut config: Config,
    levels: &Levels,
    running: &Services,
    idle: Option<IdleExit>,
) -> Result<Option<EndedIdle>, Exit> {
    let mut idle = pin!(async {
        match idle {
            Some(idle) => idle.wait().await,
            None => std::future::pending().await,
        }
    });

    loop {
        tokio::select! {
            () = signals.stop.next() => return Ok(None),
            ended = idle.as_mut() => {
                tracing::info!("idle: stopping until the next connection");
                return Ok(Some(ended));
            }
            _ = signals.hup.recv() => {
                let (ingest, outbound) = (&running.ingest, &running.outbound);
                let endpoints = &running.handle.directory().endpoints;
                match reload::reload(args, &config, levels, ingest, (outbound, endpoints)) {
                    Ok(fresh) => {
                        config = fresh;
                        tracing::info!("the configuration was reloaded");
                        report_unusable(ingest);
                    }
                    Err(what) => tracing::error!("the configuration was not reloaded: {what}"),
                }
            }
        }
    }
}

/// Stops accepting, and waits for what is in flight.
async fn stop(running: Services) {
    let Services { handle, stop, ingress, admin, in_flight, history, .. } = running;
    let left = in_flight.load(Ordering::Acquire);
    service_manager::stopping(left, DRAIN);
    tracing::info!(in_flight = left, "stopping");
    stop.send_replace(true);

    let ended = tokio::time::timeout(DRAIN, async {
        for task in ingress {
            let _ = task.await;
        }
        handle.drain();
        let _ = admin.await;

        while in_flight.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });

    if ended.await.is_err() {
        let left = in_flight.load(Ordering::Acquire);
        tracing::warn!(
            left,
            "stopping with attempts still in flight; they are made again after the next start"
        );
    }
    handle.drain();
    history.finish().await;
}

/// Ends the process at once: after an error of the log it is not known what is stored.
fn fatal() -> Fatal {
    Arc::new(|what: &str| {
        tracing::error!("{what}");
        std::process::abort()
    })
}
