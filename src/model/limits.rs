//! Every limit, in one place. A name ends with its unit; without one it is bytes or a count.

mod nats;
mod operating;
mod settings;
mod storage;

pub use nats::*;
pub use operating::*;
pub use settings::*;
pub use storage::*;

/// Endpoints whose lag one step re-evaluates.
pub const LAG_SLICE: usize = 64;
/// Deliveries that are examined to find an endpoint's oldest waiting one.
pub const LAG_LOOKED_AT: usize = 1024;
/// Secrets of one source or endpoint at a time.
pub const SECRETS: usize = 8;
/// Keys of the receiver that one endpoint may name (`--pin`).
pub const PINS: usize = 8;
/// Bytes of a file that contains a secret (`file:/path`).
pub const SECRET_FILE: usize = 64 << 10;

/// Holders of a full share that `status` names, for each share.
pub const SHARE_HOLDERS: usize = 8;
/// How long `status` names a holder after its share was full the last time.
pub const SHARE_SHOWN_MS: u64 = 120_000;

// --- ingest ---
/// Bytes of a body when neither `--max-body` nor the scheme says otherwise.
pub const DEFAULT_MAX_BODY: u64 = 1 << 20;
/// The largest value of `--max-body`.
pub const MAX_BODY: u64 = 32 << 20;
/// The default of `--dedupe-window`.
pub const DEFAULT_DEDUPE_WINDOW_MS: u64 = 3 * 86_400_000;
/// Connections at a time, over all listeners.
pub const CONNECTIONS: usize = 8192;
/// Open files that connections from outside never use: they are for attempts in flight, idle
/// connections to endpoints, admin connections, and the log. When the process may open few files,
/// it is three quarters of them.
pub const FILES_RESERVED: u64 = 704;
/// Time to send a request's head, and to stay idle between requests.
pub const HEAD_TIMEOUT_MS: u64 = 15_000;
/// Time to send a request's body.
pub const BODY_TIMEOUT_MS: u64 = 30_000;
/// How often the pace of a body is checked.
pub const BODY_PACE_MS: u64 = 5_000;
/// The slowest pace of a body. Slower senders are cut off.
pub const BODY_BYTES_PER_S: u64 = 240;
/// Header fields of a request.
pub const HEADERS: usize = 100;
/// Bytes of the whole head of a request.
pub const HEAD_BYTES: usize = 64 << 10;
/// Bytes of the request target.
pub const URI_BYTES: usize = 8 << 10;
/// Bytes of the body that a source's senders are answered with (`--answer-body`).
pub const ANSWER_BYTES: usize = 4096;
/// Refused requests that are kept for one source.
pub const REFUSED_KEPT: u32 = 20;
/// Bytes that are kept of the body of one refused request.
pub const REFUSED_BODY: usize = 64 << 10;
/// Bytes of all refused requests that are kept.
pub const REFUSED_BYTES: usize = 4 << 20;
/// Streams of one HTTP/2 connection at a time.
pub const H2_STREAMS: u32 = 128;
/// Bytes of heads and bodies in memory at a time, from the first byte read until they are stored.
/// One address may have a quarter of it, one source half. An eighth of each is kept for small
/// bodies.
pub const INGEST_BYTES: usize = 64 << 20;
/// The largest body that counts as small for `INGEST_BYTES`.
pub const SMALL_BODY: usize = 64 << 10;
/// What a request counts besides its head and body, from its beginning until its answer is sent. It
/// limits the HTTP/2 streams of one address that announce a body and send none.
pub const REQUEST_BYTES: usize = 4 << 10;
/// Bytes of an incomplete head that are not counted. The rest is counted twice, because the buffer
/// doubles.
pub const HEAD_FREE: usize = 4 << 10;
/// Bytes that one read returns at most, so that the buffers of connections stay small.
pub const READ_BYTES: usize = 16 << 10;
/// Events of one bin.
pub const BIN_EVENTS: u64 = 1000;
/// Bytes of the events of one bin.
pub const BIN_BYTES: u64 = 16 << 20;
/// Files of named allow-lists.
pub const ALLOW_LISTS: usize = 256;
/// Bytes of one file of a named allow-list.
pub const ALLOW_LIST_BYTES: u64 = 1 << 20;
/// Events that one request may contain when its source splits batches.
pub const BATCH_EVENTS: usize = 4096;
/// Fields of a form or a query that a proof reads.
pub const FORM_FIELDS: usize = 4096;
/// Memory for the proofs that are being checked, over all requests. A check counts three times its
/// bytes, however it is made.
pub const PROOF_BYTES: usize = 96 << 20;
/// The part of `PROOF_BYTES` that is kept for bodies up to `PROOF_SMALL`, so that larger ones do
/// not make them wait.
pub const PROOF_BYTES_RESERVED: usize = 12 << 20;
/// The largest body that uses the kept part. Of larger bodies, one address and one source have one
/// checked at a time.
pub const PROOF_SMALL: usize = 1 << 20;
/// Characters of an event type.
pub const TYPE_LEN: usize = 256;
/// Characters of a dedupe key.
pub const DEDUPE_KEY_LEN: usize = 512;
/// Dedupe keys remembered, of all sources together (20 bytes each). When there are more, the source
/// with the most forgets its oldest. So each source can rely on this number divided by the number
/// of sources.
pub const DEDUPE_KEYS: usize = 1 << 20;

