//! The rows of `docs/reference/limits.md`. The figures are the constants, so that neither can
//! change alone.

mod looking;

use hookbox::model::limits as l;

use super::amounts::{bytes, n, time};

/// What is limited, and how.
pub fn rows() -> Vec<(&'static str, String)> {
    let mut rows = incoming();
    let more = [identities, shares, proofs, attempts, restraints, waiting, filters];
    rows.extend(more.iter().flat_map(|rows| rows()));
    let last = [outgoing, commands, looking::rows, log];
    rows.extend(last.iter().flat_map(|rows| rows()));
    rows
}

fn incoming() -> Vec<(&'static str, String)> {
    let mut rows = vec![(
        "sources, endpoints",
        format!(
            "{} sources and {} endpoints, with names of up to {} characters; the settings of \
                 one take at most {}, of all together {}; {} secrets each, of {} where they \
                 stand in files",
            n(l::SOURCES),
            n(l::ENDPOINTS),
            l::NAME_LEN,
            bytes(l::SETTINGS_BYTES),
            bytes(l::SETTINGS_BYTES_ALL),
            l::SECRETS,
            bytes(l::SECRET_FILE),
        ),
    )];

    rows.extend([
        (
            "body of a webhook",
            format!(
                "what the provider sends at most (`github`, `sendgrid` and `mandrill` 32 MiB, \
                 `gitlab` 25 MiB, `shopify` and `pubsub` 16 MiB, `sns` 2 MiB), others {}; \
                 `--max-body` up to {}",
                bytes(l::DEFAULT_MAX_BODY),
                bytes(l::MAX_BODY),
            ),
        ),
        (
            "head of a request",
            format!(
                "{}, {} fields, a target of {}",
                bytes(l::HEAD_BYTES),
                l::HEADERS,
                bytes(l::URI_BYTES)
            ),
        ),
    ]);
    rows
}

/// What identifies an event, and what its proof may need.
fn identities() -> Vec<(&'static str, String)> {
    let mut rows = vec![(
        "event type, dedupe key",
        format!(
            "{} and {} characters; a longer type is cut where the source's own settings or \
             CloudEvents name it, and left out where the scheme does; a longer key is kept as its \
             SHA-256",
            l::TYPE_LEN,
            l::DEDUPE_KEY_LEN
        ),
    )];

    rows.extend([
        (
            "dedupe keys",
            format!(
                "{} of all sources; the source that holds most gives up its oldest, so each has \
                 its share; a window of {} by default",
                n(l::DEDUPE_KEYS),
                time(l::DEFAULT_DEDUPE_WINDOW_MS)
            ),
        ),
        (
            "certificates fetched for a source (`certs=fetch`)",
            format!(
                "{} in {}, {} of them named by one address; {} kept",
                l::CERTIFICATE_FETCHES,
                time(l::JWKS_AGAIN_MS),
                l::CERTIFICATE_FETCHES_EACH,
                l::CERTIFICATES
            ),
        ),
    ]);
    rows
}

fn shares() -> Vec<(&'static str, String)> {
    let mut rows = vec![
        (
            "inbound connections",
            format!(
                "{} at a time, `limits.connections` (fewer where the process may open few files: \
                 {} of them, or three quarters, stay for the log and the attempts); from one \
                 address (an IPv6 /64) a quarter of them, or 16 if that is more, and of the last \
                 eighth only four; trusted proxies and Unix sockets may have all; {} streams on \
                 each with HTTP/2",
                n(l::CONNECTIONS),
                l::FILES_RESERVED,
                l::H2_STREAMS,
            ),
        ),
        (
            "time for a head, and idle; for a body",
            format!(
                "{}, `limits.head_timeout`; {}, `limits.body_timeout`",
                time(l::HEAD_TIMEOUT_MS),
                time(l::BODY_TIMEOUT_MS)
            ),
        ),
    ];

    rows.extend([
        (
            "heads and bodies in memory",
            format!(
                "{}; one address (an IPv6 /64) has a quarter of it, one source half, each and one \
                 body more; an eighth is kept for bodies up to {}. A request counts {} besides \
                 its head and body until its answer is sent, so one address has about 4,000 \
                 streams of HTTP/2. More is answered 503. The clients of a trusted proxy have \
                 shares of their own, the proxy has none",
                bytes(l::INGEST_BYTES),
                bytes(l::SMALL_BODY),
                bytes(l::REQUEST_BYTES),
            ),
        ),
        (
            "pace of a body",
            format!(
                "in each {} at least {} bytes a second, and a quarter of what delivers it whole \
                 within `limits.body_timeout`; slower senders get 408",
                time(l::BODY_PACE_MS),
                l::BODY_BYTES_PER_S
            ),
        ),
    ]);
    rows
}

