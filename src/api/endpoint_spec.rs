//! The settings that an endpoint is given.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::spec::impl_spec;
use super::text::{
    Argument, DaemonFile, Expression, HeaderTemplate, Line, MethodName, Pointer, SourceName,
    Template, TypeGlob,
};
use super::values::{Int, Real, SecretText, Size, Span, Text, YEAR_MS};
use crate::model::{BatchFormat, CatchUpMode, Order, Rate, limits};

const PACING: &str = "When deliveries go out";
const TRANSPORT: &str = "How the endpoint is reached, and what is sent";

/// What happens to an ordered lane whose oldest delivery fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum HeadPolicy {
    /// The lane waits until its oldest delivery succeeds or is given up by the retry policy
    Block,
    /// The oldest delivery becomes a dead letter after --head-attempts, and the lane continues
    Skip,
    /// The lane stops after --head-attempts, until its oldest delivery is retried or cancelled by
    /// hand
    Park,
}

/// The settings of an endpoint.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EndpointSpec {
    /// Where events are sent: http://…, https://…, unix:/run/app.sock:/path, exec:/path/to/command,
    /// or pull: for consumers that fetch their events
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Send only events of this source; may be given several times
    #[arg(long, value_name = "SOURCE")]
    pub from: Option<Vec<SourceName>>,
    /// Send only events of this type; * and ? stand for any characters; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub types: Option<Vec<TypeGlob>>,
    /// Send only events for which this RFC 9535 filter expression over {type, source, headers,
    /// query, body} is true
    #[arg(long, value_name = "EXPR")]
    pub r#where: Option<Expression>,
    /// The secret that signs requests (--secret-file is safer); env:NAME and cred:NAME are looked
    /// up by hookboxd in its environment or its systemd credentials, and not stored
    #[arg(long, value_name = "SECRET", conflicts_with = "generate_secret")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
    /// Generate a secret and show it once [default: if no secret is given]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate_secret: Option<bool>,
    /// The delay before the first retry [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub retry_base: Option<Span<1, YEAR_MS>>,
    /// The factor by which each further delay grows [default: 2]
    #[arg(long, value_name = "N")]
    pub retry_factor: Option<Real<1, 100>>,
    /// The longest delay between two attempts [default: 1h]
    #[arg(long, value_name = "DURATION")]
    pub retry_max: Option<Span<1, YEAR_MS>>,
    /// The share of each delay that is random, from 0 to 1 [default: 0.2]
    #[arg(long, value_name = "SHARE")]
    pub jitter: Option<Real<0, 1>>,
    /// Give a delivery up after this time [default: 3d]
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<Span<1, YEAR_MS>>,
    /// Give a delivery up after this many attempts [default: no limit]
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<Int<1, { u32::MAX }>>,
    /// The time for one attempt: connecting, sending and reading the answer [default: 15s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span<1, { limits::TIMEOUT_MS }>>,
    /// The number of attempts under way at a time [default: 16]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<Int<1, { limits::CONCURRENCY }>>,
    /// Allow loopback, private and link-local addresses [default: false]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_name = "BOOL")]
    pub allow_private: Option<bool>,
    /// Send the sender's own headers as well [default: for events of provider schemes]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_name = "BOOL")]
    pub forward_headers: Option<bool>,
    /// Send the query string of the event's URL as well [default: for events of provider schemes]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_name = "BOOL")]
    pub forward_query: Option<bool>,

    /// Attempts per second, minute or hour: 10/s, 100/m, 1000/h [default: no limit]
    #[arg(long, value_name = "N/s", help_heading = PACING)]
    pub rate: Option<Text<Rate>>,
    /// Attempts that --rate allows at once after a pause [default: 1]
    #[arg(long, value_name = "N", help_heading = PACING)]
    pub burst: Option<Int<1, { limits::BURST }>>,
    /// Whether deliveries wait for each other [default: none]
    #[arg(long, value_enum, value_name = "ORDER", help_heading = PACING)]
    pub order: Option<Order>,
    /// The JSON Pointer to the key in the body that --order key keeps the order of: /device/id
    #[arg(long, value_name = "POINTER", help_heading = PACING)]
    pub order_key: Option<Pointer>,
    /// What happens to an ordered lane whose oldest delivery fails [default: block]
    #[arg(long, value_enum, value_name = "POLICY", help_heading = PACING)]
    pub head_of_line: Option<HeadPolicy>,
    /// Failed attempts after which --head-of-line skip or park acts [default: 5]
    #[arg(long, value_name = "N", help_heading = PACING)]
    pub head_attempts: Option<Int<1, { u32::MAX }>>,
    /// Send up to this many events in one request [default: one event per request; 100 with another
    /// batch setting]
    #[arg(long, value_name = "N", help_heading = PACING)]
    pub batch_max_events: Option<Int<1, { limits::BATCH_OUT_EVENTS }>>,
    /// Close a batch when its bodies have this size [default: 256KiB]
    #[arg(long, value_name = "SIZE", help_heading = PACING)]
    pub batch_max_bytes: Option<Size<1, { limits::BATCH_OUT_BYTES }>>,
    /// Close a batch when its oldest event has waited this long [default: 5s]
    #[arg(long, value_name = "DURATION", help_heading = PACING)]
    pub batch_max_wait: Option<Span<0, { limits::BATCH_WAIT_MS }>>,
    /// The format of a batch [default: json]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = PACING)]
    pub batch_format: Option<BatchFormat>,
    /// Put the endpoint on hold after this long without a success [default: 5d]
    #[arg(long, value_name = "DURATION", help_heading = PACING)]
    pub hold_after: Option<Span<1, YEAR_MS>>,
    /// The order in which a backlog is delivered [default: oldest]
    #[arg(long, value_enum, value_name = "MODE", help_heading = PACING)]
    pub catch_up: Option<CatchUpMode>,
    /// Attempts per second, minute or hour while a backlog is delivered [default: as --rate]
    #[arg(long, value_name = "N/s", help_heading = PACING)]
    pub catch_up_rate: Option<Text<Rate>>,
    /// The JSON Pointer to the key in the body of which --catch-up latest keeps the latest event
    #[arg(long, value_name = "POINTER", help_heading = PACING)]
    pub catch_up_key: Option<Pointer>,

    /// POST, PUT, PATCH, GET or DELETE [default: POST]
    #[arg(long, value_name = "METHOD", help_heading = TRANSPORT)]
    pub method: Option<MethodName>,
    /// A template that is appended to the path of the URL: '/devices/{{ body.device.id }}'
    #[arg(long, value_name = "TEMPLATE", help_heading = TRANSPORT)]
    pub path: Option<Template>,
    /// An additional header whose value is a template; {{ secret('env:NAME') }} inserts a secret;
    /// may be given several times
    #[arg(long, value_name = "NAME: TEMPLATE", help_heading = TRANSPORT)]
    pub header: Option<Vec<HeaderTemplate>>,
    /// A template that replaces the event's body: '{"text": {{ body.title | tojson }}}'
    #[arg(long, value_name = "TEMPLATE", help_heading = TRANSPORT)]
    pub body: Option<Template>,
    /// The content type [default: the event's; application/json with --body]
    #[arg(long, value_name = "TYPE", help_heading = TRANSPORT)]
    pub content_type: Option<Line>,
    /// Use this HTTP proxy, http://host:port or http://user:password@host:port; none for no proxy
    /// [default: hookboxd's]
    #[arg(long, value_name = "URL", help_heading = TRANSPORT)]
    pub proxy: Option<SecretText>,
    /// The local address to connect from [default: chosen by the system]
    #[arg(long, value_name = "ADDR", help_heading = TRANSPORT)]
    pub bind: Option<Text<std::net::IpAddr>>,
    /// A client certificate (PEM, with its chain) for receivers that ask for one; read by hookboxd
    #[arg(long, value_name = "FILE", help_heading = TRANSPORT)]
    pub client_cert: Option<DaemonFile>,
    /// The private key of the client certificate (PEM); read by hookboxd
    #[arg(long, value_name = "FILE", help_heading = TRANSPORT)]
    pub client_key: Option<DaemonFile>,
    /// Certificates (PEM) to trust for this endpoint instead of the system's; read by hookboxd
    #[arg(long, value_name = "FILE", help_heading = TRANSPORT)]
    pub ca: Option<DaemonFile>,
    /// An argument for the command of an exec: endpoint; may be given several times
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, help_heading = TRANSPORT)]
    pub arg: Option<Vec<Argument>>,
    /// The user that the command of an exec: endpoint runs as [default: hookboxd's own]
    #[arg(long, value_name = "NAME", help_heading = TRANSPORT)]
    pub user: Option<Line>,
    /// How long a consumer of a pull: endpoint may keep an event before it is offered to others
    /// [default: 30s]
    #[arg(long, value_name = "DURATION", help_heading = TRANSPORT)]
    pub lease: Option<Span<1, { limits::LEASE_MS }>>,
}

impl_spec!(EndpointSpec {
    url,
    from,
    types,
    r#where,
    secret,
    generate_secret,
    retry_base,
    retry_factor,
    retry_max,
    jitter,
    max_age,
    max_attempts,
    timeout,
    concurrency,
    allow_private,
    forward_headers,
    forward_query,
    rate,
    burst,
    order,
    order_key,
    head_of_line,
    head_attempts,
    batch_max_events,
    batch_max_bytes,
    batch_max_wait,
    batch_format,
    hold_after,
    catch_up,
    catch_up_rate,
    catch_up_key,
    method,
    path,
    header,
    body,
    content_type,
    proxy,
    bind,
    client_cert,
    client_key,
    ca,
    arg,
    user,
    lease,
});
