//! The connection to the servers, which the client keeps: it goes from one to the next, for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;

use super::config::{NatsConfig, ServersConfig};
use super::counts::ConnectionCounts;
use super::pulse::LineGap;
use crate::model::{Clock, limits};

/// Between two looks at whether it stands.
const LOOK: Duration = Duration::from_millis(200);
/// Between two looks at whether the client has given up.
const CLOSED_LOOK: Duration = Duration::from_secs(5);

/// A connection, and whether it stands.
#[derive(Clone)]
pub struct Connection {
    pub client: Client,
    pub is_up: watch::Receiver<bool>,
    /// It is given up for good: the servers refuse this client.
    is_closed: watch::Receiver<bool>,
}

impl Connection {
    /// Waits until it stands.
    pub async fn up(&self) {
        let mut is_up = self.is_up.clone();
        // An event may be lost when many come at once: the state is what counts.
        while !self.is_up() {
            let _ = tokio::time::timeout(LOOK, is_up.changed()).await;
        }
    }

    /// Waits until it is given up.
    pub async fn closed(&self) {
        let mut is_closed = self.is_closed.clone();
        loop {
            let _ = tokio::time::timeout(CLOSED_LOOK, is_closed.changed()).await;
            if *is_closed.borrow() {
                return;
            }
            // The client says nothing when it ends while it connects anew; it takes no more, then.
            let asked = async { self.is_up() || self.client.flush().await.is_ok() };
            if let Ok(false) = tokio::time::timeout(LOOK, asked).await {
                return;
            }
        }
    }

    pub fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// It may work in a moment.
    Away(String),
    /// It will not without another configuration.
    Refused(String),
}

/// Connects.
///
/// # Errors
/// What is wrong with the settings, or why no server takes this client.
pub async fn connect(
    config: &NatsConfig,
    counts: Arc<ConnectionCounts>,
    clock: Clock,
) -> Result<Connection, ConnectFailure> {
    let (report, is_up) = watch::channel(false);
    let (close, is_closed) = watch::channel(false);
    let options = options(&config.nats).await.map_err(ConnectFailure::Refused)?;
    let options = options.name(config.connection_name());
    let reports = Arc::new(Reports {
        up: report,
        closed: close,
        counts,
        failures: LineGap::new(clock.clone()),
        refusals: LineGap::new(clock),
    });
    let options = options.event_callback(move |event| {
        let reports = reports.clone();
        async move { reports.note(&event) }
    });

    let parsed = config.nats.servers.iter().map(|server| server.parse::<ServerAddr>());
    let servers = parsed
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ConnectFailure::Refused(error.to_string()))?;
    let client = options.connect(servers).await.map_err(|error| {
        let servers = config.nats.servers.join(", ");
        let what = format!("cannot connect to {servers}: {}", causes(&error));
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                ConnectFailure::Refused(what)
            }
            _ => ConnectFailure::Away(what),
        }
    })?;
    Ok(Connection { client, is_up, is_closed })
}

/// An error with what it comes from.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

async fn options(config: &ServersConfig) -> Result<ConnectOptions, String> {
    let mut options = ConnectOptions::new()
        .max_reconnects(None)
        .reconnect_delay_callback(pause)
        .connection_timeout(Duration::from_secs(10))
        .ping_interval(Duration::from_secs(20));
    if config.tls {
        options = options.require_tls(true);
    }
    if let Some(file) = &config.tls_ca {
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }

    if let Some(file) = &config.credentials {
        let read = options.credentials_file(file).await;
        options = read.map_err(|error| format!("credentials {}: {error}", file.display()))?;
    }
    let secret = |file: &std::path::Path| {
        let read = std::fs::read_to_string(file);
        read.map(|text| text.trim().to_owned())
            .map_err(|error| format!("cannot read {}: {error}", file.display()))
    };
    if let Some(file) = &config.nkey {
        options = options.nkey(secret(file)?);
    }
    if let (Some(user), Some(file)) = (&config.user, &config.password) {
        options = options.user_and_password(user.clone(), secret(file)?);
    }
    Ok(options)
}

/// Before the connection is tried for the nth time in a row.
fn pause(attempt: usize) -> Duration {
    let ms = 50_u64 << attempt.min(6);
    Duration::from_millis(if attempt <= 1 { 0 } else { ms.min(limits::NATS_PAUSE_MS) })
}

/// Where what happens to a connection is reported.
struct Reports {
    up: watch::Sender<bool>,
    closed: watch::Sender<bool>,
    counts: Arc<ConnectionCounts>,
    /// The client tries again every few seconds, for as long as a server is away.
    failures: LineGap,
    refusals: LineGap,
}

impl Reports {
    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                let before = self.counts.connects.fetch_add(1, Ordering::Relaxed);
                tracing::info!(reconnects = before, "connected to NATS");
                self.up.send_replace(true);
            }
            Event::Disconnected => {
                tracing::warn!("the connection to NATS is lost; it is made again");
                self.up.send_replace(false);
            }
            Event::Closed => {
                self.up.send_replace(false);
                self.closed.send_replace(true);
            }

            Event::LameDuckMode => tracing::info!("the NATS server is about to stop"),
            Event::ServerError(error) => {
                if let Some(left_out) = self.refusals.open() {
                    tracing::error!(%error, left_out, "the NATS server refuses something");
                }
            }
            Event::ClientError(error) => {
                if let Some(left_out) = self.failures.open() {
                    tracing::warn!(%error, left_out, "the connection to NATS failed");
                }
            }
            Event::SlowConsumer(_) => tracing::warn!("messages came faster than they were taken"),
            Event::Draining => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_nats::{ClientError, Event};

    use super::Reports;
    use crate::model::{Clock, Now, limits};
    use crate::nats::pulse::LineGap;

    #[test]
    fn a_server_that_is_away_is_no_line_for_each_attempt() {
        let ms = Arc::new(AtomicU64::new(0));
        let read = ms.clone();
        let clock: Clock =
            Arc::new(move || Now { mono_ms: read.load(Ordering::Relaxed), wall_ms: 0 });
        let (up, closed) = (Default::default(), Default::default());
        let reports = Reports {
            up,
            closed,
            counts: Arc::default(),
            failures: LineGap::new(clock.clone()),
            refusals: LineGap::new(clock),
        };
        for _ in 0..5 {
            reports.note(&Event::ClientError(ClientError::Other("away".to_owned())));
        }
        ms.store(limits::NATS_LINE_GAP_MS, Ordering::Relaxed);
        assert_eq!(reports.failures.open(), Some(4), "so many were left out");
    }
}