/// What verifying and matching a request may take.
fn proofs() -> Vec<(&'static str, String)> {
    let mut rows = vec![(
        "proofs",
        format!(
            "forms and queries of up to {} fields; `--split` makes up to {} events of one \
                 request; bodies over {} are checked within {} of memory, of which those up to 1 \
                 MiB have {} to themselves; of one address and of one source one over 1 MiB at a \
                 time",
            n(l::FORM_FIELDS),
            n(l::BATCH_EVENTS),
            bytes(l::SMALL_BODY),
            bytes(l::PROOF_BYTES),
            bytes(l::PROOF_BYTES_RESERVED)
        ),
    )];

    rows.extend([
        ("a bin", format!("{} events or {}", n(l::BIN_EVENTS), bytes(l::BIN_BYTES))),
        (
            "allow-lists",
            format!("{} files of up to {}", l::ALLOW_LISTS, bytes(l::ALLOW_LIST_BYTES)),
        ),
        (
            "requests that wait for the scheduler",
            format!(
                "{}, of which {} of one address and {} of one source; their others wait for their \
                 own up to {}; a request with {} of events or more, each delivery counted as {}, \
                 has a commit of its own, between two commits of others",
                n(l::ACCEPTS_WAITING),
                l::ACCEPTS_EACH,
                l::ACCEPTS_OF_SOURCE,
                time(l::ACCEPT_WAIT_MS),
                bytes(l::LARGE_REQUEST),
                bytes(l::DELIVERY_BYTES)
            ),
        ),
        (
            "deliveries of one request",
            format!(
                "{}: its events, as often as endpoints get each; more is answered 413",
                n(l::REQUEST_DELIVERIES)
            ),
        ),
    ]);
    rows
}

fn attempts() -> Vec<(&'static str, String)> {
    let mut rows = vec![(
        "attempts in flight",
        format!(
            "{}, of which {} to endpoints that fail, and second ones to endpoints that \
                 accepted nothing yet; beside them {} first ones, one to each endpoint of which \
                 nothing is known; to one endpoint up to its `--concurrency` ({}, at most {}), \
                 and {} times what the others leave free, less {} (so {} when it is alone)",
            l::IN_FLIGHT,
            l::IN_FLIGHT_ON_PROBATION,
            l::IN_FLIGHT_FIRST,
            l::DEFAULT_CONCURRENCY,
            l::CONCURRENCY,
            l::IN_FLIGHT_SHARE,
            l::IN_FLIGHT_RESERVED,
            l::IN_FLIGHT_SHARE * (l::IN_FLIGHT - l::IN_FLIGHT_RESERVED) / (l::IN_FLIGHT_SHARE + 1),
        ),
    )];

    rows.extend([
        (
            "deliveries of one endpoint in memory",
            format!(
                "{} or {} that were not attempted yet, {} that wait for a retry, of one source \
                 {} times as many as the others may still have (so {} when it is alone); the \
                 others wait on the disk",
                l::PREFETCH,
                bytes(l::PREFETCH_BYTES),
                n(l::RETRYING),
                l::RETRYING_SHARE,
                n(l::RETRYING * l::RETRYING_SHARE / (1 + l::RETRYING_SHARE))
            ),
        ),
        ("deliveries of one ordering key in memory", "16; the others wait on the disk".to_owned()),
        (
            "a failing endpoint",
            format!(
                "has up to {} deliveries that wait for a retry, and beyond that makes one first \
                 attempt for each retry; the others wait untried",
                l::RETRYING_FAILING
            ),
        ),
    ]);
    rows
}

