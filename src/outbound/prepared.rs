//! What is worked out once per endpoint and configuration: the way there, the keys, the templates, the pool.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use hyper::Uri;

use crate::model::{Endpoint, Event, Secret, TimedSecret};

use super::exec::{Allow, Program};
use super::failure::Failure;
use super::message::Message;
use super::pool::Pool;
use super::shape::Shaper;
use super::via::{Common, Route};
use super::{Lookup, OutboundError, sign, url};

/// Ways out that the operator of the machine opens, and can change while the room works.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// `http://[user:password@]host:port`, for endpoints that say nothing else.
    pub proxy: Option<String>,
    /// What is reached without it.
    pub no_proxy: Vec<String>,
    /// Commands that `exec:` endpoints may run.
    pub exec_allow: Vec<String>,
}

/// The same, read.
pub(super) struct Permits {
    pub(super) common: Common,
    pub(super) allow: Allow,
}

impl Permits {
    pub(super) fn read(ways: &Ways) -> Result<Self, OutboundError> {
        let common = Common::new(ways.proxy.as_deref(), &ways.no_proxy).map_err(OutboundError::Proxy)?;
        Ok(Self { common, allow: Allow(ways.exec_allow.clone()) })
    }
}

/// What is worked out once per endpoint and configuration.
pub(super) struct Prepared {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) parts: Result<Parts, String>,
    pub(super) pool: Pool,
}

pub(super) struct Parts {
    pub(super) way: Way,
    pub(super) keys: Vec<sign::Key>,
    pub(super) shaper: Option<Shaper>,
}

/// How an endpoint is reached.
pub(super) enum Way {
    Http { target: url::Target, route: Box<Route> },
    Exec(Program),
}

impl Way {
    /// The path and query of its URL.
    pub(super) fn uri(&self) -> Uri {
        match self {
            Self::Http { target, .. } => target.uri.clone(),
            Self::Exec(_) => Uri::from_static("/"),
        }
    }
}

impl Parts {
    pub(super) fn new(endpoint: &Endpoint, lookup: Option<&Lookup>, common: &Common) -> Result<Self, String> {
        let way = if endpoint.is_exec() {
            Way::Exec(Program::new(endpoint)?)
        } else {
            let target = url::parse(&endpoint.url)?;
            let proxy = endpoint.via.proxy.as_ref().map(|proxy| resolve(proxy, lookup)).transpose()?;
            let route = Route::new(&endpoint.via, proxy.as_ref().map(|p| p.0.as_str()), &target, common)?;
            Way::Http { target, route: Box::new(route) }
        };
        let key = |timed: &TimedSecret| {
            sign::Key::new(&TimedSecret { secret: resolve(&timed.secret, lookup)?, expires_at: timed.expires_at })
        };
        let keys = endpoint.secrets.iter().map(key).collect::<Result<_, String>>()?;
        let plain = endpoint.shape.is_plain();
        let shaper = if plain { None } else { Some(Shaper::new(&endpoint.shape, lookup)?) };
        Ok(Self { way, keys, shaper })
    }
}

/// The secret, or what it stands for when it only names one.
fn resolve(secret: &Secret, lookup: Option<&Lookup>) -> Result<Secret, String> {
    let found = lookup.map(|lookup| lookup(&secret.0)).transpose()?.flatten();
    Ok(found.map_or_else(|| secret.clone(), Secret))
}

impl Prepared {
    pub(super) fn new(
        endpoint: &Arc<Endpoint>,
        idle: &Arc<AtomicUsize>,
        lookup: Option<&Lookup>,
        permits: &Permits,
    ) -> Self {
        let parts = Parts::new(endpoint, lookup, &permits.common);
        Self { endpoint: endpoint.clone(), parts, pool: Pool::new(idle.clone()) }
    }

    /// What is sent for one event.
    pub(super) fn message(&self, event: &Arc<Event>, number: u32) -> Result<Message, Failure> {
        let parts = self.parts.as_ref().map_err(|why| Failure::Endpoint(why.clone()))?;
        let mut message = Message::of(&self.endpoint, event)?;
        if let Some(shaper) = &parts.shaper {
            shaper.apply(event, number, &parts.way.uri(), &mut message).map_err(Failure::Shape)?;
        }
        Ok(message)
    }

    pub(super) fn is_for(&self, endpoint: &Arc<Endpoint>) -> bool {
        Arc::ptr_eq(&self.endpoint, endpoint) || self.endpoint == *endpoint
    }
}
