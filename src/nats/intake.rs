//! In: the messages of a durable consumer into a source.
//!
//! One loop asks the consumer for as many as there are permits for, and each message is a task: it
//! posts the message to hookbox, and says to the server what became of it. A message is
//! acknowledged only after hookbox's 202, and the server confirms that; whatever breaks in between,
//! it comes again, and hookbox recognizes it by its key, inside the source's dedupe window.
//!
//! A box that does not accept (503, 429, restarted) gets nothing more for a while: what waits stays
//! in the stream, for other boxes of the same consumer as well. While hookbox takes its time, the
//! server is asked for more of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Request;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::{AckKind, Message};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use super::box_client::{BoxClient, BoxEvent};
use super::config::InConfig;
use super::connect::{Connection, causes};
use super::counts::{InCounts, count};
use super::permits::{Permits, count as count_of};
use super::pulse::{Gate, LineGap, RoutePulse};
use super::taken::{MessagePlace, MessageTaken, event, taken};
use crate::model::{Clock, limits};

/// How often the server is asked to confirm an acknowledgement, and how long each may take.
const CONFIRMS: u32 = 3;
const CONFIRM: Duration = Duration::from_secs(5);
const ROUND: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(limits::NATS_POLL_MS);
/// Between two looks at what waits in the stream.
const LAG_LOOK: Duration = Duration::from_secs(5);
/// After the consumer could not be asked.
const AGAIN: Duration = Duration::from_millis(500);

/// A route in.
pub struct InRoute {
    config: InConfig,
    connection: Connection,
    consumer: PullConsumer,
    /// The server gives a message to somebody else when it is not acknowledged for so long.
    ack_wait: Duration,
    /// What the consumer allows one request to ask for, and how long it may wait.
    most: usize,
    expires: Duration,
    daemon: Arc<BoxClient>,
    counts: Arc<InCounts>,
    pub pulse: Arc<RoutePulse>,
    gate: Gate,
    lines: LineGap,
    away: LineGap,
}

impl InRoute {
    pub fn new(
        config: InConfig,
        connection: Connection,
        consumer: PullConsumer,
        daemon: Arc<BoxClient>,
        counts: Arc<InCounts>,
        clock: Clock,
    ) -> Arc<Self> {
        let settings = &consumer.cached_info().config;
        let ack_wait = settings.ack_wait.max(Duration::from_secs(1));
        let most = usize::try_from(settings.max_batch).ok().filter(|most| *most > 0);
        let longest = Some(settings.max_expires).filter(|longest| !longest.is_zero());
        let expires = longest.map_or(POLL, |longest| longest.min(POLL));
        Arc::new(Self {
            config,
            connection,
            consumer,
            ack_wait,
            most: most.unwrap_or(usize::MAX),
            expires,
            daemon,
            counts,
            pulse: Arc::new(RoutePulse::new(clock.clone())),
            gate: Gate::new(clock.clone()),
            lines: LineGap::new(clock.clone()),
            away: LineGap::new(clock),
        })
    }

    /// Takes messages until `stop` turns true, then lets what is under way end.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let permits = Permits::new(self.config.max_in_flight);
        let mut tasks = JoinSet::new();
        let lag = tokio::spawn(self.clone().look_at_lag());
        while !*stop.borrow() {
            self.pulse.beat();
            while tasks.try_join_next().is_some() {}
            self.round(&permits, &mut tasks, &mut stop).await;
        }