/// How endpoints, and the link, are restrained.
fn restraints() -> Vec<(&'static str, String)> {
    vec![
        (
            "a breaker",
            format!(
                "opens after {} failures that span at least {}; probes after {}, doubled up to {}",
                l::BREAKER_FAILURES,
                time(l::BREAKER_SPAN_MS),
                time(l::PROBE_GAP_MS),
                time(l::PROBE_GAP_MAX_MS)
            ),
        ),
        (
            "probes of the link",
            format!("after {}, doubled up to {}", time(l::LINK_GAP_MS), time(l::LINK_GAP_MAX_MS)),
        ),
        ("`--rate` and `--burst`", format!("a burst of up to {}", n(l::BURST))),
        ("`--hold-after`", format!("{} by default", time(l::DEFAULT_HOLD_AFTER_MS))),
        ("`Retry-After`", format!("honoured up to {}", time(l::RETRY_AFTER_MAX_MS))),
    ]
}

/// What waits, and for how long.
fn waiting() -> Vec<(&'static str, String)> {
    let (all, kept) = (l::REPLAYS, l::REPLAYS_RESERVED);
    let replays = format!(
        "{all}, of which {kept} are kept for root and the daemon's user; of the others one user of \
         the group gets at most half of what is free"
    );

    vec![
        (
            "`--catch-up latest`",
            format!("remembers {} keys; with more, the rest goes oldest first", n(l::LATEST_KEYS)),
        ),
        (
            "a delivery that is too old",
            format!("ends within 1 s of its `--max-age`; {} in one step", l::AGE_SLICE),
        ),
        ("waiting for a plausible clock", time(l::CLOCK_WAIT_MS)),
        ("notices", format!("one in {} of one type about one thing", time(l::NOTICE_GAP_MS))),
        ("replays in progress", replays),
        ("hops of an event", format!("{}; after that it is stored and not delivered", l::HOPS)),
    ]
}

/// What filters and consumers may take.
fn filters() -> Vec<(&'static str, String)> {
    let mut rows = vec![(
        "`--where`",
        format!(
            "{} bytes, nested {} times, {} of compiled regular expressions; filters read {} \
                 and {} values of a body and take {} steps (about 40 ms) for one event, and four \
                 times that for one request; {} threads do what takes longer than 1 ms, of which \
                 one source has one and {} requests that wait",
            n(l::FILTER_LEN),
            l::FILTER_DEPTH,
            bytes(l::FILTER_PATTERN),
            bytes(l::FILTER_BYTES),
            n(l::FILTER_NODES),
            n(l::FILTER_STEPS),
            l::FILTER_WORKERS,
            l::FILTER_WAITING,
        ),
    )];

    rows.extend([(
        "consumers of pull endpoints",
        format!(
            "{} that wait, up to {} each; {} events or {} in one answer; {} leases, of {} by \
                 default and up to {}",
            l::CONSUMERS,
            time(l::LEASE_WAIT_MS),
            l::LEASE_MAX,
            bytes(l::LEASE_BYTES),
            n(l::LEASES),
            time(l::DEFAULT_LEASE_MS),
            time(l::LEASE_MS)
        ),
    )]);
    rows
}

fn outgoing() -> Vec<(&'static str, String)> {
    let mut rows = vec![
        (
            "timeout of an attempt",
            format!("{}, up to {}", time(l::DEFAULT_TIMEOUT_MS), time(l::TIMEOUT_MS)),
        ),
        (
            "answer of a receiver",
            format!(
                "a head of {} and {} fields; {} are read ({} KiB of the answer to a batch), {} \
                 are kept in the log",
                bytes(l::RESPONSE_HEAD),
                l::RESPONSE_FIELDS_READ,
                bytes(l::RESPONSE_READ),
                l::BATCH_ANSWER >> 10,
                bytes(l::RESPONSE_KEPT)
            ),
        ),
    ];

    rows.extend([
        (
            "an outgoing batch",
            format!(
                "{} events and {} of bodies, up to {} and {}; with headers {}, or as much as of \
                 bodies if that is more; open for {}, up to {}",
                l::DEFAULT_BATCH_OUT_EVENTS,
                bytes(l::DEFAULT_BATCH_OUT_BYTES),
                n(l::BATCH_OUT_EVENTS),
                bytes(l::BATCH_OUT_BYTES),
                bytes(l::BATCH_OUT_MEMORY),
                time(l::DEFAULT_BATCH_WAIT_MS),
                time(l::BATCH_WAIT_MS)
            ),
        ),
        (
            "templates",
            format!(
                "{} each, {} headers; they read and make bodies of up to {}, nested {} times, \
                 headers and paths of up to {}, in {} steps; {} operators in one expression, {} \
                 brackets in all",
                bytes(l::TEMPLATE_LEN),
                l::TEMPLATE_HEADERS,
                bytes(l::TEMPLATE_BODY_BYTES),
                l::TEMPLATE_BODY_DEPTH,
                bytes(l::TEMPLATE_HEADER_BYTES),
                n(l::TEMPLATE_FUEL),
                l::TEMPLATE_OPERATORS,
                n(l::TEMPLATE_BRACKETS),
            ),
        ),
    ]);
    rows
}

