//! What a command for deliveries would leave out: the queue is asked what it would do with each of
//! them, in slices.

use hyper::StatusCode;

use super::totals::CommandTotals;
use crate::admin::http::problem::Problem;
use crate::admin::scan::log_scan::LogScan;
use crate::model::{DeliveryId, limits};
use crate::queue::QueueRequest;

/// Counts those that would be left out. As in the queue, one that is named alone is refused.
pub fn count<T: Clone, R>(
    scan: &LogScan,
    all: &[T],
    (totals, is_alone): (&mut CommandTotals, bool),
    query: impl Fn(Vec<T>) -> R,
    id: impl Fn(&T) -> DeliveryId,
) -> Result<(), Problem>
where
    R: QueueRequest<Answer = Vec<Option<&'static str>>> + Clone,
{
    for slice in all.chunks(limits::SLICE) {
        scan.still_wanted()?;
        for (one, why) in slice.iter().zip(scan.ask(&query(slice.to_vec()))?) {
            match why {
                Some(why) if is_alone => {
                    let detail = format!("delivery {} {why}", id(one));
                    return Err(Problem::new(StatusCode::CONFLICT, detail));
                }
                Some(why) => totals.leave_out(why, 1),
                None => {}
            }
        }
    }
    Ok(())
}
