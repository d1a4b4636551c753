//! Reading: single records and facts about the log. From any thread, and never beyond what is
//! durable.
//!
//! Walks over many records are in `forward` and `backward`. A walk reports damage as an `Err` item
//! with the exact range, once, and continues behind it; what retention dropped, and gaps that were
//! reported when the log was opened, are passed over. An error that does not come from the files
//! (no descriptors left) ends the walk.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk_space::DiskSpace;
use super::error::{LogError, LogProblem};
use super::frame::{DecodedFrame, RecordFault};
use super::layout::FrameLookup;
use super::segment_set::{KNOWN, SegmentSet};
use super::segment_slot::SegmentSlot;
use super::{ballast, folder};
use crate::model::{Seq, WallMs};
use crate::record::{Record, Sieve};

/// How a walk reads one record out of its frame.
pub(super) type ReadRecord<'a, T> = &'a dyn Fn(&Reader, &DecodedFrame, Seq) -> Result<T, LogError>;

/// Reads the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) segments: Arc<SegmentSet>,
}

/// The end of the chain: the hash over everything up to a record. Whoever keeps it elsewhere can
/// tell later whether the log still holds, up to there, what it held then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: Seq,
    pub hash: [u8; 32],
}

/// A segment as it is known without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its position in the list, from 1.
    pub number: u64,
    pub first: Seq,
    /// `None` when it is empty, as a new active segment is.
    pub last: Option<Seq>,
    pub records: u64,
    /// As stored, so after compression.
    pub payload_bytes: u64,
    pub disk_bytes: u64,
    pub created_at: WallMs,
    /// `None` for the active one.
    pub sealed_at: Option<WallMs>,
    pub head: [u8; 32],
    /// It cannot be opened; its records are lost.
    pub lost: bool,
}