/// Commands, look-ups, and what stands beside them.
fn commands() -> Vec<(&'static str, String)> {
    let mut rows = vec![
        (
            "commands",
            format!(
                "{} at a time, {} arguments of up to {}; {} of the output are read and {} kept; \
                 each may have {} open files, {} of memory and files of {}",
                l::COMMANDS,
                l::COMMAND_ARGS,
                bytes(l::COMMAND_ARG),
                bytes(l::OUTPUT_READ),
                bytes(l::OUTPUT_KEPT),
                n(l::COMMAND_FILES),
                bytes(l::COMMAND_MEMORY),
                bytes(l::COMMAND_FILE_BYTES),
            ),
        ),
        (
            "`exec.allow`, `outbound.no_proxy`",
            format!("{} and {} entries", l::EXEC_ALLOW, l::NO_PROXY),
        ),
        (
            "name look-ups",
            format!(
                "{} at a time; {} of them for names that were found the last time, and at most {} \
                 for names that took longer than {} the last time; one that takes longer now \
                 leaves its place to another, up to {} in all",
                l::LOOKUPS,
                l::LOOKUPS_RESERVED,
                l::LOOKUPS_SLOW,
                time(l::LOOKUP_SLOW_MS),
                l::LOOKUP_THREADS
            ),
        ),
    ];

    rows.extend([
        (
            "secrets in answers",
            format!("secrets of fewer than {} bytes are not searched for", l::REDACTED_SECRET_MIN),
        ),
        ("rotation of a secret", format!("the old one is valid for {} more", time(l::ROTATION_MS))),
        admin_socket(),
    ]);
    rows
}

fn admin_socket() -> (&'static str, String) {
    let values = [n(l::ADMIN_VALUES), n(l::ADMIN_VALUES_OF_FILES)];

    (
        "admin socket",
        format!(
            "{} connections, of which one user of the group gets at most half of what is \
             free, and root and the daemon's user find {} each; {} lists and {} other reads \
             of the log at a time, shared likewise; {} bodies above 1 MiB of users of the \
             group, each one, and {} checks of requests or events, each until the daemon is \
             done with it; {} values of JSON in a body, {} in files that are applied or \
             imported; pages of {} rows, up to {}",
            l::ADMIN_CONNECTIONS,
            l::ADMIN_RESERVED,
            l::ADMIN_LISTS,
            l::ADMIN_WALKS,
            l::ADMIN_BODIES,
            l::ADMIN_CHECKS,
            values[0],
            values[1],
            l::PAGE,
            n(l::PAGE_MAX)
        ),
    )
}

fn log() -> Vec<(&'static str, String)> {
    let mut rows = vec![
        (
            "a segment of the log",
            format!(
                "{} or {}, and a sixteenth of the quota",
                bytes(l::SEGMENT_BYTES),
                time(l::SEGMENT_AGE_MS)
            ),
        ),
        (
            "the log",
            format!(
                "its quota: 80 % of the file system at the first start, at least {} when you set \
                 it; of it {} or 2 % for outcomes alone",
                bytes(l::QUOTA_MIN),
                bytes(l::DISK_RESERVE)
            ),
        ),
    ];

    let (step, pause) = (bytes(l::CHECKPOINT_STEP as u64), time(l::CHECKPOINT_PAUSE_MS));
    rows.extend([
        (
            "a checkpoint of the log",
            format!("{step} of it are written with each commit, or every {pause} without commits"),
        ),
        ("ballast", format!("two files of {} to {}", bytes(l::BALLAST_MIN), bytes(l::BALLAST))),
        (
            "events relocated by retention",
            format!("{}, with all deliveries that wait for them", n(l::RELOCATED_EVENTS)),
        ),
        (
            "a commit, a new segment",
            format!(
                "a write that does not return within {} ends the process; they have {} each",
                time(l::COMMIT_TIMEOUT_MS),
                bytes(l::FLUSH_BYTES)
            ),
        ),
    ]);
    rows
}
