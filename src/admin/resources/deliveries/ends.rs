//! How deliveries ended, out of the log: by which record, and after how many attempts.

use std::collections::HashMap;

use crate::admin::http::problem::Problem;
use crate::admin::scan::dead_letters::{self, DeadDelivery};
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

/// How deliveries ended, as far as that was found in time.
#[derive(Default)]
pub struct DeliveryEnds {
    attempts: HashMap<DeliveryId, u32>,
    pub dead: HashMap<DeliveryId, DeadDelivery>,
}

impl DeliveryEnds {
    /// Looks for the ends of these. Dead letters are looked for from both ends of all dead letters,
    /// because days may lie between a delivery and its death. The others, and those dead letters
    /// that are in the middle, are looked for behind the deliveries.
    pub fn find(
        scan: &LogScan,
        ended: &HashMap<DeliveryId, DeliveryState>,
    ) -> Result<Self, Problem> {
        let mut ends = Self::default();
        let dead = ended.iter().filter(|(_, state)| **state == DeliveryState::Dead);
        let dead: Vec<DeliveryId> = dead.map(|(id, _)| *id).collect();
        let until = scan.mono_ms().saturating_add(limits::LIST_COUNT_MS);
        for dead in dead_letters::find_until(scan, &dead, until)? {
            ends.dead.insert(dead.revive.delivery, dead);
        }

        let mut open = ended.clone();
        open.retain(|id, _| !ends.dead.contains_key(id));
        ends.look_behind(scan, open)?;
        Ok(ends)
    }

    /// How often a delivery that has ended was attempted. `None`: it took too long to count.
    pub fn attempts(&self, id: DeliveryId) -> Option<u32> {
        self.attempts.get(&id).copied()
    }

    /// One pass forward, from the oldest of them until the last has its end.
    fn look_behind(
        &mut self,
        scan: &LogScan,
        mut open: HashMap<DeliveryId, DeliveryState>,
    ) -> Result<(), Problem> {
        let Some(from) = open.keys().map(|id| id.seq).min() else { return Ok(()) };
        self.attempts.extend(open.keys().map(|id| (*id, 0)));
        let until = scan.mono_ms().saturating_add(limits::LIST_COUNT_MS);

        let from = from.max(scan.log().first());
        for entry in scan.log().forward_sifted(from, Sieve::outcomes()) {
            if open.is_empty() {
                break;
            }
            if scan.mono_ms() > until {
                open.keys().for_each(|id| _ = self.attempts.remove(id));
                break;
            }
            scan.still_wanted()?;
            let Some((at, Some(record))) = scan.entry(entry) else { continue };
            self.take(scan, at, &record, &mut open)?;
        }
        Ok(())
    }

    /// Takes in what a record says of those whose end was not found yet.
    fn take(
        &mut self,
        scan: &LogScan,
        at: Seq,
        record: &Record,
        open: &mut HashMap<DeliveryId, DeliveryState>,
    ) -> Result<(), Problem> {
        for attempt in record.attempts().filter(|attempt| open.contains_key(&attempt.delivery)) {
            let number = attempt.number - u32::from(attempt.uncounted);
            self.attempts.insert(attempt.delivery, number);
        }
        if let Some(endpoint) = cancelled_endpoint(record) {
            open.retain(|id, state| id.endpoint != endpoint || *state != DeliveryState::Cancelled);
        }

        for (id, _) in record.delivery_facts() {
            let Some(state) = open.get(&id).copied() else { continue };
            if !ends(scan, at, record, id, state)? {
                continue;
            }
            open.remove(&id);
            if let Some(dead) = record.dead_letter(at).filter(|_| state == DeliveryState::Dead) {
                self.dead.insert(id, DeadDelivery::new(dead, at));
            }
        }
        Ok(())
    }
}
