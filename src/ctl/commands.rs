//! One command: which function does it.

use super::args::{Cli, CtlCommand};
use super::client::AdminClient;
use super::error::CtlError;
use super::output::Output;
use super::{consume, deliveries, endpoints, events, log, simulate, sources, status};

/// Runs one command against the daemon.
pub(super) fn run(cli: &Cli) -> Result<(), CtlError> {
    let mut out = Output::new(cli.json);
    if let CtlCommand::Simulate(args) = &cli.command {
        return simulate::run(&mut out, args).and_then(|()| out.finish());
    }

    let client = AdminClient::new(cli.socket.as_deref())?;
    perform(&client, &mut out, &cli.command)?;
    out.finish()
}

/// Performs one command; what it prints goes to `out`.
pub(super) fn perform(
    client: &AdminClient,
    out: &mut Output,
    command: &CtlCommand,
) -> Result<(), CtlError> {
    match command {
        CtlCommand::Status => status::status(client, out),
        CtlCommand::Source(command) => sources::source(client, out, command),
        CtlCommand::Bin(command) => sources::bin(client, out, command),
        CtlCommand::Endpoint(command) => endpoints::endpoint(client, out, command),
        CtlCommand::Event(command) => events::event(client, out, command),
        CtlCommand::Delivery(command) => deliveries::delivery(client, out, command),
        CtlCommand::Dlq(command) => deliveries::dlq(client, out, command),
        CtlCommand::Replay(args) => events::replay(client, out, args),
        CtlCommand::Tail(args) => events::tail(client, out, args),
        CtlCommand::Consume(args) => consume::consume(client, out, args),
        CtlCommand::Log(command) => log::log(client, out, command),
        // These two are no clients of a daemon: `main` and `run` do them.
        CtlCommand::Demo(_) | CtlCommand::Simulate(_) => Ok(()),
    }
}