// --- the scheduler ---
/// Requests to accept an event that wait for the scheduler. One more is answered 503.
pub const ACCEPTS_WAITING: usize = 1024;
/// Of these, the requests of one address. Its further requests wait until one of them is decided.
pub const ACCEPTS_EACH: usize = ACCEPTS_WAITING / 4;
/// Of these, the requests of one source. Its further requests wait likewise.
pub const ACCEPTS_OF_SOURCE: usize = ACCEPTS_WAITING / 2;
/// How long a further request of an address or a source waits.
pub const ACCEPT_WAIT_MS: u64 = 5_000;
/// Commands of the operator that wait for the scheduler.
pub const COMMANDS_WAITING: usize = 64;
/// Inputs of one step, and so events of one commit.
pub const STEP_INPUTS: usize = 256;
/// Bytes of events in one step, after which it takes no more.
pub const STEP_BYTES: usize = 1 << 20;
/// Deliveries that the events of one request make together.
pub const REQUEST_DELIVERIES: usize = 1 << 18;
/// Bytes that each of these deliveries counts in a step, because all are decided at once.
pub const DELIVERY_BYTES: usize = 8;
/// Attempts in flight at a time, over all endpoints.
pub const IN_FLIGHT: usize = 256;
/// Loads and refills under way at a time.
pub const LOADS: usize = 64;
/// Deliveries of one slice of a mass operation (replay, dead-letter retry).
pub const SLICE: usize = 256;

