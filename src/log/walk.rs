//! One segment from its first frame to its last: does the chain hold, is anything missing?
//! What opening, rebuilding a seal, and `verify` have in common.

use super::frame::{ChainHead, Decoded, StoredFrame};
use super::segment::{Found, Segment};
use super::shelf::Dropped;
use super::{LogError, Problem};
use crate::model::Seq;
use crate::record::Record;

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Frames behind this one are not looked at.
    pub upto: Seq,
    /// Whether to unpack the frames and look at each record.
    pub deep: bool,
    /// The record whose chain head is asked for.
    pub mark: Option<Seq>,
    /// The chain head whose record is asked for.
    pub seek: Option<ChainHead>,
}

impl Walk {
    /// From the first frame to the last, without looking inside.
    pub const ALL: Self = Self { upto: Seq::MAX, deep: false, mark: None, seek: None };
}

/// What was found.
#[derive(Debug)]
pub(super) struct Walked {
    pub records: u64,
    pub payload_bytes: u64,
    /// One before the segment's first when there is none.
    pub last: Seq,
    pub head: ChainHead,
    pub problems: Vec<Problem>,
    /// Whether there are remains of frames behind `last`.
    pub remains: bool,
    /// The chain head of the frame that ends with the record asked for.
    pub marked: Option<ChainHead>,
    /// The last record of the frame with the chain head asked for.
    pub sought: Option<Seq>,
    /// What records say about segments that were dropped; only when it looks inside.
    pub dropped: Vec<Dropped>,
}

struct Walker<'a> {
    segment: &'a Segment,
    walk: Walk,
    seen: Walked,
    /// What was wrong with frames since the last good one.
    broken: Option<String>,
}

/// Walks through the segment; `step` is told of the records and stored bytes of each frame.
pub(super) fn walk(segment: &Segment, walk: Walk, step: &mut dyn FnMut(u64, u64)) -> Result<Walked, LogError> {
    let first = segment.header.first;
    let seen = Walked {
        records: 0,
        payload_bytes: 0,
        last: first - 1,
        head: segment.chain,
        problems: Vec::new(),
        remains: false,
        marked: None,
        sought: None,
        dropped: Vec::new(),
    };
    let mut walker = Walker { segment, walk, seen, broken: None };
    let mut at = Some(first);
    while let Some(seq) = at.filter(|seq| *seq <= walk.upto) {
        at = match segment.at_or_after(seq) {
            Ok(None) => None,
            Ok(Some(Found::Frame(frame))) if frame.head.first > walk.upto => None,
            Ok(Some(Found::Frame(frame))) => {
                let behind = frame.head.last().checked_add(1);
                if let Some((records, bytes)) = walker.frame(frame) {
                    step(records, bytes);
                }
                behind
            }
            Ok(Some(Found::Broken { first, next, what })) => {
                walker.breaks(format!("the frame that begins with record {first} is damaged: {what}"));
                next
            }
            Err(error) if error.is_damage() => {
                walker.breaks(error.to_string());
                None
            }
            Err(error) => return Err(error),
        };
    }
    walker.seen.remains = walker.broken.is_some();
    if let Some(what) = walker.broken.filter(|_| walk.upto < Seq::MAX && walker.seen.last < walk.upto) {
        let first = walker.seen.last + 1;
        walker.seen.problems.push(Problem { segment: segment.header.first, first, last: walk.upto, what });
    } else if walk.upto < Seq::MAX && walker.seen.last < walk.upto {
        let what = "they are missing at the segment's end".to_owned();
        let first = walker.seen.last + 1;
        walker.seen.problems.push(Problem { segment: segment.header.first, first, last: walk.upto, what });
    }
    Ok(walker.seen)
}

impl Walker<'_> {
    fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    fn problem(&mut self, first: Seq, last: Seq, what: String) {
        self.seen.problems.push(Problem { segment: self.segment.header.first, first, last, what });
    }

    /// Takes in one frame; how many records and bytes it holds, when it is whole.
    fn frame(&mut self, frame: StoredFrame) -> Option<(u64, u64)> {
        let head = frame.head;
        if !frame.is_whole() {
            let (first, last) = (head.first, head.last());
            self.breaks(format!("the frame of records {first} to {last} does not match its chain head"));
            return None;
        }
        let expected = self.seen.last + 1;
        if head.first > expected {
            let what = self.broken.take().unwrap_or_else(|| "they are missing".to_owned());
            self.problem(expected, head.first - 1, what);
        } else if head.prev != self.seen.head {
            self.problem(head.first, head.last(), "the chain is broken before them: they are not what followed".into());
        }
        self.broken = None;
        if self.walk.deep {
            self.look_inside(frame);
        }
        let bytes = u64::from(head.stored_len);
        self.seen.records += u64::from(head.count);
        self.seen.payload_bytes += bytes;
        self.seen.last = head.last();
        self.seen.head = head.own;
        if self.walk.mark == Some(head.last()) {
            self.seen.marked = Some(head.own);
        }
        if self.walk.seek == Some(head.own) {
            self.seen.sought = Some(head.last());
        }
        Some((u64::from(head.count), bytes))
    }

    fn look_inside(&mut self, frame: StoredFrame) {
        let head = frame.head;
        match Decoded::new(frame) {
            Err(what) => self.problem(head.first, head.last(), format!("the frame cannot be read: {what}")),
            Ok(decoded) => {
                for seq in head.first..=head.last() {
                    match decoded.record(seq) {
                        Ok(Record::SegmentDropped { first, last, head, .. }) => {
                            self.seen.dropped.push(Dropped { first, last, head });
                        }
                        Ok(_) => {}
                        Err(what) => self.problem(seq, seq, format!("the record cannot be read: {what}")),
                    }
                }
            }
        }
    }
}
