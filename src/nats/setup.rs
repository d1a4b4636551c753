//! The start: the streams and consumers are looked at, made where that was asked for, and what they
//! promise is said.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, PullConsumer, pull};
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context, ErrorCode, context};

use super::box_client::{BoxClient, BoxError, ONLY_202};
use super::config::{InConfig, NatsConfig, OutConfig, Via};
use super::connect::{Connection, causes};
use super::promise::{
    Finding, InFacts, OutFacts, Weight, filters, lacks_part, of_consumer, of_stream,
};
use super::template::meet;
use super::varz::{SyncPolicy, sync_policy};
use crate::model::limits;
use crate::service::exit::Exit;
use crate::service::stdio;

/// Under this key a consumer says which box made it.
const BOX: &str = "hookbox-box";

/// Why a route cannot begin.
#[derive(Debug)]
pub enum SetupError {
    /// The same may work in a moment.
    Passing(String),
    Fatal(Exit),
}

impl SetupError {
    fn refused(what: impl Into<String>) -> Self {
        Self::Fatal(Exit::new(Exit::UNAVAILABLE, what))
    }
}

impl From<BoxError> for SetupError {
    fn from(error: BoxError) -> Self {
        match error.is_passing() {
            true => Self::Passing(error.to_string()),
            false => Self::refused(error.to_string()),
        }
    }
}

/// What was found of one route.
pub struct Looked {
    pub route: String,
    pub findings: Vec<Finding>,
}

/// Looks at what the routes need.
pub struct Setup<'a> {
    pub config: &'a NatsConfig,
    pub connection: &'a Connection,
    pub daemon: &'a BoxClient,
    /// What is missing is made.
    pub create: bool,
}

