//! A limit on everything, in one place. Units stand last in the names; bytes where none is named.

mod nats;
mod operating;

pub use nats::*;
pub use operating::*;

/// Characters of a source's or endpoint's name.
pub const NAME_LEN: usize = 64;
/// Sources, and endpoints, one log may have.
pub const SOURCES: usize = 4096;
pub const ENDPOINTS: usize = 4096;
/// Bytes of the settings of one source or endpoint, and of all of them together: they stand in each
/// checkpoint.
pub const SETTINGS_BYTES: u64 = 256 << 10;
pub const SETTINGS_BYTES_ALL: u64 = 16 << 20;
/// Endpoints that one event may fan out to.
pub const FAN_OUT: usize = ENDPOINTS;
/// Endpoints of which one step says that they lag, or have caught up, and that it looks at because
/// something has changed; and deliveries that are looked at to find the oldest of one that waits.
pub const LAG_SLICE: usize = 64;
pub const LAG_LOOKED_AT: usize = 1024;
/// Secrets of one source or endpoint at a time.
pub const SECRETS: usize = 8;
/// Keys of the receiver that one endpoint may name (`--pin`).
pub const PINS: usize = 8;
/// Bytes of a file that a secret stands in (`file:/path`).
pub const SECRET_FILE: usize = 64 << 10;

/// How many of those who reached the limit of a share are named in `status`, and for how long after
/// the last time.
pub const SHARE_HOLDERS: usize = 8;
pub const SHARE_SHOWN_MS: u64 = 120_000;

// --- ingest ---
pub const DEFAULT_MAX_BODY: u64 = 1 << 20;
/// What `--max-body` may ask for at most.
pub const MAX_BODY: u64 = 32 << 20;
pub const DEFAULT_DEDUPE_WINDOW_MS: u64 = 3 * 86_400_000;
/// Connections at a time, over all listeners.
pub const CONNECTIONS: usize = 8192;
/// Of the files that the system lets the process open, what connections from outside never take:
/// attempts in flight, idle connections to endpoints, admin connections, and the log. Three
/// quarters of them when there are few.
pub const FILES_KEPT: u64 = 704;
/// Time to send a request's head, and to stay idle between requests.
pub const HEAD_TIMEOUT_MS: u64 = 15_000;
/// Time to send a request's body.
pub const BODY_TIMEOUT_MS: u64 = 30_000;
/// The pace of a body is looked at so often, and the least that it may be. Senders that are slower
/// are cut off.
pub const BODY_PACE_MS: u64 = 5_000;
pub const BODY_BYTES_PER_S: u64 = 240;
/// Header fields, bytes of the whole head, bytes of the request target.
pub const HEADERS: usize = 100;
pub const HEAD_BYTES: usize = 64 << 10;
pub const URI_BYTES: usize = 8 << 10;
/// Bytes of the body that a source's senders are answered with (`--answer-body`).
pub const ANSWER_BYTES: usize = 4096;
/// Refused requests that are kept of one source at most, the bytes of a body that are kept of each,
/// and the bytes of all of them together.
pub const REFUSED_KEPT: u32 = 20;
pub const REFUSED_BODY: usize = 64 << 10;
pub const REFUSED_BYTES: usize = 4 << 20;
/// Streams of one HTTP/2 connection at a time.
pub const H2_STREAMS: u32 = 128;
/// Bytes of heads and bodies in memory at a time, while they are read and until they are
/// remembered. One address may have a quarter of it, one source half; of each an eighth is kept for
/// requests with a body under the second size.
pub const INGEST_BYTES: usize = 64 << 20;
pub const SMALL_BODY: usize = 64 << 10;
/// What a request takes beside its head and its body, from its beginning until its answer is sent:
/// so many streams of HTTP/2 that announce a body and send none fit into the share of one address,
/// over all its connections.
pub const REQUEST_BYTES: usize = 4 << 10;
/// Of a head that is not complete, so much is not counted; the rest is counted twice, as the buffer
/// doubles.
pub const HEAD_FREE: usize = 4 << 10;
/// Bytes that one read brings at most, so that the buffers of connections stay small.
pub const READ_BYTES: usize = 16 << 10;
/// Events of one bin, and bytes of them; one more is refused until the bin is gone.
pub const BIN_EVENTS: u64 = 1000;
pub const BIN_BYTES: u64 = 16 << 20;
/// Files of named allow-lists, and bytes of one.
pub const ALLOW_LISTS: usize = 256;
pub const ALLOW_LIST_BYTES: u64 = 1 << 20;
/// Events that one request may hold when its source splits batches.
pub const BATCH_EVENTS: usize = 4096;
/// Fields of a form, or of a query, that a proof reads.
pub const FORM_FIELDS: usize = 4096;
/// Memory of proofs that are being checked, over all requests: three times what is checked, however
/// it is made.
pub const PROOF_BYTES: usize = 96 << 20;
/// The same, kept for bodies up to the second size, so that no large one makes them wait. Of larger
/// ones an address and a source have one checked at a time.
pub const PROOF_BYTES_KEPT: usize = 12 << 20;
pub const PROOF_SMALL: usize = 1 << 20;
/// Characters of an event type, and of a dedupe key.
pub const TYPE_LEN: usize = 256;
pub const DEDUPE_KEY_LEN: usize = 512;
/// Dedupe keys remembered, of all sources together (20 bytes each). When there are more, the source
/// that holds most forgets its oldest, so that each has this divided by the number of sources to
/// itself.
pub const DEDUPE_KEYS: usize = 1 << 20;

