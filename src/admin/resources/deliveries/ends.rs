//! How deliveries ended, out of the log: by which record, and after how many attempts.

use std::collections::HashMap;

use crate::admin::http::problem::Problem;
use crate::admin::scan::log_scan::LogScan;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Seq};
use crate::record::{Consequence, Record};

pub fn has_ended(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Delivered | DeliveryState::Dead | DeliveryState::Cancelled)
}

/// Whether a record ended this delivery for good, given how it ended.
pub fn ends(
    scan: &LogScan,
    at: Seq,
    record: &Record,
    id: DeliveryId,
    state: DeliveryState,
) -> Result<bool, Problem> {
    // It may have died before, been revived, and died again: only the last death has a
    // dead_letter_seq.
    if state == DeliveryState::Dead {
        let died_here = record.dead_letter(at).is_some_and(|dead| dead.delivery == id);
        return Ok(died_here && scan.is_dead_letter_seq(at)?);
    }

    Ok(match (record, state) {
        (Record::DeliveryCancelled { delivery, .. }, DeliveryState::Cancelled) => *delivery == id,
        (Record::EndpointDeleted { endpoint, .. }, DeliveryState::Cancelled) => {
            *endpoint == id.endpoint
        }
        (Record::Superseded { endpoint, deliveries, .. }, DeliveryState::Cancelled) => {
            *endpoint == id.endpoint && deliveries.contains(&id.seq)
        }
        (record, _) => record.attempts().any(|attempt| {
            attempt.delivery == id
                && match attempt.next {
                    Consequence::Delivered => state == DeliveryState::Delivered,
                    Consequence::Ended => state == DeliveryState::Cancelled,
                    _ => false,
                }
        }),
    })
}

/// The deliveries a record may be the end of: some, or all of a deleted endpoint.
fn about(at: Seq, record: &Record) -> (Vec<DeliveryId>, Option<EndpointId>) {
    match record {
        Record::DeliveryCancelled { delivery, .. } => (vec![*delivery], None),
        Record::EndpointDeleted { endpoint, .. } => (Vec::new(), Some(*endpoint)),
        Record::Superseded { endpoint, deliveries, .. } => (
            deliveries.iter().map(|seq| DeliveryId { seq: *seq, endpoint: *endpoint }).collect(),
            None,
        ),
        record => {
            let dead = record.dead_letter(at).map(|dead| dead.delivery);
            (record.attempts().map(|attempt| attempt.delivery).chain(dead).collect(), None)
        }
    }
}

/// How often deliveries that have ended were attempted: one pass forward, from the oldest of them
/// until the last has its end.
pub fn count_attempts(
    scan: &LogScan,
    ended: &HashMap<DeliveryId, DeliveryState>,
) -> Result<HashMap<DeliveryId, u32>, Problem> {
    let mut counted = HashMap::new();
    let mut open = ended.clone();
    let Some(from) = open.keys().map(|id| id.seq).min() else { return Ok(counted) };

    for entry in scan.log().forward(from.max(scan.log().first())) {
        if open.is_empty() {
            break;
        }
        scan.still_wanted()?;
        let Some((at, record)) = scan.entry(entry) else { continue };

        for attempt in record.attempts().filter(|attempt| open.contains_key(&attempt.delivery)) {
            counted.insert(attempt.delivery, attempt.number - u32::from(attempt.uncounted));
        }
        if let Some(dead) = record.dead_letter(at).filter(|dead| open.contains_key(&dead.delivery))
        {
            counted.insert(dead.delivery, dead.attempts);
        }

        let (some, all_of) = about(at, &record);
        if let Some(endpoint) = all_of {
            open.retain(|id, state| id.endpoint != endpoint || *state != DeliveryState::Cancelled);
        }
        for id in some {
            if let Some(state) = open.get(&id).copied()
                && ends(scan, at, &record, id, state)?
            {
                open.remove(&id);
            }
        }
    }
    Ok(counted)
}
