//! Log lines on stderr, as text for people or JSON for programs.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Level, LogFormat, LoggingConfig};

/// Changes the level while the daemon runs.
pub struct Levels(reload::Handle<Targets, tracing_subscriber::Registry>);

impl Levels {
    /// Logs at `level` from now on.
    pub fn set(&self, level: Level) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!(%error, "the log level could not be changed");
        }
    }
}

/// Begins to log. Called once.
#[must_use]
pub fn start(config: &LoggingConfig) -> Levels {
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    // Under systemd and in pipes colours are noise.
    match config.format {
        LogFormat::Text => registry.with(layer.with_ansi(std::io::stderr().is_terminal())).init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
    Levels(handle)
}

/// Has a panic told in one line, like everything that ends the daemon. Where `RUST_BACKTRACE` is set, the whole of it
/// follows.
pub fn tell_panics() {
    let whole = std::env::var_os("RUST_BACKTRACE").map(|_| std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let what = panic.payload_as_str().unwrap_or("it does not say why").replace('\n', " ");
        let place = panic.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
        let line = format!(
            "thread '{}' panicked at {place}: {what}; hookboxd ends here and reads the log anew when it is started",
            thread.name().unwrap_or("without a name")
        );
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{line}");
        } else {
            eprintln!("hookboxd: {line}");
        }
        if let Some(whole) = &whole {
            whole(panic);
        }
    }));
}

fn filter(level: Level) -> Targets {
    let ours = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // sled and hyper speak of their own inner matters below warnings.
    Targets::new().with_default(LevelFilter::WARN).with_target("hookbox", ours).with_target("audit", ours)
}
