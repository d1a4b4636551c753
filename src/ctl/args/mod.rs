//! The arguments, one file a group of commands. Values are checked here as far as that needs no
//! daemon; the help texts are the doc comments.

mod apply;
mod bin;
mod cli;
mod consume;
mod delivery;
mod demo;
mod endpoint;
mod event;
mod filter;
mod listen;
mod log;
mod manual;
mod secret;
mod simulate;
mod source;
mod stats;
mod support;
mod top;
mod values;
#[cfg(feature = "web")]
mod web;

pub use apply::{ApplyArgs, DiffArgs, SetArgs, SetExportArgs};
pub use bin::BinCommand;
pub use cli::{Cli, CtlCommand, StatusArgs};
pub use consume::ConsumeArgs;
pub use delivery::{BulkArgs, DeadLetterArgs, DeliveryCommand, DeliveryListArgs, DlqCommand};
pub use demo::DemoArgs;
pub use endpoint::{EndpointArgs, EndpointCommand, EndpointTestArgs};
pub use event::{EventCommand, ReplayArgs, SendArgs, TailArgs};
pub use filter::{DeliveryFilterArgs, EventFilterArgs, OutputFormat, PageArgs, TableArgs};
pub use listen::ListenArgs;
pub use log::{
    BackupArgs, DataArgs, ExportArgs, ExportFormat, ImportArgs, LogCommand, SalvageArgs,
};
pub use manual::{CompletionArgs, CompletionShell, ManArgs};
pub use secret::{OverlapArgs, SecretArgs};
pub use simulate::SimulateArgs;
pub use source::{SchemesArgs, SourceArgs, SourceCommand};
pub use stats::StatsArgs;
pub use support::SupportArgs;
pub use top::{TopArgs, TopScreen};
pub use values::strict;
#[cfg(feature = "web")]
pub use web::WebArgs;