impl Setup<'_> {
    /// Looks at all routes; the consumers are those of the routes in.
    ///
    /// # Errors
    /// What is missing, refused, or cannot work.
    pub async fn look(&self) -> Result<(Vec<Looked>, Vec<PullConsumer>), SetupError> {
        let context = match &self.config.nats.domain {
            Some(domain) => jetstream::with_domain(self.connection.client.clone(), domain),
            None => jetstream::new(self.connection.client.clone()),
        };
        let sync = match &self.config.nats.monitoring {
            Some(url) => Some(sync_policy(url).await),
            None => None,
        };

        let mut looked = Vec::new();
        let mut consumers = Vec::new();
        for route in &self.config.out {
            looked.push(self.look_at_out(&context, route, &sync).await?);
        }
        for route in &self.config.intake {
            let (mut one, consumer) = self.look_at_in(&context, route, &sync).await?;
            one.findings.extend(self.loops(route, &consumer).await?);
            looked.push(one);
            consumers.push(consumer);
        }
        Ok((looked, consumers))
    }

    /// The routes that send back to the stream what comes from it.
    async fn loops(
        &self,
        route: &InConfig,
        consumer: &PullConsumer,
    ) -> Result<Vec<Finding>, SetupError> {
        let taken = filters(&pull_settings(consumer));
        let mut found = Vec::new();
        for out in self.config.out.iter().filter(|out| out.stream == route.stream) {
            let settings = self.daemon.endpoint(&out.endpoint).await?.settings;
            let from = settings.from.unwrap_or_default();
            let pattern = out.template().map_err(SetupError::refused)?;
            let pattern = pattern.pattern_of_source(&route.source);
            let is_sent = from.is_empty() || from.iter().any(|one| one.0 == route.source);
            let is_taken = |filter: &String| {
                meet(route.part.map_or(filter.as_str(), |part| part.without(filter)), &pattern)
            };
            if is_sent && (taken.is_empty() || taken.iter().any(is_taken)) {
                found.push(a_loop(&route.source, out));
            }
        }
        Ok(found)
    }

    async fn look_at_out(
        &self,
        context: &Context,
        route: &OutConfig,
        sync: &Option<Result<SyncPolicy, String>>,
    ) -> Result<Looked, SetupError> {
        let template = route.template().map_err(SetupError::refused)?;
        let pattern = template.pattern(&self.config.box_name());
        let endpoint = self.daemon.endpoint(&route.endpoint).await.map_err(|error| {
            missing(error, || {
                let name = &route.endpoint;
                format!(
                    "hookbox has no endpoint {name}: hookboxctl endpoint create {name} --url pull:"
                )
            })
        })?;
        let settings = endpoint.settings;
        let url = settings.url.unwrap_or_default();
        if url != "pull:" {
            let name = &route.endpoint;
            let what = format!("endpoint {name} delivers to {url}: name one with --url pull:");
            return Err(SetupError::refused(what));
        }

        let stream = self.stream(context, route, &template.pattern_of_all()).await?;
        let retry_max = settings.retry_max.map_or(0, |span| span.ms());
        let jitter = settings.jitter.map_or(0.0, |jitter| jitter.get());
        let stretched = Duration::from_millis(retry_max).mul_f64(1.0 + jitter);
        let retry = u64::try_from(stretched.as_millis()).unwrap_or(u64::MAX);
        let facts = OutFacts {
            pattern,
            sync: sync.clone(),
            max_payload: self.connection.client.max_payload() as u64,
            max_body: self.largest_body(settings.from.unwrap_or_default()).await?,
            horizon_ms: retry + route.publish_timeout.0 + route.lease.0,
        };
        let findings = of_stream(&stream.cached_info().config, &facts);
        Ok(Looked { route: route.route(), findings })
    }

    /// The largest body of these sources, or of all where none are named.
    async fn largest_body(
        &self,
        named: Vec<crate::api::text::SourceName>,
    ) -> Result<u64, SetupError> {
        let sources = self.daemon.sources().await?;
        let counts = |name: &str| named.is_empty() || named.iter().any(|one| one.0 == name);
        let bodies = sources.into_iter().filter(|source| counts(&source.name));
        let bodies = bodies.filter_map(|source| source.settings.max_body);
        Ok(bodies.map(|size| size.bytes()).max().unwrap_or(limits::DEFAULT_MAX_BODY))
    }

    /// The stream, made where it is missing and that was asked for.
    async fn stream(
        &self,
        context: &Context,
        route: &OutConfig,
        pattern: &str,
    ) -> Result<Stream, SetupError> {
        let name = &route.stream;
        if let Some(stream) = existing(context, name).await? {
            return Ok(stream);
        }
        if !self.create {
            let what = format!(
                "there is no stream {name}: make it, or let it be made with --create, which says \
                 with which settings"
            );
            return Err(SetupError::refused(what));
        }

        let settings = stream_settings(route, pattern);
        let stream = context.create_stream(settings.clone()).await.map_err(|error| {
            SetupError::refused(format!("stream {name} cannot be made: {}", causes(&error)))
        })?;
        let shown = serde_json::to_string(&settings).unwrap_or_default();
        say(format_args!("made stream {name}: {shown}"));
        Ok(stream)
    }

    async fn look_at_in(
        &self,
        context: &Context,
        route: &InConfig,
        sync: &Option<Result<SyncPolicy, String>>,
    ) -> Result<(Looked, PullConsumer), SetupError> {
        let source = self.daemon.source(&route.source).await.map_err(|error| {
            missing(error, || {
                let name = &route.source;
                format!("hookbox has no source {name}: hookboxctl source create {name}")
            })
        })?;
        let answer = source.settings.answer.map(|status| status.get());
        if route.via == Via::Ingress && answer.is_some_and(|status| status != 202) {
            let what =
                format!("source {} answers {}: {ONLY_202}", route.source, answer.unwrap_or(0));
            return Err(SetupError::refused(what));
        }
        let stream = existing(context, &route.stream).await?.ok_or_else(|| {
            SetupError::refused(format!(
                "there is no stream {}: make it; --create makes those of [[out]], and consumers",
                route.stream
            ))
        })?;

        let consumer = self.consumer(&stream, route).await?;
        let made_by = consumer.cached_info().config.metadata.get(BOX).cloned();
        let facts = InFacts {
            part: route.part,
            other_box: made_by.filter(|made_by| *made_by != self.config.box_name()),
            sync: sync.clone(),
            max_payload: self.connection.client.max_payload() as u64,
            max_body: source
                .settings
                .max_body
                .map_or(limits::DEFAULT_MAX_BODY, |size| size.bytes()),
            dedupe_window_ms: source.settings.dedupe_window.map_or(0, |window| window.ms()),
        };
        let settings = pull_settings(&consumer);
        let findings = of_consumer(&stream.cached_info().config, &settings, &facts);
        Ok((Looked { route: route.route(), findings }, consumer))
    }

    /// The consumer, made where it is missing and that was asked for.
    async fn consumer(
        &self,
        stream: &Stream,
        route: &InConfig,
    ) -> Result<PullConsumer, SetupError> {
        let name = &route.consumer_name();
        let error = match stream.consumer_info(name).await {
            Ok(info) if info.config.deliver_subject.is_some() => {
                let what = format!("consumer {name} is a push consumer: name one that is pulled");
                return Err(SetupError::refused(what));
            }
            Ok(_) => return self.pulled(stream, name).await,
            Err(error) => error,
        };
        match error.kind() {
            context::ConsumerInfoErrorKind::NotFound => {}
            context::ConsumerInfoErrorKind::JetStream(answer) => {
                return Err(answered(name, &answer));
            }
            _ => return Err(SetupError::Passing(format!("consumer {name}: {}", causes(&error)))),
        }
        if !self.create {
            let what = format!(
                "stream {} has no consumer {name}: make it, or let it be made with --create, \
                 which says with which settings",
                route.stream
            );
            return Err(SetupError::refused(what));
        }
        // A consumer that nothing is for would be in the way afterwards.
        let lacks = route.part.and_then(|part| lacks_part(&stream.cached_info().config, part));
        if let Some(what) = lacks {
            return Err(SetupError::refused(what));
        }

        let settings = consumer_settings(name, route, self.config.box_name());
        let consumer = stream.create_consumer(settings.clone()).await.map_err(|error| {
            SetupError::refused(format!("consumer {name} cannot be made: {}", causes(&error)))
        })?;
        say(format_args!(
            "made consumer {name} of {}: durable, pull, ack_policy explicit, ack_wait {:?}, \
             max_ack_pending {}, max_deliver -1, deliver_policy all, filter {:?}",
            route.stream,
            settings.ack_wait,
            settings.max_ack_pending,
            filters(&settings)
        ));
        Ok(consumer)
    }

    async fn pulled(&self, stream: &Stream, name: &str) -> Result<PullConsumer, SetupError> {
        let found: Result<Consumer<pull::Config>, _> = stream.get_consumer(name).await;
        found.map_err(|error| SetupError::Passing(format!("consumer {name}: {error}")))
    }
}

