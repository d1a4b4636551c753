//! Scans one segment from its first frame to its last: does the chain hold, is anything missing?
//! Opening the log, rebuilding a seal, the probe, and `verify` all use it.

use super::error::{LogError, LogProblem};
use super::frame::{ChainHead, DecodedFrame, StoredFrame};
use super::layout::FrameLookup;
use super::segment::Segment;
use super::segment_summary::{DroppedRange, SegmentSummary};
use crate::model::{Seq, WallMs};
use crate::record::Record;

#[derive(Clone, Copy, Debug)]
pub(super) struct ScanOptions {
    /// Frames behind this record are ignored.
    pub upto: Seq,
    /// Whether to compare each frame with its chain head. Without that, only what the heads say is
    /// compared.
    pub hashes: bool,
    /// Whether to decompress the frames and check each record.
    pub deep: bool,
    /// A record whose chain head is looked for.
    pub head_of: Option<Seq>,
    /// A chain head whose record is looked for.
    pub record_of: Option<ChainHead>,
}

impl ScanOptions {
    /// From the first frame to the last, without checking each record.
    pub const ALL: Self =
        Self { upto: Seq::MAX, hashes: true, deep: false, head_of: None, record_of: None };
}

/// Records that a frame may have more than there are behind the last good one, as its head says,
/// for that to be believed.
const BELIEVED: u64 = 1 << 20;

/// Frames that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct FrameRemains {
    /// The last record that they seem to have had.
    pub upto: Seq,
    pub what: String,
}

/// The result of a scan.
#[derive(Debug)]
pub(super) struct SegmentScan {
    pub records: u64,
    pub payload_bytes: u64,
    /// One before the segment's first when there is none.
    pub last: Seq,
    pub head: ChainHead,
    pub problems: Vec<LogProblem>,
    /// What there is behind `last` and cannot be read.
    pub remains: Option<FrameRemains>,
    /// The chain head of the frame that ends with [`ScanOptions::head_of`].
    pub found_head: Option<ChainHead>,
    /// The last record of the frame with the chain head [`ScanOptions::record_of`].
    pub found_record: Option<Seq>,
    /// The dropped segments that records name; only in a deep scan.
    pub dropped: Vec<DroppedRange>,
}

impl SegmentScan {
    /// Whether everything up to its end is there, and each frame follows the one before it.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.remains.is_none()
    }

    /// The summary of the segment that was scanned.
    pub fn summary(&self, segment: &Segment, sealed_at: Option<WallMs>) -> SegmentSummary {
        SegmentSummary {
            first: segment.header.first,
            last: self.last,
            records: self.records,
            payload_bytes: self.payload_bytes,
            prev: segment.header.prev,
            head: self.head,
            gap_from: segment.header.gap_from,
            created_at: segment.header.created_at,
            sealed_at,
        }
    }
}

/// A scan under way.
struct FrameScanner<'a> {
    segment: &'a Segment,
    options: ScanOptions,
    result: SegmentScan,
    /// What was wrong with frames since the last good one.
    broken: Option<FrameRemains>,
    /// Gets each frame that is whole, unless the scan is deep.
    whole: &'a mut dyn FnMut(StoredFrame),
}

