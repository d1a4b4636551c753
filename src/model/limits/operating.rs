//! What those get who operate the daemon: the admin socket, the metrics, screens and log lines.

pub const ADMIN_CONNECTIONS: usize = 64;
/// Of these, for root and for the daemon's own user each. Another user gets one more only while
/// more are free than that user has: nobody takes them all.
pub const ADMIN_KEPT: usize = 8;
/// Lists under way at a time, which their readers may slow down; other questions to the log; and of
/// each what root and the daemon's own user always find. Each takes a thread, and none that
/// deliveries need.
pub const ADMIN_LISTS: usize = 12;
pub const ADMIN_WALKS: usize = 8;
pub const ADMIN_WALKS_KEPT: usize = 2;
/// Bytes of a body that is refused which are read nevertheless, so that whoever sends it can read
/// why.
pub const ADMIN_DRAINED: usize = 128 << 20;
/// Threads for all that takes its time beside these and the checks: certificates, files.
pub const SLOW_WORK: usize = 8;
/// All threads that may block.
pub const BLOCKING_THREADS: usize = ADMIN_LISTS + ADMIN_WALKS + ADMIN_CHECKS + SLOW_WORK;
/// An imported event is a line in which its body is base64: the largest, and a slice of others
/// before it.
pub const ADMIN_BODY: usize = 48 << 20;
/// Values of JSON in a body that is read into a tree: those of a set of files or of lines of an
/// export, and all others. One takes 72 bytes, however short it is.
pub const ADMIN_VALUES_OF_FILES: usize = 1 << 20;
pub const ADMIN_VALUES: usize = 1 << 16;
/// Headers of an event that is sent in, or of a request that is checked: more than the ingress
/// takes, which the check reports.
pub const GIVEN_HEADERS: usize = 1024;
/// Bodies above 1 MiB that members of the group have in memory at a time, of which each of them
/// gets one; further ones wait for their turn. Root and the daemon's own user have one beside them.
/// A turn lasts until the daemon is done with the body, whether or not its sender still waits.
pub const ADMIN_BODIES: usize = 2;
/// Events that users have under way to the thread that decides, shared as the connections are; and
/// requests or events that are checked for them, of which root and the daemon's own user find some.
/// Both last until the daemon is done with them, too.
pub const ADMIN_SENDS: usize = ADMIN_CONNECTIONS;
pub const ADMIN_CHECKS: usize = 6;
pub const ADMIN_CHECKS_KEPT: usize = 2;
/// Bytes that are kept of the reason of a dead letter that is imported.
pub const REASON_LEN: usize = 8 << 10;
/// Dead letters whose reason an export states; of others it states that they are dead.
pub const EXPORTED_DEAD_LETTERS: usize = 100_000;
pub const ADMIN_TIMEOUT_MS: u64 = 30_000;
/// Of the listener for metrics: connections at a time, how long each may take, and how old the page
/// may be.
pub const METRICS_CONNECTIONS: usize = 8;
pub const METRICS_TIMEOUT_MS: u64 = 10_000;
pub const METRICS_PAGE_MS: u64 = 1_000;
/// Bytes of one file of sources and endpoints that is applied at the start, and of one drop-in of
/// the configuration.
pub const APPLIED_FILE: u64 = 16 << 20;
pub const DROP_IN_FILE: u64 = 1 << 20;
/// Records that are looked at to say that no event has a type, and the types that are remembered of
/// them to name the one that was meant.
pub const TYPES_LOOKED_FOR: usize = 100_000;
pub const TYPES_REMEMBERED: usize = 256;
/// Rows of one page of a list, by default and at most.
pub const PAGE: usize = 50;
pub const PAGE_MAX: usize = 1000;
/// Characters that are shown of what a receiver answered or a command said, where it stands beside
/// other things; and endpoints that `status` names.
pub const WORDS: usize = 160;
pub const WORST_SHOWN: usize = 5;
/// Deliveries of one step whose latency is measured.
pub const DELIVERED_NOTED: usize = 4096;
/// Changes of endpoints that may wait to be written to the daemon's log. Between two lines about
/// one thing at one endpoint lies this time; and of all endpoints together so many lines are
/// written in it.
pub const CHANGES_WAITING: usize = 1024;
pub const CHANGE_LINE_GAP_MS: u64 = 10_000;
pub const CHANGE_LINES: usize = 100;
/// The history: endpoints that have one of their own, bytes of each of the rings over all and of
/// the ring of an endpoint, and of all of them together, in memory and in their file; stretches of
/// time in which the daemon ran; and rows of an answer.
pub const HISTORY_ENDPOINTS: usize = 64;
pub const HISTORY_RING_BYTES: [usize; 3] = [32 << 10, 96 << 10, 64 << 10];
pub const HISTORY_ENDPOINT_BYTES: usize = 28 << 10;
pub const HISTORY_BYTES: usize = 2 << 20;
pub const HISTORY_RUNS: usize = 64;
pub const HISTORY_ROWS: usize = 1500;
/// How long after something happened its file is written at the latest.
pub const HISTORY_WRITE_MS: u64 = 600_000;
/// Lines that a slow `tail -f` may lag behind before it reports that some were skipped.
pub const TAIL_LAG: usize = 1024;
/// The page of `hookboxctl web`: its connections at a time, of which so many may follow what
/// happens, and requests that are with the daemon; bytes and fields of a request's head, bytes of
/// its body, and the time for each of the two.
pub const WEB_CONNECTIONS: usize = 64;
pub const WEB_STREAMS: usize = 12;
pub const WEB_REQUESTS: usize = 12;
pub const WEB_HEAD: usize = 64 << 10;
pub const WEB_HEADERS: usize = 64;
pub const WEB_BODY: usize = 1 << 20;
pub const WEB_TIMEOUT_MS: u64 = 15_000;