// --- the scheduler ---
/// Requests to accept an event that wait for the scheduler; one more is answered 503.
pub const ACCEPTS_WAITING: usize = 1024;
/// Of these, those of one address. Its further requests wait for its own, and so long at most.
pub const ACCEPTS_EACH: usize = ACCEPTS_WAITING / 4;
/// Of these, those of one source, which wait likewise.
pub const ACCEPTS_OF_SOURCE: usize = ACCEPTS_WAITING / 2;
pub const ACCEPT_WAIT_MS: u64 = 5_000;
/// Commands of the operator that wait.
pub const COMMANDS_WAITING: usize = 64;
/// Inputs of one step, and so events of one commit.
pub const STEP_INPUTS: usize = 256;
/// Bytes of events in one step, after which it is closed.
pub const STEP_BYTES: usize = 1 << 20;
/// Bytes of a request's events from which on it has a commit of its own, between two commits of
/// others: what waits for a large body waits for one of them.
pub const LARGE_REQUEST: usize = 256 << 10;
/// Deliveries that the events of one request make together, and the bytes that each counts in a
/// step: a batch of many events at many endpoints is decided at once.
pub const REQUEST_DELIVERIES: usize = 1 << 18;
pub const DELIVERY_BYTES: usize = 8;
/// Attempts in flight at a time, over all endpoints.
pub const IN_FLIGHT: usize = 256;
/// Loads and refills under way at a time.
pub const LOADS: usize = 64;
/// Deliveries of one slice of a mass operation (replay, dead-letter retry).
pub const SLICE: usize = 256;

