//! `hookbox-nats`: the bridge between a box and NATS JetStream, a program of its own behind the
//! feature `nats`. The daemon knows nothing of it: it is one more consumer of `pull:` endpoints,
//! and one more sender.
//!
//! What the module is for: hookbox is a daemon of one machine. Who has more machines, or more to
//! process than one holds, lets an engine that is made for that take over, without losing what
//! either side has acknowledged.
//!
//! Limits: `limits::NATS_IN_FLIGHT` messages of a route under way, `limits::NATS_HELD_BYTES` of
//! their bodies, `limits::NATS_CONNECTIONS` connections to each socket of the daemon.
//!
//! Invariants:
//! * **Out:** a lease is acknowledged to hookbox only after the stream has acknowledged the event.
//! * **In:** a message is acknowledged to the server only after hookbox's 202.
//! * Whatever breaks, each side repeats, and the other recognizes the repetition by the event's id,
//!   within its window: at least once, and once within the window.
//! * Nothing is kept here: no file, no state over a restart.
//!
//! Things: [`config`] and [`template`] (what was asked for), [`part`] (how boxes share a stream),
//! `setup` and `promise` (what it is worth), `out` and `intake` (the routes), `publish` and `taken`
//! (what answers mean; pure), `box_client` and `unix_http` (the daemon), `connect` (the servers).
//!
//! Operations: [`program`] runs it. Fatal: a configuration that is wrong, a stream, consumer,
//! endpoint or source that is not there, and what cannot work. All else is waited for.

pub mod args;
mod box_client;
pub mod config;
mod connect;
mod counts;
mod intake;
mod out;
pub mod part;
mod permits;
mod promise;
mod publish;
mod pulse;
mod run;
mod setup;
mod taken;
pub mod template;
mod unix_http;
mod varz;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_mangen::roff::{Roff, roman};

use args::BridgeArgs;
use config::NatsConfig;

use crate::service::exit::Exit;
use crate::service::{logging, stdio};

/// The name of the program, in front of what it says.
const PROGRAM: &str = "hookbox-nats";

/// The whole program.
#[must_use]
pub fn program() -> ExitCode {
    logging::end_on_panic(PROGRAM, "its leases are given to others when they run out");
    let args = match BridgeArgs::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let printed = stdio::written(error.print()).map_err(Exit::output);
            return match (error.use_stderr(), printed) {
                (true, _) => ExitCode::from(Exit::USAGE),
                (false, Ok(())) => ExitCode::SUCCESS,
                (false, Err(exit)) => exit.report(PROGRAM),
            };
        }
    };
    match begin(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(PROGRAM),
    }
}

fn begin(args: &BridgeArgs) -> Result<(), Exit> {
    if args.man {
        return manual();
    }
    let file = args.config.clone().unwrap_or_default();
    let read = NatsConfig::read(&file);
    let mut config = read.map_err(|error| Exit::new(Exit::CONFIG, error.to_string()))?;
    if let Some(format) = args.log_format {
        config.logging.format = format;
    }
    if args.check {
        return run::check(&config, args.create);
    }
    let _levels = logging::start(&config.logging);
    run::run(config, args.create)
}

/// Prints the manual page.
fn manual() -> Result<(), Exit> {
    let page = clap_mangen::Man::new(BridgeArgs::command()).section("8").manual("hookbox");
    let mut more = Roff::new();
    for (head, paragraphs) in MANUAL {
        more.control("SH", [*head]);
        for paragraph in *paragraphs {
            more.control("PP", []).text([roman(*paragraph)]);
        }
    }

    let mut out = std::io::stdout();
    let printed = page.render(&mut out).and_then(|()| more.to_writer(&mut out));
    stdio::written(printed).map_err(Exit::output)
}

/// What the manual page says beside the options.
const MANUAL: &[(&str, &[&str])] = &[
    (
        "FILES",
        &[
            "/etc/hookbox/nats/NAME.toml: the configuration of hookbox-nats@NAME.service.",
            "/usr/share/doc/hookbox-nats/examples/hookbox-nats.toml: every key, with its meaning \
             and its default.",
            "/run/hookbox/admin.sock: the socket of the daemon.",
        ],
    ),
    (
        "ENVIRONMENT",
        &["NOTIFY_SOCKET, WATCHDOG_USEC: the service manager hears that it is ready, lives and \
           stops. It is fed as long as every route comes round."],
    ),
    ("SEE ALSO", &["hookboxd(8), hookboxctl(1), hookbox(7)"]),
];
