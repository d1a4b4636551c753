//! The body of a request: read within its limit and its time, and what is left of it read away.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::http::HeaderMap;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::impatient::PATIENCE;
use crate::admin::callers::peer::{Caller, Permission};
use crate::admin::http::problem::Problem;
use crate::model::limits;
use crate::permits::{FairPermit, FairPermits};
use crate::queue::Refusal;

/// One large body of root or the daemon's own user is in memory at a time: a further one waits for
/// its turn, and not for those of the members of the group.
static LARGE_BODIES_OF_OWNERS: Semaphore = Semaphore::const_new(1);

/// The turn of one large body, until it is dropped.
#[expect(dead_code, reason = "held, and given back when it is dropped")]
pub enum LargeTurn {
    OfOwner(SemaphorePermit<'static>),
    OfMember(FairPermit<u32>),
}

/// The body of a request.
pub struct RequestBody {
    body: Incoming,
    /// It is sent only once it is asked for (`Expect: 100-continue`), which it was not yet.
    waits: bool,
}

impl RequestBody {
    pub fn new(headers: &HeaderMap, body: Incoming) -> Self {
        Self { body, waits: headers.contains_key(EXPECT) }
    }

    /// Waits for a turn to read a large body, when it may be one. The turns are shared among users:
    /// one whose body comes slowly holds up nobody else's.
    pub async fn large_turn(
        &self,
        turns: &Arc<FairPermits<u32>>,
        caller: &Caller,
        limit: usize,
    ) -> Result<Option<LargeTurn>, Problem> {
        let small = self
            .body
            .size_hint()
            .upper()
            .is_some_and(|most| most <= limits::ADMIN_SMALL_BODY as u64);
        if small || limit <= limits::ADMIN_SMALL_BODY {
            return Ok(None);
        }

        let turn = async {
            match caller.may(Permission::Own) {
                true => LARGE_BODIES_OF_OWNERS.acquire().await.ok().map(LargeTurn::OfOwner),
                false => Some(LargeTurn::OfMember(turns.wait(caller.uid).await)),
            }
        };
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(Some(turn)) => Ok(Some(turn)),
            _ => Err(Problem::from(Refusal::Busy)),
        }
    }

    /// The whole body, within its limit and its time.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let too_large = || {
            let detail = format!("the body is larger than the limit of {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        };
        // Refused at once when the head says so, without reading any of it.
        if self.body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }

        self.waits = false;
        let reading = Limited::new(&mut self.body, limit).collect();
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => Err(Problem::bad(format!("the body ended early: {error}"))),
            Err(_) => {
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body was not received in time"))
            }
        }
    }

    /// Reads on what is left, beside the answer: whoever still sends could not read it otherwise,
    /// for the connection would break under their hands.
    pub fn drain(mut self) {
        if self.waits || self.body.is_end_stream() {
            return;
        }

        tokio::spawn(async move {
            let mut left = limits::ADMIN_DRAINED;
            let reading = async {
                while let Some(Ok(frame)) = self.body.frame().await {
                    left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                    if left == 0 {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(PATIENCE, reading).await;
        });
    }
}
