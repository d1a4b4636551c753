//! The formats that a segment can have.

/// The format of a segment. New ones have the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmentFormat {
    /// 1: chunks of frames by their keys.
    Chunks,
    /// 2: cells that are written once.
    Cells,
    /// 3: the same cells; a large checkpoint is written after the segment was begun.
    Gradual,
    /// 4: the same; a large body is in blocks, which are written before its record is decided on.
    #[default]
    Blocks,
}

impl SegmentFormat {
    /// The newest that there is.
    pub const NEWEST: Self = Self::Blocks;
    /// All that there are.
    pub(super) const ALL: [Self; 4] = [Self::Chunks, Self::Cells, Self::Gradual, Self::Blocks];

    /// The number in a segment's header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Chunks => 1,
            Self::Cells => 2,
            Self::Gradual => 3,
            Self::Blocks => 4,
        }
    }

    /// The format with this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.number() == number)
    }

    /// Whether a large checkpoint is written after the segment was begun, and may never have been
    /// completed.
    pub(super) fn is_gradual(self) -> bool {
        matches!(self, Self::Gradual | Self::Blocks)
    }

    /// Whether a frame may hold a body in blocks.
    pub(super) fn has_blocks(self) -> bool {
        self == Self::Blocks
    }
}
