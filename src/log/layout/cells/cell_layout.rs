//! The frames in the cells, as a segment asks for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ahead::read_ahead;
use super::checkpoint::read_checkpoint;
use super::commit::CellCommit;
use super::search::FoundCommit;
use super::store::CellStore;
use super::value::{self, CommitHeads, HeadsFault, PayloadPart};
use crate::log::database::Database;
use crate::log::error::LogError;
use crate::log::frame::{FrameHead, HEAD_LEN, StoredFrame};
use crate::log::header::SegmentHeader;
#[cfg(test)]
use crate::log::layout::interface::Tampering;
use crate::log::layout::interface::{CommitWriter, FrameLookup, SegmentLayout};
use crate::model::Seq;

/// See the module `cells`.
pub(in crate::log::layout) struct CellLayout {
    store: CellStore,
    database: Arc<Database>,
    path: PathBuf,
    /// The version that created the segment.
    hookbox: String,
}

impl CellLayout {
    pub fn open(
        database: &Arc<Database>,
        path: &Path,
        header: &SegmentHeader,
    ) -> Result<Self, LogError> {
        let store = CellStore::open(database, header.first)?;
        let (path, hookbox) = (path.to_path_buf(), header.hookbox.clone());
        Ok(Self { store, database: database.clone(), path, hookbox })
    }

    /// The frame of a commit, the one that `wanted` chooses when it has heads; `None` when it
    /// chooses none.
    fn frame_of(
        &self,
        found: &FoundCommit,
        wanted: impl Fn(&CommitHeads) -> Option<usize>,
    ) -> Result<Option<FrameLookup>, LogError> {
        if let Some(bytes) = value::whole_frame(&found.value) {
            return self.frame_in(found, bytes).map(Some);
        }

        match CommitHeads::read(&found.value) {
            Ok((heads, _)) => match wanted(&heads) {
                Some(index) => self.frame_of_parts(found, &heads, index).map(Some),
                None => Ok(None),
            },
            Err(HeadsFault::Newer(what)) => Err(self.newer(what)),
            Err(HeadsFault::Damaged(what)) => self.broken(found, &what).map(Some),
        }
    }

    /// The frame in a value that is one.
    fn frame_in(&self, found: &FoundCommit, bytes: &[u8]) -> Result<FrameLookup, LogError> {
        let head = match FrameHead::read(bytes) {
            Ok(head) => head,
            Err(what) if FrameHead::is_newer(bytes) => return Err(self.newer(what)),
            Err(what) => return self.broken(found, &what),
        };

        let stored = bytes[HEAD_LEN..].to_vec();
        if stored.len() != head.stored_len as usize {
            return self.broken(found, "it does not have the length that was written");
        }
        Ok(FrameLookup::Frame(StoredFrame { head, stored }))
    }

    /// Puts together the parts of one frame.
    fn frame_of_parts(
        &self,
        found: &FoundCommit,
        heads: &CommitHeads,
        index: usize,
    ) -> Result<FrameLookup, LogError> {
        let placed = &heads.frames[index];
        let first = heads.first_part(index);
        let mut stored = Vec::with_capacity(placed.head.stored_len as usize);
        if let Some(ahead) = heads.ahead_of(index) {
            read_ahead(&self.database, ahead, &mut stored)?;
        }

        let mut values = self.store.values_from(placed.place);
        for number in first..first.saturating_add(heads.parts(index)) {
            let value = match values.next() {
                // Only this frame is damaged, whatever the store makes of it.
                Err(error) if error.is_damage() => None,
                value => value?,
            };
            let part = value.as_deref().and_then(PayloadPart::read);
            match part.filter(|part| (part.of, part.number) == (heads.of, number)) {
                Some(part) => stored.extend_from_slice(part.bytes),
                None => break,
            }
        }

        if stored.len() == placed.head.stored_len as usize {
            return Ok(FrameLookup::Frame(StoredFrame { head: placed.head, stored }));
        }
        let next = match heads.frames.get(index + 1) {
            Some(next) => Some(next.head.first),
            None => self.begins_behind(found)?,
        };
        let what = "a part of it is missing or damaged".to_owned();
        Ok(FrameLookup::Broken { first: placed.head.first, next, what })
    }

    fn broken(&self, found: &FoundCommit, what: &str) -> Result<FrameLookup, LogError> {
        let (first, next) = (value::begins(&found.value), self.begins_behind(found)?);
        Ok(FrameLookup::Broken { first: first.unwrap_or_default(), next, what: what.to_owned() })
    }

    /// The record that the next commit begins with.
    fn begins_behind(&self, found: &FoundCommit) -> Result<Option<Seq>, LogError> {
        let next = self.store.behind(Some(found.place))?;
        Ok(next.and_then(|next| value::begins(&next.value)))
    }

    fn newer(&self, what: String) -> LogError {
        LogError::Newer { path: self.path.clone(), written_by: self.hookbox.clone(), what }
    }

    /// Whether a commit that begins behind `seq` begins behind the next one as well, so that it
    /// cannot be what follows.
    fn is_misplaced(&self, found: &FoundCommit, begins: Seq, seq: Seq) -> Result<bool, LogError> {
        if seq.checked_add(1) == Some(begins) {
            return Ok(false);
        }
        let behind = self.begins_behind(found)?;
        Ok(behind.is_some_and(|behind| seq < behind && behind <= begins))
    }
}

impl SegmentLayout for CellLayout {
    fn checkpoint(&self) -> Result<Vec<u8>, LogError> {
        read_checkpoint(&self.database)
    }

    fn commit(&self) -> Box<dyn CommitWriter + '_> {
        Box::new(CellCommit::new(&self.store))
    }

    fn at_or_before(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError> {
        let Some(found) = self.store.at_or_before(seq)? else { return Ok(None) };
        self.frame_of(&found, |heads| heads.frames.iter().rposition(|f| f.head.first <= seq))
    }

    fn after(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError> {
        let is_behind = |heads: &CommitHeads| heads.frames.iter().position(|f| f.head.first > seq);

        // A later frame of the commit that holds it, or else the next commit.
        let before = self.store.at_or_before(seq)?;
        if let Some(found) = &before
            && CommitHeads::read(&found.value).is_ok()
            && let Some(frame) = self.frame_of(found, is_behind)?
        {
            return Ok(Some(frame));
        }

        let mut next = self.store.behind(before.map(|found| found.place))?;
        while let Some(found) = next {
            let begins = value::begins(&found.value).filter(|begins| *begins > seq);
            if let Some(begins) = begins
                && !self.is_misplaced(&found, begins, seq)?
            {
                return self.frame_of(&found, is_behind);
            }
            next = self.store.behind(Some(found.place))?;
        }
        Ok(None)
    }

    fn readable_behind(&self, seq: Seq) -> Result<Option<Seq>, LogError> {
        self.store.readable_behind(seq)
    }

    /// Nothing: parts without heads cannot be seen, and a value is written as a whole. So what is
    /// seen and cannot be read was complete once.
    fn remove_unfinished(&self, _from: Seq) -> Result<bool, LogError> {
        Ok(false)
    }

    fn set_reading_through(&self, is_reading: bool) {
        self.store.set_reading_through(is_reading);
    }

    fn is_crowded(&self) -> bool {
        self.store.is_crowded()
    }

    #[cfg(test)]
    fn tamper(&self, with: &Tampering) -> Result<(), LogError> {
        super::tamper::tamper(&self.store, &self.database, with)
    }
}
