//! A limit on everything, in one place. Units stand last in the names; bytes where none is named.

/// Characters of a source's or endpoint's name.
pub const NAME_LEN: usize = 64;
/// Sources, and endpoints, one log may have.
pub const SOURCES: usize = 4096;
pub const ENDPOINTS: usize = 4096;
/// Endpoints that one event may fan out to.
pub const FAN_OUT: usize = ENDPOINTS;
/// Secrets of one source or endpoint at a time.
pub const SECRETS: usize = 8;

// --- coming in ---------------------------------------------------------------------------------------------
pub const DEFAULT_MAX_BODY: u64 = 1 << 20;
/// What `--max-body` may ask for at most.
pub const MAX_BODY: u64 = 32 << 20;
pub const DEFAULT_DEDUPE_WINDOW_MS: u64 = 3 * 86_400_000;
/// Connections at a time, over all listeners.
pub const CONNECTIONS: usize = 8192;
/// Of the files that the system lets the process open, what connections from outside never take: attempts in flight,
/// idle connections to endpoints, admin connections, and the log. Three quarters of them when there are few.
pub const FILES_KEPT: u64 = 448;
/// Time to send a request's head, and to stay idle between requests.
pub const HEAD_TIMEOUT_MS: u64 = 15_000;
/// Time to send a request's body.
pub const BODY_TIMEOUT_MS: u64 = 30_000;
/// Header fields, bytes of the whole head, bytes of the request target.
pub const HEADERS: usize = 100;
pub const HEAD_BYTES: usize = 64 << 10;
pub const URI_BYTES: usize = 8 << 10;
/// Streams of one HTTP/2 connection at a time.
pub const H2_STREAMS: u32 = 128;
/// Bytes of bodies in memory at a time, while they are read and until they are remembered.
pub const INGEST_BYTES: usize = 48 << 20;
/// Events of one bin, and bytes of them; one more is refused until the bin is gone.
pub const BIN_EVENTS: u64 = 1000;
pub const BIN_BYTES: u64 = 16 << 20;
/// Files of named allow-lists, and bytes of one.
pub const ALLOW_LISTS: usize = 256;
pub const ALLOW_LIST_BYTES: u64 = 1 << 20;
/// Events that one request may hold when its source splits batches.
pub const BATCH_EVENTS: usize = 4096;
/// Characters of an event type, and of a dedupe key.
pub const TYPE_LEN: usize = 256;
pub const DEDUPE_KEY_LEN: usize = 512;
/// Dedupe keys remembered; when there are more, the oldest go first (16 bytes each).
pub const DEDUPE_KEYS: usize = 1 << 20;

// --- the scheduler -----------------------------------------------------------------------------------------
/// Requests to accept an event that wait for the scheduler; one more is answered 503.
pub const ACCEPTS_WAITING: usize = 1024;
/// Commands of the operator that wait.
pub const COMMANDS_WAITING: usize = 64;
/// Inputs of one step, and so events of one commit.
pub const STEP_INPUTS: usize = 256;
/// Bytes of events in one step, after which it is closed.
pub const STEP_BYTES: usize = 1 << 20;
/// Attempts in flight at a time, over all endpoints.
pub const IN_FLIGHT: usize = 256;
/// Loads and refills under way at a time.
pub const LOADS: usize = 64;
/// Deliveries of one slice of a mass operation (replay, dead-letter retry).
pub const SLICE: usize = 256;

