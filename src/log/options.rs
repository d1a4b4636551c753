//! The options of a log: where it is, and when it is rolled.

use std::path::PathBuf;
use std::time::Duration;

use super::disk_space::DiskBudget;
use super::probe;
use super::scratch_copy::Origin;
use super::segment_format::SegmentFormat;
use crate::model::limits;

#[derive(Clone, Debug)]
pub struct Options {
    pub dir: PathBuf,
    /// Stored payload at which a segment is rolled.
    pub segment_bytes: u64,
    /// The age at which it is rolled.
    pub segment_age_ms: u64,
    /// Leaves out our own fdatasync: the negative control of the power-cut tests.
    #[doc(hidden)]
    pub skip_sync: bool,
    /// The format of new segments: an earlier one for tests and measurements alone.
    #[doc(hidden)]
    pub segment_format: SegmentFormat,
    /// Bytes of a checkpoint that are written with one commit. A smaller one is written when its
    /// segment is begun.
    #[doc(hidden)]
    pub checkpoint_step: usize,
    /// The program that opens suspect segments first, as `PROGRAM --probe-segment FOLDER`, which
    /// calls [`super::probe_segment`].
    pub probe: Option<PathBuf>,
    /// How long that program may take for a small segment.
    #[doc(hidden)]
    pub probe_patience: Duration,
    /// The disk space that the log may take.
    pub budget: DiskBudget,
    /// Set for a [`super::ScratchCopy`]: the log whose segments are copied on demand.
    pub origin: Option<Origin>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("log"),
            segment_bytes: limits::SEGMENT_BYTES,
            segment_age_ms: limits::SEGMENT_AGE_MS,
            skip_sync: false,
            segment_format: SegmentFormat::default(),
            checkpoint_step: limits::CHECKPOINT_STEP,
            probe: None,
            probe_patience: probe::PATIENCE,
            budget: DiskBudget::default(),
            origin: None,
        }
    }
}
