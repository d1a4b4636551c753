//! How both versions of HTTP are spoken: hyper's settings.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

use super::ingest_limits::IngestLimits;
use crate::model::limits;

/// hyper's server side, set up once for all connections.
pub(super) type HttpServer = auto::Builder<TokioExecutor>;

/// Bytes of one HTTP/2 head: smaller than HTTP/1's, because one connection may have many in memory.
const H2_HEAD_BYTES: u32 = 32 << 10;

// hyper keeps this many on the stack; another number would make it allocate for every request.
const _: () = assert!(limits::HEADERS == 100, "hyper's own limit of header fields, answered 431");

pub(super) fn server(ingest: &IngestLimits) -> HttpServer {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // The connection's pulse bounds slow heads.
        .header_read_timeout(None)
        .max_buf_size(limits::HEAD_BYTES)
        // A sender that closes its side after the request still gets its answer.
        .half_close(true);

    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS)
        .max_header_list_size(H2_HEAD_BYTES)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .max_send_buf_size(16 << 10)
        .max_frame_size(16 << 10)
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(256 << 10)
        .keep_alive_interval(Duration::from_millis(ingest.head_timeout_ms))
        .keep_alive_timeout(Duration::from_millis(ingest.head_timeout_ms));
    http
}
