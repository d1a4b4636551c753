//! The settings of an endpoint: what they are, and how they are read from the endpoint, changed,
//! shown, and applied to it. What is refused stands in `endpoint_checks`.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::endpoint_checks::{
    absolute, arguments, check_together, checked_url, header_templates, pins,
};
use super::spec::{Patch, SpecError, spec};
use super::text::{
    Argument, DaemonFile, Expression, HeaderTemplate, KeyPin, Line, MethodName, Pointer,
    SourceName, Template, TypeGlob,
};
use super::values::{Int, Real, SecretText, Size, Span, Text, YEAR_MS};
use crate::model::secret::{redacted_to_origin, redacted_url};
use crate::model::{
    Batch, BatchFormat, CatchUp, CatchUpMode, ConnectSettings, Endpoint, ExecSettings, HeadOfLine,
    Order, PullSettings, REDACTED, Rate, RequestTemplate, RetryPolicy, limits,
};

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

spec! {
    /// The settings of an endpoint.
    #[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    #[serde(default, deny_unknown_fields)]
    pub struct EndpointSpec {
        /// Where events are sent: http://…, https://…, unix:/run/app.sock:/path,
        /// exec:/path/to/command, or pull: for consumers that fetch their events
        #[arg(long, value_name = "URL")]
        pub url: Option<String>,
        /// Send only events of this source; may be given several times
        #[arg(long, value_name = "SOURCE")]
        pub from: Option<Vec<SourceName>>,
        /// Send only events of this type; * and ? stand for any characters; may be given several
        /// times
        #[arg(long, value_name = "GLOB")]
        pub types: Option<Vec<TypeGlob>>,
        /// Send only events for which this RFC 9535 filter expression over {type, source, headers,
        /// query, body} is true
        #[arg(long, value_name = "EXPR")]
        pub r#where: Option<Expression>,
        /// The secret that signs requests (--secret-file is safer); env:NAME, cred:NAME and
        /// file:/path are looked up by hookboxd in its environment, its systemd credentials or a
        /// file, and not stored
        #[arg(long, value_name = "SECRET", conflicts_with = "generate_secret")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub secret: Option<SecretText>,
        /// Generate a secret and show it once; an update replaces the old one at once,
        /// rotate-secret keeps it for a while [default: for a new endpoint without a secret]
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
            value_name = "BOOL")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub generate_secret: Option<bool>,
        /// The delay before the first retry [default: 1s]
        #[arg(long, value_name = "DURATION")]
        pub retry_base: Option<Span<1, YEAR_MS>>,
        /// The factor by which each further delay grows [default: 2]
        #[arg(long, value_name = "N")]
        pub retry_factor: Option<Real<1, { limits::RETRY_FACTOR }>>,
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
        /// Send the query string of the event's URL as well [default: for events of provider
        /// schemes]
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
            value_name = "BOOL")]
        pub forward_query: Option<bool>,

        /// Attempts per second, minute or hour: 10/s (or 10), 100/m, 1000/h [default: no limit]
        #[arg(long, value_name = "N/s", help_heading = PACING)]
        #[cfg_attr(test, schemars(with = "Option<super::schema::WrittenRate>"))]
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
        /// Send up to this many events in one request; resetting it turns batches off [default: one
        /// event per request; 100 with another batch setting]
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
        /// Send the notice hookbox.endpoint.lagging when the oldest delivery that waits is older
        /// than this, long before --max-age ends it [default: no notice]
        #[arg(long, value_name = "DURATION", help_heading = PACING)]
        pub warn_after: Option<Span<1000, YEAR_MS>>,
        /// The order in which a backlog is delivered [default: oldest]
        #[arg(long, value_enum, value_name = "MODE", help_heading = PACING)]
        pub catch_up: Option<CatchUpMode>,
        /// Attempts per second, minute or hour while a backlog is delivered [default: as --rate]
        #[arg(long, value_name = "N/s", help_heading = PACING)]
        #[cfg_attr(test, schemars(with = "Option<super::schema::WrittenRate>"))]
        pub catch_up_rate: Option<Text<Rate>>,
        /// The JSON Pointer to the key in the body of which --catch-up latest keeps the latest
        /// event
        #[arg(long, value_name = "POINTER", help_heading = PACING)]
        pub catch_up_key: Option<Pointer>,

        /// POST, PUT, PATCH, GET or DELETE [default: POST]
        #[arg(long, value_name = "METHOD", help_heading = TRANSPORT)]
        pub method: Option<MethodName>,
        /// A template that is appended to the path of the URL: '/devices/{{ body.device.id }}'
        #[arg(long, value_name = "TEMPLATE", help_heading = TRANSPORT)]
        pub path: Option<Template>,
        /// An additional header whose value is a template; {{ secret('env:NAME') }} inserts a
        /// secret; may be given several times
        #[arg(long, value_name = "NAME: TEMPLATE", help_heading = TRANSPORT)]
        pub header: Option<Vec<HeaderTemplate>>,
        /// A template that replaces the event's body: '{"text": {{ body.title | tojson }}}'
        #[arg(long, value_name = "TEMPLATE", help_heading = TRANSPORT)]
        pub body: Option<Template>,
        /// The content type [default: the event's; application/json with --body]
        #[arg(long, value_name = "TYPE", help_heading = TRANSPORT)]
        pub content_type: Option<Line>,
        /// Use this HTTP proxy, http://host:port or http://user:password@host:port; none for no
        /// proxy [default: hookboxd's]
        #[arg(long, value_name = "URL", help_heading = TRANSPORT)]
        pub proxy: Option<SecretText>,
        /// The local address to connect from [default: chosen by the system]
        #[arg(long, value_name = "ADDR", help_heading = TRANSPORT)]
        pub bind: Option<Text<std::net::IpAddr>>,
        /// A client certificate (PEM, with its chain) for receivers that ask for one; read by
        /// hookboxd
        #[arg(long, value_name = "FILE", help_heading = TRANSPORT)]
        pub client_cert: Option<DaemonFile>,
        /// The private key of the client certificate (PEM); read by hookboxd
        #[arg(long, value_name = "FILE", help_heading = TRANSPORT)]
        pub client_key: Option<DaemonFile>,
        /// Certificates (PEM) to trust for this endpoint instead of the system's: authorities, or
        /// exactly the one that the receiver shows, whatever name is in it; read by hookboxd
        #[arg(long, value_name = "FILE", help_heading = TRANSPORT)]
        pub ca: Option<DaemonFile>,
        /// Trust exactly the receiver whose key has this SHA-256, whatever else its certificate
        /// says; may be given several times, for a change of keys
        #[arg(long, value_name = "sha256/BASE64", help_heading = TRANSPORT)]
        pub pin: Option<Vec<KeyPin>>,
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
}

