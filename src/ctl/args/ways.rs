//! How an endpoint is reached and what is sent.

use clap::Args;
use serde_json::{Map, Value};

use crate::ctl::CtlError;

#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "How it is reached, and what is sent")]
pub struct WaySettings {}

impl WaySettings {
    /// As the admin socket takes them.
    pub(in crate::ctl) fn put(&self, _body: &mut Map<String, Value>) -> Result<(), CtlError> {
        Ok(())
    }
}
