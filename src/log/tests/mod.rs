//! The log as a whole, on a real folder. One file a question; what several need is in `helpers`.
//! All but the measurements, `cells`, `gradual` and `large_bodies` run on segments of the oldest
//! format as well.

mod ahead;
mod cells;
mod chain;
mod commits;
mod copies;
mod damage;
mod dropping;
mod gradual;
mod helpers;
mod large_bodies;
mod measurements;
mod opening;
mod probing;
mod progress;
mod reading;
mod rolling;
mod silence;
mod versions;
mod watermark;

use self::helpers::{
    blobs, commit, copy_tree, event, expecting, fill, forward, meddle, noise, open, open_whole,
    options, ranges, retire, seen, seqs, sixty, small,
};
use super::SegmentFormat;

/// The format of the segments in the tests of this module.
const FORMAT: SegmentFormat = SegmentFormat::NEWEST;

/// The same on segments of format 1.
#[allow(clippy::duplicate_mod, reason = "the same questions are asked of another format")]
mod format_1;
