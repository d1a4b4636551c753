//! Reading a body: bounded while it is read, in size, in time, and in what all requests together hold.
//!
//! Memory is claimed from the [`Budget`] as bytes come, never by what a sender announces: a thousand clients that
//! announce much and send little hold little.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// A body in one piece that is smaller than this is copied, so that it does not keep a whole read buffer of
/// its connection in memory for as long as its event waits.
const COPY_BELOW: usize = 8 << 10;
/// What is still read of a refused request, so that its sender can read the answer, and for how long.
const DRAIN_BYTES: usize = 256 << 10;
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// Bytes that all requests together may hold.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    /// Begins a claim of nothing.
    pub fn claim(self: &Arc<Self>) -> Claim {
        Claim { budget: self.clone(), bytes: 0 }
    }
}

/// One request's part of the budget; given back when it goes.
#[derive(Debug)]
pub(super) struct Claim {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Claim {
    /// Takes so many bytes more. False, and nothing taken, when there is no room.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let limit = self.budget.limit;
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
        let grown = self.budget.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok();
        self.bytes += if grown { bytes } else { 0 };
        grown
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    NoRoom,
    TooSlow,
    /// What the connection said.
    Broken(String),
}

/// Reads the whole body, at most `limit` bytes, within `deadline`.
pub(super) async fn read(
    body: &mut Incoming,
    limit: usize,
    claim: &mut Claim,
    deadline: Duration,
) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(deadline, read_all(body, limit, claim)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(BodyError::TooSlow),
    }
}

async fn read_all(body: &mut Incoming, limit: usize, claim: &mut Claim) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut whole: Option<BytesMut> = None;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that hookbox uses.
        let Ok(data) = frame.map_err(|error| BodyError::Broken(error.to_string()))?.into_data() else { continue };
        length += data.len();
        if length > limit {
            return Err(BodyError::TooLarge);
        }
        if !claim.grow(data.len()) {
            return Err(BodyError::NoRoom);
        }
        match &mut whole {
            Some(whole) => whole.extend_from_slice(&data),
            None if first.is_empty() => first = data,
            None => {
                let mut joined = BytesMut::with_capacity(2 * length);
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&data);
                first = Bytes::new();
                whole = Some(joined);
            }
        }
    }
    Ok(match whole {
        Some(whole) => compact(whole),
        None if first.len() < COPY_BELOW => Bytes::copy_from_slice(&first),
        None => first,
    })
}

/// The bytes, without much room behind them.
fn compact(whole: BytesMut) -> Bytes {
    if whole.capacity() - whole.len() > whole.len() / 4 { Bytes::copy_from_slice(&whole) } else { whole.freeze() }
}

/// Reads and drops some of what a refused sender still has to say: when a connection is closed on unread bytes, the
/// answer may be lost on the way.
pub(super) async fn drain(mut body: Incoming) {
    let read = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::Budget;

    #[test]
    fn claims_are_bounded_together_and_given_back() {
        let budget = Arc::new(Budget::new(100));
        let (mut one, mut other) = (budget.claim(), budget.claim());
        assert!(one.grow(60) && other.grow(40));
        assert!(!one.grow(1));
        assert!(!one.grow(usize::MAX));
        drop(other);
        assert!(one.grow(40));
        drop(one);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
