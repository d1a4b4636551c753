//! When deliveries go out: order, batches, rate, breaker, catching up.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::values::{rate, size};
use crate::ctl::configure::put;
use crate::model::time::parse_duration_ms;

/// Whether deliveries wait for each other.
#[derive(Clone, Copy, Debug, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderArg {
    /// They do not
    None,
    /// All in one lane, one at a time
    Strict,
    /// A lane for each value at --order-key
    Key,
}

/// What happens to a lane whose head fails.
#[derive(Clone, Copy, Debug, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadArg {
    /// The lane waits until its head is delivered or given up by the retry policy
    Block,
    /// The head becomes a dead letter after --head-attempts, and the lane goes on
    Skip,
    /// The lane is parked after --head-attempts, until you retry or cancel its head
    Park,
}

#[derive(Clone, Copy, Debug, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FormatArg {
    /// A JSON array
    Json,
    /// A JSON object a line
    Ndjson,
    /// CloudEvents 1.0, application/cloudevents-batch+json
    Cloudevents,
}

#[derive(Clone, Copy, Debug, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUpArg {
    Oldest,
    Newest,
    /// Only the latest event for each value at --catch-up-key; older ones are cancelled as superseded
    Latest,
}

#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "When deliveries go out")]
pub struct PacingSettings {
    /// Attempts in a second, minute or hour: 10/s, 100/m, 1000/h.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<String>,
    /// Attempts that --rate allows at once after a pause [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub burst: Option<u32>,
    /// Whether deliveries wait for each other [default: none].
    #[arg(long, value_enum, value_name = "ORDER")]
    pub order: Option<OrderArg>,
    /// Where the key of a lane stands in the body, as a JSON Pointer: /device/id.
    #[arg(long, value_name = "POINTER")]
    pub order_key: Option<String>,
    /// What happens to a lane whose head fails [default: block].
    #[arg(long, value_enum, value_name = "POLICY")]
    pub head_of_line: Option<HeadArg>,
    /// Failed attempts after which a lane's head is skipped or parked [default: 5].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub head_attempts: Option<u32>,
    /// Send up to so many events in one request [default: each in its own].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_max_events: Option<u32>,
    /// Close a batch at so many bytes of bodies [default: 256KiB].
    #[arg(long, value_name = "N", value_parser = size)]
    pub batch_max_bytes: Option<u64>,
    /// Close a batch when its oldest event has waited so long [default: 5s].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub batch_max_wait: Option<u64>,
    /// How a batch is written [default: json].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub batch_format: Option<FormatArg>,
    /// Put the endpoint on hold after so long of nothing but failure [default: 5d].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub hold_after: Option<u64>,
    /// In which order a backlog is worked off [default: oldest].
    #[arg(long, value_enum, value_name = "MODE")]
    pub catch_up: Option<CatchUpArg>,
    /// Attempts in a second, minute or hour while a backlog is worked off.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub catch_up_rate: Option<String>,
    /// What --catch-up latest keeps the latest of, as a JSON Pointer.
    #[arg(long, value_name = "POINTER")]
    pub catch_up_key: Option<String>,
}

impl PacingSettings {
    /// As the admin socket takes them.
    pub(in crate::ctl) fn put(&self, body: &mut Map<String, Value>) {
        put(body, "rate", self.rate.as_ref());
        put(body, "burst", self.burst.as_ref());
        put(body, "order", self.order.as_ref());
        put(body, "order_key", self.order_key.as_ref());
        put(body, "head_of_line", self.head_of_line.as_ref());
        put(body, "head_attempts", self.head_attempts.as_ref());
        put(body, "batch_max_events", self.batch_max_events.as_ref());
        put(body, "batch_max_bytes", self.batch_max_bytes.as_ref());
        put(body, "batch_max_wait_ms", self.batch_max_wait.as_ref());
        put(body, "batch_format", self.batch_format.as_ref());
        put(body, "hold_after_ms", self.hold_after.as_ref());
        put(body, "catch_up", self.catch_up.as_ref());
        put(body, "catch_up_rate", self.catch_up_rate.as_ref());
        put(body, "catch_up_key", self.catch_up_key.as_ref());
    }
}
