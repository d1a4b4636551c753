//! How deliveries ended, out of the log: by which record, and after how many attempts.

use std::collections::HashMap;

use crate::admin::http::problem::Problem;
use crate::admin::scan::log_scan::LogScan;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Seq, limits};
use crate::record::{Consequence, DeliveryFact, Record, Sieve};

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

    if cancelled_endpoint(record) == Some(id.endpoint) {
        return Ok(state == DeliveryState::Cancelled);
    }
    let facts = record.delivery_facts();
    let mut of_it = facts.iter().filter(|(delivery, _)| *delivery == id);
    Ok(of_it.any(|(_, fact)| end(fact) == Some(state)))
}

/// How a delivery of which a record says this has ended, if it has. Those that die are found by
/// their dead letters.
fn end(fact: &DeliveryFact<'_>) -> Option<DeliveryState> {
    match fact {
        DeliveryFact::Cancelled { .. } | DeliveryFact::Superseded { .. } => {
            Some(DeliveryState::Cancelled)
        }
        DeliveryFact::Attempted(attempt) => match attempt.next {
            Consequence::Delivered => Some(DeliveryState::Delivered),
            Consequence::Ended => Some(DeliveryState::Cancelled),
            Consequence::Retry { .. }
            | Consequence::Dead { .. }
            | Consequence::Held { .. }
            | Consequence::Parked { .. } => None,
        },
        DeliveryFact::Batched
        | DeliveryFact::Retried { .. }
        | DeliveryFact::Relocated
        | DeliveryFact::Died(_)
        | DeliveryFact::WasDead(_) => None,
    }
}

/// The endpoint whose deliveries a record cancels, because it was deleted.
fn cancelled_endpoint(record: &Record) -> Option<EndpointId> {
    let Record::EndpointDeleted { endpoint, .. } = record else { return None };
    Some(*endpoint)
}

/// How often deliveries that have ended were attempted: one pass forward, from the oldest of them
/// until the last has its end. `None` for those whose end is so far behind that it takes too long.
pub fn count_attempts(
    scan: &LogScan,
    ended: &HashMap<DeliveryId, DeliveryState>,
) -> Result<HashMap<DeliveryId, Option<u32>>, Problem> {
    let mut counted: HashMap<DeliveryId, Option<u32>> =
        ended.keys().map(|id| (*id, Some(0))).collect();
    let mut open = ended.clone();
    let Some(from) = open.keys().map(|id| id.seq).min() else { return Ok(counted) };
    let until = scan.mono_ms().saturating_add(limits::LIST_COUNT_MS);

    let from = from.max(scan.log().first());
    for entry in scan.log().forward_sifted(from, Sieve::outcomes()) {
        if open.is_empty() {
            break;
        }
        if scan.mono_ms() > until {
            open.keys().for_each(|id| _ = counted.insert(*id, None));
            break;
        }
        scan.still_wanted()?;
        let Some((at, Some(record))) = scan.entry(entry) else { continue };

        for attempt in record.attempts().filter(|attempt| open.contains_key(&attempt.delivery)) {
            let number = attempt.number - u32::from(attempt.uncounted);
            counted.insert(attempt.delivery, Some(number));
        }
        if let Some(dead) = record.dead_letter(at).filter(|dead| open.contains_key(&dead.delivery))
        {
            counted.insert(dead.delivery, Some(dead.attempts));
        }

        if let Some(endpoint) = cancelled_endpoint(&record) {
            open.retain(|id, state| id.endpoint != endpoint || *state != DeliveryState::Cancelled);
        }
        for (id, _) in record.delivery_facts() {
            if let Some(state) = open.get(&id).copied()
                && ends(scan, at, &record, id, state)?
            {
                open.remove(&id);
            }
        }
    }
    Ok(counted)
}