impl Reader {
    /// The first record that there may be; 1 for an empty log.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.segments.oldest().map_or(1, |slot| slot.first)
    }

    /// The last record that is durable; 0 when there is none.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.segments.durable()
    }

    /// One record. `None` when it is not there: dropped, not written yet, or in a gap that is
    /// known.
    ///
    /// # Errors
    /// When it is damaged, or its segment cannot be opened.
    pub fn read(&self, seq: Seq) -> Result<Option<Record>, LogError> {
        let read = self
            .frame_of(seq)
            .and_then(|found| found.map(|frame| self.decode(&frame, seq)).transpose());
        read.inspect_err(|error| self.remember_damage(error))
    }

    /// The same; `None` as well when the record cannot be wanted.
    ///
    /// # Errors
    /// When it is damaged, or its segment cannot be opened.
    pub fn read_sifted(&self, seq: Seq, sieve: &Sieve) -> Result<Option<Record>, LogError> {
        let read = self
            .frame_of(seq)
            .and_then(|found| found.map_or(Ok(None), |frame| self.sift(&frame, seq, sieve)));
        read.inspect_err(|error| self.remember_damage(error))
    }

    /// The frame that holds this record.
    fn frame_of(&self, seq: Seq) -> Result<Option<Arc<DecodedFrame>>, LogError> {
        if seq == 0 || seq > self.durable() {
            return Ok(None);
        }
        if let Some(frame) = self.segments.cache.get(seq) {
            return Ok(Some(frame));
        }
        if self.segments.damage.is_unreadable(seq) {
            return Err(self.segments.known_damage(seq, seq));
        }

        let Some(slot) = self.segments.at_or_before(seq) else { return Ok(None) };
        if slot.last() < seq {
            return self.check_gap(&slot, seq, seq).map(|()| None);
        }
        let Some(segment) = self.segments.acquire(&slot)? else { return Ok(None) };

        let damaged = |what: String| LogError::damaged(slot.first, seq, seq, what);
        let found =
            segment.at_or_before(seq).map_err(|error| with_range(error, slot.first, seq, seq))?;
        match found {
            Some(FrameLookup::Frame(frame)) if frame.head.holds(seq) => {
                let decoded = Arc::new(DecodedFrame::new(frame).map_err(damaged)?);
                self.segments.cache.keep(&decoded);
                Ok(Some(decoded))
            }
            Some(FrameLookup::Broken { what, .. }) => Err(damaged(what)),
            Some(FrameLookup::Frame(_)) | None => Err(damaged("it is missing".to_owned())),
        }
    }

    /// Decodes one record of a frame.
    pub(super) fn decode(&self, frame: &DecodedFrame, seq: Seq) -> Result<Record, LogError> {
        frame.record(seq).map_err(|fault| self.fault(fault, seq))
    }

    /// The same; `None` when the record cannot be wanted.
    pub(super) fn sift(
        &self,
        frame: &DecodedFrame,
        seq: Seq,
        sieve: &Sieve,
    ) -> Result<Option<Record>, LogError> {
        frame.sifted(seq, sieve).map_err(|fault| self.fault(fault, seq))
    }

    fn fault(&self, fault: RecordFault, seq: Seq) -> LogError {
        let (format, dir) = (&self.segments.format, &self.segments.dir);
        match fault {
            RecordFault::Unknown(what) if format.is_newer() => format.refuse(dir, what),
            RecordFault::Newer(what) => format.refuse(dir, what),
            RecordFault::Unknown(what) | RecordFault::Damaged(what) => {
                LogError::damaged(self.segments.segment_of(seq), seq, seq, what)
            }
        }
    }

    /// Remembers damage, so that `status` reports it, and the scheduler learns which records are
    /// lost.
    pub(super) fn remember_damage(&self, error: &LogError) {
        if let LogError::Damaged(problem) = error
            && problem.what != KNOWN
        {
            self.segments.damage.add(problem);
            self.segments.damage.add_unreadable(problem.first, problem.last);
        }
    }

    /// An error unless it is known that these records are not there.
    pub(super) fn check_gap(
        &self,
        slot: &SegmentSlot,
        first: Seq,
        last: Seq,
    ) -> Result<(), LogError> {
        if self.segments.is_known_gap(first, last) {
            return Ok(());
        }
        Err(LogError::damaged(slot.first, first, last, "they are missing"))
    }

    /// The records before this one are in the newest complete checkpoint. A start needs the others.
    #[must_use]
    pub fn checkpoint_before(&self) -> Seq {
        self.segments.checkpoint_before()
    }

    /// The disk space as it was last measured.
    #[must_use]
    pub fn disk_space(&self) -> DiskSpace {
        self.segments.gauge.space()
    }

    /// Whether somebody removed the log. An empty segment that is made anew is missing, too, for a
    /// moment.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let active = self.segments.newest().map_or(0, |slot| slot.first);
        self.segments.gauge.is_gone(active)
    }

    /// Measures the disk space, and maintains the ballast. Lists the folder: not for the thread
    /// that commits.
    pub fn measure_disk_space(&self) -> DiskSpace {
        let active = self.segments.newest().map_or(0, |slot| slot.first);
        let space = self.segments.gauge.measure(active);
        if !self.segments.opener.is_scratch_copy() {
            ballast::maintain(&self.segments.dir, &space);
        }
        space
    }

    /// Reads a small checked file beside the segments; `None` when it is missing or its checksum is
    /// wrong.
    #[must_use]
    pub fn read_note<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        folder::read_checked(&self.segments.dir.join(name))
    }

    /// Replaces a small checked file beside the segments.
    ///
    /// # Errors
    /// When the operating system refuses; the old file is still there then.
    pub fn write_note(&self, name: &str, value: &impl Serialize) -> Result<(), LogError> {
        folder::write_checked(&self.segments.dir.join(name), value)
    }

    /// The segments, the oldest first. Opens none of them.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let slots = self.segments.all();
        let numbered = (1..).zip(slots);
        numbered.map(|(number, slot)| self.info(number, &slot)).collect()
    }

    fn info(&self, number: u64, slot: &SegmentSlot) -> SegmentInfo {
        let summary = slot.summary();
        SegmentInfo {
            number,
            first: summary.first,
            last: (summary.last >= summary.first).then_some(summary.last),
            records: summary.records,
            payload_bytes: summary.payload_bytes,
            disk_bytes: folder::disk_bytes(&folder::segment(&self.segments.dir, summary.first)),
            created_at: summary.created_at,
            sealed_at: summary.sealed_at,
            head: summary.head,
            lost: slot.lost().is_some(),
        }
    }

    /// The newest version that has written here.
    #[must_use]
    pub fn written_by(&self) -> &str {
        self.segments.format.written_by()
    }

    /// The chain's head at what is durable now.
    #[must_use]
    pub fn head(&self) -> Head {
        let newest = self.segments.newest().map(|slot| slot.summary());
        newest.map_or(Head { seq: 0, hash: [0; 32] }, |summary| Head {
            seq: summary.last,
            hash: summary.last_head(),
        })
    }

    /// The problems that were found when the log was opened, and since.
    #[must_use]
    pub fn damage(&self) -> Vec<LogProblem> {
        self.segments.damage.problems()
    }

    /// Closes sealed segments that nobody uses and frees what was kept for reading. For quiet
    /// moments.
    pub fn close_idle(&self) {
        self.segments.close_idle();
        self.segments.record_checksums(|summary| summary.sealed_at.is_some());
    }

    /// The same, but for the segment that begins with this record: it is about to be dropped, for
    /// which nobody may be just closing it.
    pub fn close_idle_but(&self, dropped: Seq) {
        self.segments.close_idle_but(Some(dropped));
        self.segments
            .record_checksums(|summary| summary.sealed_at.is_some() && summary.first != dropped);
    }

    /// Gives up the segment that this error is about, until the log is opened anew, so that reading
    /// continues behind it; it counts as damaged from then on. Only when the disk itself fails:
    /// everything else may pass. Returns whether a segment was given up.
    #[must_use]
    pub fn give_up(&self, error: &LogError) -> bool {
        let Some(path) = error.disk_failed_at() else { return false };

        let slots = self.segments.all();
        let holds = |slot: &&Arc<SegmentSlot>| {
            path.starts_with(folder::segment(&self.segments.dir, slot.first))
        };
        let found = slots.iter().find(holds);
        let Some(slot) = found.filter(|slot| slot.summary().sealed_at.is_some()) else {
            return false;
        };

        let why = format!("the disk cannot read the segment: {error}");
        slot.mark_lost(why.clone());
        self.segments.damage.add(&slot.problem(why));
        true
    }
}

/// Adds the range of records to an error of the store, which only says that something is damaged.
pub(super) fn with_range(error: LogError, segment: Seq, first: Seq, last: Seq) -> LogError {
    match error {
        LogError::Damaged(_) => error,
        error if error.is_damage() => LogError::damaged(segment, first, last, error.to_string()),
        error => error,
    }
}