/// The stream of this name, where there is one.
async fn existing(context: &Context, name: &str) -> Result<Option<Stream>, SetupError> {
    let error = match context.get_stream(name).await {
        Ok(stream) => return Ok(Some(stream)),
        Err(error) => error,
    };
    match error.kind() {
        context::GetStreamErrorKind::JetStream(answer)
            if answer.error_code() == ErrorCode::STREAM_NOT_FOUND =>
        {
            Ok(None)
        }
        context::GetStreamErrorKind::JetStream(answer) => Err(answered(name, &answer)),
        _ => Err(SetupError::Passing(format!(
            "stream {name}: {}: is JetStream on, for this account and in this domain?",
            causes(&error)
        ))),
    }
}

/// Says that what a route takes into a source goes back to where it comes from.
fn a_loop(source: &str, out: &OutConfig) -> Finding {
    let text = format!(
        "its events go back to {}, by the route {}, and come again without an end: give the \
         endpoint other sources than {source} (--from), or the consumer another filter",
        out.stream,
        out.route()
    );
    Finding { weight: Weight::Weak, text }
}

/// Prints what was made. It is made, whether somebody reads that or not.
fn say(what: std::fmt::Arguments<'_>) {
    let _ = stdio::print(format_args!("{what}\n"));
}

/// An answer of the server that says no.
fn answered(name: &str, answer: &jetstream::Error) -> SetupError {
    let what = format!("{name}: the server answers: {answer}");
    // 503 is what it says of itself: there is no leader yet, or JetStream is just starting.
    match answer.code() {
        500.. => SetupError::Passing(what),
        _ => SetupError::refused(what),
    }
}

