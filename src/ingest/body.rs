//! Reading a body, within limits of size, time, pace, and of the memory that requests hold
//! together.
//!
//! Memory is claimed from the [`super::budget`] before it is allocated, and for what was received,
//! never for what a sender announces: a thousand clients that announce much and send little hold
//! little.
//!
//! A sender that stops, or sends a byte now and then, is refused (408) long before the deadline of
//! the whole body: others need the memory that it holds. In each span of `body_pace_ms` it has to
//! send [`limits::BODY_BYTES_PER_S`], and a quarter of what would bring its body whole within the
//! deadline.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::budget::Claim;
use super::ingest_limits::IngestLimits;
use crate::model::limits;

/// A body in one piece that is smaller than this is copied, so that it does not keep a whole read
/// buffer of its connection in memory for as long as its event waits.
const COPY_BELOW: usize = 8 << 10;
/// How much is still read of a refused request, so that its sender can read the answer, and for how
/// long.
const DRAIN_BYTES: usize = 256 << 10;
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// Why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    NoMemory,
    TooSlow,
    /// The error of the connection.
    Broken(String),
}

/// Reads the whole body, at most `limit` bytes, in time.
pub(super) async fn read(
    body: &mut Incoming,
    limit: usize,
    claim: &mut Claim,
    own: &IngestLimits,
) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }

    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    claim.announce(announced.unwrap_or(0));

    let mut whole = BodyBuffer {
        first: Bytes::new(),
        joined: Vec::new(),
        most: announced.unwrap_or(limit).min(limit),
    };
    let pace = BodyPace { span_ms: own.body_pace_ms, deadline_ms: own.body_timeout_ms, announced };
    let deadline = Duration::from_millis(own.body_timeout_ms);

    match tokio::time::timeout(deadline, read_all(body, limit, claim, &pace, &mut whole)).await {
        Ok(result) => result.map(|()| whole.into_bytes(claim)),
        Err(_elapsed) => Err(BodyError::TooSlow),
    }
}

async fn read_all(
    body: &mut Incoming,
    limit: usize,
    claim: &mut Claim,
    pace: &BodyPace,
    whole: &mut BodyBuffer,
) -> Result<(), BodyError> {
    let span = Duration::from_millis(pace.span_ms);
    let mut span_ends = pin!(tokio::time::sleep(span));
    let mut at_span = 0;
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = span_ends.as_mut() => {
                let length = whole.length();
                if length - at_span < pace.least(at_span) {
                    return Err(BodyError::TooSlow);
                }
                at_span = length;
                span_ends.set(tokio::time::sleep(span));
                continue;
            }
        };
        let Some(frame) = frame else { return Ok(()) };

        // Trailers are not used.
        let Ok(data) = frame.map_err(|error| BodyError::Broken(error.to_string()))?.into_data()
        else {
            continue;
        };
        if whole.length() + data.len() > limit {
            return Err(BodyError::TooLarge);
        }
        if !whole.push(data, claim) {
            return Err(BodyError::NoMemory);
        }
    }
}

/// How fast a body has to be sent.
#[derive(Clone, Copy, Debug)]
struct BodyPace {
    span_ms: u64,
    deadline_ms: u64,
    announced: Option<usize>,
}

impl BodyPace {
    /// Bytes that a span must bring when so many were there at its beginning.
    fn least(&self, at_span: usize) -> usize {
        let of_span = |bytes: u64, per_ms: u64| {
            usize::try_from(bytes * self.span_ms / per_ms.max(1)).unwrap_or(0)
        };
        let always = of_span(limits::BODY_BYTES_PER_S, 1000);

        let Some(announced) = self.announced else { return always.max(1) };
        let in_time = of_span(announced as u64, 4 * self.deadline_ms);
        always.max(in_time).min(announced.saturating_sub(at_span)).max(1)
    }
}

