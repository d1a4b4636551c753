//! The formats that a segment can have.

/// The format of a segment. New ones have the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmentFormat {
    /// 1: chunks of frames by their keys.
    Chunks,
    /// 2: cells that are written once.
    Cells,
    /// 3: the same cells; a large checkpoint is written after the segment was begun.
    #[default]
    Gradual,
}

impl SegmentFormat {
    /// The newest that there is.
    pub const NEWEST: Self = Self::Gradual;

    /// The number in a segment's header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Chunks => 1,
            Self::Cells => 2,
            Self::Gradual => 3,
        }
    }

    /// The format with this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        let all = [Self::Chunks, Self::Cells, Self::Gradual];
        all.into_iter().find(|format| format.number() == number)
    }

    /// Whether a large checkpoint is written after the segment was begun, and may never have been
    /// completed.
    pub(super) fn is_gradual(self) -> bool {
        self == Self::Gradual
    }
}
