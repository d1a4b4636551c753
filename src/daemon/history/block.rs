//! Some entries of a ring, one after the other in bytes: how many slots later, which numbers are
//! not 0, and these.

use super::figures::{COLUMNS, Figures};
use super::varint;

/// Bytes after which a block is full.
const FULL: usize = 1024;

/// Entries whose slots ascend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    first: u64,
    last: u64,
    entries: usize,
    bytes: Vec<u8>,
}

impl Block {
    /// A block with one entry.
    pub fn begin(slot: u64, figures: &Figures) -> Self {
        let mut block = Self { first: slot, last: slot, entries: 0, bytes: Vec::new() };
        block.put(0, figures);
        block
    }

    /// Adds an entry. `false` when it belongs into another block: this one is full, or the clock
    /// was set back.
    pub fn push(&mut self, slot: u64, figures: &Figures) -> bool {
        let takes = slot > self.last && self.bytes.len() < FULL;
        if takes {
            self.put(slot - self.last, figures);
            self.last = slot;
        }
        takes
    }

    fn put(&mut self, later: u64, figures: &Figures) {
        let columns = figures.columns();
        let present = columns.iter().enumerate().filter(|(_, value)| **value > 0);
        let mask = present.fold(0, |mask: u64, (column, _)| mask | 1 << column);

        varint::put(&mut self.bytes, later);
        varint::put(&mut self.bytes, mask);
        for value in columns.iter().filter(|value| **value > 0) {
            varint::put(&mut self.bytes, *value);
        }
        self.entries += 1;
    }

    /// Nothing is added any more.
    pub fn seal(&mut self) {
        self.bytes.shrink_to_fit();
    }

    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The slot of the last entry.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Bytes that it takes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    /// Its entries, with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Figures)> {
        let (mut rest, mut slot) = (&self.bytes[..], self.first);
        std::iter::from_fn(move || entry(&mut rest, &mut slot))
    }

    /// For a file.
    pub fn write(&self, out: &mut Vec<u8>) {
        for number in [self.first, self.entries as u64, self.bytes.len() as u64] {
            varint::put(out, number);
        }
        out.extend_from_slice(&self.bytes);
    }

    /// Takes one off the front of a file; `None` when it is not as it was written.
    pub fn read(file: &mut &[u8]) -> Option<Self> {
        let first = varint::take(file)?;
        let entries = usize::try_from(varint::take(file)?).ok()?;
        let length = usize::try_from(varint::take(file)?).ok()?;
        let bytes = file.split_off(..length)?.to_vec();

        let (mut rest, mut last, mut found) = (&bytes[..], first, 0);
        while !rest.is_empty() {
            entry(&mut rest, &mut last)?;
            found += 1;
        }
        (found == entries && found > 0).then_some(Self { first, last, entries, bytes })
    }
}

/// Takes an entry off the front; `None` at the end.
fn entry(rest: &mut &[u8], slot: &mut u64) -> Option<(u64, Figures)> {
    *slot = slot.checked_add(varint::take(rest)?)?;
    let mask = varint::take(rest)?;
    if mask >> COLUMNS != 0 {
        return None;
    }

    let mut columns = [0; COLUMNS];
    for (column, value) in columns.iter_mut().enumerate() {
        if mask & 1 << column != 0 {
            *value = varint::take(rest)?;
        }
    }
    Some((*slot, Figures::from_columns(&columns)))
}
