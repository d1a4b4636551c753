//! The formats that a segment can have.

/// The format of a segment. New ones have the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmentFormat {
    /// 1: chunks of frames by their keys.
    Chunks,
    /// 2: cells that are written once.
    Cells,
    /// 3: the same cells, and no checkpoint, which is a file beside the segment.
    #[default]
    Bare,
}

impl SegmentFormat {
    /// The newest that there is.
    pub const NEWEST: Self = Self::Bare;

    /// The number in a segment's header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Chunks => 1,
            Self::Cells => 2,
            Self::Bare => 3,
        }
    }

    /// The format with this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        let all = [Self::Chunks, Self::Cells, Self::Bare];
        all.into_iter().find(|format| format.number() == number)
    }

    /// Whether a segment's checkpoint is in its database.
    #[must_use]
    pub fn holds_checkpoint(self) -> bool {
        self != Self::Bare
    }
}