        let within = Duration::from_millis(limits::NATS_DRAIN_MS);
        let ended = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(within, ended).await;
        lag.abort();
        tasks.shutdown().await;
        let _ = tokio::time::timeout(CONFIRM, self.connection.client.flush()).await;
    }

    /// Asks for messages once there is a connection and a permit, and the box accepts.
    async fn round(
        self: &Arc<Self>,
        permits: &Permits,
        tasks: &mut JoinSet<()>,
        stop: &mut watch::Receiver<bool>,
    ) {
        let ready = async {
            self.connection.up().await;
            let permit = permits.take(self.config.max_in_flight).await;
            loop {
                match self.gate.closed_ms() {
                    0 => break permit,
                    ms => tokio::time::sleep(Duration::from_millis(ms)).await,
                }
            }
        };
        let ready = tokio::select! {
            ready = tokio::time::timeout(ROUND, ready) => ready,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok(Some(mut permit)) = ready else { return };

        let most = (count_of(&permit) as usize).min(self.most);
        let asked = self.consumer.batch().max_messages(most).expires(self.expires);
        let mut batch = match asked.messages().await {
            Ok(batch) => batch,
            Err(error) => return self.note_away(&error).await,
        };
        let mut is_up = self.connection.is_up.clone();
        loop {
            let next = tokio::select! {
                next = batch.next() => Some(next),
                // What was asked for is forgotten by the server that is gone.
                _ = is_up.wait_for(|up| !*up) => return,
                _ = stop.wait_for(|stop| *stop) => None,
            };
            let Some(next) = next else { return give_back(batch).await };
            let message = match next {
                Some(Ok(message)) => message,
                Some(Err(error)) => return self.note_away(&*error).await,
                None => return,
            };

            let Some(own) = permit.split(1) else { return };
            tasks.spawn(self.clone().take(message, own));
        }
    }

    async fn note_away(&self, error: &(dyn std::error::Error + Send + Sync)) {
        if let Some(left_out) = self.away.open() {
            let (route, error) = (&self.counts.name, in_words(&causes(error)));
            tracing::warn!(route, error, left_out, "the consumer cannot be asked for messages");
        }
        tokio::time::sleep(AGAIN).await;
    }

    /// Counts what waits in the stream, also while the box takes nothing.
    async fn look_at_lag(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LAG_LOOK);
        loop {
            ticks.tick().await;
            self.connection.up().await;
            let Ok(info) = self.consumer.get_info().await else { continue };
            // Those that were given back for later are not acknowledged, either.
            let own = self.counts.in_flight.load(Ordering::Relaxed);
            let later = (info.num_ack_pending as u64).saturating_sub(own);
            self.counts.waiting.store(info.num_pending + later, Ordering::Relaxed);
        }
    }

    /// Posts one message to hookbox and says to the server what became of it.
    async fn take(self: Arc<Self>, message: Message, permit: OwnedSemaphorePermit) {
        count(&self.counts.received);
        self.counts.in_flight.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = self.place(&message) {
            let headers = message.headers.as_ref();
            let source = &self.config.source;
            let event = event(source, &place, headers, message.payload.clone());
            self.settle(&message, &place, self.post(&message, &event, place.delivered).await).await;
        }
        self.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
        drop(permit);
    }

    /// Where the message stands, by the subject that its acknowledgement goes to.
    fn place(&self, message: &Message) -> Option<MessagePlace> {
        let info = message.info().ok()?;
        Some(MessagePlace {
            stream: info.stream.to_owned(),
            sequence: info.stream_sequence,
            stored_ns: info.published.unix_timestamp_nanos(),
            subject: self
                .config
                .part
                .map_or(&*message.subject, |part| part.without(&message.subject))
                .to_owned(),
            delivered: u64::try_from(info.delivered).unwrap_or(1),
        })
    }

    /// Posts it, and asks the server for more time meanwhile.
    async fn post(&self, message: &Message, event: &BoxEvent, delivered: u64) -> MessageTaken {
        let mut posted = std::pin::pin!(self.daemon.accept(event, self.config.via));
        let mut ticks = tokio::time::interval(self.ack_wait / 3);
        ticks.tick().await;
        loop {
            tokio::select! {
                answer = &mut posted => return taken(answer, delivered),
                _ = ticks.tick() => drop(message.ack_with(AckKind::Progress).await),
            }
        }
    }

    async fn settle(&self, message: &Message, place: &MessagePlace, taken: MessageTaken) {
        let route = &self.counts.name;
        match taken {
            MessageTaken::Stored { is_duplicate } => {
                if is_duplicate {
                    count(&self.counts.duplicates);
                }
                self.confirm(message, "+ACK".to_owned()).await;
            }

            MessageTaken::Later { reason, after_ms, is_box } => {
                count(&self.counts.postponed);
                if is_box {
                    self.gate.close_for(after_ms);
                }
                if let Some(left_out) = self.lines.open() {
                    let sequence = place.sequence;
                    tracing::warn!(
                        route,
                        sequence,
                        reason,
                        after_ms,
                        left_out,
                        "hookbox does not take a message now: it comes again"
                    );
                }
                let after = Some(Duration::from_millis(after_ms));
                drop(message.ack_with(AckKind::Nak(after)).await);
            }

            MessageTaken::Never(reason) => {
                count(&self.counts.terminated);
                let (sequence, subject) = (place.sequence, &place.subject);
                tracing::error!(
                    route,
                    sequence,
                    subject,
                    reason,
                    "hookbox refuses a message, which is given up"
                );
                let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
                self.confirm(message, format!("+TERM {reason}")).await;
                self.report_given_up(place, reason).await;
            }
        }
    }

    /// Has the operator notified of a message that is given up (`hookbox.source.given_up`).
    async fn report_given_up(&self, place: &MessagePlace, reason: String) {
        let from = format!("message {} of {}, {}", place.sequence, place.stream, place.subject);
        let reported = self.daemon.report_given_up(&self.config.source, from, reason).await;
        if let Err(error) = reported {
            tracing::debug!(%error, "a message that is given up was not reported to hookbox");
        }
    }

    /// Acknowledges, and waits for the server to say that it knows.
    async fn confirm(&self, message: &Message, what: String) {
        let Some(reply) = &message.reply else { return };
        for _ in 0..CONFIRMS {
            let request = Request::new().payload(what.clone().into()).timeout(Some(CONFIRM));
            match self.connection.client.send_request(reply.clone(), request).await {
                Ok(_) if what == "+ACK" => return count(&self.counts.acknowledged),
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "an acknowledgement was not confirmed"),
            }
            let _ = tokio::time::timeout(CONFIRM, self.connection.up()).await;
        }
        // It comes again, and is recognized.
        count(&self.counts.unconfirmed);
    }
}

/// What the server answers to a request for messages. The client gives its status as it is
/// debugged.
fn in_words(error: &str) -> String {
    let text = error.replace(", Some(\"", ": ").replace("\")", "");
    text.replace("503, None", "503: nobody answers for it: was it deleted, or its stream?")
}

/// What has come already and is not begun any more is for somebody else, at once.
async fn give_back(mut batch: Batch) {
    while let Some(Some(Ok(message))) = batch.next().now_or_never() {
        drop(message.ack_with(AckKind::Nak(None)).await);
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn what_the_server_answers_is_in_words() {
        assert_eq!(in_words("x: 409, Some(\"Consumer Deleted\")"), "x: 409: Consumer Deleted");
        assert!(in_words("x: 503, None").contains("was it deleted"));
    }
}
