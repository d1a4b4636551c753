//! The history itself: three rings over all, and one for each of the busiest endpoints.

use super::busiest::Busiest;
use super::figures::{Figures, Gauge};
use super::ring::{Ring, RingSize};
use super::runs::Runs;
use crate::model::{EndpointId, Now, WallMs, limits};
use crate::queue::{Backlog, EndpointBacklog};
use crate::scheduler::{Counted, Tally};

/// The rings over all, the finest first: 10 s for an hour, a minute for a day, an hour for thirty
/// days.
pub const RINGS: [RingSize; 3] = [
    RingSize { slot_ms: 10_000, slots: 360, bytes: limits::HISTORY_RING_BYTES[0] },
    RingSize { slot_ms: 60_000, slots: 24 * 60, bytes: limits::HISTORY_RING_BYTES[1] },
    RingSize { slot_ms: 3_600_000, slots: 30 * 24, bytes: limits::HISTORY_RING_BYTES[2] },
];

/// What opens a file: which one it is, and of which form.
const MAGIC: &[u8] = b"hookbox history 1\n";
const CHECKSUM: usize = size_of::<u32>();

/// What the daemon did and how it stood, by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub rings: [Ring; 3],
    pub endpoints: Busiest,
    pub runs: Runs,
}

/// What was seen since the last look.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    pub tally: Tally,
    /// Requests that were refused at the ingress.
    pub refused: u64,
    /// What waits; `None` when the queue did not say.
    pub backlog: Option<Backlog>,
    pub disk_kib: u64,
}

impl Default for History {
    fn default() -> Self {
        let (endpoints, runs) = (Busiest::default(), Runs::default());
        Self { rings: RINGS.map(Ring::new), endpoints, runs }
    }
}

impl History {
    /// The endpoints whose backlog is to be looked at together with this tally.
    pub fn wanted(&self, tally: &Tally) -> Vec<EndpointId> {
        self.endpoints.wanted(tally)
    }

    /// Adds what was seen to the slots of `at`, the time of which it is counted; it is `now`.
    pub fn observe(&mut self, now: Now, at: WallMs, seen: &Observation) {
        let begins = self.runs.see(now);
        // What was counted before the clock was set belongs to the time that it shows now.
        let at = if begins { now.wall_ms } else { at };
        let latest = self.rings[0].latest().unwrap_or_default();

        let figures = Figures {
            refused: seen.refused,
            commit: seen.tally.commit,
            disk_kib: seen.disk_kib,
            pending: pending(seen.backlog.as_ref(), &latest),
            oldest_s: oldest(seen.backlog.as_ref(), &latest),
            ..Figures::of(&seen.tally.all)
        };
        let stands_as_before =
            figures.pending.last == latest.pending.last && figures.disk_kib == latest.disk_kib;
        if begins || figures.has_counts() || !stands_as_before {
            self.rings.iter_mut().for_each(|ring| ring.add(at, &figures));
        }

        if let Some(backlog) = &seen.backlog {
            let backlogs = &backlog.endpoints;
            self.endpoints.count(at, &seen.tally, backlogs, endpoint_figures, begins);
        }
    }

    /// Bytes that it takes in memory.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        let endpoints = self.endpoints.all().map(|(_, kept)| kept.ring.size());
        self.rings.iter().map(Ring::size).chain(endpoints).sum()
    }

    /// As a file has it.
    pub fn write(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        self.runs.write(&mut file);
        self.rings.iter().for_each(|ring| ring.write(&mut file));
        self.endpoints.write(&mut file);
        let checksum = crc32fast::hash(&file);
        file.extend(checksum.to_le_bytes());
        file
    }

    /// Reads what [`write`](Self::write) made.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(file: &[u8]) -> Result<Self, &'static str> {
        let body = file.strip_prefix(MAGIC);
        body.ok_or("it is not a history, or one of another version")?;
        let Some((checked, checksum)) = file.split_last_chunk::<CHECKSUM>() else {
            return Err("it is too short");
        };
        if crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
            return Err("its checksum is wrong: it is damaged");
        }
        let mut rest = checked.strip_prefix(MAGIC).ok_or("it is too short")?;
        Self::read_body(&mut rest).ok_or("its contents cannot be read")
    }

    fn read_body(rest: &mut &[u8]) -> Option<Self> {
        let runs = Runs::read(rest)?;
        let mut rings = RINGS.map(Ring::new);
        for ring in &mut rings {
            let size = RINGS.iter().find(|size| size.slot_ms == ring.slot_ms())?;
            *ring = Ring::read(rest, *size)?;
        }
        let endpoints = Busiest::read(rest)?;
        rest.is_empty().then_some(Self { rings, endpoints, runs })
    }
}

fn pending(backlog: Option<&Backlog>, latest: &Figures) -> Gauge {
    Gauge::at(backlog.map_or(latest.pending.last, |backlog| backlog.pending))
}

fn oldest(backlog: Option<&Backlog>, latest: &Figures) -> Gauge {
    Gauge::at(backlog.map_or(latest.oldest_s.last, |backlog| backlog.oldest_age_ms / 1000))
}

fn endpoint_figures(counted: Option<&Counted>, backlog: &EndpointBacklog) -> Figures {
    Figures {
        pending: Gauge::at(backlog.pending),
        oldest_s: Gauge::at(backlog.oldest_age_ms / 1000),
        ..counted.map(Figures::of).unwrap_or_default()
    }
}
