//! Out: the deliveries of a `pull:` endpoint into a stream.
//!
//! One loop leases as many as there are permits for, and each lease is a task: it publishes, waits
//! for the stream's acknowledgement, and settles the lease. A lease is acknowledged only after the
//! stream has acknowledged the event; whatever breaks in between, the daemon leases the delivery
//! again, and the stream recognizes the event by its id, inside its duplicate window.
//!
//! **Backpressure.** Nothing is leased without a permit, without a connection, or while bodies of
//! `limits::NATS_HELD_BYTES` are held; leases that are held are extended, and given back when they
//! could not be published within `publish_timeout`: they are never hoarded.
//!
//! **Order.** hookbox leases the next delivery of an ordered lane when the one before has ended, so
//! the order of a lane is that of the stream.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Request;
use futures_util::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use super::box_client::{BoxClient, BoxError};
use super::config::OutConfig;
use super::connect::Connection;
use super::counts::{OutCounts, count};
use super::permits::{Permits, count as count_of};
use super::publish::{OutMessage, Published, read_answer, read_error};
use super::pulse::{LineGap, RoutePulse};
use super::template::{SubjectNames, SubjectTemplate};
use crate::api::views::LeaseView;
use crate::model::{Clock, limits};

/// Before a publish that was not acknowledged is repeated.
const AGAIN: Duration = Duration::from_millis(100);
/// How often, and after which pauses, a result is reported to a daemon that does not take it.
const REPORTS: u32 = 8;
const REPORT_PAUSE: Duration = Duration::from_millis(100);
/// How many leases are extended at a time.
const EXTENDED_AT_A_TIME: usize = 8;
/// Between two looks at what waits in hookbox.
const LAG_LOOK: Duration = Duration::from_secs(5);
/// How long the stop waits for leases that were asked for: an answer that is not read holds
/// deliveries for the whole time of their lease.
const LEASED_LAST: Duration = Duration::from_secs(1);
/// A loop that waits comes round so often, to show that it lives.
const ROUND: Duration = Duration::from_secs(10);

/// A route out.
pub struct OutRoute {
    pub config: OutConfig,
    pub template: SubjectTemplate,
    pub box_name: String,
    pub connection: Connection,
    pub daemon: Arc<BoxClient>,
    pub counts: Arc<OutCounts>,
    pub pulse: Arc<RoutePulse>,
    lines: LineGap,
    away: LineGap,
    held: Mutex<HashMap<String, HeldLease>>,
}

/// A lease that is held.
struct HeldLease {
    bytes: usize,
    /// It was there when leases were extended last.
    is_old: bool,
}

impl OutRoute {
    pub fn new(
        (config, template): (OutConfig, SubjectTemplate),
        box_name: String,
        connection: Connection,
        daemon: Arc<BoxClient>,
        counts: Arc<OutCounts>,
        clock: Clock,
    ) -> Arc<Self> {
        let pulse = Arc::new(RoutePulse::new(clock.clone()));
        let (lines, away) = (LineGap::new(clock.clone()), LineGap::new(clock));
        let held = Mutex::default();
        Arc::new(Self {
            config,
            template,
            box_name,
            connection,
            daemon,
            counts,
            pulse,
            lines,
            away,
            held,
        })
    }

    /// Publishes until `stop` turns true, then lets what is under way end.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let permits = Permits::new(self.config.max_in_flight);
        let mut tasks = JoinSet::new();
        let extender = tokio::spawn(self.clone().extend());
        let lag = tokio::spawn(self.clone().look_at_lag());

        let mut failures = 0;
        while !*stop.borrow() {
            self.pulse.beat();
            while tasks.try_join_next().is_some() {}
            let permit = tokio::select! {
                permit = self.permit(&permits) => permit,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let Some(permit) = permit else { continue };
            let mut leasing = std::pin::pin!(self.lease(permit));
            let in_time = tokio::select! {
                leased = &mut leasing => Some(leased),
                _ = stop.wait_for(|stop| *stop) => None,
            };
            let last = async { tokio::time::timeout(LEASED_LAST, leasing).await.ok() };
            let Some(leased) = (match in_time {
                None => last.await,
                in_time => in_time,
            }) else {
                break;
            };

            match leased {
                Ok(leased) => {
                    failures = 0;
                    for (lease, permit) in leased {
                        tasks.spawn(self.clone().deliver(lease, permit));
                    }
                }
                Err(error) => {
                    failures += 1;
                    self.note_away(&error);
                    tokio::select! {
                        () = tokio::time::sleep(pause(failures)) => {}
                        _ = stop.wait_for(|stop| *stop) => break,
                    }
                }
            }
        }

        let within = Duration::from_millis(limits::NATS_DRAIN_MS);
        let ended = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(within, ended).await;
        extender.abort();
        lag.abort();
        tasks.shutdown().await;
        let _ = tokio::time::timeout(within, self.give_back()).await;
    }

