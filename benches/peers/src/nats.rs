//! A stream of NATS JetStream on file storage. The 202 waits for the server's acknowledgement; with
//! `sync_interval: always` the server has synced by then.

use std::time::UNIX_EPOCH;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{self, Context};

use super::{Event, Failure};

const SUBJECT: &str = "outbox";

pub struct Stream(Context);

impl Stream {
    pub async fn open(url: &str) -> Result<Self, Failure> {
        let context = jetstream::new(async_nats::connect(url).await?);
        let config = Config {
            name: "OUTBOX".to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            storage: StorageType::File,
            ..Config::default()
        };
        context.get_or_create_stream(config).await?;
        Ok(Self(context))
    }

    /// Many requests publish at the same time, over one connection.
    pub async fn publish(&self, event: Event) -> Result<i64, Failure> {
        let since = event.received_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert("Received-At", since.as_micros().to_string());
        for (name, value) in event.headers.lines().filter_map(|line| line.split_once(": ")) {
            headers.append(name, value);
        }
        let published = self.0.publish_with_headers(SUBJECT, headers, event.body).await?;
        let acknowledged = published.await?;
        Ok(i64::try_from(acknowledged.sequence)?)
    }
}
