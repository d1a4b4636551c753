//! The arguments of `hookboxctl listen`.

use std::path::PathBuf;

use clap::Args;

use super::values::from_one;
use crate::api::text::{SourceName, TypeGlob};

#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:\n  \
    hookboxctl listen                                    # show what comes in, until Ctrl-C\n  \
    hookboxctl listen --source github --forward http://localhost:3000/hook\n  \
    hookboxctl listen --source github --forward http://localhost:3000/hook --keep\n  \
    hookboxctl --socket ssh://me@box/run/hookbox/admin.sock listen --forward \
    http://localhost:3000/hook\n\n\
    It uses a pull endpoint of its own, which is deleted at the end. With --keep the endpoint is\n\
    listen-USER-HOST-… and stays: the next run with --keep and the same --source, --type and\n\
    --forward continues where this one ended. After an answer other than 2xx the event is sent\n\
    again, as by an endpoint with --url.")]
pub struct ListenArgs {
    /// Only events of this source; may be given several times.
    #[arg(long, value_name = "SOURCE")]
    pub source: Vec<SourceName>,
    /// Only events of this type; * and ? stand for any characters; may be given several times.
    #[arg(long = "type", value_name = "GLOB")]
    pub types: Vec<TypeGlob>,
    /// Post each event to this URL, http:// or https://, of an application on this machine as a
    /// rule; without it, events are only shown.
    #[arg(long, value_name = "URL")]
    pub forward: Option<String>,
    /// Sign what is forwarded with the secret in this file, whsec_… as endpoints have it; - for
    /// stdin [default: a new one, which is shown].
    #[arg(long, value_name = "FILE", requires = "forward")]
    pub secret_file: Option<PathBuf>,
    /// Keep the pull endpoint at the end, so that the next run that asks for the same goes on from
    /// there.
    #[arg(long)]
    pub keep: bool,
    /// The pull endpoint; one that is there already is used and kept [default: one of
    /// this run, or with --keep one of those that ask for the same on this machine].
    #[arg(long, value_name = "ENDPOINT")]
    pub name: Option<String>,
    /// Exit after this many events.
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub max: Option<u64>,
}