fn missing(error: BoxError, what: impl Fn() -> String) -> SetupError {
    match error {
        BoxError::Refused { status: 404, .. } => SetupError::refused(what()),
        error => error.into(),
    }
}

/// What makes it impossible to begin.
///
/// # Errors
/// The first of it; where more is asked for (`strict`), the first weakness as well.
pub fn refuse_broken(looked: &[Looked], strict: bool) -> Result<(), SetupError> {
    let of = |weight: Weight| {
        let all = looked.iter().flat_map(|one| one.findings.iter().map(move |f| (one, f)));
        let found = all.filter(|(_, finding)| finding.weight == weight);
        found.map(|(one, finding)| format!("{}: {}", one.route, finding.text)).next()
    };
    if let Some(what) = of(Weight::Broken) {
        return Err(SetupError::refused(what));
    }
    match of(Weight::Weak) {
        Some(what) if strict => Err(SetupError::Fatal(Exit::new(
            Exit::CONFIG,
            format!("{what} (strict = true asks for more)"),
        ))),
        _ => Ok(()),
    }
}

fn stream_settings(route: &OutConfig, pattern: &str) -> StreamConfig {
    let create = &route.create;
    let bytes = |given: Option<crate::config::Bytes>| {
        given.map_or(-1, |bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX))
    };

    StreamConfig {
        name: route.stream.clone(),
        subjects: vec![pattern.to_owned()],
        storage: StorageType::File,
        num_replicas: create.replicas,
        duplicate_window: Duration::from_millis(create.duplicate_window.0),
        max_bytes: bytes(create.max_bytes),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: i32::try_from(bytes(create.max_message)).unwrap_or(i32::MAX),
        max_age: Duration::from_millis(create.max_age.map_or(0, |age| age.0)),
        // What is full refuses; hookbox keeps it and tries again.
        discard: DiscardPolicy::New,
        description: Some("events of hookbox".to_owned()),
        ..StreamConfig::default()
    }
}

fn consumer_settings(name: &str, route: &InConfig, box_name: String) -> pull::Config {
    let create = &route.create;
    let filters = match route.part {
        Some(part) => part.filters(&create.filter),
        None => create.filter.clone(),
    };
    let (filter_subject, filter_subjects) = match filters.as_slice() {
        [one] => (one.clone(), Vec::new()),
        several => (String::new(), several.to_vec()),
    };

    pull::Config {
        durable_name: Some(name.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_millis(create.ack_wait.0),
        max_ack_pending: i64::from(create.max_ack_pending),
        // A box that is away must not end a message.
        max_deliver: -1,
        filter_subject,
        filter_subjects,
        // Boxes share a consumer, but not one of a part.
        metadata: route.part.map(|_| (BOX.to_owned(), box_name)).into_iter().collect(),
        ..pull::Config::default()
    }
}

/// The settings that a consumer has, as far as they are looked at.
fn pull_settings(consumer: &PullConsumer) -> pull::Config {
    let config = &consumer.cached_info().config;
    pull::Config {
        ack_policy: config.ack_policy,
        max_deliver: config.max_deliver,
        memory_storage: config.memory_storage,
        inactive_threshold: config.inactive_threshold,
        headers_only: config.headers_only,
        filter_subject: config.filter_subject.clone(),
        filter_subjects: config.filter_subjects.clone(),
        ..pull::Config::default()
    }
}
