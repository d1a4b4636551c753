//! Where it is remembered: the log, a folder of segments, each a sled database of its own. Knows model and record.
//!
//! # Limits and invariants
//!
//! * Records are numbered from 1 without gaps, in the order of commits; a number is never used twice.
//! * [`Log::commit`] returns after its records are durable: batch, sled's `flush`, `fdatasync` on our own descriptor
//!   of the segment's file (sled's flush is not an fsync), watermark, publish. Readers never see beyond that.
//! * One segment is active; it is sealed and a new one begun at `limits::SEGMENT_BYTES` or `SEGMENT_AGE_MS`
//!   ([`Log::wants_roll`]). A segment begins with a checkpoint of the state, so that opening reads one checkpoint and
//!   one segment.
//! * Values in sled are at most `limits::CHUNK` bytes, so that no blob file, which sled never syncs, comes to be.
//! * At most `limits::OPEN_SEGMENTS` sealed segments stay open.
//!
//! # What a commit looks like, and why
//!
//! **A commit is one frame** (see [`frame`]): all of its records, packed together, behind one head with the SHA-256
//! chain. Compared with a key for each record this is a fraction of sled's operations and bytes (sled writes a link of
//! its own for each key), webhooks that resemble each other are compressed together, and what belongs together is
//! checked together. A record is found by its frame: the last key at or before its number. The frame is cut into
//! chunks; all others go in before chunk 0, so that a torn frame cannot be seen. A commit of more than 512 KiB is cut
//! into several frames, so that a random read unpacks little; their first chunks go in together, at the very end.
//!
//! # Integrity above sled
//!
//! sled checks its own bytes, but takes a bad one for the end of its log. So: numbers without gaps, a CRC-32 with each
//! record, a chain over frames and segments (`SHA-256(previous head ‖ facts ‖ payload)`), a seal beside each sealed
//! segment that says how it ended, and a [`watermark`] that says how far the log must reach. What does not add up
//! is a [`Problem`] with its exact range. When the log comes back shorter than the watermark, it goes on behind it in
//! a new segment whose header remembers the gap; the old one stays as it is.
//!
//! # Files
//!
//! `lock`; `format`; `watermark`; `seg-N/`, `seg-N.seal`, `seg-N.sums` (what its files were when it was closed) and,
//! while it is open, `seg-N.open`, N the first record; `dropped`, which ranges retention removed; `doubt`, where the log
//! ended when its watermark was missing; `calendar`, by which retention goes; `budget`, the quota of the first start
//! (see [`room`]); `ballast-open` and `ballast-run` (see [`ballast`]);
//! passing: `new-N/` (a segment in the making), `del-N/` (in deletion), `*.tmp`; for people: `bad-seg-N/`, a segment
//! that could not be opened and was put aside.
//!
//! # Fatal, refused, retried
//!
//! An error of a commit is fatal: what became of it is unknown, so every later commit is refused with
//! [`LogError::Poisoned`], and the process has to end. A sync is never retried. Damage is reported and passed over.
//! Only one thing is retried: a segment that sled calls corrupt is opened once more without its snapshot.
//! sled may panic over flipped bits, nearly always while it opens a segment; where panics abort, so does the process.
//! So a segment that was open when a process died, and one whose files are not what they were when it was closed
//! ([`sums`]), is opened by a child process first ([`Options::probe`]).
//! What a later version wrote is no damage: it is refused ([`LogError::Newer`]), and nothing is touched.

mod ballast;
mod carve;
mod copy;
mod error;
pub(crate) mod failpoint;
mod folder;
mod format;
mod frame;
mod header;
mod probe;
mod reader;
mod recover;
mod room;
mod segment;
mod shelf;
mod sums;
#[cfg(test)]
mod tests;
mod verify;
mod walk;
mod watermark;

use std::path::PathBuf;
use std::sync::Arc;

pub use carve::{Carved, carve};
pub use copy::{LogCopy, PIECE_MAX, Piece};
pub use error::{Fault, LogError, Problem};
pub use reader::{Backward, Forward, Reader};
pub use room::{Budget, Room};

use frame::{ChainHead, HEAD_LEN, Packer};
use header::Beginning;
use segment::{Batch, Segment};
use shelf::{Borrowed, Facts, Shelf, Slot};
use watermark::{Mark, Watermark};

use crate::model::{Seq, WallMs, limits};
use crate::record::Record;