// --- the queue ---
/// Different JSON Pointers whose keys are looked for when an event comes in; others are left to
/// whoever reads the log.
pub const KEYS_AHEAD: usize = 16;
/// The prefetch of an endpoint: deliveries in memory that were not attempted yet, and the bytes
/// they may hold.
pub const PREFETCH: usize = 256;
pub const PREFETCH_BYTES: usize = 1 << 20;
/// Bytes of the events in all prefetches.
pub const PREFETCH_BYTES_ALL: usize = 16 << 20;
/// Deliveries of one endpoint that wait for a retry; at this many, first attempts wait on disk.
pub const RETRYING: usize = 8192;
/// The same over all endpoints.
pub const RETRYING_ALL: usize = 131_072;
/// A delivery that waits ends so long after its max age at the latest, because its last attempt
/// falls on that; an endpoint is looked at so often at most, and so many end in one step.
pub const AGE_GRACE_MS: u64 = 500;
pub const AGE_LOOK_MS: u64 = 100;
pub const AGE_SLICE: usize = 512;
/// While something waits, how long the daemon has run is remembered so often in one max age, within
/// these bounds.
pub const CLOCK_MARKS: u64 = 32;
pub const CLOCK_MARK_MS: u64 = 1_000;
pub const CLOCK_MARK_MAX_MS: u64 = 3_600_000;
/// After a start it is remembered sooner: after this time, and each time that it has run twice as
/// long, so that a machine that is switched off again and again remembers half of what it ran.
pub const CLOCK_MARK_FIRST_MS: u64 = 60_000;
/// Stretches of time in which the clock of an endpoint's deliveries stood, kept apart; beyond, the
/// oldest are joined.
pub const CLOCK_STANDS: usize = 64;
/// Deliveries in memory of an endpoint that does nothing but fail; the others wait on disk untried.
pub const RETRYING_FAILING: usize = 512;
/// Failures in a row, and the time they span at least, that open an endpoint's breaker.
pub const BREAKER_FAILURES: u32 = 10;
pub const BREAKER_SPAN_MS: u64 = 10_000;
/// The first gap before a probe, doubled for each further one, and the longest.
pub const PROBE_GAP_MS: u64 = 1_000;
pub const PROBE_GAP_MAX_MS: u64 = 300_000;
/// The same for probes of the link.
pub const LINK_GAP_MS: u64 = 1_000;
pub const LINK_GAP_MAX_MS: u64 = 30_000;
/// After so many times in a row without a route to a host, while others answered, that host is not
/// taken as evidence about the link any more.
pub const LINK_LOST: u32 = 3;
/// Unrelated hosts have to be silent for so long before the link is taken for down.
pub const LINK_SPAN_MS: u64 = 5_000;
/// How long deliveries that need a plausible wall clock wait for one.
pub const CLOCK_WAIT_MS: u64 = 300_000;
/// What waited at the start is looked at again when the wall clock has been set forward by this.
pub const CLOCK_SET_MS: u64 = 1_000;
/// A jump of the wall clock beyond this makes it suspect.
pub const CLOCK_JUMP_MS: u64 = 86_400_000;
/// Attempts whose endpoint has a rate slower than this are remembered when they start.
pub const SLOW_RATE_STEP_MS: u64 = 1_000;
/// Notices of one kind about one thing are at least so far apart; what happens meanwhile is
/// counted.
pub const NOTICE_GAP_MS: u64 = 60_000;
/// Dead letters are gathered for so long before a notice is sent.
pub const NOTICE_WAIT_MS: u64 = 1_000;
/// Requests that a source refuses within this time before a notice is sent, and how long there is
/// no other after that.
pub const REFUSING: u64 = 20;
pub const REFUSING_SPAN_MS: u64 = 60_000;
pub const REFUSING_GAP_MS: u64 = 3_600_000;
/// Deliveries that consumers of pull endpoints hold at a time, over all; and deliveries of one
/// endpoint that are being read for consumers, because their size is known only then.
pub const LEASES: usize = 4096;
pub const LEASES_COMING: usize = 64;
/// How long a delivery that was read for a consumer that has left waits for another one. A consumer
/// that does not want to wait waits so long nevertheless while deliveries are being read for it.
pub const OFFER_WAIT_MS: u64 = 10_000;
pub const LEASE_LOOK_MS: u64 = 250;
/// Consumers that wait at a time, and of these for root and for the daemon's own user; how long one
/// waits at most, and what one gets at most in one answer: deliveries, and bytes of bodies, after
/// which there are no more.
pub const CONSUMERS: usize = 32;
pub const CONSUMERS_KEPT: usize = 2;
pub const LEASE_WAIT_MS: u64 = 60_000;
pub const LEASE_MAX: usize = 256;
pub const LEASE_BYTES: usize = 8 << 20;
/// An endpoint that has attempts in flight starts more only while it has fewer than this many times
/// the slots that are free, not counting those that are kept for endpoints that have none. So an
/// endpoint that hangs leaves the others a slot.
pub const IN_FLIGHT_SHARE: usize = 4;
pub const IN_FLIGHT_KEPT: usize = 16;
/// Keys of which catching up remembers that it has seen the latest.
pub const LATEST_KEYS: usize = 65_536;
/// Failures in a row that make an endpoint a failing one.
pub const FAILING_AFTER: u32 = 8;
/// Attempts in flight to endpoints on probation, which fail or have not succeeded yet (beyond their
/// first one), of all in flight: the others always find a slot.
pub const IN_FLIGHT_ON_PROBATION: usize = IN_FLIGHT / 2;
/// Beside these, first attempts to endpoints that neither succeeded nor failed yet, one each: a new
/// endpoint is tried at once, beside so many that hang.
pub const IN_FLIGHT_FIRST: usize = 256;
/// All attempts in flight at a time.
pub const ATTEMPTS: usize = IN_FLIGHT + IN_FLIGHT_FIRST;
/// What the reader is asked for at a time: an event for each attempt and for each delivery that
/// consumers hold, slices of streams, and slices of replays.
pub const READS: usize = ATTEMPTS + LEASES + LOADS + REPLAYS;
/// Events kept in memory after they were accepted, so that a prefetch rarely reads the log: their
/// number and bytes.
pub const RECENT: usize = 4096;
pub const RECENT_BYTES: usize = 4 << 20;
/// Events that were relocated within the log (some bits each, at most 4 bytes); with more, the
/// oldest segment stays.
pub const RELOCATED_EVENTS: usize = 1 << 25;
/// One slice of a segment that is to be dropped: records read, bytes of events, positions in
/// streams.
pub const RELOCATE_RECORDS: usize = 1024;
pub const RELOCATE_BYTES: usize = 256 << 10;
pub const RELOCATE_POSITIONS: usize = 2048;
/// Records of the log that one refill or scan reads at most.
pub const REFILL_SCAN: usize = 16_384;
/// Bytes of events after which one read of the log stops, and goes on when others had their turn.
pub const LOG_READ_BYTES: usize = 16 << 20;
/// Records that a start reads in order to find out what was lost with records that cannot be read;
/// with more, the daemon serves meanwhile.
pub const LOSS_READ_AT_START: u64 = 1 << 20;
/// `Retry-After` is honoured up to this.
pub const RETRY_AFTER_MAX_MS: u64 = 86_400_000;
pub const DEFAULT_CONCURRENCY: u32 = 16;
/// Nothing but failure for so long puts an endpoint on hold.
pub const DEFAULT_HOLD_AFTER_MS: u64 = 5 * 86_400_000;
/// How long a consumer of a pull endpoint has for what it leased.
pub const DEFAULT_LEASE_MS: u64 = 30_000;
pub const LEASE_MS: u64 = 12 * 3_600_000;
pub const CONCURRENCY: u32 = 256;
/// Bytes of a `--where` expression, and how deep it may be nested.
pub const FILTER_LEN: usize = 1024;
pub const FILTER_DEPTH: usize = 16;
/// Bytes that the regular expressions of a filter may take when they are compiled.
pub const FILTER_PATTERN: usize = 256 << 10;
/// The same of one that comes out of an event, its length, and the steps that compiling it takes.
pub const FILTER_DYNAMIC_PATTERN: usize = 32 << 10;
pub const FILTER_DYNAMIC: usize = 256;
pub const FILTER_DYNAMIC_STEPS: usize = 20_000;
/// What filters read of a body: bytes, and values with names of members (16 bytes each).
pub const FILTER_BYTES: usize = 1 << 20;
pub const FILTER_NODES: usize = 131_072;
/// Steps (about 10 ns each) that all filters together may take for one event. Each filter gets a
/// few at first and four times as many in each further round, so that those that need little never
/// wait for those that need much.
pub const FILTER_STEPS: u64 = 4_000_000;
pub const FILTER_FIRST_STEPS: u64 = 4_096;
/// The same for all events of one request, and for an event of the daemon's own, which is matched
/// by the thread that decides.
pub const FILTER_REQUEST_STEPS: u64 = 4 * FILTER_STEPS;
pub const FILTER_OWN_STEPS: u64 = 100_000;
/// Steps that all events of the daemon's own may take in a millisecond: a hundredth of that
/// thread's time. Those for which there are none wait, and are put together with others of their
/// kind.
pub const FILTER_OWN_PACE: u64 = 1_000;
/// Events that need no more than so many steps are matched where they come in; others by so many
/// threads, of which one source has all but one at most.
pub const FILTER_INLINE_STEPS: u64 = 65_536;
pub const FILTER_WORKERS: usize = 2;
/// Requests of one source that wait for these threads, and of all; one more is answered 503.
pub const FILTER_WAITING: usize = 64;
pub const FILTER_WAITING_ALL: usize = 1024;
/// Events whose number of duplicates is kept.
pub const DUPLICATE_COUNTS: usize = 65_536;
/// Replays under way at a time.
pub const REPLAYS: usize = 64;

