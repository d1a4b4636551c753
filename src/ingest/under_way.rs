//! Events on their way to the scheduler, with what their request holds meanwhile.
//!
//! A stream that is reset, or a client that hangs up, drops what was to answer its request. What it
//! has handed over goes on then in a task of its own, and gives back neither its memory nor its
//! places in front of the scheduler before it is through.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle as Runtime;

use super::budget::Claim;
use super::holder_permits::HolderPermit;
use crate::queue::{Accepted, NewEvent, Refusal};
use crate::scheduler::Handle;

type AcceptResult = Result<Vec<Accepted>, Refusal>;

/// What a request holds until its events are through.
pub(super) struct HeldMeanwhile {
    pub claim: Claim,
    #[expect(dead_code, reason = "held until it is dropped")]
    pub places: [HolderPermit; 2],
}

/// The answer of the scheduler, and what was held until then.
pub(super) struct UnderWay(Option<Started>);

struct Started {
    accepting: Pin<Box<dyn Future<Output = AcceptResult> + Send>>,
    held: HeldMeanwhile,
}

impl UnderWay {
    pub fn begin(handle: &Handle, events: Vec<NewEvent>, held: HeldMeanwhile) -> Self {
        let handle = handle.clone();
        let accepting = Box::pin(async move { handle.accept(events).await });
        Self(Some(Started { accepting, held }))
    }
}

impl Future for UnderWay {
    type Output = (AcceptResult, HeldMeanwhile);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // It is not asked again once it has answered.
        let Some(mut started) = self.0.take() else { return Poll::Pending };
        match started.accepting.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready((result, started.held)),
            Poll::Pending => {
                self.0 = Some(started);
                Poll::Pending
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(Started { accepting, held }) = self.0.take() else { return };

        // Without a runtime the daemon has ended, and with it all that was held.
        if let Ok(runtime) = Runtime::try_current() {
            runtime.spawn(async move {
                // Whoever posted the events does not hear of it.
                let _ = accepting.await;
                drop(held);
            });
        }
    }
}
