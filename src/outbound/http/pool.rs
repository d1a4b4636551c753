//! The idle connections of one endpoint in one configuration.
//!
//! A connection that its peer keeps only for a time (`keep-alive: timeout=5`) is not used towards
//! the end of it.
//!
//! HTTP/2 is spoken with receivers that offer it. A receiver with whom a request fails over it gets
//! HTTP/1.1 from then on, for as long as the pool lives: not everybody who offers it can do it.
//!
//! Limits: `limits::IDLE_CONNECTIONS` idle ones for each endpoint, `limits::IDLE_ALL` over all,
//! each for at most `limits::IDLE_MS`. A pool dies with its endpoint's configuration, so that no
//! connection made with a permission outlives that.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use crate::model::limits;

use super::connection::HttpConnection;

/// The idle connections of one endpoint.
pub struct Pool {
    idle: Mutex<Vec<IdleConnection>>,
    /// Idle connections in all pools.
    all: Arc<AtomicUsize>,
    /// The last request over HTTP/2 that came to an end had no response.
    http2_failed: AtomicBool,
}

struct IdleConnection {
    connection: HttpConnection,
    since_ms: u64,
    _slot: IdleSlot,
}

impl Pool {
    pub fn new(all: Arc<AtomicUsize>) -> Self {
        Self { idle: Mutex::new(Vec::new()), all, http2_failed: AtomicBool::new(false) }
    }

    /// Whether HTTP/2 may be offered.
    pub fn may_offer_http2(&self) -> bool {
        !self.http2_failed.load(Ordering::Relaxed)
    }

    /// A request over HTTP/2 begins.
    pub fn begin_http2(&self) -> Http2Trial<'_> {
        Http2Trial { pool: self, is_answered: false }
    }

    /// The connection that was used last, if any is still open.
    pub async fn take(&self, mono_ms: u64) -> Option<HttpConnection> {
        loop {
            let mut idle = self.lock().pop()?;
            if !is_old(&idle, mono_ms) && idle.connection.is_usable().await {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose response was read to its end; closes it when it has no further use.
    pub async fn put(&self, mut connection: HttpConnection, mono_ms: u64) {
        if !connection.is_usable().await {
            return;
        }
        let Some(slot) = IdleSlot::take(&self.all) else { return };

        let mut idle = self.lock();
        if idle.len() < limits::IDLE_CONNECTIONS {
            idle.push(IdleConnection { connection, since_ms: mono_ms, _slot: slot });
        }
    }

    /// Closes what has been idle for too long, and what the peer has closed.
    pub fn close_idle(&self, mono_ms: u64) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut idle = self.lock();
        idle.retain_mut(|one| !is_old(one, mono_ms) && one.connection.poll_usable(&mut cx));
        idle.shrink_to_fit();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it has been idle for too long: for us, or so long that its peer may be closing it right
/// now.
fn is_old(idle: &IdleConnection, mono_ms: u64) -> bool {
    let kept_ms = idle.connection.kept_ms();
    let kept_ms =
        kept_ms.map_or(u64::MAX, |kept_ms| kept_ms.saturating_sub(limits::IDLE_MARGIN_MS));
    mono_ms.saturating_sub(idle.since_ms) >= limits::IDLE_MS.min(kept_ms)
}

/// Counts one idle connection for as long as it is idle.
struct IdleSlot(Arc<AtomicUsize>);

impl IdleSlot {
    fn take(idle: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            (n < limits::IDLE_ALL).then_some(n + 1)
        });
        taken.ok().map(|_| Self(idle.clone()))
    }
}

impl Drop for IdleSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request over HTTP/2. One that is given up, for whatever reason, has failed.
pub struct Http2Trial<'a> {
    pool: &'a Pool,
    is_answered: bool,
}

impl Http2Trial<'_> {
    pub fn succeed(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Http2Trial<'_> {
    fn drop(&mut self) {
        self.pool.http2_failed.store(!self.is_answered, Ordering::Relaxed);
    }
}