// --- the queue ---
/// Different JSON Pointers that are evaluated when an event comes in. Further ones are evaluated
/// when the log is read.
pub const KEYS_AHEAD: usize = 16;
/// Deliveries of one endpoint in memory that were not attempted yet.
pub const PREFETCH: usize = 256;
/// Bytes of the events in the prefetch of one endpoint.
pub const PREFETCH_BYTES: usize = 1 << 20;
/// Bytes of the events in all prefetches.
pub const PREFETCH_BYTES_ALL: usize = 16 << 20;
/// Deliveries of one endpoint that wait for a retry. At this number, first attempts wait on the
/// disk.
pub const RETRYING: usize = 8192;
/// One source has no further first attempts at an endpoint while it has at least this many times
/// the deliveries waiting for a retry that the others may still have. So one whose events are
/// refused leaves places for the events of others.
pub const RETRYING_SHARE: usize = 3;
/// It has some again once it has at most this many times as many. Until then its others are not
/// read again.
pub const RETRYING_SHARE_AGAIN: usize = 2;
/// Deliveries of all endpoints that wait for a retry.
pub const RETRYING_ALL: usize = 131_072;
/// How long after its max age a waiting delivery may end, because its last attempt is due at its
/// max age.
pub const AGE_GRACE_MS: u64 = 500;
/// How often the ages of an endpoint's deliveries are checked at most.
pub const AGE_LOOK_MS: u64 = 100;
/// Deliveries that one step ends because of their age.
pub const AGE_SLICE: usize = 512;
/// Records of which one answer of the queue says at most whether they can be of the deliveries that
/// a list wants.
pub const LIST_WINDOW: u64 = 1 << 16;
/// How long a list looks for its next row before it is answered with how far it has looked.
pub const LIST_PATIENCE_MS: u64 = 700;
/// How long the attempts of the rows of a list are counted whose deliveries ended long after they
/// were made.
pub const LIST_COUNT_MS: u64 = 250;
/// How often the run clock is stored within one max age, while something waits.
pub const CLOCK_MARKS: u64 = 32;
/// The shortest time between two stored values of the run clock.
pub const CLOCK_MARK_MS: u64 = 1_000;
/// The longest time between two stored values of the run clock.
pub const CLOCK_MARK_MAX_MS: u64 = 3_600_000;
/// After a start it is remembered sooner: after this time, and each time that it has run twice as
/// long, so that a machine that is switched off again and again remembers half of what it ran.
pub const CLOCK_MARK_FIRST_MS: u64 = 60_000;
/// Periods in which the clock of an endpoint's deliveries stopped that are kept apart. Beyond that
/// the oldest are joined.
pub const CLOCK_STANDS: usize = 64;
/// Deliveries of an endpoint that keeps failing that wait for a retry. Beyond this number first
/// attempts are made in turn with retries; the others wait on the disk.
pub const RETRYING_FAILING: usize = 512;
/// Failures in a row that open an endpoint's breaker.
pub const BREAKER_FAILURES: u32 = 10;
/// The time that these failures must span at least.
pub const BREAKER_SPAN_MS: u64 = 10_000;
/// The wait before the first probe of an endpoint. It doubles for each further one.
pub const PROBE_GAP_MS: u64 = 1_000;
/// The longest wait between two probes of an endpoint.
pub const PROBE_GAP_MAX_MS: u64 = 300_000;
/// The wait before the first probe of the link. It doubles for each further one.
pub const LINK_GAP_MS: u64 = 1_000;
/// The longest wait between two probes of the link.
pub const LINK_GAP_MAX_MS: u64 = 30_000;
/// Times in a row that there was no route to a host while others answered, after which that host is
/// no evidence about the link any more.
pub const LINK_LOST: u32 = 3;
/// How long unrelated hosts must be silent before the link is considered down.
pub const LINK_SPAN_MS: u64 = 5_000;
/// How long deliveries that need a plausible wall clock wait for one.
pub const CLOCK_WAIT_MS: u64 = 300_000;
/// What waited at the start is looked at again when the wall clock has been set forward by this.
pub const CLOCK_SET_MS: u64 = 1_000;
/// A jump of the wall clock beyond this makes it suspect.
pub const CLOCK_JUMP_MS: u64 = 86_400_000;
/// With a longer time between two attempts by its rate, an endpoint's attempts are stored when they
/// start.
pub const SLOW_RATE_STEP_MS: u64 = 1_000;
/// The shortest time between two notices of one kind about one thing. What happens meanwhile is
/// counted.
pub const NOTICE_GAP_MS: u64 = 60_000;
/// How long dead letters are gathered before a notice is sent.
pub const NOTICE_WAIT_MS: u64 = 1_000;
/// Requests that a source refuses within `REFUSING_SPAN_MS` before a notice is sent.
pub const REFUSING: u64 = 20;
/// The time in which these refusals are counted.
pub const REFUSING_SPAN_MS: u64 = 60_000;
/// How long no further notice about a refusing source is sent.
pub const REFUSING_GAP_MS: u64 = 3_600_000;
/// Deliveries that consumers of pull endpoints hold at a time, over all endpoints.
pub const LEASES: usize = 4096;
/// Deliveries of one endpoint that are being read for consumers. Their size is known only after
/// that.
pub const LEASES_COMING: usize = 64;
/// How long a delivery that was read for a consumer that has left waits for another one.
pub const OFFER_WAIT_MS: u64 = 10_000;
/// How long a consumer that does not want to wait waits all the same, while deliveries are being
/// read for it.
pub const LEASE_LOOK_MS: u64 = 250;
/// Consumers that wait at a time.
pub const CONSUMERS: usize = 32;
/// Of these, the places for root and for the daemon's own user.
pub const CONSUMERS_RESERVED: usize = 2;
/// How long a consumer waits at most.
pub const LEASE_WAIT_MS: u64 = 60_000;
/// Deliveries that a consumer gets in one answer.
pub const LEASE_MAX: usize = 256;
/// Bytes of bodies after which an answer to a consumer gets no more deliveries.
pub const LEASE_BYTES: usize = 8 << 20;
/// An endpoint with attempts in flight starts more only while it has fewer than this many times the
/// free slots, without the kept ones. So an endpoint that hangs leaves slots for the others.
pub const IN_FLIGHT_SHARE: usize = 4;
/// Slots that are kept for endpoints without an attempt in flight.
pub const IN_FLIGHT_RESERVED: usize = 16;
/// Keys whose latest event was seen that one catching up remembers.
pub const LATEST_KEYS: usize = 65_536;
/// Failures in a row after which an endpoint counts as failing.
pub const FAILING_AFTER: u32 = 8;
/// Attempts in flight to endpoints on probation, which fail, or have not succeeded yet and have
/// their first attempt in flight. The other slots are for the others.
pub const IN_FLIGHT_ON_PROBATION: usize = IN_FLIGHT / 2;
/// First attempts in flight to endpoints that neither succeeded nor failed yet, one each, besides
/// `IN_FLIGHT`. So a new endpoint is tried at once.
pub const IN_FLIGHT_FIRST: usize = 256;
/// All attempts in flight at a time.
pub const ATTEMPTS: usize = IN_FLIGHT + IN_FLIGHT_FIRST;
/// Reads that the reader is asked for at a time: an event for each attempt and for each delivery
/// that consumers hold, slices of streams, and slices of replays.
pub const READS: usize = ATTEMPTS + LEASES + LOADS + REPLAYS;
/// Events kept in memory after they were accepted, so that a prefetch rarely reads the log.
pub const RECENT: usize = 4096;
/// Bytes of these events.
pub const RECENT_BYTES: usize = 4 << 20;
/// Records that a start reads to find out what was lost with unreadable records. With more, the
/// daemon serves meanwhile.
pub const LOSS_READ_AT_START: u64 = 1 << 20;
/// The longest `Retry-After` that is honoured.
pub const RETRY_AFTER_MAX_MS: u64 = 86_400_000;
/// The default of `--concurrency`.
pub const DEFAULT_CONCURRENCY: u32 = 16;
/// The default of `--hold-after`: so long without a success puts an endpoint on hold.
pub const DEFAULT_HOLD_AFTER_MS: u64 = 5 * 86_400_000;
/// How long a consumer of a pull endpoint may keep what it leased, by default.
pub const DEFAULT_LEASE_MS: u64 = 30_000;
/// The longest lease.
pub const LEASE_MS: u64 = 12 * 3_600_000;
/// The largest value of `--concurrency`.
pub const CONCURRENCY: u32 = 256;
/// Bytes of a `--where` expression.
pub const FILTER_LEN: usize = 1024;
/// How deep a `--where` expression may be nested.
pub const FILTER_DEPTH: usize = 16;
/// Bytes of the compiled regular expressions of one filter.
pub const FILTER_PATTERN: usize = 256 << 10;
/// Bytes of a compiled regular expression that comes from an event.
pub const FILTER_DYNAMIC_PATTERN: usize = 32 << 10;
/// Bytes of the text of such a regular expression.
pub const FILTER_DYNAMIC: usize = 256;
/// Steps that compiling such a regular expression counts.
pub const FILTER_DYNAMIC_STEPS: usize = 20_000;
/// Bytes that filters read of a body.
pub const FILTER_BYTES: usize = 1 << 20;
/// Values and names of members that filters read of a body (16 bytes each).
pub const FILTER_NODES: usize = 131_072;
/// Steps (about 10 ns each) that all filters together may take for one event. Each filter gets a
/// few at first and four times as many in each further round, so that cheap filters do not wait for
/// expensive ones.
pub const FILTER_STEPS: u64 = 4_000_000;
/// Steps that each filter gets in the first round.
pub const FILTER_FIRST_STEPS: u64 = 4_096;
/// Steps that all filters together may take for all events of one request.
pub const FILTER_REQUEST_STEPS: u64 = 4 * FILTER_STEPS;
/// Steps that all filters together may take for an event of the daemon's own, which is matched by
/// the thread that decides.
pub const FILTER_OWN_STEPS: u64 = 100_000;
/// Steps that all events of the daemon's own may take in a millisecond: a hundredth of that
/// thread's time. Further events wait, and are merged with others of their kind.
pub const FILTER_OWN_PACE: u64 = 1_000;
/// Events that need at most this many steps are matched where they come in.
pub const FILTER_INLINE_STEPS: u64 = 65_536;
/// Threads that match the other events. One source uses all but one at most.
pub const FILTER_WORKERS: usize = 2;
/// Requests of one source that wait for these threads. One more is answered 503.
pub const FILTER_WAITING: usize = 64;
/// Requests of all sources that wait for these threads.
pub const FILTER_WAITING_ALL: usize = 1024;
/// Events whose number of duplicates is kept.
pub const DUPLICATE_COUNTS: usize = 65_536;
/// Replays under way at a time, and of these for root and for the daemon's own user. Of the others
/// a user of the group gets another one while more are free than it has.
pub const REPLAYS: usize = 64;
pub const REPLAYS_RESERVED: usize = 8;
/// Replays that are listed though their endpoints were deleted before they came to their ends.
pub const REPLAYS_ENDED: usize = 16;

