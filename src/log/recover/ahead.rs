//! Folding ahead: the newest segment's records are folded while the segment is being verified. So
//! each of its frames is read once, and two threads share the work: one reads and compares chain
//! heads, the other decompresses, decodes and folds.
//!
//! Nothing of it counts before the segment is verified. When anything is unusual, what was folded
//! is discarded. The records are read once more then, one by one, and what is wrong with them is
//! reported.

use std::panic::resume_unwind;
use std::thread;

use crate::log::error::LogError;
use crate::log::frame_queue::{FrameQueue, FrameTaker};
use crate::log::scan::{ScanOptions, SegmentScan, scan, scan_into};
use crate::log::segment::Segment;
use crate::model::Seq;
use crate::record::Record;

/// Folds the records of the newest segment while they are being verified.
pub trait FoldAhead: Send {
    /// Begins, or begins anew, with the state before the first record; empty when there is none.
    /// Returns whether it can be read.
    fn begin(&mut self, checkpoint: &[u8]) -> bool;

    /// Folds the next record. Returns whether it can be folded.
    fn fold(&mut self, seq: Seq, record: &Record) -> bool;

    /// Everything that there is to be folded was folded since the last beginning, and is verified.
    /// As long as this is not called, what was folded counts for nothing.
    fn confirm(&mut self);
}

/// Scans the segment and folds it meanwhile, when it begins with a checkpoint of its own. Returns
/// its checkpoint when all of it was folded.
pub(super) fn scan_and_fold(
    segment: &Segment,
    options: ScanOptions,
    ahead: &mut Option<&mut dyn FoldAhead>,
) -> Result<(SegmentScan, Option<Vec<u8>>), LogError> {
    let folds_its_own = segment.header.fold_from == segment.header.first;
    let Some(fold) = ahead.as_deref_mut().filter(|_| folds_its_own) else {
        return Ok((scan(segment, options, &mut |_, _| {})?, None));
    };

    let queue = FrameQueue::default();
    let (scan, folded) = thread::scope(|scope| {
        let (sender, taker) = (queue.sender(), queue.taker());
        let work = move || fold_frames(segment, &taker, fold);
        // Without a thread nothing is folded ahead.
        let folding = thread::Builder::new().name("hookbox-fold".into()).spawn_scoped(scope, work);

        let scan = scan_into(segment, options, &mut |frame| sender.put(frame));
        drop(sender);
        let folded = folding
            .ok()
            .and_then(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        (scan, folded)
    });

    let scan = scan?;
    let folded = folded.filter(|_| scan.is_sound());
    Ok((scan, folded))
}

/// Folds the checkpoint and all frames that come. Returns the checkpoint, unless something of them
/// cannot be read or folded.
fn fold_frames(
    segment: &Segment,
    frames: &FrameTaker<'_>,
    fold: &mut dyn FoldAhead,
) -> Option<Vec<u8>> {
    let checkpoint = segment.checkpoint().ok()??;
    if !fold.begin(&checkpoint) {
        return None;
    }

    loop {
        let taken = frames.take();
        if taken.is_empty() {
            return Some(checkpoint);
        }
        for frame in taken {
            let decoded = frame.decode()?;
            for seq in decoded.head.first..=decoded.head.last() {
                if !fold.fold(seq, &decoded.record(seq).ok()?) {
                    return None;
                }
            }
        }
    }
}
