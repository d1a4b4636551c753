//! The formats that a segment can have.

/// The format of a segment. New ones have the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmentFormat {
    /// 1: chunks of frames by their keys.
    Chunks,
    /// 2: cells that are written once.
    #[default]
    Cells,
}

impl SegmentFormat {
    /// The newest that there is.
    pub const NEWEST: Self = Self::Cells;

    /// The number in a segment's header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Chunks => 1,
            Self::Cells => 2,
        }
    }

    /// The format with this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        [Self::Chunks, Self::Cells].into_iter().find(|format| format.number() == number)
    }
}
