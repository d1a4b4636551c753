//! The names of the trees. Numbers are big-endian.
//!
//! * `a ‖ number (2)`: a tree of what was written ahead of its commit;
//! * `c ‖ number (2)`: a tree of the checkpoint;
//! * `r ‖ number (2) ‖ first (4)`: a tree of frames. `first` is the first record that may begin in
//!   it, less the segment's first one.

const AHEAD: u8 = b'a';
const CHECKPOINT: u8 = b'c';
const FRAMES: u8 = b'r';

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TreeName {
    Ahead { number: u16 },
    Checkpoint { number: u16 },
    Frames { number: u16, offset: u32 },
}

impl TreeName {
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Ahead { number } => [&[AHEAD][..], &number.to_be_bytes()].concat(),
            Self::Checkpoint { number } => [&[CHECKPOINT][..], &number.to_be_bytes()].concat(),
            Self::Frames { number, offset } => {
                [&[FRAMES][..], &number.to_be_bytes(), &offset.to_be_bytes()].concat()
            }
        }
    }

    /// `None` when it is no name of ours.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [AHEAD, a, b] => Some(Self::Ahead { number: u16::from_be_bytes([a, b]) }),
            [CHECKPOINT, a, b] => Some(Self::Checkpoint { number: u16::from_be_bytes([a, b]) }),
            [FRAMES, a, b, c, d, e, f] => Some(Self::Frames {
                number: u16::from_be_bytes([a, b]),
                offset: u32::from_be_bytes([c, d, e, f]),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TreeName;

    #[test]
    fn names_read_back_and_sort_as_their_trees() {
        let names = [
            TreeName::Ahead { number: 7 },
            TreeName::Checkpoint { number: 0 },
            TreeName::Checkpoint { number: 256 },
            TreeName::Frames { number: 0, offset: 0 },
            TreeName::Frames { number: 255, offset: 70_000 },
            TreeName::Frames { number: 256, offset: 70_000 },
        ];
        assert!(names.is_sorted() && names.map(TreeName::to_bytes).is_sorted());
        for name in names {
            assert_eq!(TreeName::read(&name.to_bytes()), Some(name));
        }
        assert_eq!(TreeName::read(b"__sled__default"), None);
    }
}