/// Attempts that a rate allows at once.
pub const BURST: u32 = 10_000;
/// The default of `--head-attempts`: failed attempts after which a lane's head is skipped or
/// parked.
pub const HEAD_ATTEMPTS: u32 = 5;
/// Events of one outgoing batch, by default.
pub const DEFAULT_BATCH_OUT_EVENTS: u32 = 100;
/// Events of one outgoing batch, at most.
pub const BATCH_OUT_EVENTS: u32 = 1000;
/// Bytes of bodies of one outgoing batch, by default.
pub const DEFAULT_BATCH_OUT_BYTES: u64 = 256 << 10;
/// Bytes of bodies of one outgoing batch, at most.
pub const BATCH_OUT_BYTES: u64 = 8 << 20;
/// Bytes of the events of a batch with their headers, unless the limit of its bodies is higher.
pub const BATCH_OUT_MEMORY: u64 = 1 << 20;
/// Failed attempts for a batch, whatever it was answered, after which it is split.
pub const BATCH_WHOLE_ATTEMPTS: u32 = 3;
/// How long an outgoing batch stays open, by default.
pub const DEFAULT_BATCH_WAIT_MS: u64 = 5_000;
/// How long an outgoing batch stays open, at most.
pub const BATCH_WAIT_MS: u64 = 3_600_000;

