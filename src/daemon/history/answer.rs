//! What the history answers: rows of a step each, from the finest ring that reaches back far
//! enough.

use super::book::History;
use super::figures::{Figures, Gauge, quantile_ms};
use super::ring::Ring;
use crate::admin::HistoryAsk;
use crate::api::values::Time;
use crate::api::views::{HistoryRowView, HistoryView};
use crate::model::time::format_duration_ms;
use crate::model::{EndpointId, WallMs, limits};
use crate::scheduler::{LATENCY_MS, SHORT_MS};

/// Steps that are chosen when none is asked for.
const STEPS_MS: &[u64] = &[
    10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000,
    14_400_000, 21_600_000, 43_200_000,
];
/// Rows that are shown about, then.
const ROWS: u64 = 144;
/// A longer step is as well as none.
const STEP_MAX_MS: u64 = 86_400_000;

const NO_HISTORY: &str = "this endpoint has no history: nothing happened there lately, or others \
                          were busier";

/// Answers what was asked, at `now`.
///
/// # Errors
/// Says what has to be asked in another way.
pub fn answer(history: &History, ask: &HistoryAsk, now: WallMs) -> Result<HistoryView, String> {
    if ask.since >= ask.until {
        return Err("'since' must be before 'until'".to_owned());
    }
    let length = ask.until - ask.since;
    let wanted = ask.step_ms.unwrap_or_else(|| usual_step(length)).min(STEP_MAX_MS);
    let Some((ring, known_since)) = ring(history, ask, now) else {
        let plan = RowPlan::new(ask, wanted.max(1), wanted.max(1))?;
        let mut view = plan.view(vec![None; plan.rows()], None);
        view.note = Some(NO_HISTORY.to_owned());
        return Ok(view);
    };

    let plan = RowPlan::new(ask, wanted, ring.slot_ms())?;
    let (buckets, before) = plan.sort(ring);
    let mut filling =
        Filling { history, known_since, now, stood: before, of_endpoint: ask.endpoint.is_some() };
    let (mut rows, mut total) = (Vec::new(), None);

    for (at, bucket) in (plan.first..).step_by(plan.step()).zip(buckets) {
        let row = filling.row(at, at.saturating_add(plan.step_ms), bucket);
        if let Some(figures) = &row {
            total.get_or_insert_with(Figures::default).then(figures);
        }
        rows.push(row);
    }

    Ok(plan.view(rows, total))
}

/// The finest ring that holds everything since then, or else the one that reaches back farthest;
/// and since when anything is known. `None` for an endpoint without a history.
fn ring<'h>(history: &'h History, ask: &HistoryAsk, now: WallMs) -> Option<(&'h Ring, WallMs)> {
    if let Some(endpoint) = ask.endpoint {
        let found = history.endpoints.of(endpoint)?;
        return Some((&found.ring, found.since.max(found.ring.whole_since(now))));
    }
    let whole = |ring: &&Ring| ring.whole_since(now) <= ask.since;
    let ring = history.rings.iter().find(whole).unwrap_or(&history.rings[2]);
    Some((ring, ring.whole_since(now)))
}

fn usual_step(length: u64) -> u64 {
    let fits = STEPS_MS.iter().find(|step| length.div_ceil(**step) <= ROWS);
    fits.copied().unwrap_or(STEP_MAX_MS)
}

/// Which rows there are.
struct RowPlan {
    endpoint: Option<EndpointId>,
    /// The beginning of the first row.
    first: WallMs,
    until: WallMs,
    step_ms: u64,
    slot_ms: u64,
}

/// The figures of a row, and when the last slot of them ended.
type Bucket = Option<(WallMs, Figures)>;

impl RowPlan {
    fn new(ask: &HistoryAsk, wanted: u64, slot_ms: u64) -> Result<Self, String> {
        let step_ms = wanted.max(1).next_multiple_of(slot_ms);
        let first = ask.since / step_ms * step_ms;
        let plan = Self { endpoint: ask.endpoint, first, until: ask.until, step_ms, slot_ms };

        let most = limits::HISTORY_ROWS as u64;
        let rows = (ask.until - first).div_ceil(step_ms);
        if rows <= most {
            return Ok(plan);
        }
        let step = (ask.until - first).div_ceil(most - 1).next_multiple_of(slot_ms);
        Err(format!(
            "these are {rows} steps, and at most {most} are shown: take a longer 'step' ({}), or \
             a later 'since'",
            format_duration_ms(step)
        ))
    }

    fn step(&self) -> usize {
        usize::try_from(self.step_ms).unwrap_or(usize::MAX)
    }

