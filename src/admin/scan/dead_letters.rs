//! Dead letters by their numbers, which are those of the records by which they died.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use super::log_scan::LogScan;
use crate::admin::http::problem::Problem;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Seq, WallMs, limits};
use crate::queue::{DeadOfQuery, OldestDeadLetterSeqsQuery, Revive};
use crate::record::DeadLetter;

/// A dead letter, read from its record.
pub struct DeadDelivery {
    pub revive: Revive,
    pub dead_letter_seq: Seq,
    pub died_at: WallMs,
    pub reason: String,
}

impl DeadDelivery {
    /// As this record holds it.
    pub fn new(dead: DeadLetter, dead_letter_seq: Seq) -> Self {
        let DeadLetter { delivery, event, attempts, died_at, reason, last, .. } = dead;
        let dead_letter = Some(dead_letter_seq);
        let revive = Revive { delivery, event, attempts, last, dead_letter_seq: dead_letter };
        Self { revive, dead_letter_seq, died_at, reason }
    }
}

/// Dead letters that are looked for, by their endpoints. Those that were met are taken out.
#[derive(Clone, Debug, Default)]
pub struct WantedDead(BTreeMap<EndpointId, RoaringTreemap>);

impl WantedDead {
    /// Those of the endpoints of this name.
    pub fn of_endpoint(scan: &LogScan, name: &str) -> Result<Self, Problem> {
        Ok(Self::of(scan.ask(&DeadOfQuery(name.to_owned()))?))
    }

    /// These.
    pub fn of(dead: Vec<(EndpointId, RoaringTreemap)>) -> Self {
        Self(dead.into_iter().filter(|(_, dead)| !dead.is_empty()).collect())
    }

    fn of_ids(ids: impl IntoIterator<Item = DeliveryId>) -> Self {
        let mut wanted = Self::default();
        for id in ids {
            wanted.0.entry(id.endpoint).or_default().insert(id.seq);
        }
        wanted
    }

    fn len(&self) -> u64 {
        self.0.values().map(RoaringTreemap::len).sum()
    }

    /// The oldest of the deliveries. They died later than they were made.
    fn oldest(&self) -> Option<Seq> {
        self.0.values().filter_map(RoaringTreemap::min).min()
    }

    fn contains(&self, id: DeliveryId) -> bool {
        self.0.get(&id.endpoint).is_some_and(|dead| dead.contains(id.seq))
    }

    fn remove(&mut self, id: DeliveryId) {
        if let Some(dead) = self.0.get_mut(&id.endpoint) {
            dead.remove(id.seq);
        }
    }

