//! HTTP targets: `http://`, `https://`, and HTTP over a Unix socket.
//!
//! Limits: one deadline over resolve, connect, handshake, head and body; a response is read up to
//! `limits::RESPONSE_READ` (to a batch, `limits::BATCH_ANSWER`) behind a head of at most
//! `limits::RESPONSE_HEAD`, and its first `limits::RESPONSE_KEPT` bytes are kept. Redirects are not
//! followed, and bodies are not decompressed.
//!
//! Things: [`client`] is shared by all endpoints; [`transport`] is one endpoint's; [`attempt`] is
//! one request. [`url`], [`route`] and [`proxy`] say where to connect, [`connect`] resolves, guards
//! and dials, [`tls`] shakes hands. [`stream`], [`protocol`], [`connection`] and [`pool`] are the
//! connections, each built on the one before. [`headers`] makes the head of a request.
//!
//! A request is sent again over a new connection at once when an idle one, closed by its peer
//! meanwhile, took not a single byte of it. So one attempt makes one request, and every request is
//! in the history.

pub mod attempt;
mod certificate_check;
pub mod client;
pub mod connect;
pub mod connection;
pub mod headers;
pub mod pool;
pub mod protocol;
pub mod proxy;
pub mod route;
pub mod stream;
pub mod tls;
pub mod transport;
pub mod url;
