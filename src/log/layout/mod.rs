//! The layouts: how a segment's frames and its checkpoint lie in its database. A folder for each
//! format, both behind one [`SegmentLayout`]; nothing outside of this folder knows either.
//!
//! | format | folder | frames lie in |
//! |---|---|---|
//! | 1 | `chunks/` | chunks of 2 KiB, found by their keys |
//! | 2 | `cells/` | cells that were prepared empty, so that sled writes each value once |
//! | 3 | `cells/` | the same; a large checkpoint is written after the segment was begun |
//! | 4 | `cells/` | the same; large bodies are written before their records are decided on |
//!
//! The header has the same place in all. Segments are created in format 4; an older one is read and
//! continued as it is until it is rolled.

mod candidates;
mod cells;
mod chunks;
mod interface;
mod salvaged;

use std::path::Path;
use std::sync::Arc;

use self::cells::CellLayout;
pub(super) use self::cells::{AheadWriter, CheckpointWriter, PlacedAhead};
use self::chunks::ChunkLayout;
#[cfg(test)]
pub(super) use self::interface::Tampering;
pub(super) use self::interface::{CommitWriter, FrameLookup, SegmentLayout};
use self::salvaged::FoundFrames;
pub(super) use self::salvaged::SalvagedFrames;
use super::database::Database;
use super::error::LogError;
use super::header::SegmentHeader;
use super::segment_format::SegmentFormat;

/// The layout of an open segment. `path` is for messages.
pub(super) fn open(
    database: &Arc<Database>,
    path: &Path,
    header: &SegmentHeader,
) -> Result<Box<dyn SegmentLayout>, LogError> {
    Ok(match header.format(path)? {
        SegmentFormat::Chunks => Box::new(ChunkLayout::new(database, path, header)),
        SegmentFormat::Cells | SegmentFormat::Gradual | SegmentFormat::Blocks => {
            Box::new(CellLayout::open(database, path, header)?)
        }
    })
}

/// Writes the whole checkpoint of a segment that is being created.
pub(super) fn write_checkpoint(
    database: &Arc<Database>,
    format: SegmentFormat,
    checkpoint: &[u8],
) -> Result<(), LogError> {
    match format {
        SegmentFormat::Chunks => chunks::write_checkpoint(database, checkpoint),
        SegmentFormat::Cells | SegmentFormat::Gradual | SegmentFormat::Blocks => {
            CheckpointWriter::new(database.clone()).write(checkpoint, usize::MAX).map(drop)
        }
    }
}

/// Finds what is readable in the bytes of a segment's data file: in the format that its header
/// names, or in each when there is no header any more. In a segment of one format, what looks
/// like one of another is what somebody sent.
pub(super) fn salvage(bytes: &[u8]) -> SalvagedFrames {
    let headers = SegmentHeader::find(bytes);
    let formats = headers.first().map(|found| vec![found.format]);

    let mut found = FoundFrames::default();
    for format in formats.unwrap_or_else(|| vec![SegmentFormat::Chunks, SegmentFormat::Cells]) {
        found.add_all(match format {
            SegmentFormat::Chunks => chunks::salvage(bytes, &headers),
            SegmentFormat::Cells | SegmentFormat::Gradual | SegmentFormat::Blocks => {
                cells::salvage(bytes, &headers)
            }
        });
    }
    found.choose(&headers)
}
