//! Events come in: HTTP/1.1 and HTTP/2 (prior knowledge, or by ALPN over TLS) on TCP and Unix
//! sockets.
//!
//! A request to `POST /in/{source}` passes these steps: the source is looked up, its sender's
//! address is checked, its body is read, its proof is verified, and its type and dedupe key are
//! found. Then the scheduler makes the event durable, and only after that the sender is answered. A
//! request that is refused leaves no event.
//!
//! Limits (see `model::limits`; [`IngestLimits`] makes them smaller for tests): connections over
//! all listeners and from one address (`connections`); the time a connection may stay without a
//! request in service, which bounds slow heads, idle connections and readers that do not read; the
//! time of a whole body and its least pace; bytes of bodies and heads in memory, for one address,
//! one source and all requests (`budget`); header fields, bytes of a head, bytes of a request
//! target; streams of one HTTP/2 connection.
//!
//! Invariants: nothing is answered with success before it is durable; a refusal never says which
//! part of a proof was wrong; only trusted proxies may name another client;
//! credentials (`authorization`, cookies, tokens) are not remembered.
//!
//! Files, in the order in which a connection and its requests meet them:
//!
//! * `listen` (sockets), `server` (the accept loop), `connections` (how many), `preamble` (PROXY
//!   header and TLS), `proxy_protocol`, `tls` (with `own_certificate` and `client_check`);
//! * `connection` (one connection and its `pulse`), `http` (hyper's settings), `guarded_stream` and
//!   `framing` (what hyper lets pass though no request may hold it), `hyper_refusal` (hyper's own
//!   refusals);
//! * `request` (the walk of one request), `route` (path and peer), `forwarded` (the client behind a
//!   proxy), `allow` and `rate` (who may post, and how often), `body` under the `budget`,
//!   `headers`;
//! * `lapse` (the end of what a handshake proved), `proof` (verification in turn:
//!   `proof_memory`), `verify` (one file a scheme), `keys` (key material from elsewhere);
//! * `identity` (type and dedupe key), `new_events`, `holder_permits` (whose requests wait for the
//!   scheduler), `under_way` (what they hold meanwhile), `confirmation` (subscriptions that ask to
//!   be confirmed), `reply` and `problem` (responses), `refusal_counters` and `refused_requests`.
//!
//! Operations: [`Ingest::serve`] accepts on one listener until it is stopped, then finishes what is
//! in flight.
//!
//! Fatal: nothing. Refused: with a problem document (RFC 9457), also what hyper refuses itself.
//! Retried: only `accept()`, after a pause, when the process is short of descriptors.

pub mod allow;
mod body;
mod budget;
mod client_check;
mod confirmation;
mod connection;
mod connections;
mod forwarded;
mod framing;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guarded_stream;
mod headers;
mod holder_permits;
mod host_field;
mod http;
mod hyper_refusal;
pub mod identity;
mod ingest_limits;
mod keys;
mod lapse;
pub mod listen;
mod new_events;
mod own_certificate;
mod preamble;
mod problem;
mod proof;
mod proof_memory;
mod proxy_protocol;
mod pulse;
mod rate;
mod refusal_counters;
mod refused_requests;
mod reply;
mod request;
mod route;
mod server;
mod service;
pub mod tls;
mod under_way;
pub mod verify;

#[cfg(test)]
mod tests;

pub use allow::AllowLists;
pub use forwarded::TrustedProxies;
pub use ingest_limits::IngestLimits;
pub use keys::{Fetch, Keyring, Origins};
pub use listen::{ListenError, Listener};
pub use own_certificate::OwnCertificate;
pub use problem::IngestProblem;
pub use refusal_counters::{RefusalCounters, SourceRefusals};
pub use refused_requests::{KeptRefusal, RefusedRequests};
pub use service::Ingest;
pub use tls::{ServerTls, TlsFiles, TlsSetup};
