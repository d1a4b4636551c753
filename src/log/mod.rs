//! The log: where records are stored. A folder of segments, each a sled database of its own. Knows
//! model and record.
//!
//! # Limits and invariants
//!
//! * Records are numbered from 1 without gaps, in the order of commits; a number is never used
//!   twice.
//! * [`Log::commit`] returns after its records are durable: batch, sled's `flush`, `fdatasync` on
//!   our own descriptor of the segment's file (sled's flush is not an fsync), watermark, publish.
//!   Readers never see beyond that.
//! * One segment is active; it is sealed and a new one begun at `limits::SEGMENT_BYTES` (64 MiB of
//!   frames) or `SEGMENT_AGE_MS` (a day), see [`Log::wants_roll`]. A segment begins with a
//!   checkpoint of the state, so that opening the log reads one checkpoint and one segment.
//! * Values in sled are small (`limits::VALUE`, in format 1 `limits::CHUNK`), so that no blob file,
//!   which sled never syncs, comes to be.
//! * A record has at most 40 MiB. A commit of more than 512 KiB becomes several frames.
//! * At most `limits::OPEN_SEGMENTS` (2) sealed segments stay open.
//!
//! # Things
//!
//! [`Log`] appends, for one thread. [`Reader`] reads, from any thread. A [`Piece`] is a part of a
//! segment on its way into a [`LogCopy`]. A [`ScratchCopy`] is a log that another program than its
//! daemon reads. A [`LogProblem`] is an inconsistency with its exact range.
//!
//! # Operations
//!
//! | operation | file |
//! |---|---|
//! | open, and recover from a crash | `recover/` |
//! | commit | `append` |
//! | write a large body ahead of its commit | `write_ahead` |
//! | roll: seal the active segment, begin a new one | `roll` |
//! | drop a sealed segment | `drop_segment` |
//! | read one record, or many | `reader`, `forward`, `backward` |
//! | verify everything | `verify` |
//! | copy segment by segment | `piece`, `copy` |
//! | find what is readable in a segment that cannot be opened | `carve` |
//! | measure the disk space | `disk_gauge` |
//!
//! # A commit is one frame
//!
//! All records of a commit are packed together behind one head with the SHA-256 chain (see
//! [`frame`]). Compared with a key for each record this is a fraction of sled's operations and
//! bytes (sled writes a link of its own for each key); webhooks that resemble each other are
//! compressed together; and what belongs together is checked together. How frames lie in a segment
//! is the [`layout`]'s: in all formats that there are, what makes a commit's frames visible
//! is written at its very end, so that a torn commit cannot be seen. A large commit becomes several
//! frames, so that a random read decompresses little.
//!
//! # Integrity above sled
//!
//! sled checks its own bytes, but takes a bad one for the end of its log. So there are: numbers
//! without gaps, a CRC-32 with each record, a chain over frames and segments (`SHA-256(previous
//! head ‖ facts ‖ payload)`), a seal beside each sealed segment that states how it ended, and a
//! [`watermark`] that states how far the log must reach. Each inconsistency is reported with its
//! exact range. When the log comes back shorter than the watermark, it continues behind it in a new
//! segment whose header remembers the gap; the old one stays as it is.
//!
//! # Files
//!
//! See [`folder`] for segments and what belongs to them. Beside them: `lock`; `format`;
//! `watermark`; `dropped`, the ranges that retention removed; `doubt` (see [`unverified_tail`]);
//! `calendar`, retention's clock; `budget`, the quota of the first start (see [`disk_gauge`]);
//! `ballast-open` and `ballast-run` (see [`ballast`]).
//!
//! # Fatal, refused, retried
//!
//! * **Fatal:** an error of a commit. Its outcome is unknown, so every later commit is refused with
//!   [`LogError::Poisoned`], and the process has to end. A sync is never retried.
//! * **Refused:** what a later version wrote ([`LogError::Newer`]): it is no damage, and nothing is
//!   changed. A log that another process has open ([`LogError::InUse`]).
//! * **Retried:** a segment that sled calls corrupt is opened once more without its snapshot.
//! * Damage is reported and passed over. A roll is postponed for lack of disk space.
//! * sled may panic over flipped bits, nearly always while it opens a segment; where panics abort,
//!   so does the process. So a suspect segment is opened by a child process first (see [`opener`]).

mod append;
mod backward;
mod ballast;
mod blocks;
mod body_ahead;
mod carve;
mod checksums;
mod copy;
mod damage;
mod database;
mod disk_gauge;
mod disk_space;
mod drop_segment;
mod error;
pub(crate) mod failpoint;
mod folder;
mod format;
mod forward;
mod frame;
mod frame_cache;
mod frame_queue;
mod header;
mod layout;
mod lazy_timers;
mod opener;
mod options;
mod pending_checkpoint;
mod piece;
mod probe;
mod reader;
mod recover;
mod roll;
mod scan;
mod scratch_copy;
mod segment;
mod segment_format;
mod segment_set;
mod segment_slot;
mod segment_summary;
mod sifted;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod unreadable;
mod unverified_tail;
mod verify;
mod watermark;
mod write_ahead;
pub(crate) mod write_progress;

pub use append::{ClosedLog, Committed, Log};
pub use backward::Backward;
pub use blocks::BodyBlocks;
pub use carve::{CarvedSegment, carve};
pub use copy::LogCopy;
pub use disk_space::{DiskBudget, DiskSpace};
pub use error::{LogError, LogProblem, StoreFault};
pub use format::FORMAT as LOG_FORMAT;
pub use forward::Forward;
pub use options::Options;
pub use piece::{PIECE_MAX, Piece, SegmentEnd};
pub use probe::probe_segment;
pub use reader::{Head, Reader, SegmentInfo};
pub use recover::{FoldAhead, Recovered};
pub use scratch_copy::{Origin, ScratchCopy};
pub use segment_format::SegmentFormat;
pub use verify::{Expect, Progress, Report};
pub use write_progress::WriteProgress;
