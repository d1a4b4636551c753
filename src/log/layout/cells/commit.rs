//! Writes the frames of one commit.
//!
//! A frame that is alone and fits one value is one insert. Of every other commit the parts are
//! written as they come, and the heads of all its frames at the end, in one value: without it they
//! are not frames yet, so a torn commit cannot be seen. No commit has more frames than heads fit
//! one value (`limits::COMMIT_FRAMES`, 77 MiB and more).

use super::store::CellStore;
use super::value::{
    self, CommitHeads, PART_BYTES, PayloadPart, PlacedAhead, PlacedHead, fits_frame,
};
use crate::log::error::LogError;
use crate::log::failpoint;
use crate::log::frame::{FrameHead, HEAD_LEN};
use crate::log::layout::interface::CommitWriter;
use crate::log::lazy_timers::LazyTimers;
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
    /// With what the payload of the first frame begins.
    ahead: Option<PlacedAhead>,
    /// The store may start threads meanwhile.
    _timers: LazyTimers,
}

impl<'a> CellCommit<'a> {
    pub fn new(store: &'a CellStore) -> Self {
        let _timers = LazyTimers::begin();
        Self { store, of: None, alone: None, heads: Vec::new(), part: 0, ahead: None, _timers }
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
        let Some(of) = self.of else { return Ok(()) };
        let (frames, ahead) = (self.heads.clone(), self.ahead);
        let heads = CommitHeads { of, part: 0, frames, ahead };
        self.store.put(of, &heads.to_value()).map(drop)
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
            let payload = value::whole_frame(&value).and_then(|bytes| bytes.get(HEAD_LEN..));
            self.parts(&first, payload.unwrap_or_default())?;
        }
        self.parts(head, bytes.get(HEAD_LEN..).unwrap_or_default())
    }

    fn frame_behind(
        &mut self,
        head: &FrameHead,
        ahead: PlacedAhead,
        bytes: &[u8],
    ) -> Result<(), LogError> {
        assert!(self.of.is_none(), "record {} is not the first of its commit", head.first);
        (self.of, self.ahead) = (Some(head.first), Some(ahead));
        self.parts(head, bytes.get(HEAD_LEN..).unwrap_or_default())
    }

    fn finish(self: Box<Self>) -> Result<(), LogError> {
        failpoint::reached("commit.parts");
        match &self.alone {
            Some((head, value)) => self.store.put(head.first, value).map(drop),
            None => self.write_heads(),
        }
    }
}