// --- the queue ---------------------------------------------------------------------------------------------
/// Deliveries of one endpoint in its window that were not attempted yet, and the bytes they may hold.
pub const WINDOW: usize = 256;
pub const WINDOW_BYTES: usize = 1 << 20;
/// Bytes of events in all windows.
pub const WINDOWS_BYTES: usize = 16 << 20;
/// Deliveries of one endpoint that wait for a retry; at this many, first attempts wait on disk.
pub const RETRYING: usize = 8192;
/// The same over all endpoints.
pub const RETRYING_ALL: usize = 131_072;
/// Deliveries of an endpoint that does nothing but fail which are taken up; the others wait on disk untried.
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
/// There was no route to a host, and others answered: so often in a row, and it says nothing of the link any more.
pub const LINK_LOST: u32 = 3;
/// Unrelated hosts have to be silent for so long before the link is taken for down.
pub const LINK_SPAN_MS: u64 = 5_000;
/// How long what needs a sane wall clock waits for one.
pub const CLOCK_WAIT_MS: u64 = 300_000;
/// A jump of the wall clock beyond this makes it suspect.
pub const CLOCK_JUMP_MS: u64 = 86_400_000;
/// Attempts whose endpoint has a rate slower than this are remembered when they start.
pub const SLOW_RATE_STEP_MS: u64 = 1_000;
/// Notices of one kind about one thing are at least so far apart; what happens meanwhile is counted.
pub const NOTICE_GAP_MS: u64 = 60_000;
/// Dead letters are gathered for so long before they are told of.
pub const NOTICE_WAIT_MS: u64 = 1_000;
/// Requests that a source refuses within this time before the operator is told, and how long it is quiet after that.
pub const REFUSING: u64 = 20;
pub const REFUSING_SPAN_MS: u64 = 60_000;
pub const REFUSING_GAP_MS: u64 = 3_600_000;
/// Deliveries that consumers of pull endpoints hold at a time, over all.
pub const LEASES: usize = 4096;
/// What came for a consumer that had gone waits so long for another one; and a consumer that does not want to wait waits
/// so long nevertheless while there are deliveries that may be on their way.
pub const DESK_MS: u64 = 10_000;
pub const LEASE_LOOK_MS: u64 = 250;
/// Consumers that wait at a time, how long one waits at most, and what one gets at most in one answer: deliveries, and
/// bytes of bodies, after which there are no more.
pub const CONSUMERS: usize = 32;
pub const LEASE_WAIT_MS: u64 = 60_000;
pub const LEASE_MAX: usize = 256;
pub const LEASE_BYTES: usize = 8 << 20;
/// An endpoint that has attempts in flight starts more only while it has fewer than this many times the places that are
/// free, not counting those that are kept for endpoints that have none. So many that hang leave the others a place.
pub const IN_FLIGHT_SHARE: usize = 4;
pub const IN_FLIGHT_KEPT: usize = 16;
/// Keys of which catching up remembers that it has seen the latest.
pub const LATEST_KEYS: usize = 65_536;
/// Failures in a row that make an endpoint a failing one.
pub const FAILING_AFTER: u32 = 8;
/// Attempts in flight to endpoints that keep failing or took nothing yet since the start, of all in flight: the others
/// always find room.
pub const IN_FLIGHT_DOUBTFUL: usize = IN_FLIGHT / 2;
/// Events kept at hand after they came in, so that windows rarely read the log: their number and bytes.
pub const RECENT: usize = 4096;
pub const RECENT_BYTES: usize = 4 << 20;
/// Events that stand elsewhere than they came in (about 25 bytes each); with more, the oldest segment stays.
pub const CARRIED: usize = 262_144;
/// One slice of a segment to be dropped: records read, bytes of events, places in streams.
pub const CARRY_RECORDS: usize = 1024;
pub const CARRY_BYTES: usize = 256 << 10;
pub const CARRY_PLACES: usize = 2048;
/// Records of the log that one refill or scan reads at most.
pub const REFILL_SCAN: usize = 16_384;
/// `Retry-After` is honoured up to this.
pub const RETRY_AFTER_MAX_MS: u64 = 86_400_000;
pub const DEFAULT_CONCURRENCY: u32 = 16;
/// Nothing but failure for so long puts an endpoint on hold.
pub const DEFAULT_HOLD_AFTER_MS: u64 = 5 * 86_400_000;
/// How long a consumer of a pull endpoint has for what it leased.
pub const DEFAULT_LEASE_MS: u64 = 30_000;
pub const LEASE_MS: u64 = 12 * 3_600_000;
pub const CONCURRENCY: u32 = 256;
/// Characters of a `--where` expression, and how deep it may be nested.
pub const FILTER_LEN: usize = 1024;
pub const FILTER_DEPTH: usize = 16;
/// Bytes that a regular expression of a filter may take when it is compiled, and how many are kept so.
pub const FILTER_PATTERN: usize = 256 << 10;
pub const FILTER_PATTERNS: usize = 64;
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
pub const DEFAULT_BATCH_WAIT_MS: u64 = 5_000;
pub const BATCH_WAIT_MS: u64 = 3_600_000;

