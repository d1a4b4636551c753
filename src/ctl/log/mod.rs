//! `log`: inspects, verifies, copies, exports, imports and salvages the log.
//!
//! With `--data`, a folder that no daemon uses is read by this program itself (see `archive`);
//! without it, everything is asked of the daemon.

mod export;
mod files;
mod import;
mod inspect;
mod live;
mod salvage;

use super::args::LogCommand;
use super::client::AdminClient;
use super::error::CtlError;
use super::output::Output;

pub(super) fn log(
    client: &AdminClient,
    out: &mut Output,
    command: &LogCommand,
) -> Result<(), CtlError> {
    match command {
        LogCommand::Stat => inspect::stat(client, out),
        LogCommand::Verify { expect, data } => {
            inspect::verify(client, out, expect.as_deref(), data.folder.as_deref())
        }
        LogCommand::Acknowledge { segments } => inspect::acknowledge(client, out, segments),
        LogCommand::Head { data } => inspect::head(client, out, data.folder.as_deref()),
        LogCommand::Backup(args) => export::backup(client, out, args),
        LogCommand::Export(args) => export::export(client, args),
        LogCommand::Import(args) => import::import(client, out, args),
        LogCommand::Salvage(args) => salvage::salvage(client, args),
    }
}