// --- outbound ---
/// The default of `--timeout`.
pub const DEFAULT_TIMEOUT_MS: u64 = 15_000;
/// The largest value of `--timeout`.
pub const TIMEOUT_MS: u64 = 300_000;
/// Bytes of a response's body that are read.
pub const RESPONSE_READ: usize = 16 << 10;
/// Stretches of time of which the queue keeps how the run clock and the wall clock ran.
pub const RUN_STRETCHES: usize = 64;
/// Bytes of a body that a screen of `hookboxctl` shows: what is longer is saved.
pub const BODY_SHOWN: usize = 48 << 10;
/// Bytes of a response's body that are kept in the log.
pub const RESPONSE_KEPT: usize = 1 << 10;
/// Bytes of a response's head.
pub const RESPONSE_HEAD: usize = 32 << 10;
/// Fields of a response's head that are read.
pub const RESPONSE_FIELDS_READ: usize = 512;
/// Bytes that a receiver may send ahead over HTTP/2.
pub const RESPONSE_WINDOW: u32 = 64 << 10;
/// Idle connections of one endpoint that are kept.
pub const IDLE_CONNECTIONS: usize = 32;
/// How long an idle connection is kept.
pub const IDLE_MS: u64 = 30_000;
/// A connection that its peer closes after a known time is not used any more so long before that.
pub const IDLE_MARGIN_MS: u64 = 1_000;
/// Idle connections of all endpoints, so that they never use up the file descriptors.
pub const IDLE_ALL: usize = 512;
/// Addresses of one name that one attempt tries.
pub const DIALS: usize = 4;
/// Fields of a response's head that are kept in the log.
pub const RESPONSE_FIELDS: usize = 32;
/// Bytes of each of these values.
pub const RESPONSE_VALUE: usize = 256;
/// Bytes on the wire for `RESPONSE_READ` bytes of a chunked body. A peer that needs more is cut
/// off.
pub const RESPONSE_WIRE: usize = 128 << 10;
/// Bytes of the answer to a batch that are read: enough to name each of its events, with some words
/// to each.
pub const BATCH_ANSWER: usize = BATCH_OUT_EVENTS as usize * 128;
/// Bytes on the wire for such an answer in chunks.
pub const BATCH_ANSWER_WIRE: usize = 8 * BATCH_ANSWER;
/// hookbox daemons that an event may pass. One that has passed this many is stored, but not
/// delivered.
pub const HOPS: u32 = 8;
/// Name look-ups at a time, without those that take longer than `LOOKUP_SLOW_MS`.
pub const LOOKUPS: usize = 64;
/// Of these, the places for names that were found the last time.
pub const LOOKUPS_RESERVED: usize = 16;
/// Of these, the most for names whose servers are known to be silent.
pub const LOOKUPS_SLOW: usize = 24;
/// All name look-ups at a time, with the slow ones. A look-up cannot be cancelled, so a slow one
/// leaves its place to another while there are threads. It is enough for all attempts that may be
/// in flight to endpoints that have not succeeded.
pub const LOOKUP_THREADS: usize = 192;
/// A look-up that takes longer counts as slow.
pub const LOOKUP_SLOW_MS: u64 = 1_000;
/// Names whose last look-up is remembered.
pub const LOOKUPS_KNOWN: usize = 8192;
/// Stack of a thread that looks a name up.
pub const LOOKUP_STACK: usize = 512 << 10;
/// Bytes of a template.
pub const TEMPLATE_LEN: usize = 16 << 10;
/// Headers that an endpoint may set.
pub const TEMPLATE_HEADERS: usize = 32;
/// Characters and words of operators in one tag of a template. Each is a level of recursion when
/// the template is compiled.
pub const TEMPLATE_OPERATORS: usize = 256;
/// Brackets opened in all tags of a template. Each is a level of recursion when it is compiled, or
/// when its result is written.
pub const TEMPLATE_BRACKETS: usize = 1024;
/// Stack of each thread that compiles and renders templates. The worst template of 16 KiB, without
/// any other limit, needs half of this to be compiled, and less than a quarter to be rendered
/// within the limits. Only what is used takes memory.
pub const IO_STACK: usize = 16 << 20;
/// Arguments of a command.
pub const COMMAND_ARGS: usize = 64;
/// Bytes of one argument.
pub const COMMAND_ARG: usize = 4096;
/// Commands at a time, over all endpoints.
pub const COMMANDS: usize = 32;
/// Open files of a command.
pub const COMMAND_FILES: u64 = 1024;
/// Processes of a command's user.
pub const COMMAND_PROCESSES: u64 = 4096;
/// Bytes of a file that a command writes.
pub const COMMAND_FILE_BYTES: u64 = 1 << 30;
/// Memory of a command.
pub const COMMAND_MEMORY: u64 = 2 << 30;
/// Bytes of a command's output that are examined: the last ones.
pub const OUTPUT_READ: usize = 16 << 10;
/// Bytes of a command's output that are kept in the log: the last ones.
pub const OUTPUT_KEPT: usize = 4 << 10;
/// Bytes of a proxy's answer to CONNECT.
pub const PROXY_ANSWER: usize = 8 << 10;
/// Entries of `[outbound] no_proxy`.
pub const NO_PROXY: usize = 256;
/// Entries of `[exec] allow`.
pub const EXEC_ALLOW: usize = 256;
/// Bodies up to this size are assembled, with templates or into batches, on the threads that accept
/// requests.
pub const MADE_INLINE: usize = 16 << 10;
/// Larger bodies that are assembled at a time, on other threads.
pub const MADE_AT_A_TIME: usize = 2;
/// Steps that one rendering may take; 64 bytes of its result count as one step.
pub const TEMPLATE_FUEL: u64 = 500_000;
/// Bytes of a body that templates read or make.
pub const TEMPLATE_BODY_BYTES: usize = 1 << 20;
/// How deep a body may be nested that templates read. Its values are written by recursion.
pub const TEMPLATE_BODY_DEPTH: usize = 128;
/// Bytes of a header or a path that a template makes.
pub const TEMPLATE_HEADER_BYTES: usize = 8 << 10;
/// A secret of fewer bytes is not searched for in what receivers answer.
pub const REDACTED_SECRET_MIN: usize = 4;
/// Secrets that are searched for in one answer.
pub const REDACTED_SECRETS: usize = 256;
/// Bytes from which a word of a secret header counts as a secret by itself.
pub const SECRET_WORD: usize = 8;
/// Bytes of a decoded signing secret.
pub const SIGNING_KEY: usize = 512;
/// How long the old secret signs along with the new one after a rotation.
pub const ROTATION_MS: u64 = 86_400_000;

