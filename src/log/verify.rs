//! Reads the whole log and says, with exact ranges, what does not add up.

use super::frame::ChainHead;
use super::shelf::{Facts, Slot};
use super::walk::{Walk, walk};
use super::{LogError, Problem, Progress, Reader, Report};
use crate::model::Seq;

pub(super) fn verify(reader: &Reader, progress: &mut dyn FnMut(Progress)) -> Report {
    // Only what is durable now is looked at: the log grows meanwhile.
    let durable = reader.durable();
    let mut slots = reader.shelf.all();
    slots.retain(|slot| slot.first <= durable + 1);
    let mut at = Progress { segment: 0, done: 0, segments: slots.len(), records: 0, bytes: 0 };
    let mut report = Report {
        ok: false,
        records: 0,
        segments: slots.len(),
        first: reader.first(),
        last: durable,
        head: [0; 32],
        problems: Vec::new(),
    };
    let mut before: Option<(Seq, ChainHead)> = None;
    for slot in &slots {
        at.segment = slot.first;
        let facts = slot.facts();
        // The active segment may have been sealed since; what was durable then is still what counts.
        let upto = facts.last.min(durable);
        joint(reader, before, &facts, &mut report.problems);
        before = Some((upto, facts.head));
        match segment(reader, slot, &facts, upto, &mut at, progress) {
            Ok(seen) => {
                report.records += seen.records;
                report.problems.extend(seen.problems);
                report.head = seen.head;
                before = Some((upto, if upto == facts.last { facts.head } else { seen.head }));
            }
            // Dropped while it was its turn.
            Err(None) => report.segments -= 1,
            Err(Some(LogError::Damaged(problem))) => report.problems.push(problem),
            Err(Some(error)) => report.problems.push(slot.problem(error.to_string())),
        }
        at.done += 1;
        progress(at);
    }
    if let Some((last, _)) = before.filter(|(last, _)| *last < durable) {
        let what = "they were durable and are missing".to_owned();
        report.problems.push(Problem { segment: at.segment, first: last + 1, last: durable, what });
    }
    report.ok = report.problems.is_empty();
    report
}

struct Seen {
    records: u64,
    head: ChainHead,
    problems: Vec<Problem>,
}

/// One segment; `Err(None)` when it has been dropped.
fn segment(
    reader: &Reader,
    slot: &std::sync::Arc<Slot>,
    facts: &Facts,
    upto: Seq,
    at: &mut Progress,
    progress: &mut dyn FnMut(Progress),
) -> Result<Seen, Option<LogError>> {
    let segment = reader.shelf.borrow(slot).map_err(Some)?.ok_or(None)?;
    let mut step = |records, bytes| {
        at.records += records;
        at.bytes += bytes;
        progress(*at);
    };
    let seen = walk(&segment, Walk { upto, deep: true, mark: None }, &mut step).map_err(Some)?;
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
    Ok(Seen { records: seen.records, head: seen.head, problems })
}

/// What lies between two segments, or before the first one.
fn joint(reader: &Reader, before: Option<(Seq, ChainHead)>, facts: &Facts, problems: &mut Vec<Problem>) {
    let mut link = before.map(|(_, head)| head);
    let expected = before.map_or(1, |(last, _)| last + 1);
    if expected < facts.first {
        if facts.gap_from == Some(expected) {
            let what = "they were lost: the log came back without them when it was opened".to_owned();
            problems.push(Problem { segment: facts.first, first: expected, last: facts.first - 1, what });
        } else {
            let dropped = reader.shelf.dropped();
            link = dropped.iter().find(|d| d.last + 1 == facts.first).map(|d| d.head);
            if !reader.shelf.is_known_hole(expected, facts.first - 1) {
                let known = dropped.iter().map(|d| d.last + 1).filter(|n| *n < facts.first).max().unwrap_or(1);
                hole(facts, known.max(expected), problems);
            }
        }
    }
    if link.is_some_and(|head| head != facts.prev) {
        let what = "the chain is broken before this segment".to_owned();
        problems.push(Problem { segment: facts.first, first: facts.first, last: facts.first, what });
    }
}

fn hole(facts: &Facts, first: Seq, problems: &mut Vec<Problem>) {
    let what = "they are missing: no segment holds them, and they were not dropped".to_owned();
    problems.push(Problem { segment: facts.first, first, last: facts.first - 1, what });
}