/// Where the log is, and when it is rolled.
#[derive(Clone, Debug)]
pub struct Options {
    pub dir: PathBuf,
    /// Stored payload at which a segment is rolled.
    pub segment_bytes: u64,
    /// Its age at which it is rolled.
    pub segment_age_ms: u64,
    /// Leaves out our own fdatasync: the negative control of the power-cut tests.
    #[doc(hidden)]
    pub skip_sync: bool,
    /// The program that opens suspicious segments first, as `PROGRAM --probe-segment FOLDER`, which calls [`probe`].
    pub probe: Option<PathBuf>,
    /// What the log may take.
    pub budget: Budget,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("log"),
            segment_bytes: limits::SEGMENT_BYTES,
            segment_age_ms: limits::SEGMENT_AGE_MS,
            skip_sync: false,
            probe: None,
            budget: Budget::default(),
        }
    }
}

/// An opened log.
#[derive(Debug)]
pub struct Recovered {
    pub log: Log,
    pub reader: Reader,
    /// The state before `first_to_fold`; `None` when there is none, then everything is folded.
    pub checkpoint: Option<Vec<u8>>,
    pub first_to_fold: Seq,
    /// What does not add up.
    pub problems: Vec<Problem>,
}

/// Proof that records are durable. Only [`Log::commit`] makes it.
#[must_use = "what was committed may be released now"]
#[derive(Debug)]
#[expect(clippy::manual_non_exhaustive, reason = "other rooms of this crate must not make one either")]
pub struct Committed {
    pub first: Seq,
    /// One before `first` when nothing was to be committed.
    pub last: Seq,
    _private: (),
}

/// What is known of a segment without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its place in the list, from 1.
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

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The segment at hand.
    pub segment: Seq,
    /// Segments done, of so many.
    pub done: usize,
    pub segments: usize,
    pub records: u64,
    pub bytes: u64,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub ok: bool,
    pub records: u64,
    pub segments: usize,
    pub first: Seq,
    pub last: Seq,
    pub head: [u8; 32],
    /// The record at which the expected head was found.
    pub expected_at: Option<Seq>,
    pub problems: Vec<Problem>,
}

/// The end of the chain: the hash over everything up to a record. Who keeps it elsewhere can tell later whether the
/// log still holds, up to there, what it held then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: Seq,
    pub hash: [u8; 32],
}

/// A head that was kept elsewhere and has to be on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The record it was read at, when that is known.
    pub seq: Option<Seq>,
    pub head: [u8; 32],
}

/// The log, for the one thread that appends to it.
#[derive(Debug)]
pub struct Log {
    shelf: Arc<Shelf>,
    /// The active segment's place, and the segment itself (`None` only while it is being replaced or closed).
    slot: Arc<Slot>,
    segment: Option<Borrowed>,
    next: Seq,
    head: ChainHead,
    packer: Packer,
    watermark: Watermark,
    segment_bytes: u64,
    segment_age_ms: u64,
    /// The records from this one on are not in the newest checkpoint.
    fold_from: Seq,
    /// The newest checkpoint is not the active segment's own: roll soon.
    rebase: bool,
    poisoned: bool,
    /// A roll was put off for want of room: the payload of the active segment, and what was left, at that time.
    put_off: Option<(u64, u64)>,
}

/// Opens and reads one segment, in a process of its own: it may die of it.
///
/// # Errors
/// What keeps it from being read. Whoever asked only wants to know whether this process survives.
pub fn probe(segment: &std::path::Path) -> Result<(), LogError> {
    probe::read_all(segment)
}

impl Log {
    /// Opens the log in a folder, which is made when it is missing.
    ///
    /// # Errors
    /// When another process has it ([`LogError::InUse`]), or the operating system refuses. Damage is no error: it
    /// stands in [`Recovered::problems`].
    pub fn open(options: Options, wall_ms: WallMs) -> Result<Recovered, LogError> {
        recover::open(options, wall_ms)
    }

