//! One command: which function does it.

use super::args::{Cli, CtlCommand, TopArgs};
use super::client::AdminClient;
use super::error::CtlError;
use super::output::Output;
use super::{
    apply, completion, consume, deliveries, endpoints, events, listen, log, manual, simulate,
    sources, stats, status, support, version,
};

/// Runs one command against the daemon.
pub(super) fn run(cli: &Cli) -> Result<(), CtlError> {
    let mut out = Output::new(cli.json);
    match &cli.command {
        CtlCommand::Simulate(args) => simulate::run(&mut out, args)?,
        CtlCommand::Completion(args) => completion::script(&mut out, args.shell)?,
        CtlCommand::Man(args) => manual::write(&mut out, args)?,
        CtlCommand::Top(args) => live(cli, &mut out, args)?,
        command => {
            let client = AdminClient::new(cli.socket.as_deref())?;
            perform(&client, &mut out, command)?;
        }
    }
    out.finish()
}

/// Performs one command; what it prints goes to `out`.
pub(super) fn perform(
    client: &AdminClient,
    out: &mut Output,
    command: &CtlCommand,
) -> Result<(), CtlError> {
    match command {
        CtlCommand::Status(args) => status::status(client, out, args),
        CtlCommand::Stats(args) => stats::stats(client, out, args),
        CtlCommand::Metrics => status::metrics(client, out),

        CtlCommand::Source(command) => sources::source(client, out, command),
        CtlCommand::Bin(command) => sources::bin(client, out, command),
        CtlCommand::Endpoint(command) => endpoints::endpoint(client, out, command),
        CtlCommand::Event(command) => events::event(client, out, command),
        CtlCommand::Delivery(command) => deliveries::delivery(client, out, command),
        CtlCommand::Dlq(command) => deliveries::dlq(client, out, command),
        CtlCommand::Replay(args) => events::replay(client, out, args),
        CtlCommand::Tail(args) => events::tail(client, out, args),
        CtlCommand::Listen(args) => listen::listen(client, out, args),
        #[cfg(feature = "web")]
        CtlCommand::Web(args) => super::web::web(client, out, args),
        CtlCommand::Consume(args) => consume::consume(client, out, args),

        CtlCommand::Apply(args) => apply::apply(client, out, args),
        CtlCommand::Diff(args) => apply::diff(client, out, args),
        CtlCommand::Export(args) => apply::export(client, out, args),
        CtlCommand::Version => version::version(client, out),
        CtlCommand::Support(args) => support::support(client, out, args),
        CtlCommand::Log(command) => log::log(client, out, command),
        // These are not clients of a daemon: `main` and `run` do them.
        CtlCommand::Demo(_)
        | CtlCommand::Simulate(_)
        | CtlCommand::Top(_)
        | CtlCommand::Completion(_)
        | CtlCommand::Man(_) => Ok(()),
    }
}

/// The live screen, which has clients of its own.
#[cfg(feature = "top")]
fn live(cli: &Cli, out: &mut Output, args: &TopArgs) -> Result<(), CtlError> {
    super::top::top(cli.socket.as_deref(), out, args)
}

#[cfg(not(feature = "top"))]
fn live(_: &Cli, _: &mut Output, _: &TopArgs) -> Result<(), CtlError> {
    let what = "this hookboxctl was built without the live screen: build it with the feature \
                `top` (cargo build --features top), or use `status` and `tail -f`";
    Err(CtlError::Usage(what.to_owned()))
}
