//! Writes the frames of one commit.
//!
//! A frame that is alone and fits one value is one insert. Of every other commit the parts are
//! written as they come, and the heads of all its frames at the end, in one value: without it they
//! are not frames yet, so a torn commit cannot be seen. (More than 155 frames, 77 MiB and more,
//! have several such values; no step of the daemon is that large.)

use super::store::CellStore;
use super::value::{
    self, CommitHeads, HEADS_AT_ONCE, PART_BYTES, PayloadPart, PlacedHead, fits_frame,
};
use crate::log::error::LogError;
use crate::log::failpoint;
use crate::log::frame::{FrameHead, HEAD_LEN};
use crate::log::layout::interface::CommitWriter;
use crate::model::Seq;

pub(super) struct CellCommit<'a> {
    store: &'a CellStore,
    /// The first record of the commit.
    of: Option<Seq>,
    /// The first frame, while it is the only one, when it fits one value.
    alone: Option<(FrameHead, Vec<u8>)>,
    heads: Vec<PlacedHead>,
    /// The number of the next part.
    part: u32,
}

impl<'a> CellCommit<'a> {
    pub fn new(store: &'a CellStore) -> Self {
        Self { store, of: None, alone: None, heads: Vec::new(), part: 0 }
    }

    /// Writes the parts of a frame's payload.
    fn parts(&mut self, head: &FrameHead, payload: &[u8]) -> Result<(), LogError> {
        let of = self.of.unwrap_or(head.first);
        let mut place = None;
        for bytes in payload.chunks(PART_BYTES) {
            let value = PayloadPart { of, number: self.part, bytes }.to_value();
            let put = self.store.put(of, &value)?;
            place.get_or_insert(put);
            self.part += 1;
        }

        self.heads.extend(place.map(|place| PlacedHead { head: *head, place }));
        Ok(())
    }

    fn write_heads(&self) -> Result<(), LogError> {
        let mut part = 0;
        for frames in self.heads.chunks(HEADS_AT_ONCE) {
            let of = self.of.unwrap_or_default();
            let heads = CommitHeads { of, part, frames: frames.to_vec() };
            part += frames.iter().map(PlacedHead::parts).sum::<u32>();
            let begins = frames.first().map_or(of, |placed| placed.head.first);
            self.store.put(begins, &heads.to_value())?;
        }
        Ok(())
    }
}

impl CommitWriter for CellCommit<'_> {
    fn frame(&mut self, head: &FrameHead, bytes: &[u8]) -> Result<(), LogError> {
        let is_first = self.of.replace(self.of.unwrap_or(head.first)).is_none();
        if is_first && fits_frame(bytes.len()) {
            self.alone = Some((*head, value::frame(bytes)));
            return Ok(());
        }

        if let Some((first, value)) = self.alone.take() {
            let payload = value::read_frame(&value).and_then(|bytes| bytes.get(HEAD_LEN..));
            self.parts(&first, payload.unwrap_or_default())?;
        }
        self.parts(head, bytes.get(HEAD_LEN..).unwrap_or_default())
    }

    fn finish(self: Box<Self>) -> Result<(), LogError> {
        failpoint::reached("commit.chunks");
        match &self.alone {
            Some((head, value)) => self.store.put(head.first, value).map(drop),
            None => self.write_heads(),
        }
    }
}
