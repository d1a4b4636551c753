//! The arguments of `hookboxctl demo`.

use clap::Args;

#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// Keep the folder with the log, to look around in it.
    #[arg(long)]
    pub keep: bool,
}