/// How the endpoint is reached, as far as that has an effect: see [`effective`].
fn effective_connect(endpoint: &Endpoint) -> ConnectSettings {
    let via = endpoint.via.clone();
    match endpoint.url.target().is_ok_and(|target| target.speaks_http() && !target.is_encrypted()) {
        true => ConnectSettings { proxy: via.proxy, bind: via.bind, ..ConnectSettings::default() },
        false => via,
    }
}

/// The time for an attempt, and the key of which the latest counts, where they have an effect.
/// Older versions stored them elsewhere, too. There they are refused now, and must not stand in the
/// way of a change to others.
fn effective(endpoint: &Endpoint) -> (u64, Option<String>) {
    let timeout_ms =
        if endpoint.is_leased() { limits::DEFAULT_TIMEOUT_MS } else { endpoint.timeout_ms };
    let is_latest = endpoint.catch_up.mode == CatchUpMode::Latest;
    (timeout_ms, endpoint.catch_up.key.clone().filter(|_| is_latest))
}

impl EndpointSpec {
    /// The settings of an endpoint as they are, but for its secrets.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        let retry = &endpoint.retry;
        let (head_of_line, head_attempts) = match endpoint.head_of_line {
            HeadOfLine::Block => (HeadPolicy::Block, None),
            HeadOfLine::Skip { after } => (HeadPolicy::Skip, Some(Int::from_u32(after))),
            HeadOfLine::Park { after } => (HeadPolicy::Park, Some(Int::from_u32(after))),
        };
        let batch = endpoint.batch;
        let (template, connect) = (&endpoint.template, effective_connect(endpoint));
        let (timeout_ms, latest_key) = effective(endpoint);
        let file = |path: &std::path::PathBuf| DaemonFile(path.display().to_string());

