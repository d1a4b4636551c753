//! A ring: figures of the newest slots of one length in which something happened. A time in which
//! nothing happened takes no slot.
//!
//! Entries stand in the order in which they came. A clock that is set back thus begins a new block,
//! and a time that comes twice has two entries, which whoever reads it adds up. What came first
//! goes first.

use std::collections::VecDeque;

use super::block::Block;
use super::figures::Figures;
use super::varint;
use crate::model::WallMs;

/// What a ring may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSize {
    /// The length of a slot.
    pub slot_ms: u64,
    /// As many slots are kept at least, unless they have more bytes than this.
    pub slots: usize,
    pub bytes: usize,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    size: RingSize,
    blocks: VecDeque<Block>,
    /// The slot that still goes on.
    open: Option<(u64, Figures)>,
    entries: usize,
    bytes: usize,
    /// Of what was before this slot something has been dropped.
    dropped_until: u64,
}

impl Ring {
    pub fn new(size: RingSize) -> Self {
        let (blocks, open) = (VecDeque::new(), None);
        Self { size, blocks, open, entries: 0, bytes: 0, dropped_until: 0 }
    }

    pub fn slot_ms(&self) -> u64 {
        self.size.slot_ms
    }

    /// Adds figures to the slot of a time.
    pub fn add(&mut self, at: WallMs, figures: &Figures) {
        let slot = at / self.size.slot_ms;
        match &mut self.open {
            Some((open, held)) if *open == slot => held.then(figures),
            open => {
                if let Some((done, held)) = open.replace((slot, figures.clone())) {
                    self.push(done, &held);
                    self.evict(slot);
                }
            }
        }
    }

    fn push(&mut self, slot: u64, figures: &Figures) {
        self.entries += 1;
        if let Some(block) = self.blocks.back_mut() {
            let before = block.size();
            let is_in = block.push(slot, figures);
            if !is_in {
                block.seal();
            }
            self.bytes = self.bytes + block.size() - before;
            if is_in {
                return;
            }
        }
        let block = Block::begin(slot, figures);
        self.bytes += block.size();
        self.blocks.push_back(block);
    }

    /// Drops the oldest blocks that can be done without, or for which there are no bytes.
    fn evict(&mut self, now: u64) {
        while self.blocks.len() > 1 {
            let Some(oldest) = self.blocks.front() else { return };
            let is_spare = self.entries - oldest.entries() >= self.size.slots;
            if !is_spare && self.size() <= self.size.bytes {
                return;
            }

            // What a wrong clock put into the future says nothing of the time until then.
            if oldest.last() < now {
                self.dropped_until = self.dropped_until.max(oldest.last() + 1);
            }
            self.entries -= oldest.entries();
            self.bytes -= oldest.size();
            self.blocks.pop_front();
        }
    }

    /// Bytes that it takes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bytes
    }

    /// Since when it holds everything.
    pub fn whole_since(&self, now: WallMs) -> WallMs {
        let since = self.dropped_until.saturating_mul(self.size.slot_ms);
        // The clock was wrong then.
        if since > now { 0 } else { since }
    }

    /// Its figures in the order in which they came, with the beginnings of their slots.
    pub fn each(&self, mut see: impl FnMut(WallMs, &Figures)) {
        let at = |slot: u64| slot.saturating_mul(self.size.slot_ms);
        for block in &self.blocks {
            block.iter().for_each(|(slot, figures)| see(at(slot), &figures));
        }
        if let Some((slot, figures)) = &self.open {
            see(at(*slot), figures);
        }
    }

    /// How things stood last.
    pub fn latest(&self) -> Option<Figures> {
        match &self.open {
            Some((_, figures)) => Some(figures.clone()),
            None => self.blocks.back()?.iter().last().map(|(_, figures)| figures),
        }
    }

    /// For a file.
    pub fn write(&self, out: &mut Vec<u8>) {
        let open = self.open.as_ref().map(|(slot, figures)| Block::begin(*slot, figures));
        let blocks = self.blocks.len() + usize::from(open.is_some());
        for number in [self.size.slot_ms, self.dropped_until, blocks as u64] {
            varint::put(out, number);
        }
        self.blocks.iter().chain(&open).for_each(|block| block.write(out));
    }

    /// Takes one of this size off the front of a file; `None` when it is not as it was written.
    pub fn read(file: &mut &[u8], size: RingSize) -> Option<Self> {
        let mut ring = Self::new(size);
        if varint::take(file)? != size.slot_ms {
            return None;
        }
        ring.dropped_until = varint::take(file)?;

        for _ in 0..varint::take(file)? {
            let block = Block::read(file)?;
            ring.entries += block.entries();
            ring.bytes += block.size();
            ring.blocks.push_back(block);
        }
        ring.evict(u64::MAX);
        Some(ring)
    }
}
