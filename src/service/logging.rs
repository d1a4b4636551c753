//! Log lines on stderr, as text for people or JSON for programs.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::journal::{self, JournalWriter};
use super::one_line::OneLine;
use crate::config::{LogFormat, LogLevel, LoggingConfig};

/// Changes the level while the program runs.
pub struct Levels(reload::Handle<Targets, tracing_subscriber::Registry>);

impl Levels {
    /// Logs at `level` from now on.
    pub fn set(&self, level: LogLevel) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!(%error, "the log level could not be changed");
        }
    }
}

/// Starts logging. Called once.
#[must_use]
pub fn start(config: &LoggingConfig) -> Levels {
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let registry = tracing_subscriber::registry().with(filter);

    let layer = tracing_subscriber::fmt::layer().with_target(false);
    let journal = journal::is_stderr();
    // In the journal and in pipes colours are noise.
    let colours = config.format == LogFormat::Text && !journal && io::stderr().is_terminal();
    let layer = layer.with_ansi(colours);
    let to_stderr = move || OneLine { out: io::stderr(), colours };
    match (config.format, journal) {
        (LogFormat::Text, false) => registry.with(layer.with_writer(to_stderr)).init(),
        (LogFormat::Text, true) => {
            registry.with(layer.without_time().with_writer(JournalWriter)).init();
        }
        (LogFormat::Json, false) => {
            let layer = layer.json().flatten_event(true);
            registry.with(layer.with_writer(to_stderr)).init();
        }
        (LogFormat::Json, true) => {
            let layer = layer.json().flatten_event(true);
            registry.with(layer.without_time().with_writer(JournalWriter)).init();
        }
    }
    Levels(handle)
}

/// Makes a panic end the program, reported in one line with what follows from it. With
/// `RUST_BACKTRACE`, the backtrace follows.
pub fn end_on_panic(program: &'static str, consequence: &'static str) {
    let whole = std::env::var_os("RUST_BACKTRACE").map(|_| std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let what = panic.payload_as_str().unwrap_or("it does not say why").replace('\n', " ");
        let place =
            panic.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
        let line = format!(
            "thread '{}' panicked at {place}: {what}; {program} ends here and {consequence}",
            thread.name().unwrap_or("without a name")
        );

        if tracing::dispatcher::has_been_set() {
            tracing::error!("{line}");
        } else {
            super::stdio::note(format_args!("{program}: {line}"));
        }
        if let Some(whole) = &whole {
            whole(panic);
        }

        // A panic ends the program in every build, also where the profile lets panics unwind: what
        // tests see of a development build is then what a release does.
        std::process::abort();
    }));
}

fn filter(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // sled and hyper speak of their own inner matters below warnings.
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("hookbox", ours)
        .with_target("audit", ours)
}