    /// Waits for a connection, permits and memory; none when that took too long.
    async fn permit(&self, permits: &Permits) -> Option<OwnedSemaphorePermit> {
        let ready = async {
            self.connection.up().await;
            let most = u32::try_from(limits::LEASE_MAX).unwrap_or(1);
            let permit = permits.take(most).await;
            while self.held_bytes() >= limits::NATS_HELD_BYTES {
                tokio::time::sleep(AGAIN).await;
            }
            permit
        };
        tokio::time::timeout(ROUND, ready).await.ok().flatten()
    }

    /// Leases as many as there are permits for.
    async fn lease(
        &self,
        mut permit: OwnedSemaphorePermit,
    ) -> Result<Vec<(LeaseView, OwnedSemaphorePermit)>, BoxError> {
        let most = count_of(&permit);
        let leased = self.daemon.lease(&self.config.endpoint, most, self.config.lease.0).await?;
        let mut found = Vec::with_capacity(leased.leases.len());
        for lease in leased.leases {
            self.hold(&lease);
            if let Some(own) = permit.split(1) {
                found.push((lease, own));
            }
        }
        Ok(found)
    }

    /// Publishes one delivery and says to hookbox what became of it.
    async fn deliver(self: Arc<Self>, mut lease: LeaseView, permit: OwnedSemaphorePermit) {
        let message = OutMessage::of(&lease, &self.box_name, &self.config.stream);
        // From here on the body is in the message.
        lease.body_base64 = String::new();
        let published = match message {
            Ok(message) => self.publish(&lease, &message).await,
            Err(what) => Published::Refused(what),
        };

        match published {
            Published::Stored { is_duplicate } => {
                if is_duplicate {
                    count(&self.counts.duplicates);
                }
                self.acknowledge(&lease).await;
            }
            Published::Again(reason) | Published::Refused(reason) => {
                self.reject(&lease, reason, false).await;
            }
            Published::Never(reason) => self.reject(&lease, reason, true).await,
        }
        self.let_go(&lease.lease);
        drop(permit);
    }

