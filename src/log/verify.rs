//! Reads the whole log and says, with exact ranges, what does not add up.
//!
//! What retention dropped is vouched for by the chain itself: the commit that drops a segment holds a record
//! (`SegmentDropped`) with the chain head at its end. The file `dropped` stands outside the chain, so it is believed in
//! nothing here: a segment that is missing without such a record, or one that does not go on where the record says, is
//! a problem.

use super::frame::ChainHead;
use super::shelf::{Dropped, Facts, Slot};
use super::walk::{Walk, walk};
use super::{Expect, LogError, Problem, Progress, Reader, Report, recover};
use crate::model::Seq;

/// A verification under way.
struct Verifier<'a> {
    reader: &'a Reader,
    /// Only what was durable at the beginning is looked at: the log grows meanwhile.
    durable: Seq,
    at: Progress,
    report: Report,
    expect: Option<Expect>,
    /// What the chain says was dropped.
    dropped: Vec<Dropped>,
    /// Records that no segment holds, and the segment behind them.
    holes: Vec<(Seq, Facts)>,
}

pub(super) fn verify(reader: &Reader, expect: Option<Expect>, progress: &mut dyn FnMut(Progress)) -> Report {
    // In this order: what is dropped meanwhile then has its record within what is looked at, or its segment still here.
    let mut slots = reader.shelf.all();
    let durable = reader.durable();
    slots.retain(|slot| slot.first <= durable + 1);
    let report = Report {
        ok: false,
        records: 0,
        segments: slots.len(),
        first: reader.first(),
        last: durable,
        head: [0; 32],
        expected_at: None,
        problems: Vec::new(),
    };
    let at = Progress { segment: 0, done: 0, segments: slots.len(), records: 0, bytes: 0 };
    let (dropped, holes) = (Vec::new(), Vec::new());
    let mut verifier = Verifier { reader, durable, at, report, expect, dropped, holes };
    let mut before: Option<(Seq, ChainHead)> = None;
    for slot in &slots {
        before = verifier.slot(slot, before, progress);
    }
    verifier.report.problems.extend(recover::doubted(&reader.shelf, None));
    verifier.end(before)
}

struct Seen {
    records: u64,
    head: ChainHead,
}

