//! Verification: reads the whole log and reports inconsistencies with their exact ranges.
//!
//! The chain itself vouches for what retention dropped: the commit that drops a segment holds a
//! record (`SegmentDropped`) with the chain head at its end. The file `dropped` is outside the
//! chain, so it is not trusted here: a segment that is missing without such a record, or one that
//! does not continue where the record says, is a problem.

use std::sync::Arc;

use super::error::{LogError, LogProblem};
use super::frame::ChainHead;
use super::reader::Reader;
use super::scan::{ScanOptions, SegmentScan, scan};
use super::segment::Segment;
use super::segment_slot::SegmentSlot;
use super::segment_summary::{DroppedRange, SegmentSummary};
use super::unverified_tail;
use crate::model::Seq;

/// The progress of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The segment at hand.
    pub segment: Seq,
    /// Segments done, of `segments`.
    pub done: usize,
    pub segments: usize,
    pub records: u64,
    pub bytes: u64,
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub ok: bool,
    pub records: u64,
    pub segments: usize,
    pub first: Seq,
    pub last: Seq,
    pub head: [u8; 32],
    /// The record at which the expected head was found.
    pub expected_at: Option<Seq>,
    pub problems: Vec<LogProblem>,
}

/// A head that was kept elsewhere and has to be on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The record it was read at, when that is known.
    pub seq: Option<Seq>,
    pub head: [u8; 32],
}

impl Reader {
    /// Reads everything, and reports inconsistencies.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Report {
        let (verifier, joint) = verify(self, None, &|| true, progress);
        verifier.finish(joint)
    }

    /// The same, and whether a head that was kept elsewhere is on the chain.
    pub fn verify_expecting(&self, expect: Expect, progress: &mut dyn FnMut(Progress)) -> Report {
        let (verifier, joint) = verify(self, Some(expect), &|| true, progress);
        verifier.finish(joint)
    }

    /// The same for one who may give up waiting for it, which is asked before each segment: then
    /// there is no report.
    pub fn verify_while(
        &self,
        expect: Option<Expect>,
        is_wanted: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Option<Report> {
        let (verifier, joint) = verify(self, expect, is_wanted, progress);
        (verifier.at.done == verifier.at.segments).then(|| verifier.finish(joint))
    }
}

/// Where the next segment has to continue: behind this record, with this chain head.
type Joint = Option<(Seq, ChainHead)>;

/// A verification under way.
struct Verifier<'a> {
    reader: &'a Reader,
    /// The last record that was durable at the beginning: the log grows meanwhile.
    durable: Seq,
    at: Progress,
    report: Report,
    expect: Option<Expect>,
    /// The ranges that the chain says were dropped.
    dropped: Vec<DroppedRange>,
    /// First records that no segment holds, and the segment behind them.
    gaps: Vec<(Seq, SegmentSummary)>,
}

/// Verifies segment by segment, as long as it is wanted. Returns where the log has to end as well.
fn verify<'a>(
    reader: &'a Reader,
    expect: Option<Expect>,
    is_wanted: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress),
) -> (Verifier<'a>, Joint) {
    // In this order: what is dropped meanwhile then has its record within what is read, or its
    // segment is still here.
    let mut slots = reader.segments.all();
    let durable = reader.durable();
    slots.retain(|slot| slot.first <= durable + 1);

    let mut verifier = Verifier::new(reader, durable, slots.len(), expect);
    let mut joint = None;
    for slot in &slots {
        if !is_wanted() {
            break;
        }
        joint = verifier.slot(slot, joint, progress);
    }
    (verifier, joint)
}

impl<'a> Verifier<'a> {
    fn new(reader: &'a Reader, durable: Seq, segments: usize, expect: Option<Expect>) -> Self {
        let report = Report {
            ok: false,
            records: 0,
            segments,
            first: reader.first(),
            last: durable,
            head: [0; 32],
            expected_at: None,
            problems: Vec::new(),
        };
        let at = Progress { segment: 0, done: 0, segments, records: 0, bytes: 0 };
        let (dropped, gaps) = (Vec::new(), Vec::new());
        Self { reader, durable, at, report, expect, dropped, gaps }
    }

    /// Verifies one segment. Returns where the next one has to continue.
    fn slot(
        &mut self,
        slot: &Arc<SegmentSlot>,
        joint: Joint,
        progress: &mut dyn FnMut(Progress),
    ) -> Joint {
        self.at.segment = slot.first;
        let summary = slot.summary();
        // The active segment may have been sealed since; only what was durable at the beginning
        // counts.
        let upto = summary.last.min(self.durable);
        self.check_joint(joint, &summary);

        let mut next = Some((upto, summary.head));
        match self.segment(slot, &summary, upto, progress) {
            Ok(scanned) => {
                self.report.records += scanned.records;
                self.report.head = if upto < summary.first { summary.prev } else { scanned.head };
                next = Some((upto, if upto == summary.last { summary.head } else { scanned.head }));
            }
            // Dropped in the meantime.
            Err(None) => self.report.segments -= 1,
            Err(Some(LogError::Damaged(problem))) => self.report.problems.push(problem),
            Err(Some(error)) => self.report.problems.push(slot.problem(error.to_string())),
        }

        self.at.done += 1;
        progress(self.at);
        next
    }