/// Attempts that a rate allows at once.
pub const BURST: u32 = 10_000;
/// Failed attempts after which a lane's head is skipped or parked, when no number is given.
pub const HEAD_ATTEMPTS: u32 = 5;
/// Events and bytes of one outgoing batch, by default and at most, and how long one may stay open.
pub const DEFAULT_BATCH_OUT_EVENTS: u32 = 100;
pub const BATCH_OUT_EVENTS: u32 = 1000;
pub const DEFAULT_BATCH_OUT_BYTES: u64 = 256 << 10;
pub const BATCH_OUT_BYTES: u64 = 8 << 20;
/// What the events of a batch may take in memory with their headers, where the bytes of their
/// bodies are set to less.
pub const BATCH_OUT_MEMORY: u64 = 1 << 20;
pub const DEFAULT_BATCH_WAIT_MS: u64 = 5_000;
pub const BATCH_WAIT_MS: u64 = 3_600_000;

// --- the log ---
/// Bytes of one value in sled, in segments of format 1. No leaf may become a blob file: with the
/// key and 8 bytes, 17 values and 1 KiB are less than a quarter of sled's segment. And it sets what
/// an open segment takes in memory: sled keeps at least 256 pages of up to 17 values, whatever the
/// size of its cache. (64 MiB written, resident: 35 MB with 2 KiB, 75 MB with 4 KiB, 120 MB with
/// 16 KiB.)
pub const CHUNK: usize = 2 << 10;
/// The same in format 2, and bytes of the values in one leaf.
pub const VALUE: usize = 14_000;
pub const LEAF: usize = 16 << 10;
/// Frames of one commit: their heads are one value in format 2.
pub const COMMIT_FRAMES: usize = 155;
/// sled's trees in a segment of format 2 from which on it is rolled: some 120,000 values, each of
/// which takes about 64 bytes of memory while the segment is open.
pub const CROWDED_TREES: usize = 512;
/// From so many trees on, a process that opens the segment continues the last one.
pub const TREES: usize = 2 * CROWDED_TREES;
/// sled's own segment size, and the size of its write buffers.
pub const SLED_SEGMENT: usize = 512 << 10;
/// sled's page cache for one open segment.
pub const SLED_CACHE: u64 = 2 << 20;
/// Bytes of one batch handed to sled.
pub const BATCH_BYTES: usize = SLED_SEGMENT / 2;
/// Operations of one batch.
pub const BATCH_OPS: usize = 256;
/// Stored payload at which a segment is rolled, and its age.
pub const SEGMENT_BYTES: u64 = 64 << 20;
pub const SEGMENT_AGE_MS: u64 = 86_400_000;
/// Sealed segments open at a time.
pub const OPEN_SEGMENTS: usize = 2;
/// Segments that stand beside a log which is only read, and such copies of logs that one process
/// may have.
pub const SCRATCH_SEGMENTS: usize = OPEN_SEGMENTS + 2;
pub const SCRATCH_FOLDERS: usize = 64;
/// Bytes read from an open sealed segment after which it is closed, to be opened again in a few
/// milliseconds: sled keeps one page for each of its cache's 256 shards, which come to 9 MiB,
/// whatever size the cache is given.
pub const READ_FROM_SEGMENT: u64 = 2 << 20;
/// A commit that takes longer ends the process.
pub const COMMIT_TIMEOUT_MS: u64 = 10_000;
/// What events may not take of the quota: this, or a 50th of it when that is more, but never more
/// than a quarter.
pub const DISK_RESERVE: u64 = 32 << 20;
/// The smallest reserve with which the log can be rolled.
pub const DISK_RESERVE_MIN: u64 = 4 << 20;
/// What is kept for the log itself when all else is used up.
pub const DISK_FLOOR: u64 = 3 << 19;
/// The smallest quota that can be asked for.
pub const QUOTA_MIN: u64 = 16 << 20;
/// That there is disk space again is reported when it has stayed so for this time, doubled each
/// time it did not, up to the longest; after the last of these without a change the doubling is
/// forgotten.
pub const DISK_HOLD_MS: u64 = 10_000;
pub const DISK_HOLD_MAX_MS: u64 = 60_000;
pub const DISK_CALM_MS: u64 = 600_000;
/// One of the two ballast files: a quarter of the reserve, within these.
pub const BALLAST_MIN: u64 = 1 << 20;
pub const BALLAST: u64 = 8 << 20;
/// What opening the log may need: a sled segment, a snapshot, a few small files.
pub const OPEN_BYTES: u64 = 2 << 20;
/// What a new segment needs beside its checkpoint, and the files it is made of.
pub const ROLL_BYTES: u64 = 1 << 20;
pub const ROLL_FILES: u64 = 16;
/// Files that a sealed segment gets when it is opened for the first time: sled's snapshot, and its
/// checksums.
pub const READ_FILES: u64 = 2;