        Self {
            url: Some(endpoint.url.to_string()),
            from: Some(endpoint.from.iter().cloned().map(SourceName).collect()),
            types: Some(endpoint.types.iter().cloned().map(TypeGlob).collect()),
            r#where: endpoint.filter.clone().map(Expression),
            secret: None,
            generate_secret: None,
            retry_base: Some(Span::from_ms(retry.base_ms)),
            retry_factor: Some(Real::from_f64(retry.factor)),
            retry_max: Some(Span::from_ms(retry.max_ms)),
            jitter: Some(Real::from_f64(retry.jitter)),
            max_age: Some(Span::from_ms(retry.max_age_ms)),
            max_attempts: retry.max_attempts.map(Int::from_u32),
            timeout: Some(Span::from_ms(timeout_ms)),
            concurrency: Some(Int::from_u32(endpoint.concurrency)),
            allow_private: Some(endpoint.allow_private),
            forward_headers: endpoint.forward_headers,
            forward_query: endpoint.forward_query,

            rate: endpoint.rate.map(Text),
            burst: endpoint.burst.map(Int::from_u32),
            order: Some(endpoint.order),
            order_key: endpoint.order_key.clone().map(Pointer),
            head_of_line: Some(head_of_line),
            head_attempts,
            batch_max_events: batch.map(|batch| Int::from_u32(batch.max_events)),
            batch_max_bytes: batch.map(|batch| Size::from_bytes(batch.max_bytes)),
            batch_max_wait: batch.map(|batch| Span::from_ms(batch.max_wait_ms)),
            batch_format: batch.map(|batch| batch.format),
            hold_after: Some(Span::from_ms(endpoint.hold_after_ms)),
            warn_after: endpoint.warn_after_ms.map(Span::from_ms),
            catch_up: Some(endpoint.catch_up.mode),
            catch_up_rate: endpoint.catch_up.rate.map(Text),
            catch_up_key: latest_key.map(Pointer),

            method: template.method.clone().map(MethodName),
            path: template.path.clone().map(Template),
            header: Some(template.headers.iter().map(HeaderTemplate::from_parts).collect()),
            body: template.body.clone().map(Template),
            content_type: template.content_type.clone().map(Line),
            proxy: connect.proxy.clone().map(SecretText),
            bind: connect.bind.map(Text),
            client_cert: connect.client_cert.as_ref().map(file),
            client_key: connect.client_key.as_ref().map(file),
            ca: connect.ca.as_ref().map(file),
            pin: Some(connect.pins.iter().map(|pin| KeyPin(format!("sha256/{pin}"))).collect()),
            arg: Some(endpoint.exec.args.iter().cloned().map(Argument).collect()),
            user: endpoint.exec.user.clone().map(Line),
            lease: Some(Span::from_ms(endpoint.pull.lease_ms)),
        }
    }

    /// Gives `endpoint` these settings; what is not given gets its default. Its secrets and its
    /// name stay.
    ///
    /// # Errors
    /// When a setting is missing, or two do not go together.
    pub fn apply(self, endpoint: &mut Endpoint) -> Result<(), SpecError> {
        let plain = Endpoint::new("", "");

        endpoint.retry = self.retry_policy()?;
        endpoint.head_of_line = self.head_of_line()?;
        endpoint.batch = self.batch();
        endpoint.template = self.template()?;
        endpoint.via = self.connect_settings()?;

        endpoint.url = checked_url(&self.url.ok_or_else(|| SpecError::of("url", "is missing"))?)?;
        endpoint.from = self.from.unwrap_or_default().into_iter().map(|name| name.0).collect();
        endpoint.types = self.types.unwrap_or_default().into_iter().map(|glob| glob.0).collect();
        endpoint.filter = self.r#where.map(|filter| filter.0);
        endpoint.timeout_ms = self.timeout.map_or(plain.timeout_ms, Span::ms);
        endpoint.concurrency = self.concurrency.map_or(plain.concurrency, Int::get);
        endpoint.allow_private = self.allow_private.unwrap_or(plain.allow_private);
        endpoint.forward_headers = self.forward_headers;
        endpoint.forward_query = self.forward_query;

        endpoint.rate = self.rate.map(|rate| rate.0);
        endpoint.burst = self.burst.map(Int::get);
        endpoint.order = self.order.unwrap_or_default();
        endpoint.order_key = self.order_key.map(|key| key.0);
        endpoint.hold_after_ms = self.hold_after.map_or(plain.hold_after_ms, Span::ms);
        endpoint.warn_after_ms = self.warn_after.map(Span::ms);
        endpoint.catch_up = CatchUp {
            mode: self.catch_up.unwrap_or_default(),
            rate: self.catch_up_rate.map(|rate| rate.0),
            key: self.catch_up_key.map(|key| key.0),
        };

        endpoint.exec = ExecSettings {
            args: arguments(self.arg.unwrap_or_default())?,
            user: self.user.map(|user| user.0),
        };
        endpoint.pull = PullSettings { lease_ms: self.lease.map_or(plain.pull.lease_ms, Span::ms) };
        check_together(endpoint)
    }

    fn retry_policy(&self) -> Result<RetryPolicy, SpecError> {
        let plain = RetryPolicy::default();
        let retry = RetryPolicy {
            base_ms: self.retry_base.map_or(plain.base_ms, Span::ms),
            factor: self.retry_factor.map_or(plain.factor, Real::get),
            max_ms: self.retry_max.map_or(plain.max_ms, Span::ms),
            jitter: self.jitter.map_or(plain.jitter, Real::get),
            max_age_ms: self.max_age.map_or(plain.max_age_ms, Span::ms),
            max_attempts: self.max_attempts.map(Int::get),
        };
        retry.check_delays().map_err(|why| SpecError::of("retry_max", &why))?;
        Ok(retry)
    }

    fn head_of_line(&self) -> Result<HeadOfLine, SpecError> {
        let after = self.head_attempts.map_or(limits::HEAD_ATTEMPTS, Int::get);
        match self.head_of_line {
            None | Some(HeadPolicy::Block) if self.head_attempts.is_some() => Err(SpecError::of(
                "head_attempts",
                "needs --head-of-line skip or park; or use --reset head-attempts",
            )),
            None | Some(HeadPolicy::Block) => Ok(HeadOfLine::Block),
            Some(HeadPolicy::Skip) => Ok(HeadOfLine::Skip { after }),
            Some(HeadPolicy::Park) => Ok(HeadOfLine::Park { after }),
        }
    }

    /// Any setting of a batch asks for batches.
    fn batch(&self) -> Option<Batch> {
        let asks = self.batch_max_events.is_some()
            || self.batch_max_bytes.is_some()
            || self.batch_max_wait.is_some()
            || self.batch_format.is_some();
        asks.then(|| Batch {
            max_events: self.batch_max_events.map_or(limits::DEFAULT_BATCH_OUT_EVENTS, Int::get),
            max_bytes: self.batch_max_bytes.map_or(limits::DEFAULT_BATCH_OUT_BYTES, Size::bytes),
            max_wait_ms: self.batch_max_wait.map_or(limits::DEFAULT_BATCH_WAIT_MS, Span::ms),
            format: self.batch_format.unwrap_or_default(),
        })
    }

    fn template(&self) -> Result<RequestTemplate, SpecError> {
        Ok(RequestTemplate {
            method: self.method.clone().map(|method| method.0),
            path: self.path.clone().map(|path| path.0),
            headers: header_templates(self.header.as_deref().unwrap_or_default())?,
            body: self.body.clone().map(|body| body.0),
            content_type: self.content_type.clone().map(|content_type| content_type.0),
        })
    }

    fn connect_settings(&self) -> Result<ConnectSettings, SpecError> {
        Ok(ConnectSettings {
            proxy: self.proxy.clone().map(|proxy| proxy.0),
            bind: self.bind.as_ref().map(|address| address.0),
            client_cert: absolute("client_cert", self.client_cert.as_ref())?,
            client_key: absolute("client_key", self.client_key.as_ref())?,
            ca: absolute("ca", self.ca.as_ref())?,
            pins: pins(self.pin.as_deref().unwrap_or_default())?,
        })
    }

    /// The settings of an endpoint for people. Its owner sees all but secrets; others see where it
    /// leads, and that there are templates and arguments, which may contain secrets.
    #[must_use]
    pub fn shown(endpoint: &Endpoint, to_owner: bool) -> Self {
        let template = &endpoint.template;
        let mut shown = Self::of(endpoint);
        shown.proxy = endpoint.via.redacted_proxy().map(SecretText::from);
        shown.header = Some(template.redacted_headers().map(HeaderTemplate).collect());
        shown.url = Some(redacted_url(&endpoint.url));
        if to_owner {
            return shown;
        }

        let hidden = || REDACTED.to_owned();
        let hidden_header =
            |(name, _): &(String, String)| HeaderTemplate(format!("{name}: {REDACTED}"));
        shown.url = Some(redacted_to_origin(&endpoint.url));
        shown.path = shown.path.map(|_| Template(hidden()));
        shown.header = Some(template.headers.iter().map(hidden_header).collect());
        shown.body = shown.body.map(|_| Template(hidden()));
        shown.arg = shown.arg.map(|args| args.iter().map(|_| Argument(hidden())).collect());
        shown
    }

    /// Puts changes over these settings.
    #[must_use]
    pub fn changed(self, mut patch: Patch<Self>) -> Self {
        // Without a number of events there are no batches, whatever else was set for them.
        if patch.resets("batch_max_events") {
            patch.also_reset(&["batch_max_bytes", "batch_max_wait", "batch_format"]);
        }
        // What only belongs to another choice goes with it, unless it is given.
        if patch.resets("head_of_line") || patch.given.head_of_line == Some(HeadPolicy::Block) {
            patch.also_reset(&["head_attempts"]);
        }
        let not_latest = |mode: CatchUpMode| mode != CatchUpMode::Latest;
        if patch.resets("catch_up") || patch.given.catch_up.is_some_and(not_latest) {
            patch.also_reset(&["catch_up_key"]);
        }
        let defaults = Self { url: None, ..Self::of(&Endpoint::new("", "")) };
        patch.over(self, &defaults)
    }
}