// --- the log -----------------------------------------------------------------------------------------------
/// Bytes of one value in sled. No leaf may become a blob file: 17 · (value + key + 8) + 1 KiB < sled segment / 4. And
/// it sets what an open segment takes in memory: sled keeps at least 256 pages of up to 17 values, whatever the size
/// of its cache. (64 MiB written, resident: 35 MB with 2 KiB, 75 MB with 4 KiB, 120 MB with 16 KiB.)
pub const CHUNK: usize = 2 << 10;
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
/// Bytes read from an open sealed segment after which it is closed, to be opened again in a few milliseconds: sled keeps
/// one page for each of its cache's 256 shards, which come to 9 MiB, whatever size the cache is given.
pub const READ_FROM_SEGMENT: u64 = 2 << 20;
/// A commit that takes longer ends the process.
pub const COMMIT_TIMEOUT_MS: u64 = 10_000;
/// What events may not take of the quota: this, or a 50th of it when that is more, but never more than a quarter.
pub const ROOM_RESERVE: u64 = 32 << 20;
/// Less than this would not carry the log through a roll.
pub const ROOM_RESERVE_MIN: u64 = 4 << 20;
/// What is kept for the log itself when all else is used up.
pub const ROOM_FLOOR: u64 = 3 << 19;
/// The smallest quota that can be asked for.
pub const QUOTA_MIN: u64 = 16 << 20;
/// One of the two ballast files: a quarter of the reserve, within these.
pub const BALLAST_MIN: u64 = 1 << 20;
pub const BALLAST: u64 = 8 << 20;
/// What opening the log may need: a sled segment, a snapshot, a few small files.
pub const OPEN_BYTES: u64 = 2 << 20;
/// What a new segment needs beside its checkpoint, and the files it is made of.
pub const ROLL_BYTES: u64 = 1 << 20;
pub const ROLL_FILES: u64 = 16;

// --- going out ---------------------------------------------------------------------------------------------
pub const DEFAULT_TIMEOUT_MS: u64 = 15_000;
pub const TIMEOUT_MS: u64 = 300_000;
/// Bytes of a response that are read, and that are kept in the log.
pub const RESPONSE_READ: usize = 16 << 10;
pub const RESPONSE_KEPT: usize = 1 << 10;
/// Bytes of a response's head.
pub const RESPONSE_HEAD: usize = 32 << 10;
/// Idle connections of one endpoint that are kept, and how long.
pub const IDLE_CONNECTIONS: usize = 32;
pub const IDLE_MS: u64 = 30_000;
/// Idle connections over all endpoints, so that they never eat up the file descriptors.
pub const IDLE_ALL: usize = 512;
/// Addresses of one name that one attempt tries.
pub const DIALS: usize = 4;
/// Fields of a response's head that are kept in the log, and bytes of each value.
pub const RESPONSE_FIELDS: usize = 32;
pub const RESPONSE_VALUE: usize = 256;
/// Bytes on the wire for the chunks that carry `RESPONSE_READ` bytes of body; a peer that needs more is cut off.
pub const RESPONSE_WIRE: usize = 128 << 10;
/// Daemons of this kind that an event may pass through; one more is taken for a loop.
pub const HOPS: u32 = 8;
/// Bytes of a template, and the headers that an endpoint may set.
pub const TEMPLATE_LEN: usize = 16 << 10;
pub const SHAPED_HEADERS: usize = 32;
/// Characters and words of operators in one tag of a template, and brackets opened in all of its tags: each is a level
/// of recursion where it is compiled or where what it makes is written.
pub const TEMPLATE_OPERATORS: usize = 256;
pub const TEMPLATE_BRACKETS: usize = 1024;
/// Stack of each thread that compiles templates and renders them. The worst of 16 KiB, had it no other bounds, takes
/// half of this to be compiled, and less than a quarter to be rendered within them. Only what is used takes memory.
pub const IO_STACK: usize = 16 << 20;
/// Arguments of a command, and bytes of one.
pub const COMMAND_ARGS: usize = 64;
pub const COMMAND_ARG: usize = 4096;
/// Commands at a time, over all endpoints; and what each may have: open files, processes of its user, bytes of a file
/// and of memory.
pub const COMMANDS: usize = 32;
pub const COMMAND_FILES: u64 = 1024;
pub const COMMAND_PROCESSES: u64 = 4096;
pub const COMMAND_FILE_BYTES: u64 = 1 << 30;
pub const COMMAND_MEMORY: u64 = 2 << 30;
/// Bytes of what a command says that are looked at, and kept in the log: the last ones.
pub const OUTPUT_READ: usize = 16 << 10;
pub const OUTPUT_KEPT: usize = 4 << 10;
/// Bytes of a proxy's answer to CONNECT, entries of `no_proxy`, and entries of `[exec] allow`.
pub const PROXY_ANSWER: usize = 8 << 10;
pub const NO_PROXY: usize = 256;
pub const EXEC_ALLOW: usize = 256;
/// What one rendering may cost: steps, and 64 bytes each of what it makes.
pub const TEMPLATE_FUEL: u64 = 500_000;
/// Bytes of a body that templates read or make, and of a header or a path that they make.
pub const SHAPED_BODY: usize = 1 << 20;
pub const SHAPED_HEADER: usize = 8 << 10;
/// Bytes of a decoded signing secret.
pub const SIGNING_KEY: usize = 512;
/// The old secret signs along with the new one for this long after a rotation.
pub const ROTATION_MS: u64 = 86_400_000;