// --- outbound ---
pub const DEFAULT_TIMEOUT_MS: u64 = 15_000;
pub const TIMEOUT_MS: u64 = 300_000;
/// Bytes of a response that are read, and that are kept in the log.
pub const RESPONSE_READ: usize = 16 << 10;
pub const RESPONSE_KEPT: usize = 1 << 10;
/// Bytes of a response's head, and its fields.
pub const RESPONSE_HEAD: usize = 32 << 10;
pub const RESPONSE_FIELDS_READ: usize = 512;
/// Bytes that a receiver may send ahead over HTTP/2.
pub const RESPONSE_WINDOW: u32 = 64 << 10;
/// Idle connections of one endpoint that are kept, and how long.
pub const IDLE_CONNECTIONS: usize = 32;
pub const IDLE_MS: u64 = 30_000;
/// A connection that its peer closes after some time is not used any more so long before that.
pub const IDLE_MARGIN_MS: u64 = 1_000;
/// Idle connections over all endpoints, so that they never eat up the file descriptors.
pub const IDLE_ALL: usize = 512;
/// Addresses of one name that one attempt tries.
pub const DIALS: usize = 4;
/// Fields of a response's head that are kept in the log, and bytes of each value.
pub const RESPONSE_FIELDS: usize = 32;
pub const RESPONSE_VALUE: usize = 256;
/// Bytes on the wire for the chunks of `RESPONSE_READ` bytes of body; a peer that needs more is cut
/// off.
pub const RESPONSE_WIRE: usize = 128 << 10;
/// Bytes of the answer to a batch that are read, and bytes on the wire for the chunks they come in:
/// enough to name each of its events, with some words to each.
pub const BATCH_ANSWER: usize = BATCH_OUT_EVENTS as usize * 128;
pub const BATCH_ANSWER_WIRE: usize = 8 * BATCH_ANSWER;
/// Daemons of this kind that an event may pass through; one that has passed so many is stored, but
/// not delivered.
pub const HOPS: u32 = 8;
/// Look-ups of names at a time that do not take longer than `LOOKUP_SLOW_MS`; those that names
/// which were found the last time always find; and the most that names get whose servers are known
/// to be silent.
pub const LOOKUPS: usize = 64;
pub const LOOKUPS_KEPT: usize = 16;
pub const LOOKUPS_SLOW: usize = 24;
/// All look-ups, with those that take longer: nothing can end these, and while there are threads
/// none waits for them. It is enough for all the attempts that may be in flight to endpoints of
/// which nothing good is known.
pub const LOOKUP_THREADS: usize = 192;
pub const LOOKUP_SLOW_MS: u64 = 1_000;
/// Names of which is known how their last look-up went, and the stack of a thread that looks one
/// up.
pub const LOOKUPS_KNOWN: usize = 8192;
pub const LOOKUP_STACK: usize = 512 << 10;
/// Bytes of a template, and the headers that an endpoint may set.
pub const TEMPLATE_LEN: usize = 16 << 10;
pub const TEMPLATE_HEADERS: usize = 32;
/// Characters and words of operators in one tag of a template, and brackets opened in all of its
/// tags: each is a level of recursion where it is compiled or where what it makes is written.
pub const TEMPLATE_OPERATORS: usize = 256;
pub const TEMPLATE_BRACKETS: usize = 1024;
/// Stack of each thread that compiles templates and renders them. The worst of 16 KiB, had it no
/// other bounds, takes half of this to be compiled, and less than a quarter to be rendered within
/// them. Only what is used takes memory.
pub const IO_STACK: usize = 16 << 20;
/// Arguments of a command, and bytes of one.
pub const COMMAND_ARGS: usize = 64;
pub const COMMAND_ARG: usize = 4096;
/// Commands at a time, over all endpoints; and what each may have: open files, processes of its
/// user, bytes of a file and of memory.
pub const COMMANDS: usize = 32;
pub const COMMAND_FILES: u64 = 1024;
pub const COMMAND_PROCESSES: u64 = 4096;
pub const COMMAND_FILE_BYTES: u64 = 1 << 30;
pub const COMMAND_MEMORY: u64 = 2 << 30;
/// Bytes of a command's output that are looked at, and kept in the log: the last ones.
pub const OUTPUT_READ: usize = 16 << 10;
pub const OUTPUT_KEPT: usize = 4 << 10;
/// Bytes of a proxy's answer to CONNECT, entries of `no_proxy`, and entries of `[exec] allow`.
pub const PROXY_ANSWER: usize = 8 << 10;
pub const NO_PROXY: usize = 256;
pub const EXEC_ALLOW: usize = 256;
/// Bodies above the first size are put together, with templates or into batches, by so many tasks
/// at a time, beside the threads that take requests in.
pub const MADE_INLINE: usize = 16 << 10;
pub const MADE_AT_A_TIME: usize = 2;
/// What one rendering may cost: steps, and 64 bytes each of what it makes.
pub const TEMPLATE_FUEL: u64 = 500_000;
/// Bytes of a body that templates read or make, and of a header or a path that they make.
pub const TEMPLATE_BODY_BYTES: usize = 1 << 20;
/// How deep a body may be nested that templates read: what they make of it is written by recursion.
pub const TEMPLATE_BODY_DEPTH: usize = 128;
pub const TEMPLATE_HEADER_BYTES: usize = 8 << 10;
/// A secret of fewer bytes is not searched for in what receivers answer; how many are; and the
/// bytes of a word of a secret header that is one by itself.
pub const REDACTED_SECRET_MIN: usize = 4;
pub const REDACTED_SECRETS: usize = 256;
pub const SECRET_WORD: usize = 8;
/// Bytes of a decoded signing secret.
pub const SIGNING_KEY: usize = 512;
/// The old secret signs along with the new one for this long after a rotation.
pub const ROTATION_MS: u64 = 86_400_000;

