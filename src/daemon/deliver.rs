//! From the scheduler to outbound and back: each order becomes a task, each task a report.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::outbound::LeaseHub;
use crate::outbound::Outbound;
use crate::queue::Input;
use crate::scheduler::{AttemptOrder, Handle};

/// Makes attempts until the scheduler lets go of its side. `in_flight` counts those under way.
pub async fn run(
    mut orders: mpsc::Receiver<AttemptOrder>,
    outbound: Arc<Outbound>,
    hub: Arc<LeaseHub>,
    handle: Handle,
    in_flight: Arc<AtomicUsize>,
) {
    while let Some(order) = orders.recv().await {
        // Consumers take as long as they take, and what they hold is due again after the next
        // start.
        if let AttemptOrder::One { delivery, number, endpoint, event } = &order
            && endpoint.is_leased()
        {
            hub.offer(*delivery, *number, event.clone());
            continue;
        }
        in_flight.fetch_add(1, Ordering::AcqRel);
        let (outbound, handle, in_flight) = (outbound.clone(), handle.clone(), in_flight.clone());
        tokio::spawn(async move {
            handle.report(attempt(&outbound, order).await);
            in_flight.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

/// Makes the attempt, and gives its result.
async fn attempt(outbound: &Outbound, order: AttemptOrder) -> Input {
    match order {
        AttemptOrder::One { delivery, number, endpoint, event } => {
            let report = outbound.attempt(delivery, number, &endpoint, &event).await;
            Input::Finished { delivery, report }
        }
        AttemptOrder::Batch { endpoint, batch, number, events, format } => {
            let (report, failed) =
                outbound.attempt_batch(batch, number, &endpoint, &events, format).await;
            Input::BatchFinished { endpoint: endpoint.id, batch, report, failed }
        }
    }
}
