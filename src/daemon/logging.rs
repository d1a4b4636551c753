//! Log lines on stderr, as text for people or JSON for programs.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogLevel, LoggingConfig};
use crate::model::plain_text::is_active;

/// Changes the level while the daemon runs.
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
    // Under systemd and in pipes colours are noise.
    let colours = config.format == LogFormat::Text && io::stderr().is_terminal();
    let layer = layer.with_writer(move || OneLine { out: io::stderr(), colours });
    match config.format {
        LogFormat::Text => registry.with(layer.with_ansi(colours)).init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
    Levels(handle)
}

/// Writes each event as one line, whatever it quotes: a message may hold words of a sender, of a
/// receiver or of a file, and none of them begins a line of its own.
struct OneLine<W> {
    out: W,
    /// Whether escape sequences are ours.
    colours: bool,
}

impl<W: Write> Write for OneLine<W> {
    /// An event comes in one piece, with the end of its line.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let is_foreign = |c: char| is_active(c) && !(self.colours && c == '\u{1b}');

        if line.contains(is_foreign) {
            let mut line = line.replace(is_foreign, "\u{fffd}");
            line.push('\n');
            self.out.write_all(line.as_bytes())?;
        } else {
            self.out.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Makes a panic end the daemon, reported in one line. With `RUST_BACKTRACE`, the backtrace
/// follows.
pub fn end_on_panic() {
    let whole = std::env::var_os("RUST_BACKTRACE").map(|_| std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let what = panic.payload_as_str().unwrap_or("it does not say why").replace('\n', " ");
        let place =
            panic.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
        let line = format!(
            "thread '{}' panicked at {place}: {what}; hookboxd ends here and reads the log again \
             when it is started",
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

        // A panic ends the daemon in every build, also where the profile lets panics unwind: what
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::OneLine;

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        let written = |event: &str, colours| {
            let mut line = OneLine { out: Vec::new(), colours };
            line.write_all(event.as_bytes()).expect("written");
            String::from_utf8(line.out).expect("text")
        };
        assert_eq!(written("WARN refused: a\n", false), "WARN refused: a\n");
        assert_eq!(
            written("WARN refused: a\nERROR\r\u{9b}2J\u{202e}\u{1b}[1m\n", false),
            "WARN refused: a?ERROR??2J??[1m\n".replace('?', "\u{fffd}")
        );
        assert_eq!(
            written("\u{1b}[33mWARN\u{1b}[0m a\nb\n", true),
            "\u{1b}[33mWARN\u{1b}[0m a\u{fffd}b\n"
        );
    }
}
