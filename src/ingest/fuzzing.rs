//! The private parsers, for the fuzzer. Compiled for it alone.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::forwarded::{self, ForwardedClient, TrustedProxies};
use super::framing::Framing;
use super::proxy_protocol::{self, FIXED, ProxyHeader};

/// What follows from a stream's bytes when they come in pieces that end at these places: how many
/// of them are good and whether the first bad one is in a head; and how many bytes of an incomplete
/// head there are.
#[must_use]
pub fn framing(stream: &[u8], ends: &[usize]) -> (Option<(usize, bool)>, usize) {
    let mut framing = Framing::new();
    let mut from = 0;
    for end in ends.iter().copied().chain([stream.len()]) {
        if end < from || end > stream.len() {
            continue;
        }
        if let Err(wrong) = framing.look(&stream[from..end]) {
            return (Some((from + wrong.good, wrong.in_head)), framing.in_head());
        }
        from = end;
    }
    (None, framing.in_head())
}

/// Whom a trusted proxy's headers name: `Ok(None)` when nobody or somebody hidden.
///
/// # Errors
/// When they cannot be read, or disagree.
pub fn client(
    pairs: &[(&'static str, &[u8])],
    trusted: &TrustedProxies,
) -> Result<Option<IpAddr>, &'static str> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    forwarded::forwarded_info(&headers, trusted).map(|info| match info.client {
        ForwardedClient::Known(ip) => Some(ip),
        ForwardedClient::Unnamed | ForwardedClient::Hidden => None,
    })
}

/// The client that a line of the PROXY protocol's version 1 names, without its end.
///
/// # Errors
/// When it cannot be read.
pub fn proxy_line(line: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    proxy_protocol::read_version_1(line).map(address)
}

/// The client that a header of version 2 names, and how many bytes the header has.
///
/// # Errors
/// When it cannot be read, or is not complete.
pub fn proxy_header(bytes: &[u8]) -> Result<(Option<SocketAddr>, usize), &'static str> {
    let fixed: &[u8; FIXED] = bytes.first_chunk().ok_or("it is not complete")?;
    let length = proxy_protocol::version_2_length(fixed)?;
    let rest = bytes.get(FIXED..FIXED + length).ok_or("it is not complete")?;
    proxy_protocol::read_version_2(fixed, rest).map(|header| (address(header), FIXED + length))
}

fn address(header: ProxyHeader) -> Option<SocketAddr> {
    match header {
        ProxyHeader::From(address) => Some(address),
        ProxyHeader::Local | ProxyHeader::Elsewhere => None,
    }
}