    fn ids(&self) -> Vec<DeliveryId> {
        let of = |(endpoint, dead): (&EndpointId, &RoaringTreemap)| {
            let endpoint = *endpoint;
            dead.iter().map(move |seq| DeliveryId { seq, endpoint }).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }
}

/// Visits the dead letters with numbers below `before`, newest first, until `visit` says that it is
/// enough: all, or those that are `wanted`.
pub fn each(
    scan: &LogScan,
    mut before: Seq,
    mut wanted: Option<WantedDead>,
    visit: &mut dyn FnMut(DeadDelivery) -> Result<bool, Problem>,
) -> Result<(), Problem> {
    if let Some(few) = wanted.as_ref().filter(|wanted| wanted.len() <= limits::SLICE as u64) {
        // They are found from both ends, where the others would all be read from one.
        let found = find(scan, &few.ids())?;
        for dead in found.into_iter().filter(|dead| dead.dead_letter_seq < before) {
            if !visit(dead)? {
                break;
            }
        }
        return Ok(());
    }

    loop {
        let oldest = wanted.as_ref().map_or(Some(0), WantedDead::oldest);
        let seqs = scan.dead_letter_seqs(before, limits::SLICE)?;
        let (Some(last), Some(oldest)) = (seqs.last().copied(), oldest) else { return Ok(()) };
        if before <= oldest {
            return Ok(());
        }
        for dead in read_all(scan, seqs, wanted.as_mut())? {
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
    mut wanted: Option<WantedDead>,
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
        if seqs.is_empty() || wanted.as_ref().is_some_and(|wanted| wanted.len() == 0) {
            return Ok(());
        }
        for dead in read_all(scan, seqs, wanted.as_mut())? {
            scan.still_wanted()?;
            visit(dead)?;
        }
    }
}

/// The dead letters of these numbers, in the same order: all, or those that are `wanted`.
fn read_all(
    scan: &LogScan,
    seqs: Vec<Seq>,
    wanted: Option<&mut WantedDead>,
) -> Result<Vec<DeadDelivery>, Problem> {
    scan.still_wanted()?;
    let is_wanted = |dead: &DeadDelivery| {
        wanted.as_ref().is_none_or(|wanted| wanted.contains(dead.revive.delivery))
    };
    let found = seqs.into_iter().filter_map(|seq| read(scan, seq)).filter(is_wanted);
    let found: Vec<DeadDelivery> = found.collect();
    let ids: Vec<DeliveryId> = found.iter().map(|dead| dead.revive.delivery).collect();

    // Behind records that are lost there may be the number of one that was asked for again.
    let views = scan.delivery_views(&ids)?;
    let is_dead = views.into_iter().map(|view| view.state == DeliveryState::Dead);
    let dead = found.into_iter().zip(is_dead).filter(|(_, is_dead)| *is_dead);
    let dead: Vec<DeadDelivery> = dead.map(|(dead, _)| dead).collect();
    if let Some(wanted) = wanted {
        dead.iter().for_each(|dead| wanted.remove(dead.revive.delivery));
    }
    Ok(dead)
}

/// The dead letters of these ids, as far as they are any, the newest first. They are looked for
/// from both ends: most die soon after they were made, and those that are asked for are mostly new.
pub fn find(scan: &LogScan, ids: &[DeliveryId]) -> Result<Vec<DeadDelivery>, Problem> {
    find_until(scan, ids, u64::MAX)
}

/// The same, of those that are found by this time of the monotonic clock.
pub fn find_until(
    scan: &LogScan,
    ids: &[DeliveryId],
    until_ms: u64,
) -> Result<Vec<DeadDelivery>, Problem> {
    // The state knows at once which of them are dead.
    let dead = scan.delivery_views(ids)?.into_iter();
    let dead = dead.filter(|view| view.state == DeliveryState::Dead).map(|view| view.delivery);
    let mut left = WantedDead::of_ids(dead);
    let (mut after, mut before) = (left.oldest().unwrap_or(0), Seq::MAX);

    let mut found = Vec::new();
    while left.len() > 0 && after < before && scan.mono_ms() <= until_ms {
        let mut newest = scan.dead_letter_seqs(before, limits::SLICE)?;
        newest.retain(|seq| *seq > after);
        before = newest.last().copied().unwrap_or(0);
        found.extend(read_all(scan, newest, Some(&mut left))?);
        if left.len() == 0 || before <= after {
            break;
        }

        let query = OldestDeadLetterSeqsQuery { after, limit: limits::SLICE };
        let mut oldest = scan.ask(&query)?;
        oldest.retain(|seq| *seq < before);
        after = oldest.last().copied().unwrap_or(Seq::MAX);
        found.extend(read_all(scan, oldest, Some(&mut left))?);
    }
    found.sort_by_key(|dead| std::cmp::Reverse(dead.dead_letter_seq));
    Ok(found)
}

/// Reads the record by which a delivery died. One that is damaged is passed over, and reported when
/// the scan is over: it is about to get another.
fn read(scan: &LogScan, seq: Seq) -> Option<DeadDelivery> {
    let (_, record) = scan.entry(scan.log().read(seq).map(|record| (seq, record)))?;
    let dead = record.and_then(|record| record.dead_letter(seq))?;
    Some(DeadDelivery::new(dead, seq))
}
