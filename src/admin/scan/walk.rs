//! Running scans of the log: each with a permit, on a thread that may block, until its asker goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::StatusCode;
use tokio::sync::{mpsc, oneshot};

use super::log_scan::LogScan;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::response::ApiResponse;
use crate::api::views::ProblemLine;
use crate::model::share::{Share, ShareHolder};
use crate::permits::{FairPermit, FairPermits};

/// Lines that may wait for a slow reader.
const LINES_WAITING: usize = 64;

/// Sets its flag when the asker's future is dropped.
struct Presence(Arc<AtomicBool>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs a scan that sends rows as it finds them. A failure on the way becomes the last line:
/// `{"problem":{…}}`.
pub fn stream<F>(admin: &Arc<Admin>, walk: F) -> ApiResponse
where
    F: FnOnce(&LogScan) -> Result<(), Problem> + Send + 'static,
{
    begin(admin, walk).0
}

/// Runs a scan that sends rows as it finds them, and waits for the first one: a list that has none
/// because something is wrong with the request is answered with that.
///
/// # Errors
/// What ended the scan before its first row.
pub async fn list<F>(admin: &Arc<Admin>, walk: F) -> Result<ApiResponse, Problem>
where
    F: FnOnce(&LogScan) -> Result<(), Problem> + Send + 'static,
{
    let (response, begun) = begin(admin, walk);
    // Whoever would say so is gone only when the reading has failed, which the rows end with.
    begun.await.unwrap_or(Ok(())).map(|()| response)
}

fn begin<F>(admin: &Arc<Admin>, walk: F) -> (ApiResponse, oneshot::Receiver<Result<(), Problem>>)
where
    F: FnOnce(&LogScan) -> Result<(), Problem> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    let (announce, begun) = oneshot::channel();
    let scan = LogScan::new(admin, Some(sender.clone()), Arc::default()).announcing(announce);
    let admin = admin.clone();

    tokio::spawn(async move {
        let permit = tokio::select! {
            permit = permit(&admin, &admin.context.lists) => permit,
            () = sender.closed() => return,
        };
        drop(sender);
        tokio::task::spawn_blocking(move || {
            let ended = walk(&scan).and_then(|()| scan.fault());
            if let Err(problem) = scan.announce(ended) {
                let _ = scan.send(&ProblemLine { problem: problem.view() });
            }
            drop(permit);
        });
    });
    (ApiResponse::Lines(receiver, None), begun)
}

/// A permit for a scan of this caller, who waits when there is none left.
async fn permit(admin: &Admin, permits: &Arc<FairPermits<u32>>) -> FairPermit<u32> {
    let uid = admin.context.caller.uid;
    if let Some(permit) = permits.take(uid) {
        return permit;
    }
    admin.handle.shares().note(Share::BlockingThreads, ShareHolder::User(uid));
    permits.wait(uid).await
}

/// Runs a scan that sends bytes as it finds them. A failure on the way ends them early.
pub fn raw<F>(admin: &Arc<Admin>, walk: F) -> ApiResponse
where
    F: FnOnce(&LogScan) -> Result<(), Problem> + Send + 'static,
{
    let logged = |scan: &LogScan| {
        if let Err(problem) = walk(scan) {
            tracing::error!(detail = problem.detail, "copying the log failed");
        }
        Ok(())
    };
    match stream(admin, logged) {
        ApiResponse::Lines(bytes, _) => ApiResponse::Raw(bytes),
        other => other,
    }
}

/// Runs a scan that comes to one value.
pub async fn value<F, T>(admin: &Arc<Admin>, walk: F) -> Result<T, Problem>
where
    F: FnOnce(&LogScan) -> Result<T, Problem> + Send + 'static,
    T: Send + 'static,
{
    let gone = Arc::new(AtomicBool::new(false));
    let _presence = Presence(gone.clone());
    let scan = LogScan::new(admin, None, gone);

    let permit = permit(admin, &admin.context.walks).await;
    let walked = tokio::task::spawn_blocking(move || {
        let walked = walk(&scan);
        drop(permit);
        walked
    });
    walked
        .await
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the log failed"))?
}