    /// Scans one segment; `Err(None)` when it has been dropped.
    fn segment(
        &mut self,
        slot: &Arc<SegmentSlot>,
        summary: &SegmentSummary,
        upto: Seq,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<SegmentScan, Option<LogError>> {
        let segment = self.reader.segments.acquire(slot).map_err(Some)?.ok_or(None)?;

        let at = &mut self.at;
        let mut count = |records, bytes| {
            at.records += records;
            at.bytes += bytes;
            progress(*at);
        };
        let record_of = self.expect.map(|e| e.head);
        let options = ScanOptions { upto, deep: true, record_of, ..ScanOptions::ALL };
        let mut scanned = scan(&segment, options, &mut count).map_err(Some)?;

        self.report.expected_at = self.report.expected_at.or(scanned.found_record);
        self.dropped.append(&mut scanned.dropped);
        let mut problems = std::mem::take(&mut scanned.problems);
        self.check_whole(&segment, summary, &scanned, upto, &mut problems);
        self.report.problems.extend(problems);
        Ok(scanned)
    }

    /// Checks what concerns a segment as a whole.
    fn check_whole(
        &self,
        segment: &Segment,
        summary: &SegmentSummary,
        scanned: &SegmentScan,
        upto: Seq,
        problems: &mut Vec<LogProblem>,
    ) {
        let first = summary.first;
        let whole =
            |what: String| LogProblem { segment: first, first, last: upto.max(first), what };

        if segment.header.prev != summary.prev {
            let what = "the segment does not begin with the chain head that is known of it";
            problems.push(whole(what.to_owned()));
        }
        if let Err(error) = segment.checkpoint() {
            problems.push(whole(format!("its checkpoint: {error}")));
        }

        // What was sealed since the verification began may hold more than is verified.
        let is_all = summary.sealed_at.is_some() && upto == summary.last;
        let differs = scanned.head != summary.head || scanned.records != summary.records;
        if problems.is_empty() && is_all && differs {
            problems.push(whole("the segment's contents differ from its seal".to_owned()));
        }

        let blobs = segment.blobs();
        if blobs > 0 {
            let what = format!("it has {blobs} blob files, which are not safe against a power cut");
            problems.push(whole(what));
        }
    }

    /// Checks what lies between two segments, or before the first one.
    fn check_joint(&mut self, joint: Joint, summary: &SegmentSummary) {
        let expected = joint.map_or(1, |(last, _)| last + 1);
        let mut link = joint.map(|(_, head)| head);

        if expected < summary.first {
            if summary.gap_from == Some(expected) {
                let what = "they were lost: the log came back without them when it was opened";
                self.problem(summary.first, expected, summary.first - 1, what.to_owned());
            } else {
                // Whether they were dropped is recorded in the chain, further on.
                link = None;
                self.gaps.push((expected, summary.clone()));
            }
        }
        if link.is_some_and(|head| head != summary.prev) {
            let what = "the chain is broken before this segment";
            self.problem(summary.first, summary.first, summary.first, what.to_owned());
        }
    }

    /// Checks whether the chain says of every gap that it was dropped.
    fn check_gaps(&mut self) {
        for (first, behind) in std::mem::take(&mut self.gaps) {
            // A gap that was known when the segment behind it was begun is dropped on its own.
            let last = behind.gap_from.filter(|from| *from > first).unwrap_or(behind.first) - 1;
            let Some(drop) = self.dropped.iter().rev().find(|drop| drop.last == last) else {
                let what = "they are missing: no segment holds them, and no record says that they \
                            were dropped";
                self.problem(behind.first, first, last, what.to_owned());
                continue;
            };

            if drop.head != behind.prev {
                let what = "the chain is broken before this segment: what was dropped before it \
                            ended otherwise";
                self.problem(behind.first, behind.first, behind.first, what.to_owned());
            }
        }
    }

    /// Checks whether the head that was kept elsewhere is on the chain.
    fn check_expected(&mut self) {
        let Some(Expect { seq, head }) = self.expect else { return };

        let dropped_at = self.dropped.iter().find(|drop| drop.head == head).map(|drop| drop.last);
        let found = self.report.expected_at.or(dropped_at);
        self.report.expected_at = found;

        let (first, last) = (self.report.first, self.report.last);
        let what = match (found, seq) {
            (Some(found), Some(seq)) if found != seq => {
                format!("the expected head stands at record {found}, not at {seq}")
            }
            (Some(_), _) => return,
            (None, Some(seq)) if seq < first => format!(
                "the expected head cannot be looked for: the log begins with record {first}, what \
                 was before has been dropped, and no segment ended there"
            ),
            (None, Some(seq)) if seq > last => format!(
                "the expected head is not on the chain: the log ends with record {last}, so \
                 records are missing at its end, or it is another log"
            ),
            _ => {
                "the expected head is not on the chain: the log was changed, put back to an older \
                  state, or is another one"
                    .to_owned()
            }
        };
        let at = seq.unwrap_or(last);
        self.problem(self.at.segment, at, at, what);
    }

    fn problem(&mut self, segment: Seq, first: Seq, last: Seq, what: String) {
        self.report.problems.push(LogProblem { segment, first, last, what });
    }

    fn finish(mut self, joint: Joint) -> Report {
        let unverified_tail = unverified_tail::problem(&self.reader.segments, None);
        self.report.problems.extend(unverified_tail);

        let durable = self.durable;
        if let Some((last, _)) = joint.filter(|(last, _)| *last < durable) {
            let what = "they were durable and are missing".to_owned();
            self.problem(self.at.segment, last + 1, durable, what);
        }
        self.check_gaps();
        self.report.problems.sort_by_key(|problem| problem.first);

        // An expected head is not this log's damage: it may be that of another log.
        let damage = &self.reader.segments.damage;
        self.report.problems.iter().for_each(|problem| damage.add(problem));
        self.check_expected();

        self.report.ok = self.report.problems.is_empty();
        self.report
    }
}