    /// Publishes until the stream has answered, or it takes too long.
    async fn publish(&self, lease: &LeaseView, message: &OutMessage) -> Published {
        let names = SubjectNames {
            box_name: &self.box_name,
            source: &lease.source,
            event_type: &lease.event_type,
        };
        let subject = self.template.subject(&names);
        let timeout = Duration::from_millis(self.config.publish_timeout.0);
        let mut deadline = std::pin::pin!(tokio::time::sleep(timeout));
        let mut last = "there was no connection to NATS".to_owned();

        loop {
            let once = async {
                self.connection.up().await;
                self.publish_once(&subject, message).await
            };
            let published = tokio::select! {
                published = once => published,
                () = &mut deadline => return Published::Refused(last),
            };
            let Published::Again(reason) = published else { return published };

            tracing::debug!(event = %lease.event, reason, "published again");
            last = reason;
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = &mut deadline => return Published::Refused(last),
            }
        }
    }

    async fn publish_once(&self, subject: &str, message: &OutMessage) -> Published {
        count(&self.counts.published);
        let request = Request::new()
            .headers(message.headers.clone())
            .payload(message.body.clone())
            .timeout(Some(Duration::from_millis(self.config.ack_timeout.0)));
        match self.connection.client.send_request(subject.to_owned(), request).await {
            Ok(answer) => read_answer(&answer.payload, &self.config.stream),
            Err(error) => read_error(&error, subject),
        }
    }

    async fn acknowledge(&self, lease: &LeaseView) {
        match self.report(|| self.daemon.acknowledge(&lease.lease)).await {
            Ok(()) => count(&self.counts.acknowledged),
            Err(error) => self.note_lost(lease, &error),
        }
    }

    async fn reject(&self, lease: &LeaseView, reason: String, dead: bool) {
        count(&self.counts.rejected);
        let event = lease.event.to_string();
        let route = &self.counts.name;
        if dead {
            count(&self.counts.dead);
            tracing::error!(route, event, reason, "a delivery becomes a dead letter");
        } else if let Some(left_out) = self.lines.open() {
            tracing::warn!(
                route,
                event,
                reason,
                left_out,
                "a delivery was not published, and is tried again by the policy of the endpoint"
            );
        }

        if let Err(error) =
            self.report(|| self.daemon.reject(&lease.lease, reason.clone(), dead)).await
        {
            self.note_lost(lease, &error);
        }
    }

    /// Reports a result, also to a daemon that is busy or is being restarted.
    async fn report<F: Future<Output = Result<(), BoxError>>>(
        &self,
        send: impl Fn() -> F,
    ) -> Result<(), BoxError> {
        let mut tries = 0;
        loop {
            match send().await {
                Err(error) if error.is_passing() && tries < REPORTS => {
                    tries += 1;
                    tokio::time::sleep(REPORT_PAUSE * tries).await;
                }
                done => return done,
            }
        }
    }

    /// Leases that ended are leased again by hookbox, and recognized by the stream.
    fn note_lost(&self, lease: &LeaseView, error: &BoxError) {
        count(&self.counts.lost_leases);
        if let Some(left_out) = self.lines.open() {
            let (route, event) = (&self.counts.name, lease.event.to_string());
            tracing::warn!(
                route,
                event,
                %error,
                left_out,
                "hookbox does not know of a result, and leases the delivery again"
            );
        }
    }

    fn note_away(&self, error: &BoxError) {
        if let Some(left_out) = self.away.open() {
            let (route, endpoint) = (&self.counts.name, &self.config.endpoint);
            tracing::warn!(route, endpoint, %error, left_out, "nothing can be leased");
        }
    }

    /// Extends what is held, for as long as the route runs.
    async fn extend(self: Arc<Self>) {
        let route = &*self;
        let lease_ms = route.config.lease.0;
        let mut ticks = tokio::time::interval(Duration::from_millis((lease_ms / 3).max(500)));
        loop {
            ticks.tick().await;
            let old = route.old_leases();
            stream::iter(old)
                .for_each_concurrent(EXTENDED_AT_A_TIME, |lease| async move {
                    if let Err(error) = route.daemon.extend(&lease, lease_ms).await {
                        tracing::debug!(%error, "a lease could not be extended");
                    }
                })
                .await;
        }
    }

    /// Counts what waits in hookbox.
    async fn look_at_lag(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LAG_LOOK);
        loop {
            ticks.tick().await;
            let shown = self.daemon.endpoint(&self.config.endpoint).await.ok();
            if let Some(activity) = shown.and_then(|endpoint| endpoint.activity) {
                self.counts.waiting.store(activity.waiting, Ordering::Relaxed);
            }
        }
    }

    /// What was held at the last look already.
    fn old_leases(&self) -> Vec<String> {
        let mut held = self.lock();
        let old = held.iter().filter(|(_, held)| held.is_old).map(|(name, _)| name.clone());
        let old = old.collect();
        held.values_mut().for_each(|held| held.is_old = true);
        old
    }

    /// What could not be finished before the bridge stops is for another one, now.
    async fn give_back(&self) {
        let held: Vec<String> = self.lock().drain().map(|(lease, _)| lease).collect();
        stream::iter(held)
            .for_each_concurrent(EXTENDED_AT_A_TIME, |lease| async move {
                let reason = "the bridge to NATS was stopped".to_owned();
                let _ = self.daemon.reject(&lease, reason, false).await;
            })
            .await;
    }

    fn hold(&self, lease: &LeaseView) {
        let held = HeldLease { bytes: lease.body_base64.len(), is_old: false };
        self.lock().insert(lease.lease.clone(), held);
        self.counts.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    fn let_go(&self, lease: &str) {
        if self.lock().remove(lease).is_some() {
            self.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn held_bytes(&self) -> usize {
        self.lock().values().map(|held| held.bytes).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, HeldLease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before the nth attempt in a row.
fn pause(failures: u32) -> Duration {
    Duration::from_millis((100_u64 << failures.min(7)).min(5_000))
}
