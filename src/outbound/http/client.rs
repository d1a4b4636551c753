//! The parts that the HTTP transports of all endpoints share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use hyper::header::HeaderValue;

use crate::model::Clock;
use crate::outbound::settings::{OutboundError, OutboundSettings};

use super::connect::{Connector, Dial};
use super::tls::TlsClient;

/// The connector, the name of this program, the clock, and the count of idle connections.
pub struct HttpClient {
    pub connector: Connector,
    /// `User-Agent`.
    pub agent: HeaderValue,
    pub clock: Clock,
    /// Idle connections in all pools.
    pub idle: Arc<AtomicUsize>,
}

impl HttpClient {
    /// Sets it up.
    ///
    /// # Errors
    /// When the extra CA file or the user agent cannot be used.
    pub fn new(
        settings: OutboundSettings,
        clock: Clock,
        dialer: Box<dyn Dial>,
    ) -> Result<Self, OutboundError> {
        let tls = TlsClient::new(settings.extra_ca.clone())?;
        let agent = HeaderValue::from_str(&settings.user_agent)
            .map_err(|_| OutboundError::UserAgent(settings.user_agent))?;

        let tls = RwLock::new(Arc::new(tls));
        let connector = Connector { resolver: settings.resolver, dialer, tls };
        Ok(Self { connector, agent, clock, idle: Arc::default() })
    }

    pub fn idle_connections(&self) -> usize {
        self.idle.load(Ordering::Acquire)
    }
}
