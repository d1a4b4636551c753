//! The test's own client of the server: makes streams, publishes, and reads what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, Info};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt;
use tokio::runtime::Runtime;

use crate::support::SOON;

/// A message of a stream.
#[derive(Clone, Debug)]
pub struct Stored {
    pub sequence: u64,
    pub subject: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Stored {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn id(&self) -> &str {
        self.header("Nats-Msg-Id")
    }
}

/// A client with a runtime of its own.
pub struct Js {
    pub runtime: Runtime,
    pub context: Context,
}

impl Js {
    pub fn connect(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let context = runtime.block_on(async {
            let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
            let client = options.connect(url).await.expect("a connection");
            let mut context = jetstream::new(client);
            context.set_timeout(Duration::from_secs(20));
            context
        });
        Self { runtime, context }
    }

    /// Makes a stream in files.
    pub fn stream(&self, name: &str, subjects: &[&str], change: impl Fn(&mut Config)) {
        let mut config = Config {
            name: name.to_owned(),
            subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
            duplicate_window: Duration::from_secs(3_600),
            ..Config::default()
        };
        change(&mut config);
        self.runtime.block_on(async {
            self.context.create_stream(config).await.expect("a stream");
        });
    }

    /// Changes its settings.
    pub fn update(&self, name: &str, change: impl Fn(&mut Config)) {
        let mut config = self.info(name).config;
        change(&mut config);
        self.runtime.block_on(async {
            self.context.update_stream(&config).await.expect("it can be changed");
        });
    }

    pub fn info(&self, name: &str) -> Info {
        self.runtime.block_on(async {
            let mut stream = self.context.get_stream(name).await.expect("the stream");
            stream.info().await.expect("its state").clone()
        })
    }

    pub fn count(&self, name: &str) -> u64 {
        self.try_count(name).expect("the stream")
    }

    /// The messages in it, when the server answers.
    pub fn try_count(&self, name: &str) -> Option<u64> {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(name).await.ok()?;
            Some(stream.cached_info().state.messages)
        })
    }

    /// Publishes until the stream has acknowledged; gives the sequence.
    pub fn publish(&self, subject: &str, headers: &[(&str, &str)], body: &[u8]) -> u64 {
        let mut map = async_nats::HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        self.runtime.block_on(async {
            loop {
                let (map, body) = (map.clone(), body.to_vec().into());
                let sent = self.context.publish_with_headers(subject.to_owned(), map, body).await;
                if let Ok(sent) = sent
                    && let Ok(acknowledged) = sent.await
                {
                    return acknowledged.sequence;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    }

    /// Publishes several at a time, each until the stream has acknowledged it.
    pub fn publish_all<'a>(
        &self,
        numbers: std::ops::Range<u64>,
        message: impl Fn(u64) -> (&'a str, Vec<(&'a str, String)>, String),
    ) {
        let each = futures_util::stream::iter(numbers.map(message)).map(|(subject, all, body)| {
            let mut headers = async_nats::HeaderMap::new();
            all.into_iter().for_each(|(name, value)| headers.insert(name, value));
            async move {
                loop {
                    let (headers, body) = (headers.clone(), body.clone().into());
                    let sent = self.context.publish_with_headers(subject.to_owned(), headers, body);
                    if let Ok(sent) = sent.await
                        && sent.await.is_ok()
                    {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        self.runtime.block_on(each.buffer_unordered(16).collect::<Vec<()>>());
    }

    /// All messages of a stream, in its order.
    pub fn all(&self, name: &str) -> Vec<Stored> {
        let wanted = usize::try_from(self.count(name)).expect("a number");
        self.runtime.block_on(async {
            let stream = self.context.get_stream(name).await.expect("the stream");
            let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
            let consumer = stream.create_consumer(config).await.expect("a consumer");
            let mut found = Vec::with_capacity(wanted);
            while found.len() < wanted {
                let batch = consumer.fetch().max_messages(500).messages();
                let mut batch = batch.await.expect("messages");
                while let Some(message) = batch.next().await {
                    found.push(stored(&message.expect("a message")));
                }
            }
            found
        })
    }

    /// What a durable consumer has not acknowledged yet, delivered or not.
    pub fn open(&self, stream: &str, consumer: &str) -> Option<u64> {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.ok()?;
            let info = stream.consumer_info(consumer).await.ok()?;
            Some(info.num_pending + info.num_ack_pending as u64)
        })
    }

    /// Hears what is published on a subject, in a stream or not.
    pub fn subscribe(&self, subject: &str) -> async_nats::Subscriber {
        self.runtime.block_on(async {
            let nats = self.context.client();
            let subscriber = nats.subscribe(subject.to_owned()).await.expect("subscribed");
            nats.flush().await.expect("flushed");
            subscriber
        })
    }

    /// The next that it hears, which is JSON.
    pub fn next(&self, subscriber: &mut async_nats::Subscriber) -> serde_json::Value {
        let next = async { tokio::time::timeout(SOON, subscriber.next()).await };
        let next = self.runtime.block_on(next).expect("a message in time").expect("a message");
        serde_json::from_slice(&next.payload).expect("JSON")
    }

    /// Waits for so many messages.
    #[track_caller]
    pub fn await_count(&self, name: &str, wanted: u64) {
        crate::support::until(&format!("{wanted} messages in {name}"), SOON, || {
            (self.try_count(name)? >= wanted).then_some(())
        });
        assert_eq!(self.count(name), wanted, "messages in {name}");
    }
}

/// A message as it was delivered.
pub fn stored(message: &jetstream::Message) -> Stored {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let one = |(name, values): (&async_nats::HeaderName, &Vec<async_nats::HeaderValue>)| {
        (name.to_string(), values.last().map(ToString::to_string).unwrap_or_default())
    };
    Stored {
        sequence: message.info().expect("its place").stream_sequence,
        subject: message.subject.to_string(),
        headers: headers.map(one).collect(),
        body: message.payload.to_vec(),
    }
}
