//! What the bridge to NATS may use of its daemon, of memory, and of its servers.

/// Servers of one configuration.
pub const NATS_SERVERS: usize = 16;
/// Routes of one configuration, out and in together.
pub const NATS_ROUTES: usize = 32;
/// Parts of a stream that boxes share.
pub const NATS_PARTS: u32 = 64;
/// Bytes of the configuration file.
pub const NATS_CONFIG_BYTES: u64 = 1 << 20;
/// Messages of one route that may be under way, by default.
pub const NATS_IN_FLIGHT_DEFAULT: u32 = 256;
/// Messages of one route that may be under way, at most.
pub const NATS_IN_FLIGHT: u32 = 2048;
/// Bytes of their bodies from which on no more are asked for.
pub const NATS_HELD_BYTES: usize = 64 << 20;
/// Connections to one socket of the daemon: each has one request on it at a time.
pub const NATS_CONNECTIONS: usize = 16;
/// Bytes of one answer of the daemon: what it leases at a time, in base64, and the largest body.
pub const NATS_ANSWER_BYTES: usize = 128 << 20;
/// How long one request for leases, or for messages, waits for the first.
pub const NATS_POLL_MS: u64 = 5_000;
/// How long an answer of the daemon, and of the server's monitoring port, may take.
pub const NATS_ANSWER_MS: u64 = 30_000;
/// Bytes that one name contributes to a subject.
pub const NATS_SUBJECT_PART: usize = 256;
/// Bytes of a whole subject.
pub const NATS_SUBJECT: usize = 2048;
/// How long work in progress may take when the bridge stops.
pub const NATS_DRAIN_MS: u64 = 10_000;
/// The longest pause before something that failed is tried again.
pub const NATS_PAUSE_MS: u64 = 30_000;
/// The time between two log lines about one kind of refusal of one route.
pub const NATS_LINE_GAP_MS: u64 = 10_000;
/// A loop that made no progress for so long is not alive any more.
pub const NATS_ALIVE_MS: u64 = 120_000;
/// Bytes of an answer that says why something was refused.
pub const NATS_REASON: usize = 512;
