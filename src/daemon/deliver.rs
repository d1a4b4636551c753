//! From the scheduler to outbound and back: each order becomes a task, each task a report.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::ingest::Refusals;
use crate::outbound::Outbound;
use crate::queue::Input;
use crate::scheduler::{AttemptOrder, Handle};

/// Lets go of what is kept for endpoints and sources that were changed or deleted, until the scheduler ends.
pub async fn forget(outbound: Arc<Outbound>, refusals: Arc<Refusals>, handle: Handle) {
    let mut changes = handle.directory_changes();
    drop(handle);
    while changes.changed().await.is_ok() {
        let directory = changes.borrow_and_update().clone();
        outbound.forget(&directory.endpoints);
        for source in refusals.all().keys().filter(|name| !name.is_empty()) {
            if !directory.sources_by_name.contains_key(source) {
                refusals.forget(source);
            }
        }
    }
}

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
