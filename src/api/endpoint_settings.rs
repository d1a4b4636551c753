//! The settings of an endpoint between the spec and the model: read from it, shown, changed,
//! applied to it.

use std::path::PathBuf;

use super::endpoint_spec::{EndpointSpec, HeadPolicy};
use super::spec::{Patch, SpecError};
use super::text::{
    Argument, DaemonFile, Expression, HeaderTemplate, Line, MethodName, Pointer, SourceName,
    Template, TypeGlob,
};
use super::values::{Int, Real, SecretText, Size, Span, Text};
use crate::model::secret::redacted_to_origin;
use crate::model::{
    Batch, CatchUp, CatchUpMode, ConnectSettings, Endpoint, ExecSettings, HeadOfLine, Order,
    PullSettings, REDACTED, RequestTemplate, RetryPolicy, TargetError, TargetUrl, limits,
};

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
        let (template, connect) = (&endpoint.shape, &endpoint.via);
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
            timeout: Some(Span::from_ms(endpoint.timeout_ms)),
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
            catch_up: Some(endpoint.catch_up.mode),
            catch_up_rate: endpoint.catch_up.rate.map(Text),
            catch_up_key: endpoint.catch_up.key.clone().map(Pointer),

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
            arg: Some(endpoint.exec.args.iter().cloned().map(Argument).collect()),
            user: endpoint.exec.user.clone().map(Line),
            lease: Some(Span::from_ms(endpoint.pull.lease_ms)),
        }
    }
}

impl EndpointSpec {
    /// The settings of an endpoint for people. Its owner sees all but secrets; others see where it
    /// leads, and that there are templates and arguments, which may contain secrets.
    #[must_use]
    pub fn shown(endpoint: &Endpoint, to_owner: bool) -> Self {
        let template = &endpoint.shape;
        let mut shown = Self::of(endpoint);
        shown.proxy = endpoint.via.redacted_proxy().map(SecretText::from);
        shown.header = Some(template.redacted_headers().map(HeaderTemplate).collect());
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

    /// Gives `endpoint` these settings; what is not given gets its default. Its secrets and its
    /// name stay.
    ///
    /// # Errors
    /// When a setting is missing, or two do not go together.
    pub fn apply(self, endpoint: &mut Endpoint) -> Result<(), SpecError> {
        let plain = Endpoint::new("", "");

        endpoint.retry = self.retry_policy()?;
        endpoint.head_of_line = self.head_of_line();
        endpoint.batch = self.batch();
        endpoint.shape = self.template()?;
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
        if retry.max_ms < retry.base_ms {
            let (base, max) = (retry.base_ms, retry.max_ms);
            let why = format!(
                "is less than retry_base ({max} ms < {base} ms): the longest delay is at least \
                 the first"
            );
            return Err(SpecError::of("retry_max", &why));
        }
        Ok(retry)
    }

    fn head_of_line(&self) -> HeadOfLine {
        let after = self.head_attempts.map_or(limits::HEAD_ATTEMPTS, Int::get);
        match self.head_of_line {
            None | Some(HeadPolicy::Block) => HeadOfLine::Block,
            Some(HeadPolicy::Skip) => HeadOfLine::Skip { after },
            Some(HeadPolicy::Park) => HeadOfLine::Park { after },
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
        })
    }

    /// Puts changes over these settings.
    #[must_use]
    pub fn changed(self, mut patch: Patch<Self>) -> Self {
        // Without a number of events there are no batches, whatever else was set for them.
        if patch.resets("batch_max_events") {
            patch.also_reset(&["batch_max_bytes", "batch_max_wait", "batch_format"]);
        }
        let defaults = Self { url: None, ..Self::of(&Endpoint::new("", "")) };
        patch.over(self, &defaults)
    }
}

/// Settings that contradict each other.
fn check_together(endpoint: &Endpoint) -> Result<(), SpecError> {
    let keyed = endpoint.order == Order::Key;
    let refused = |key: &str, why: &str| Err(SpecError::of(key, why));

    if keyed && endpoint.order_key.is_none() {
        return refused(
            "order_key",
            "is missing: --order key needs a JSON Pointer, such as --order-key /device/id",
        );
    }
    if !keyed && endpoint.order_key.is_some() {
        return refused("order_key", "needs --order key; or use --reset order-key");
    }
    if endpoint.head_of_line != HeadOfLine::Block && endpoint.order == Order::None {
        return refused(
            "head_of_line",
            "needs an order: use it with --order strict or --order key",
        );
    }

    if endpoint.batch.is_some() && !endpoint.batches() {
        let why = "batches are sent to a URL: consumers choose how many events they take, a \
                   command gets one at a time";
        return refused("batch_max_events", why);
    }
    if endpoint.batch.is_some() && !endpoint.shape.is_plain() {
        return refused(
            "batch_max_events",
            "batches and templates cannot be combined: leave out one of them",
        );
    }
    if endpoint.burst.is_some() && endpoint.rate.is_none() {
        return refused("burst", "needs a rate: give --rate, too");
    }

    match endpoint.catch_up.mode {
        CatchUpMode::Newest | CatchUpMode::Latest if endpoint.order != Order::None => refused(
            "catch_up",
            "newest and latest would break the order: use oldest, or --order none",
        ),
        CatchUpMode::Latest if endpoint.catch_up.key.is_none() => refused(
            "catch_up_key",
            "is missing: latest needs a JSON Pointer to its key, such as --catch-up-key /id",
        ),
        _ => Ok(()),
    }
}

fn header_templates(given: &[HeaderTemplate]) -> Result<Vec<(String, String)>, SpecError> {
    if given.len() > limits::TEMPLATE_HEADERS {
        return Err(SpecError::of(
            "header",
            &format!("has at most {} entries", limits::TEMPLATE_HEADERS),
        ));
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for header in given {
        let (name, value) = header.parts();
        if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            return Err(SpecError::of("header", &format!("'{name}' is given twice")));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

fn arguments(given: Vec<Argument>) -> Result<Vec<String>, SpecError> {
    if given.len() > limits::COMMAND_ARGS {
        return Err(SpecError::of("arg", &format!("has at most {} entries", limits::COMMAND_ARGS)));
    }
    Ok(given.into_iter().map(|argument| argument.0).collect())
}

/// The daemon may run in another folder than whoever names the file.
fn absolute(key: &str, file: Option<&DaemonFile>) -> Result<Option<PathBuf>, SpecError> {
    match file {
        Some(DaemonFile(path)) if !path.starts_with('/') => {
            Err(SpecError::of(key, &format!("'{path}' is not an absolute path: begin with /")))
        }
        file => Ok(file.map(|file| PathBuf::from(&file.0))),
    }
}

fn checked_url(url: &str) -> Result<TargetUrl, SpecError> {
    url.parse().map_err(|error: TargetError| SpecError::of("url", &error.to_string()))
}
