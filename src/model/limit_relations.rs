//! The relations between limits, checked when the program is compiled.

use super::limits::{
    ADMIN_CONNECTIONS, ADMIN_RESERVED, BALLAST, BALLAST_MIN, BATCH_ANSWER, BATCH_BYTES,
    BATCH_OUT_EVENTS, CHUNK, CONCURRENCY, DISK_FLOOR, DISK_RESERVE, DISK_RESERVE_MIN, FETCH_BYTES,
    FILTER_BYTES, FILTER_INLINE_STEPS, FILTER_OWN_STEPS, FILTER_STEPS, FILTER_WORKERS,
    HISTORY_BYTES, HISTORY_ENDPOINT_BYTES, HISTORY_ENDPOINTS, HISTORY_RING_BYTES, INGEST_BYTES,
    LEAF, LOOKUP_THREADS, LOOKUPS, LOOKUPS_RESERVED, LOOKUPS_SLOW, MAX_BODY, OUTPUT_KEPT,
    OUTPUT_READ, PROOF_BYTES, PROOF_BYTES_RESERVED, PROOF_SMALL, QUOTA_MIN, RESPONSE_KEPT,
    RESPONSE_READ, RESPONSE_WIRE, RETRYING, RETRYING_ALL, RETRYING_SHARE, RETRYING_SHARE_AGAIN,
    ROLL_BYTES, SLED_SEGMENT, VALUE, WEB_CONNECTIONS, WEB_REQUESTS, WEB_STREAMS,
};

const _: () =
    assert!(MAX_BODY <= INGEST_BYTES as u64 / 2, "the largest body fits beside an address's share");
const _: () = assert!(3 * MAX_BODY <= PROOF_BYTES as u64, "the largest body can be checked");
const _: () =
    assert!(6 * PROOF_SMALL <= PROOF_BYTES_RESERVED, "two of the smaller bodies can be checked");
const _: () = assert!(
    17 * (CHUNK + 12 + 8) + 1024 < SLED_SEGMENT / 4,
    "a sled leaf would become a blob file"
);
const _: () = assert!(VALUE < LEAF && 4 * LEAF < SLED_SEGMENT / 4, "two leaves may become one");
const _: () = assert!(BATCH_BYTES <= SLED_SEGMENT / 2, "sled wants batches within half a segment");
const _: () = assert!(
    DISK_RESERVE_MIN <= QUOTA_MIN / 4
        && DISK_RESERVE_MIN < DISK_RESERVE
        && 2 * DISK_FLOOR < DISK_RESERVE_MIN,
    "a reserve within its quota"
);
const _: () =
    assert!(ROLL_BYTES >= 2 * SLED_SEGMENT as u64, "a segment begins with a sled segment");
const _: () = assert!(
    2 * BALLAST <= DISK_RESERVE && 2 * BALLAST_MIN <= DISK_RESERVE_MIN,
    "ballast is part of the reserve"
);
const _: () = assert!(FETCH_BYTES < RESPONSE_WIRE, "what is fetched comes over the same wire");
const _: () = assert!(OUTPUT_KEPT <= OUTPUT_READ, "only what is looked at can be kept");
const _: () = assert!(RESPONSE_KEPT <= RESPONSE_READ, "only what is read can be kept");
const _: () = assert!(
    RESPONSE_READ <= BATCH_ANSWER,
    "an answer to a batch is read at least as far as others"
);
const _: () = assert!(FILTER_WORKERS >= 2, "one source leaves the others a thread");
const _: () = assert!(
    FILTER_BYTES as u64 / 4 < FILTER_STEPS
        && FILTER_OWN_STEPS < FILTER_STEPS
        && FILTER_INLINE_STEPS < FILTER_STEPS,
    "reading a body leaves steps for what is asked of it"
);
const _: () = assert!(RETRYING <= RETRYING_ALL, "one endpoint is one of all");
const _: () = assert!(
    RETRYING / (1 + RETRYING_SHARE) > BATCH_OUT_EVENTS as usize + CONCURRENCY as usize
        && RETRYING_SHARE_AGAIN < RETRYING_SHARE,
    "what is under way when a source has its share leaves places to others"
);
const _: () = assert!(
    LOOKUPS + 2 * LOOKUPS_RESERVED < LOOKUP_THREADS,
    "a look-up that hangs leaves its slot to another"
);
const _: () = assert!(
    LOOKUPS_SLOW + LOOKUPS_RESERVED < LOOKUPS,
    "names that nobody knows yet find threads, too"
);
const _: () = assert!(
    HISTORY_RING_BYTES[0]
        + HISTORY_RING_BYTES[1]
        + HISTORY_RING_BYTES[2]
        + HISTORY_ENDPOINTS * (HISTORY_ENDPOINT_BYTES + (1 << 10))
        <= HISTORY_BYTES,
    "every ring may be full, and have a block that it fills"
);
const _: () = assert!(
    WEB_STREAMS + WEB_REQUESTS <= (ADMIN_CONNECTIONS - ADMIN_RESERVED) / 2
        && WEB_STREAMS + WEB_REQUESTS < WEB_CONNECTIONS,
    "one page leaves its user connections to the daemon, and the daemon's answers find their way"
);