    /// The number that the next record gets.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.next
    }

    /// Appends records, all or none; durable when it returns.
    ///
    /// # Errors
    /// Any error means that it is unknown whether they are there; the log takes no more, and the process has to end.
    pub fn commit(&mut self, records: &[Record]) -> Result<Committed, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let first = self.next;
        if records.is_empty() {
            return Ok(Committed { first, last: first - 1, _private: () });
        }
        failpoint::reached("commit.begun");
        let done = self.write(records).and_then(|written| self.settle(&written).map(|()| written));
        self.packer.reset();
        match done {
            Ok(Written { last, .. }) => Ok(Committed { first, last, _private: () }),
            Err(error) => {
                self.poisoned = true;
                Err(error)
            }
        }
    }

    /// Whether the active segment is large or old enough to be sealed.
    #[must_use]
    pub fn wants_roll(&self, wall_ms: WallMs) -> bool {
        let facts = self.slot.facts();
        let old = wall_ms.saturating_sub(facts.created_at) >= self.segment_age_ms;
        let due = self.rebase || facts.payload_bytes >= self.segment_bytes || (old && facts.records > 0);
        due && self.may_roll(facts.payload_bytes)
    }

    /// The room as it was last measured.
    #[must_use]
    pub fn room(&self) -> Room {
        self.shelf.gauge.room()
    }

    /// Whether there seems to be room for a roll. One that was put off is not tried again before something changed.
    fn may_roll(&self, payload: u64) -> bool {
        let room = self.room();
        let again = self.put_off.is_none_or(|(then, left)| {
            payload >= then.saturating_add(limits::ROLL_BYTES) || room.left() >= left.saturating_add(limits::ROLL_BYTES)
        });
        again && room.takes_roll(self.segment.as_ref().map_or(0, |segment| segment.checkpoint_len()))
    }

    /// Seals the active segment and begins a new one, which starts with this checkpoint of the state.
    ///
    /// # Errors
    /// When the operating system refuses; the log takes no more then. An empty segment is rolled only when its
    /// checkpoint is not its own. For want of room it is put off, which is no error: the active segment grows on.
    pub fn roll(&mut self, checkpoint: &[u8], wall_ms: WallMs) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        if self.slot.facts().records == 0 && !self.rebase {
            return Ok(());
        }
        if !self.room().takes_roll(checkpoint.len() as u64) {
            self.put_off_roll();
            return Ok(());
        }
        self.poisoned = true;
        let (sealed, first) = (active(&self.segment)?.disk_bytes(), self.slot.first);
        self.replace_active(checkpoint, wall_ms)?;
        self.poisoned = false;
        if self.slot.first != first {
            self.shelf.gauge.rolled(sealed, active(&self.segment)?.disk_bytes());
        }
        Ok(())
    }

    fn put_off_roll(&mut self) {
        let room = self.room();
        tracing::warn!(left = room.left(), files = room.files, "no room for a new segment: the active one grows on");
        self.put_off = Some((self.slot.facts().payload_bytes, room.left()));
    }

    /// Drops the sealed segment that begins with this record. Readers that are at it finish.
    ///
    /// # Errors
    /// When there is no such segment, when its records are still needed because the log has not been rolled since it
    /// was opened with damage, or when the operating system refuses.
    pub fn drop_segment(&mut self, first: Seq) -> Result<(), LogError> {
        let slot = self.shelf.get(first).filter(|slot| !Arc::ptr_eq(slot, &self.slot));
        let slot = slot.ok_or(LogError::NoSuchSegment { first })?;
        let facts = slot.facts();
        if facts.last >= self.fold_from {
            return Err(LogError::StillNeeded { first });
        }
        failpoint::reached("drop.begun");
        if let Err(error) = recover::note_dropped(&self.shelf, &facts) {
            // It needs a little room for itself, to give back much.
            if !error.is_full() || !ballast::release(&self.shelf.dir) {
                return Err(error);
            }
            recover::note_dropped(&self.shelf, &facts)?;
        }
        failpoint::reached("drop.noted");
        self.shelf.take_out(first);
        recover::delete(&self.shelf, &slot)?;
        failpoint::reached("drop.done");
        Ok(())
    }

    /// Closes the log. Dropping it does the same, but for the last sync of the watermark.
    ///
    /// # Errors
    /// When the operating system refuses. All that was acknowledged is durable nevertheless.
    pub fn close(mut self) -> Result<(), LogError> {
        self.segment = None;
        self.shelf.close_idle();
        self.shelf.keep_sums(|_| true);
        self.watermark.sync()
    }

    /// Packs the records into frames and hands them to the store.
    fn write(&mut self, records: &[Record]) -> Result<Written, LogError> {
        let mut writer =
            Writer { segment: active(&self.segment)?, batch: Batch::default(), firsts: Vec::new(), bytes: 0 };
        let (mut next, mut head) = (self.next, self.head);
        for (index, record) in records.iter().enumerate() {
            if let Err(len) = self.packer.add(record) {
                return Err(LogError::TooLarge { len, limit: frame::RECORD_MAX });
            }
            if self.packer.is_full() || index + 1 == records.len() {
                let (frame_head, bytes) = self.packer.finish(next, head);
                next = frame_head.last() + 1;
                head = frame_head.own;
                writer.frame(&frame_head, bytes)?;
            }
        }
        let bytes = writer.finish()?;
        Ok(Written { last: next - 1, head, bytes, records: records.len() as u64 })
    }

    /// Makes durable what was written, then known.
    fn settle(&mut self, written: &Written) -> Result<(), LogError> {
        failpoint::reached("commit.written");
        active(&self.segment)?.sync()?;
        failpoint::reached("commit.synced");
        self.watermark.set(Mark { seq: written.last, head: written.head })?;
        failpoint::reached("commit.marked");
        self.next = written.last + 1;
        self.head = written.head;
        self.slot.change(|facts| {
            facts.last = written.last;
            facts.head = written.head;
            facts.records += written.records;
            facts.payload_bytes += written.bytes;
        });
        self.shelf.publish(written.last);
        self.shelf.gauge.note(active(&self.segment)?.disk_bytes());
        Ok(())
    }

    /// The steps of a roll; a crash between any two of them is put right by opening.
    fn replace_active(&mut self, checkpoint: &[u8], wall_ms: WallMs) -> Result<(), LogError> {
        let old = self.slot.facts();
        if old.records == 0 {
            return self.replace_empty(&old, checkpoint, wall_ms);
        }
        failpoint::reached("roll.begun");
        let first = self.next;
        let beginning =
            Beginning { first, prev: old.head, fold_from: first, gap_from: None, created_at: wall_ms, checkpoint };
        let segment = match Segment::create(&self.shelf.dir, &beginning, self.shelf.skip_sync) {
            Err(error) if error.is_full() && segment::unmake(&self.shelf.dir, first) => {
                tracing::warn!(%error, "a new segment could not be made");
                self.put_off_roll();
                return Ok(());
            }
            made => made?,
        };
        failpoint::reached("roll.created");
        let sealed = Facts { sealed_at: Some(wall_ms), ..old };
        folder::write_checked(&folder::seal(&self.shelf.dir, sealed.first), &sealed)?;
        failpoint::reached("roll.sealed");
        self.watermark.sync()?;
        self.slot.change(|facts| facts.sealed_at = Some(wall_ms));
        self.take_up(segment, &beginning);
        failpoint::reached("roll.done");
        Ok(())
    }

    /// Gives a segment that was begun behind a gap, and is still empty, a checkpoint of its own.
    fn replace_empty(&mut self, old: &Facts, checkpoint: &[u8], wall_ms: WallMs) -> Result<(), LogError> {
        let Facts { first, prev, gap_from, .. } = *old;
        let beginning = Beginning { first, prev, fold_from: first, gap_from, created_at: wall_ms, checkpoint };
        // The name is taken: the empty one makes room. Without it, opening makes one like it from the watermark.
        self.segment = None;
        recover::delete(&self.shelf, &self.slot)?;
        let segment = Segment::create(&self.shelf.dir, &beginning, self.shelf.skip_sync)?;
        self.take_up(segment, &beginning);
        Ok(())
    }

    fn take_up(&mut self, segment: Segment, beginning: &Beginning<'_>) {
        let first = beginning.first;
        self.head = segment.chain;
        self.slot = Slot::new(Facts {
            first,
            last: first - 1,
            records: 0,
            payload_bytes: 0,
            prev: beginning.prev,
            head: segment.chain,
            gap_from: beginning.gap_from,
            created_at: beginning.created_at,
            sealed_at: None,
        });
        self.segment = Some(Shelf::borrow_open(&self.slot, segment));
        self.shelf.add(self.slot.clone());
        self.fold_from = first;
        self.rebase = false;
        self.put_off = None;
    }
}