/// Bytes of what is fetched beside deliveries (key sets, confirmations), and the deadline over all of it.
pub const FETCH_BYTES: usize = 64 << 10;
pub const FETCH_TIMEOUT_MS: u64 = 5_000;
/// A key set is fetched again after this time; and for a key that is not in it, at most once in this time.
pub const JWKS_REFRESH_MS: u64 = 3_600_000;
pub const JWKS_AGAIN_MS: u64 = 30_000;
/// Confirmations of subscriptions under way at a time, how often one is tried, and the pause before the second try
/// (doubled for each further one).
pub const CONFIRMATIONS: usize = 4;
pub const CONFIRMATION_TRIES: u32 = 4;
pub const CONFIRMATION_PAUSE_MS: u64 = 1_000;

// --- the admin socket --------------------------------------------------------------------------------------
pub const ADMIN_CONNECTIONS: usize = 64;
/// An imported event is a line in which its body is base64: the largest, and a slice of others before it.
pub const ADMIN_BODY: usize = 48 << 20;
/// Bytes that are kept of the reason of a dead letter that is imported.
pub const REASON_LEN: usize = 8 << 10;
/// Dead letters whose last words an export tells; of others it tells that they are dead.
pub const EXPORTED_WORDS: usize = 100_000;
pub const ADMIN_TIMEOUT_MS: u64 = 30_000;
/// Rows of one page of a list, by default and at most.
pub const PAGE: usize = 50;
pub const PAGE_MAX: usize = 1000;
/// Lines that a slow `tail -f` may lag behind before it is told that it missed some.
pub const TAIL_LAG: usize = 1024;

const _: () = assert!(17 * (CHUNK + 12 + 8) + 1024 < SLED_SEGMENT / 4, "a sled leaf would become a blob file");
const _: () = assert!(BATCH_BYTES <= SLED_SEGMENT / 2, "sled wants batches within half a segment");
const _: () = assert!(
    ROOM_RESERVE_MIN <= QUOTA_MIN / 4 && ROOM_RESERVE_MIN < ROOM_RESERVE && 2 * ROOM_FLOOR < ROOM_RESERVE_MIN,
    "a reserve within its quota"
);
const _: () = assert!(ROLL_BYTES >= 2 * SLED_SEGMENT as u64, "a segment begins with a sled segment");
const _: () =
    assert!(2 * BALLAST <= ROOM_RESERVE && 2 * BALLAST_MIN <= ROOM_RESERVE_MIN, "ballast is part of the reserve");
const _: () = assert!(FETCH_BYTES < RESPONSE_WIRE, "what is fetched comes over the same wire");
const _: () = assert!(OUTPUT_KEPT <= OUTPUT_READ, "only what is looked at can be kept");
const _: () = assert!(RESPONSE_KEPT <= RESPONSE_READ, "only what is read can be kept");
const _: () = assert!(RETRYING <= RETRYING_ALL, "one endpoint is one of all");
