//! What operators may use: the admin socket, the metrics, screens and log lines.

/// Connections to the admin socket at a time.
pub const ADMIN_CONNECTIONS: usize = 64;
/// Of these, the places for root and for the daemon's own user each. Another user gets one more
/// only while more are free than that user has, so nobody takes them all.
pub const ADMIN_RESERVED: usize = 8;
/// Lists under way at a time, which their readers may slow down. Each takes a thread that
/// deliveries do not need.
pub const ADMIN_LISTS: usize = 12;
/// Other reads of the log at a time.
pub const ADMIN_WALKS: usize = 8;
/// Of lists and of other reads, the places for root and for the daemon's own user.
pub const ADMIN_WALKS_RESERVED: usize = 2;
/// Bytes of a refused body that are read all the same, so that its sender can read why it was
/// refused.
pub const ADMIN_DRAINED: usize = 128 << 20;
/// Threads for other work that takes time: certificates, files.
pub const SLOW_WORK: usize = 8;
/// All threads that may block.
pub const BLOCKING_THREADS: usize = ADMIN_LISTS + ADMIN_WALKS + ADMIN_CHECKS + SLOW_WORK;
/// Bytes of a body on the admin socket. An imported event is a line in which its body is base64: it
/// fits the largest, or many smaller ones.
pub const ADMIN_BODY: usize = 48 << 20;
/// Bytes of a body that holds settings or ids; only events and requests to be checked may be
/// larger.
pub const ADMIN_SMALL_BODY: usize = 1 << 20;
/// Deliveries or dead letters that one request may name.
pub const IDS: usize = 256;
/// Records that are looked at for the beginning of an id.
pub const ID_PREFIX_RECORDS: usize = 20_000;
/// Values of JSON in a body with a set of files, or with lines of an export. Each takes 72 bytes in
/// memory, however short it is.
pub const ADMIN_VALUES_OF_FILES: usize = 1 << 20;
/// Values of JSON in any other body that is read into a tree.
pub const ADMIN_VALUES: usize = 1 << 16;
/// Headers of an event that is sent in, or of a request that is checked: more than the ingress
/// takes, which the check reports.
pub const GIVEN_HEADERS: usize = 1024;
/// Bodies above 1 MiB that members of the group have in memory at a time, one each. Further ones
/// wait for their turn. Root and the daemon's own user have one of their own. A turn lasts until
/// the daemon is done with the body, whether or not its sender still waits.
pub const ADMIN_BODIES: usize = 2;
/// Events that users have under way to the thread that decides, shared as the connections are. Each
/// counts until it is decided on.
pub const ADMIN_SENDS: usize = ADMIN_CONNECTIONS;
/// Requests and events that are checked for users at a time. Each counts until it is checked.
pub const ADMIN_CHECKS: usize = 6;
/// Of these, the places for root and for the daemon's own user.
pub const ADMIN_CHECKS_RESERVED: usize = 2;
/// Characters of each text of a report that an event was given up.
pub const GIVEN_UP_TEXT: usize = 512;
/// Bytes that are kept of the reason of an imported dead letter.
pub const REASON_LEN: usize = 8 << 10;
/// Dead letters whose reason an export states. Of others it states that they are dead.
pub const EXPORTED_DEAD_LETTERS: usize = 100_000;
/// Time for the head of a request, for its body, and for a client to read its answer.
pub const ADMIN_TIMEOUT_MS: u64 = 30_000;
/// Bytes of the path of a Unix socket (unix(7): `sun_path`, with its final NUL).
pub const UNIX_PATH: usize = 107;
/// Connections to the listener for metrics at a time.
pub const METRICS_CONNECTIONS: usize = 8;
/// How long one of these connections may take.
pub const METRICS_TIMEOUT_MS: u64 = 10_000;
/// How old the page of metrics may be.
pub const METRICS_PAGE_MS: u64 = 1_000;
/// Bytes of one file of sources and endpoints that is applied at the start.
pub const APPLIED_FILE: u64 = 16 << 20;
/// Bytes of one drop-in of the configuration.
pub const DROP_IN_FILE: u64 = 1 << 20;
/// Records that are examined before a list reports that no event has a type.
pub const TYPES_LOOKED_FOR: usize = 100_000;
/// Types of these records that are remembered, to suggest the one that was meant.
pub const TYPES_REMEMBERED: usize = 256;
/// Rows of one page of a list, by default.
pub const PAGE: usize = 50;
/// Rows of one page of a list, at most.
pub const PAGE_MAX: usize = 1000;
/// Characters of a receiver's answer or a command's output that are shown beside other things.
pub const WORDS: usize = 160;
/// Endpoints that `status` names.
pub const WORST_SHOWN: usize = 5;
/// Endpoints of a list that are shown with what their receivers answered last.
pub const ANSWERS_LISTED: usize = 64;
/// Ranges of damaged records that operators have acknowledged, until retention drops them.
pub const ACKNOWLEDGED_DAMAGE: usize = 1024;
/// Deliveries of one step whose latency is measured.
pub const DELIVERED_NOTED: usize = 4096;
/// Changes of endpoints that may wait to be written to the daemon's log.
pub const CHANGES_WAITING: usize = 1024;
/// The shortest time between two lines about one kind of change at one endpoint.
pub const CHANGE_LINE_GAP_MS: u64 = 10_000;
/// Lines about changes of all endpoints in that time.
pub const CHANGE_LINES: usize = 100;
/// Endpoints that have a history of their own.
pub const HISTORY_ENDPOINTS: usize = 64;
/// Bytes of each of the three rings that count everything together.
pub const HISTORY_RING_BYTES: [usize; 3] = [32 << 10, 96 << 10, 64 << 10];
/// Bytes of the ring of one endpoint.
pub const HISTORY_ENDPOINT_BYTES: usize = 28 << 10;
/// Bytes of all rings together, in memory and in their file.
pub const HISTORY_BYTES: usize = 2 << 20;
/// Periods in which the daemon ran that are remembered.
pub const HISTORY_RUNS: usize = 64;
/// Rows of an answer about the history.
pub const HISTORY_ROWS: usize = 1500;
/// How long after something happened the file of the history is written at the latest.
pub const HISTORY_WRITE_MS: u64 = 600_000;
/// Lines that a slow `tail -f` may lag behind before it reports that some were skipped.
pub const TAIL_LAG: usize = 1024;
/// Connections to the page of `hookboxctl web` at a time.
pub const WEB_CONNECTIONS: usize = 64;
/// Of these, the ones that may have live updates.
pub const WEB_STREAMS: usize = 12;
/// Requests of the page that are sent to the daemon at a time.
pub const WEB_REQUESTS: usize = 12;
/// Bytes of the head of a request of the page.
pub const WEB_HEAD: usize = 64 << 10;
/// Header fields of a request of the page.
pub const WEB_HEADERS: usize = 64;
/// Bytes of the body of a request of the page.
pub const WEB_BODY: usize = 1 << 20;
/// Time to send the head, and the body, of a request of the page.
pub const WEB_TIMEOUT_MS: u64 = 15_000;