fn active(segment: &Option<Borrowed>) -> Result<&Borrowed, LogError> {
    segment.as_ref().ok_or(LogError::Poisoned)
}

/// What a commit came to, before it is durable.
struct Written {
    last: Seq,
    head: ChainHead,
    bytes: u64,
    records: u64,
}

/// Cuts frames into chunks and the chunks into batches; the first chunk of each frame goes in last.
struct Writer<'a> {
    segment: &'a Segment,
    batch: Batch,
    firsts: Vec<(Seq, Vec<u8>)>,
    bytes: u64,
}

impl Writer<'_> {
    fn frame(&mut self, head: &frame::FrameHead, bytes: &[u8]) -> Result<(), LogError> {
        let mut chunks = bytes.chunks(limits::CHUNK).enumerate();
        if let Some((_, chunk)) = chunks.next() {
            self.firsts.push((head.first, chunk.to_vec()));
        }
        for (number, chunk) in chunks {
            self.put(head.first, number, chunk)?;
        }
        self.bytes += (bytes.len() - HEAD_LEN) as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<u64, LogError> {
        // What is here without its first chunk is no frame yet.
        failpoint::reached("commit.chunks");
        for (first, chunk) in std::mem::take(&mut self.firsts) {
            self.put(first, 0, &chunk)?;
        }
        self.segment.apply(self.batch)?;
        Ok(self.bytes)
    }

    fn put(&mut self, first: Seq, number: usize, chunk: &[u8]) -> Result<(), LogError> {
        if self.batch.is_full() {
            self.segment.apply(std::mem::take(&mut self.batch))?;
        }
        self.batch.chunk(first, number, chunk);
        Ok(())
    }
}