/// A body while it is received. Its memory is claimed before it grows.
struct BodyBuffer {
    /// The only piece so far, in the connection's buffer.
    first: Bytes,
    joined: Vec<u8>,
    /// It does not become longer than this.
    most: usize,
}

impl BodyBuffer {
    fn length(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    /// False when there is no memory for it.
    fn push(&mut self, data: Bytes, claim: &mut Claim) -> bool {
        if self.length() == 0 {
            self.first = data;
            return claim.grow(self.first.len());
        }

        let length = self.length() + data.len();
        if self.joined.capacity() < length {
            let capacity = length.saturating_mul(2).min(self.most).max(length);
            // The claim of the first piece is taken over by the memory that it is copied to.
            let more = capacity - self.joined.capacity() - self.first.len();
            if !claim.grow(more) {
                return false;
            }
            self.joined.reserve_exact(capacity - self.joined.len());
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }

        self.joined.extend_from_slice(&data);
        true
    }

    /// The bytes, without much spare capacity.
    fn into_bytes(mut self, claim: &mut Claim) -> Bytes {
        if self.joined.capacity() == 0 {
            let first = self.first;
            return if first.len() < COPY_BELOW { Bytes::copy_from_slice(&first) } else { first };
        }

        let spare = self.joined.capacity() - self.joined.len();
        if spare > self.joined.len() / 4 {
            self.joined.shrink_to_fit();
            claim.shrink_to(claim.bytes().saturating_sub(spare));
        }
        self.joined.into()
    }
}

/// Reads and drops some of what a refused sender still sends: when a connection is closed on unread
/// bytes, the response may be lost.
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

    use bytes::Bytes;

    use super::{BodyBuffer, BodyPace};
    use crate::ingest::budget::MemoryBudget;

    #[test]
    fn memory_is_claimed_before_it_grows_and_no_more_than_it_takes() {
        for (pieces, announced) in [(1, true), (100, true), (100, false), (1, false)] {
            let budget = Arc::new(MemoryBudget::new(1 << 20));
            let mut claim = budget.claim([None; 2]);
            let most = if announced { pieces * 1000 } else { 1 << 20 };
            let mut whole = BodyBuffer { first: Bytes::new(), joined: Vec::new(), most };

            for _ in 0..pieces {
                assert!(whole.push(Bytes::from(vec![b'x'; 1000]), &mut claim));
                assert!(claim.bytes() >= whole.joined.capacity().max(whole.length()));
                assert!(claim.bytes() <= 2 * whole.length());
            }

            let bytes = whole.into_bytes(&mut claim);
            assert_eq!(bytes.len(), pieces * 1000);
            assert!(
                claim.bytes() >= bytes.len() && claim.bytes() <= bytes.len() * 5 / 4,
                "{}",
                claim.bytes()
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_not_allocated() {
        let budget = Arc::new(MemoryBudget::new(2500));
        let mut claim = budget.claim([None; 2]);
        let mut whole = BodyBuffer { first: Bytes::new(), joined: Vec::new(), most: 10_000 };
        assert!(whole.push(Bytes::from(vec![0; 1000]), &mut claim));
        assert!(!whole.push(Bytes::from(vec![0; 1000]), &mut claim), "it would grow to 4,000");
        assert_eq!((whole.joined.capacity(), claim.bytes()), (0, 1000));
    }

    #[test]
    fn a_body_has_to_come_at_a_pace() {
        let pace = |announced| BodyPace { span_ms: 5000, deadline_ms: 30_000, announced };
        assert_eq!(pace(None).least(0), 1200);
        assert_eq!(pace(Some(100)).least(0), 100, "no more than there is");
        assert_eq!(pace(Some(100)).least(99), 1);
        assert_eq!(
            pace(Some(1 << 20)).least(0),
            (1 << 20) / 24,
            "a quarter of what brings it in time"
        );
        assert_eq!(pace(Some(1 << 20)).least(1 << 20), 1, "a body that is there still has to end");
    }
}
