//! Dead letters by their numbers, which are those of the records by which they died.

use std::collections::HashSet;

use roaring::RoaringTreemap;

use super::log_scan::LogScan;
use crate::admin::http::problem::Problem;
use crate::model::{DeliveryId, DeliveryState, Seq, WallMs, limits};
use crate::queue::Revive;
use crate::record::DeadLetter;

/// A dead letter, read from its record.
pub struct DeadDelivery {
    pub revive: Revive,
    pub dead_letter_seq: Seq,
    pub died_at: WallMs,
    pub reason: String,
}

/// Visits the dead letters with numbers below `before`, newest first, until `visit` says that it is
/// enough.
pub fn each(
    scan: &LogScan,
    mut before: Seq,
    visit: &mut dyn FnMut(DeadDelivery) -> Result<bool, Problem>,
) -> Result<(), Problem> {
    loop {
        let seqs = scan.dead_letter_seqs(before, limits::SLICE)?;
        let Some(last) = seqs.last().copied() else { return Ok(()) };
        for dead in read_all(scan, seqs)? {
            scan.still_wanted()?;
            if !visit(dead)? {
                return Ok(());
            }
        }
        before = last;
    }
}

/// Visits those that are there now in the order in which they died: on a lane they are attempted
/// again in the order in which they are asked for. Only their numbers are remembered, and those
/// that die meanwhile are not visited.
pub fn each_oldest_first(
    scan: &LogScan,
    visit: &mut dyn FnMut(DeadDelivery) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut there = RoaringTreemap::new();
    let mut before = Seq::MAX;
    loop {
        let seqs = scan.dead_letter_seqs(before, limits::SLICE)?;
        let Some(last) = seqs.last().copied() else { break };
        scan.still_wanted()?;
        there.extend(seqs);
        before = last;
    }

    let mut there = there.into_iter();
    loop {
        let seqs: Vec<Seq> = there.by_ref().take(limits::SLICE).collect();
        if seqs.is_empty() {
            return Ok(());
        }
        for dead in read_all(scan, seqs)? {
            scan.still_wanted()?;
            visit(dead)?;
        }
    }
}

/// The dead letters of these numbers, in the same order.
fn read_all(scan: &LogScan, seqs: Vec<Seq>) -> Result<Vec<DeadDelivery>, Problem> {
    scan.still_wanted()?;
    let found: Vec<DeadDelivery> = seqs.into_iter().filter_map(|seq| read(scan, seq)).collect();
    let ids: Vec<DeliveryId> = found.iter().map(|dead| dead.revive.delivery).collect();

    // Behind records that are lost there may be the number of one that was asked for again.
    let views = scan.delivery_views(&ids)?;
    let is_dead = views.into_iter().map(|view| view.state == DeliveryState::Dead);
    let dead = found.into_iter().zip(is_dead).filter(|(_, is_dead)| *is_dead);
    Ok(dead.map(|(dead, _)| dead).collect())
}

/// The dead letters of these ids, as far as they are any.
pub fn find(scan: &LogScan, ids: &[DeliveryId]) -> Result<Vec<DeadDelivery>, Problem> {
    let mut left: HashSet<DeliveryId> = ids.iter().copied().collect();
    // The state knows at once which of them are dead: the scan below only looks for those.
    for view in scan.delivery_views(ids)? {
        if view.state != DeliveryState::Dead {
            left.remove(&view.delivery);
        }
    }

    let mut found = Vec::new();
    if left.is_empty() {
        return Ok(found);
    }
    each(scan, Seq::MAX, &mut |dead| {
        if left.remove(&dead.revive.delivery) {
            found.push(dead);
        }
        Ok(!left.is_empty())
    })?;
    Ok(found)
}

/// Reads the record by which a delivery died. One that is damaged is passed over, and reported when
/// the scan is over: it is about to get another.
fn read(scan: &LogScan, seq: Seq) -> Option<DeadDelivery> {
    let (_, record) = scan.entry(scan.log().read(seq).map(|record| (seq, record)))?;
    let dead = record.and_then(|record| record.dead_letter(seq))?;
    let DeadLetter { delivery, event, attempts, died_at, reason, last, .. } = dead;
    let revive = Revive { delivery, event, attempts, last, dead_letter_seq: Some(seq) };
    Some(DeadDelivery { revive, dead_letter_seq: seq, died_at, reason })
}
