//! What the log takes, on the disk and in memory: commits, segments, sled, the quota.

/// Bytes of one value in sled, in segments of format 1. No leaf may become a blob file: with the
/// key and 8 bytes, 17 values and 1 KiB are less than a quarter of sled's segment. It also decides
/// how much memory an open segment takes: sled keeps at least 256 pages of up to 17 values,
/// whatever the size of its cache. (64 MiB written, resident: 35 MB with 2 KiB, 75 MB with 4 KiB,
/// 120 MB with 16 KiB.)
pub const CHUNK: usize = 2 << 10;
/// Bytes of one value in sled, in segments of format 2.
pub const VALUE: usize = 14_000;
/// Bytes of the values in one leaf, in segments of format 2.
pub const LEAF: usize = 16 << 10;
/// Frames of one commit. Their heads are one value in format 2.
pub const COMMIT_FRAMES: usize = 155;
/// sled's trees in a segment of format 2 at which it is rolled. That is some 120,000 values, each
/// of which takes about 64 bytes of memory while the segment is open.
pub const CROWDED_TREES: usize = 512;
/// sled's trees in a segment from which on a process that opens it continues the last tree.
pub const TREES: usize = 2 * CROWDED_TREES;
/// sled's own segment size, and the size of its write buffers.
pub const SLED_SEGMENT: usize = 512 << 10;
/// sled's page cache for one open segment.
pub const SLED_CACHE: u64 = 2 << 20;
/// Bytes of one batch handed to sled.
pub const BATCH_BYTES: usize = SLED_SEGMENT / 2;
/// Operations of one batch handed to sled.
pub const BATCH_OPS: usize = 256;
/// Stored payload at which a segment is rolled.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Age at which a segment is rolled.
pub const SEGMENT_AGE_MS: u64 = 86_400_000;
/// Sealed segments open at a time.
pub const OPEN_SEGMENTS: usize = 2;
/// Segments that are copied at a time when a log is only read.
pub const SCRATCH_SEGMENTS: usize = OPEN_SEGMENTS + 2;
/// Such copies of logs that one process may have.
pub const SCRATCH_FOLDERS: usize = 64;
/// Bytes read from an open sealed segment after which it is closed, and opened again in a few
/// milliseconds. sled keeps one page for each of its cache's 256 shards, which is 9 MiB in all,
/// whatever the size of the cache.
pub const READ_FROM_SEGMENT: u64 = 2 << 20;
/// A write of a commit or of a roll that takes longer ends the process.
pub const COMMIT_TIMEOUT_MS: u64 = 10_000;
/// Bytes of a commit or a checkpoint after which the store flushes, so that each write returns in
/// time even if the disk takes only a hundred KiB a second.
pub const FLUSH_BYTES: u64 = 1 << 20;
/// The part of the quota that events may not use: this, or a 50th of the quota if that is more, but
/// never more than a quarter.
pub const DISK_RESERVE: u64 = 32 << 20;
/// The smallest reserve with which the log can be rolled.
pub const DISK_RESERVE_MIN: u64 = 4 << 20;
/// What is kept for the log itself when everything else is used up.
pub const DISK_FLOOR: u64 = 3 << 19;
/// The smallest quota that can be configured.
pub const QUOTA_MIN: u64 = 16 << 20;
/// How long disk space must be there again before that is reported. The time is doubled each time
/// the space was gone again.
pub const DISK_HOLD_MS: u64 = 10_000;
/// The longest of these times.
pub const DISK_HOLD_MAX_MS: u64 = 60_000;
/// After so long without a change the doubling is forgotten.
pub const DISK_CALM_MS: u64 = 600_000;
/// The smallest size of each of the two ballast files.
pub const BALLAST_MIN: u64 = 1 << 20;
/// The largest size of each of the two ballast files. It is a quarter of the reserve in between.
pub const BALLAST: u64 = 8 << 20;
/// Bytes that opening the log may need: a sled segment, a snapshot, a few small files.
pub const OPEN_BYTES: u64 = 2 << 20;
/// Bytes that a new segment needs besides its checkpoint.
pub const ROLL_BYTES: u64 = 1 << 20;
/// Bytes of a checkpoint that are written with one commit, or as many as the commit has. A
/// checkpoint of no more is written when its segment is begun.
pub const CHECKPOINT_STEP: usize = 128 << 10;
/// Between two writes of parts of a checkpoint while there are no commits.
pub const CHECKPOINT_PAUSE_MS: u64 = 20;
/// Files that a new segment consists of.
pub const ROLL_FILES: u64 = 16;
/// Files that a sealed segment gets when it is opened for the first time: sled's snapshot, and its
/// checksums.
pub const READ_FILES: u64 = 2;

/// Events that were relocated within the log (some bits each, at most 4 bytes). With more, the
/// oldest segment stays.
pub const RELOCATED_EVENTS: usize = 1 << 25;
/// Records of a segment to be dropped that one slice reads.
pub const RELOCATE_RECORDS: usize = 1024;
/// Bytes of events that one slice relocates.
pub const RELOCATE_BYTES: usize = 256 << 10;
/// Positions in streams that one slice relocates.
pub const RELOCATE_POSITIONS: usize = 2048;
/// Records of the log that one refill or scan reads at most.
pub const REFILL_SCAN: usize = 16_384;
/// Records that it passes over at most besides these, because their kind is of no interest to it.
pub const REFILL_PASSED_OVER: usize = 1 << 18;
/// Bytes of events after which one read of the log stops until the others had their turn.
pub const LOG_READ_BYTES: usize = 16 << 20;
/// Bytes of a request's events from which it gets a commit of its own, between two commits of
/// others. So others wait for one large body at most.
pub const LARGE_REQUEST: usize = 256 << 10;
/// Bytes of a large body, as they are stored, that are written between two commits of others, and
/// that its own commit may still have to write.
pub const AHEAD_BYTES: usize = 512 << 10;
/// Large bodies that are ready to be written, or being made so: each is in memory twice.
pub const LARGE_BODIES: usize = 2;