/// Bytes of a fetched key set, certificate or confirmation.
pub const FETCH_BYTES: usize = 64 << 10;
/// The time for such a fetch.
pub const FETCH_TIMEOUT_MS: u64 = 5_000;
/// When this many keys of a set fit a token, it is refused, because each would have to be tried.
pub const TOKEN_KEYS: usize = 33;
/// A key set is fetched again after this time.
pub const JWKS_REFRESH_MS: u64 = 3_600_000;
/// A key set is fetched for a key that is not in it at most once in this time.
pub const JWKS_AGAIN_MS: u64 = 30_000;
/// A secret that is kept elsewhere (`file:`, `cred:`, `env:`) and was not found is looked up again
/// after this time.
pub const LOOKUP_AGAIN_MS: u64 = 5_000;
/// Certificates that are fetched for one source within `JWKS_AGAIN_MS`.
pub const CERTIFICATE_FETCHES: usize = 8;
/// Of these, the certificates that requests of one address may name.
pub const CERTIFICATE_FETCHES_EACH: usize = 2;
/// Fetched certificates that are kept for one source.
pub const CERTIFICATES: usize = 32;
/// Confirmations of subscriptions under way at a time.
pub const CONFIRMATIONS: usize = 4;
/// How often one confirmation is tried.
pub const CONFIRMATION_TRIES: u32 = 4;
/// The pause before the second try. It doubles for each further one.
pub const CONFIRMATION_PAUSE_MS: u64 = 1_000;