/// Scans the segment; `progress` is called with the records and stored bytes of each frame.
pub(super) fn scan(
    segment: &Segment,
    options: ScanOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SegmentScan, LogError> {
    scan_frames(segment, options, progress, &mut drop)
}

/// The same from the first frame to the last, and calls `whole` with each frame that matches its
/// chain head. Whether it follows the one before it is in the result.
pub(super) fn scan_into(
    segment: &Segment,
    options: ScanOptions,
    whole: &mut dyn FnMut(StoredFrame),
) -> Result<SegmentScan, LogError> {
    scan_frames(segment, options, &mut |_, _| {}, whole)
}

fn scan_frames(
    segment: &Segment,
    options: ScanOptions,
    progress: &mut dyn FnMut(u64, u64),
    whole: &mut dyn FnMut(StoredFrame),
) -> Result<SegmentScan, LogError> {
    let mut scanner = FrameScanner::new(segment, options, whole);
    let _through = segment.reading_through();

    let mut at = Some(segment.header.first);
    while let Some(seq) = at.filter(|seq| *seq <= options.upto) {
        at = match segment.at_or_after(seq) {
            Ok(None) => None,
            Ok(Some(FrameLookup::Frame(frame))) if frame.head.first > options.upto => None,
            Ok(Some(FrameLookup::Frame(frame))) => {
                let head = frame.head;
                if let Some((records, bytes)) = scanner.frame(frame) {
                    progress(records, bytes);
                    head.last().checked_add(1)
                } else {
                    // What it says of its own end may be wrong as well.
                    segment.begins_behind(&head)?.map(|next| next.max(seq + 1))
                }
            }
            Ok(Some(FrameLookup::Broken { first, next, what })) => {
                let what = format!("the frame that begins with record {first} is damaged: {what}");
                scanner.broken(first, what);
                // Values in a wrong order would have no end.
                next.map(|next| next.max(seq + 1))
            }
            Err(error) if error.is_damage() => {
                scanner.broken(seq, error.to_string());
                segment.readable_behind(seq)?
            }
            Err(error) => return Err(error),
        };
    }

    Ok(scanner.finish())
}

impl<'a> FrameScanner<'a> {
    fn new(
        segment: &'a Segment,
        options: ScanOptions,
        whole: &'a mut dyn FnMut(StoredFrame),
    ) -> Self {
        let result = SegmentScan {
            records: 0,
            payload_bytes: 0,
            last: segment.header.first - 1,
            head: segment.chain,
            problems: Vec::new(),
            remains: None,
            found_head: None,
            found_record: None,
            dropped: Vec::new(),
        };
        Self { segment, options, result, broken: None, whole }
    }

    /// Takes in a frame that cannot be read, and seems to have records up to this one.
    fn broken(&mut self, upto: Seq, what: String) {
        let expected = self.result.last + 1;
        let is_believed = (expected..=expected.saturating_add(BELIEVED)).contains(&upto);
        let upto = if is_believed { upto } else { expected };
        let broken = self.broken.get_or_insert(FrameRemains { upto, what });
        broken.upto = broken.upto.max(upto);
    }

    fn problem(&mut self, first: Seq, last: Seq, what: String) {
        let segment = self.segment.header.first;
        self.result.problems.push(LogProblem { segment, first, last, what });
    }

    /// Takes in one frame. Returns how many records and bytes it holds, when it is whole.
    fn frame(&mut self, frame: StoredFrame) -> Option<(u64, u64)> {
        let head = frame.head;
        if self.options.hashes && !frame.is_whole() {
            let (first, last) = (head.first, head.last());
            let what =
                format!("the frame of records {first} to {last} does not match its chain head");
            self.broken(last, what);
            return None;
        }

        let expected = self.result.last + 1;
        if head.first > expected {
            let broken = self.broken.take().map(|broken| broken.what);
            let what = broken.unwrap_or_else(|| "they are missing".to_owned());
            self.problem(expected, head.first - 1, what);
        } else if head.prev != self.result.head {
            let what = "the chain is broken before them: they are not what followed".to_owned();
            self.problem(head.first, head.last(), what);
        }
        self.broken = None;

        if self.options.deep {
            self.check_records(frame);
        } else {
            (self.whole)(frame);
        }

        let bytes = u64::from(head.stored_len);
        self.result.records += u64::from(head.count);
        self.result.payload_bytes += bytes;
        self.result.last = head.last();
        self.result.head = head.own;
        if self.options.head_of == Some(head.last()) {
            self.result.found_head = Some(head.own);
        }
        if self.options.record_of == Some(head.own) {
            self.result.found_record = Some(head.last());
        }
        Some((u64::from(head.count), bytes))
    }

    fn check_records(&mut self, frame: StoredFrame) {
        let head = frame.head;
        let decoded = match DecodedFrame::new(frame) {
            Ok(decoded) => decoded,
            Err(what) => {
                return self.problem(
                    head.first,
                    head.last(),
                    format!("the frame cannot be read: {what}"),
                );
            }
        };

        for seq in head.first..=head.last() {
            match decoded.record(seq) {
                Ok(record) => {
                    if let Record::SegmentDropped { first, last, head, .. } = record {
                        self.result.dropped.push(DroppedRange { first, last, head });
                    }
                }
                Err(what) => self.problem(seq, seq, format!("the record cannot be read: {what}")),
            }
        }
    }

    /// Reports what is missing at the end, where the end is known.
    fn finish(mut self) -> SegmentScan {
        self.result.remains = self.broken.take();
        let upto = self.options.upto;
        if upto < Seq::MAX && self.result.last < upto {
            let missing = || "they are missing at the segment's end".to_owned();
            let remains = self.result.remains.as_ref().map(|remains| remains.what.clone());
            let what = remains.unwrap_or_else(missing);
            self.problem(self.result.last + 1, upto, what);
        }
        self.result
    }
}