impl Verifier<'_> {
    /// Looks at one segment; gives where the next one has to go on.
    fn slot(
        &mut self,
        slot: &std::sync::Arc<Slot>,
        before: Option<(Seq, ChainHead)>,
        progress: &mut dyn FnMut(Progress),
    ) -> Option<(Seq, ChainHead)> {
        self.at.segment = slot.first;
        let facts = slot.facts();
        // The active segment may have been sealed since; what was durable then is still what counts.
        let upto = facts.last.min(self.durable);
        self.joint(before, &facts);
        let mut behind = Some((upto, facts.head));
        match self.segment(slot, &facts, upto, progress) {
            Ok(seen) => {
                self.report.records += seen.records;
                self.report.head = if upto < facts.first { facts.prev } else { seen.head };
                behind = Some((upto, if upto == facts.last { facts.head } else { seen.head }));
            }
            // Dropped while it was its turn.
            Err(None) => self.report.segments -= 1,
            Err(Some(LogError::Damaged(problem))) => self.report.problems.push(problem),
            Err(Some(error)) => self.report.problems.push(slot.problem(error.to_string())),
        }
        self.at.done += 1;
        progress(self.at);
        behind
    }

    /// One segment; `Err(None)` when it has been dropped.
    fn segment(
        &mut self,
        slot: &std::sync::Arc<Slot>,
        facts: &Facts,
        upto: Seq,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Seen, Option<LogError>> {
        let segment = self.reader.shelf.borrow(slot).map_err(Some)?.ok_or(None)?;
        let at = &mut self.at;
        let mut step = |records, bytes| {
            at.records += records;
            at.bytes += bytes;
            progress(*at);
        };
        let what = Walk { upto, deep: true, mark: None, seek: self.expect.map(|e| e.head) };
        let seen = walk(&segment, what, &mut step).map_err(Some)?;
        self.report.expected_at = self.report.expected_at.or(seen.sought);
        self.dropped.extend(seen.dropped);
        let mut problems = seen.problems;
        let first = facts.first;
        let whole = |what: String| Problem { segment: first, first, last: upto.max(first), what };
        if segment.header.prev != facts.prev {
            problems.push(whole("the segment does not begin with the chain head that is known of it".into()));
        }
        if let Err(error) = segment.checkpoint() {
            problems.push(whole(format!("its checkpoint: {error}")));
        }
        // What was sealed since the verification began may hold more than it looks at.
        let is_all = facts.sealed_at.is_some() && upto == facts.last;
        if problems.is_empty() && is_all && (seen.head != facts.head || seen.records != facts.records) {
            problems.push(whole("the segment does not hold what it was sealed with".into()));
        }
        let blobs = segment.blobs();
        if blobs > 0 {
            problems.push(whole(format!("it has {blobs} blob files, which are not safe against a power cut")));
        }
        self.report.problems.extend(problems);
        Ok(Seen { records: seen.records, head: seen.head })
    }

    /// What lies between two segments, or before the first one.
    fn joint(&mut self, before: Option<(Seq, ChainHead)>, facts: &Facts) {
        let expected = before.map_or(1, |(last, _)| last + 1);
        let mut link = before.map(|(_, head)| head);
        if expected < facts.first {
            if facts.gap_from == Some(expected) {
                let what = "they were lost: the log came back without them when it was opened".to_owned();
                self.problem(facts.first, expected, facts.first - 1, what);
            } else {
                // Whether they were dropped stands in the chain, further on.
                link = None;
                self.holes.push((expected, facts.clone()));
            }
        }
        if link.is_some_and(|head| head != facts.prev) {
            let what = "the chain is broken before this segment".to_owned();
            self.problem(facts.first, facts.first, facts.first, what);
        }
    }

    /// Whether the chain says of every hole that it was dropped.
    fn judge_holes(&mut self) {
        for (first, facts) in std::mem::take(&mut self.holes) {
            // A gap that was known when the segment behind it was begun went, or goes, its own way.
            let last = facts.gap_from.filter(|from| *from > first).unwrap_or(facts.first) - 1;
            let Some(drop) = self.dropped.iter().rev().find(|drop| drop.last == last) else {
                let what = "they are missing: no segment holds them, and no record says that they were dropped";
                self.problem(facts.first, first, last, what.to_owned());
                continue;
            };
            if drop.head != facts.prev {
                let what = "the chain is broken before this segment: what was dropped before it ended otherwise";
                self.problem(facts.first, facts.first, facts.first, what.to_owned());
            }
        }
    }

    /// Whether the head that was kept elsewhere is on the chain.
    fn judge_expected(&mut self) {
        let Some(Expect { seq, head }) = self.expect else { return };
        let signed_off = self.dropped.iter().find(|drop| drop.head == head).map(|drop| drop.last);
        let found = self.report.expected_at.or(signed_off);
        self.report.expected_at = found;
        let (first, last) = (self.report.first, self.report.last);
        let at = seq.unwrap_or(last);
        let what = match (found, seq) {
            (Some(found), Some(seq)) if found != seq => {
                format!("the expected head stands at record {found}, not at {seq}")
            }
            (Some(_), _) => return,
            (None, Some(seq)) if seq < first => {
                format!("the expected head cannot be looked for: the log begins with record {first}, what was before has been dropped, and no segment ended there")
            }
            (None, Some(seq)) if seq > last => {
                format!("the expected head is not on the chain: the log ends with record {last}, so records are missing at its end, or it is another log")
            }
            _ => "the expected head is not on the chain: the log was changed, put back to an older state, or is another one".to_owned(),
        };
        self.problem(self.at.segment, at, at, what);
    }

    fn problem(&mut self, segment: Seq, first: Seq, last: Seq, what: String) {
        self.report.problems.push(Problem { segment, first, last, what });
    }

    fn end(mut self, before: Option<(Seq, ChainHead)>) -> Report {
        let durable = self.durable;
        if let Some((last, _)) = before.filter(|(last, _)| *last < durable) {
            self.problem(self.at.segment, last + 1, durable, "they were durable and are missing".to_owned());
        }
        self.judge_holes();
        self.report.problems.sort_by_key(|problem| problem.first);
        self.report.problems.iter().for_each(|problem| self.reader.shelf.note_damage(problem));
        self.judge_expected();
        self.report.ok = self.report.problems.is_empty();
        self.report
    }
}
