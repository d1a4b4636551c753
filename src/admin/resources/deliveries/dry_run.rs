//! What a command for deliveries would leave out, without a record: each is looked at as the queue
//! would look at it (`Queue::check_retry`, `Queue::cancel`), and counted in its words.

use hyper::StatusCode;

use super::totals::CommandTotals;
use crate::admin::http::problem::Problem;
use crate::admin::scan::log_scan::LogScan;
use crate::api::views::LeftOutView;
use crate::model::{DeliveryId, DeliveryState};
use crate::queue::{ENDPOINT_DELETED, ExplainQuery, WaitReason};

/// Why a delivery would be left out; `None` when it would not.
pub type LeftOut = Option<&'static str>;

/// Those that would be left out. As in the queue, one that is named alone is refused.
pub fn count(
    scan: &LogScan,
    ids: &[DeliveryId],
    check: impl Fn(DeliveryId) -> Result<LeftOut, Problem>,
) -> Result<Vec<LeftOutView>, Problem> {
    let (mut totals, alone) = (CommandTotals::default(), ids.len() == 1);
    for id in ids {
        scan.still_wanted()?;
        match check(*id)? {
            Some(why) if alone => {
                return Err(Problem::new(StatusCode::CONFLICT, format!("delivery {id} {why}")));
            }
            Some(why) => totals.leave_out(why, 1),
            None => {}
        }
    }
    Ok(totals.left_out())
}

/// Whether a delivery would be attempted again.
pub fn check_retry(scan: &LogScan, id: DeliveryId) -> Result<LeftOut, Problem> {
    let directory = scan.admin.handle.directory();
    if !directory.endpoints.iter().any(|endpoint| endpoint.id == id.endpoint) {
        return Ok(Some(ENDPOINT_DELETED));
    }
    let view = scan.delivery_views(&[id])?.pop().ok_or_else(Problem::gone)?;
    match view.state {
        DeliveryState::Held => {
            Ok(Some("waits behind an endpoint on hold: use `hookboxctl endpoint release`"))
        }
        DeliveryState::InFlight => Ok(Some("is being attempted right now: try again in a moment")),
        DeliveryState::Pending => waits(scan, id, view.retry.is_none()),
        DeliveryState::Dead | DeliveryState::Cancelled | DeliveryState::Delivered => Ok(None),
    }
}

/// Why one that waits cannot be hurried.
fn waits(scan: &LogScan, id: DeliveryId, is_fresh: bool) -> Result<LeftOut, Problem> {
    let reasons = scan.ask(&ExplainQuery { delivery: id, key: None })?.reasons;
    let is_kept_back = reasons
        .iter()
        .any(|reason| matches!(reason, WaitReason::Breaker { .. } | WaitReason::Paused { .. }));
    let is_behind_parked =
        reasons.iter().any(|reason| matches!(reason, WaitReason::Parked { itself: false, .. }));

    Ok(match () {
        () if is_fresh && is_kept_back => Some(
            "has its first attempt before it, and its endpoint is paused or fails: use \
             `hookboxctl endpoint release`",
        ),
        () if is_behind_parked => Some(
            "waits behind the head of its lane, which is parked: use `hookboxctl delivery retry` \
             or `delivery cancel` with that one, which `hookboxctl delivery explain` names",
        ),
        () if is_fresh => Some(
            "waits for its first attempt, which is made when its turn comes: see `hookboxctl \
             delivery explain`",
        ),
        () => None,
    })
}

/// Whether a delivery would be cancelled.
pub fn check_cancel(scan: &LogScan, id: DeliveryId) -> Result<LeftOut, Problem> {
    let view = scan.delivery_views(&[id])?.pop().ok_or_else(Problem::gone)?;
    Ok(match view.state {
        DeliveryState::Pending | DeliveryState::Held | DeliveryState::InFlight => None,
        DeliveryState::Dead => Some("is a dead letter: use `hookboxctl dlq discard`"),
        DeliveryState::Delivered => Some("was delivered already"),
        DeliveryState::Cancelled => Some("was cancelled already"),
    })
}
