//! From the scheduler to outbound and back: each order becomes a task, each task a report.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::outbound::Outbound;
use crate::queue::Input;
use crate::scheduler::{AttemptOrder, Handle};

/// Makes attempts until the scheduler lets go of its side. `flying` counts those under way.
pub async fn run(
    mut orders: mpsc::Receiver<AttemptOrder>,
    outbound: Arc<Outbound>,
    handle: Handle,
    flying: Arc<AtomicUsize>,
) {
    while let Some(AttemptOrder { delivery, number, endpoint, event }) = orders.recv().await {
        flying.fetch_add(1, Ordering::AcqRel);
        let (outbound, handle, flying) = (outbound.clone(), handle.clone(), flying.clone());
        tokio::spawn(async move {
            let report = outbound.attempt(delivery, number, &endpoint, &event).await;
            handle.report(Input::Finished { delivery, report });
            flying.fetch_sub(1, Ordering::AcqRel);
        });
    }
}