/// Bytes of what is fetched beside deliveries (key sets, confirmations), and the deadline over all
/// of it.
pub const FETCH_BYTES: usize = 64 << 10;
pub const FETCH_TIMEOUT_MS: u64 = 5_000;
/// A key set is fetched again after this time; and for a key that is not in it, at most once in
/// this time. So many keys that fit a token are too many: each of them would be tried.
pub const TOKEN_KEYS: usize = 33;
pub const JWKS_REFRESH_MS: u64 = 3_600_000;
pub const JWKS_AGAIN_MS: u64 = 30_000;
/// A secret that is kept elsewhere (`file:`, `cred:`, `env:`) and was not found is looked up again
/// after this time.
pub const LOOKUP_AGAIN_MS: u64 = 5_000;
/// Certificates that are fetched for one source in that time, of which requests of one address name
/// so many; and that are kept for it.
pub const CERTIFICATE_FETCHES: usize = 8;
pub const CERTIFICATE_FETCHES_EACH: usize = 2;
pub const CERTIFICATES: usize = 32;
/// Confirmations of subscriptions under way at a time, how often one is tried, and the pause before
/// the second try (doubled for each further one).
pub const CONFIRMATIONS: usize = 4;
pub const CONFIRMATION_TRIES: u32 = 4;
pub const CONFIRMATION_PAUSE_MS: u64 = 1_000;
