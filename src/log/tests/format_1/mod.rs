//! The same questions on segments of format 1.

#[path = "../ahead.rs"]
mod ahead;
#[path = "../chain.rs"]
mod chain;
#[path = "../commits.rs"]
mod commits;
#[path = "../copies.rs"]
mod copies;
#[path = "../damage.rs"]
mod damage;
#[path = "../dropping.rs"]
mod dropping;
#[path = "../helpers.rs"]
mod helpers;
#[path = "../opening.rs"]
mod opening;
#[path = "../probing.rs"]
mod probing;
#[path = "../progress.rs"]
mod progress;
#[path = "../reading.rs"]
mod reading;
#[path = "../rolling.rs"]
mod rolling;
#[path = "../silence.rs"]
mod silence;
#[path = "../versions.rs"]
mod versions;
#[path = "../watermark.rs"]
mod watermark;

use self::helpers::{
    blobs, commit, copy_tree, event, expecting, fill, forward, meddle, noise, open, open_whole,
    options, ranges, retire, seen, seqs, sixty, small,
};
use crate::log::SegmentFormat;

const FORMAT: SegmentFormat = SegmentFormat::Chunks;