    fn rows(&self) -> usize {
        let rows = (self.until - self.first).div_ceil(self.step_ms);
        usize::try_from(rows).unwrap_or(0)
    }

    /// The figures of a ring by rows, and those of the slot before the first row. Of two times that
    /// were the same the later one says how things stood.
    fn sort(&self, ring: &Ring) -> (Vec<Bucket>, Bucket) {
        let mut buckets: Vec<Bucket> = vec![None; self.rows()];
        let mut before: Bucket = None;

        ring.each(|at, figures| {
            let Some(since) = at.checked_sub(self.first) else {
                if before.as_ref().is_none_or(|(held, _)| *held <= at) {
                    before = Some((at, figures.clone()));
                }
                return;
            };
            let place = usize::try_from(since / self.step_ms).ok();
            let Some(bucket) = place.and_then(|place| buckets.get_mut(place)) else { return };
            match bucket {
                Some((last, held)) => {
                    held.then(figures);
                    *last = at.max(*last);
                }
                None => *bucket = Some((at, figures.clone())),
            }
        });

        // How things stood is known of the end of a slot.
        let ended = |(at, figures): (WallMs, Figures)| (at.saturating_add(self.slot_ms), figures);
        let buckets = buckets.into_iter().map(|bucket| bucket.map(ended));
        (buckets.collect(), before.map(ended))
    }

    fn view(&self, rows: Vec<Option<Figures>>, total: Option<Figures>) -> HistoryView {
        let of_endpoint = self.endpoint.is_some();
        let at = |row: usize| Time(self.first + row as u64 * self.step_ms);
        let rows = rows.iter().enumerate();
        HistoryView {
            since: Time(self.first),
            until: Time(self.until),
            step_ms: self.step_ms,
            endpoint: None,
            note: None,
            rows: rows.map(|(n, row)| shown(at(n), row.as_ref(), of_endpoint)).collect(),
            total: shown(Time(self.first), total.as_ref(), of_endpoint),
        }
    }
}

/// Completes rows one after the other: how things stood goes on until something happens.
struct Filling<'h> {
    history: &'h History,
    known_since: WallMs,
    now: WallMs,
    /// How things stood last, and at which time.
    stood: Bucket,
    of_endpoint: bool,
}

impl Filling<'_> {
    /// The figures of a row, or `None` where nothing is known.
    fn row(&mut self, from: WallMs, to: WallMs, bucket: Bucket) -> Option<Figures> {
        let end = to.min(self.now.max(from));
        let ran = bucket.is_some() || self.history.runs.overlap(from, to);
        if !ran || to <= self.known_since || from > self.now {
            self.stood = None;
            return None;
        }

        let (mut figures, since) = match bucket {
            Some((at, figures)) => {
                self.stood = Some((at, figures.clone()));
                (figures, at)
            }
            None => {
                let (since, stood) = self.stood.clone().unwrap_or_default();
                let pending = Gauge::at(stood.pending.last);
                let oldest_s = Gauge::at(stood.oldest_s.last);
                let disk_kib = stood.disk_kib;
                (Figures { pending, oldest_s, disk_kib, ..Figures::default() }, since)
            }
        };

        // What waits grows older while nothing happens.
        if figures.pending.last > 0 {
            let aged = figures.oldest_s.last.saturating_add(end.saturating_sub(since) / 1000);
            figures.oldest_s.most = figures.oldest_s.most.max(aged);
        }
        if self.of_endpoint {
            figures.disk_kib = 0;
        }
        Some(figures)
    }
}

fn shown(at: Time, figures: Option<&Figures>, of_endpoint: bool) -> HistoryRowView {
    let number = |read: fn(&Figures) -> u64| figures.map(read);
    let of_all = figures.filter(|_| !of_endpoint);
    let latency = |part| quantile_ms(&figures?.latency, LATENCY_MS, part);
    let commit = |part| quantile_ms(&of_all?.commit, SHORT_MS, part);

    HistoryRowView {
        at,
        accepted: number(|f| f.accepted),
        refused: of_all.map(|f| f.refused),
        delivered: number(|f| f.delivered),
        failed: number(|f| f.failed),
        dead: number(|f| f.dead),
        pending: number(|f| f.pending.most),
        oldest_s: number(|f| f.oldest_s.most),
        latency_p50_ms: latency(500),
        latency_p99_ms: latency(990),
        commit_p50_ms: commit(500),
        commit_p99_ms: commit(990),
        disk_bytes: of_all.map(|f| f.disk_kib << 10),
    }
}
