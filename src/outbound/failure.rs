//! Why an attempt came to no answer, in words for the operator, and what that means for the delivery.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use crate::model::time::format_duration_ms;
use crate::model::{Fault, Outcome, limits};

use super::guard::Why;

/// Why there is no answer, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Endpoint(String),
    #[error("{address} is {why}, which is dialled only for endpoints with --allow-private")]
    Address { address: SocketAddr, why: Why },
    #[error("port {port} belongs to {service}, which is dialled only for endpoints with --allow-private")]
    Port { port: u16, service: &'static str },
    #[error("the event has passed through {hops} daemons of this kind already: a loop of endpoints and sources")]
    Loop { hops: u32 },
    #[error("the templates make nothing of this event: {0}")]
    Shape(String),
    #[error("the name {name} does not resolve{why}")]
    Unresolved { name: String, why: String },
    #[error("the name {name} leads to {address}, {why}, which is dialled only for endpoints with --allow-private")]
    Name { name: String, address: std::net::IpAddr, why: Why },
    #[error("{why}")]
    Connect { why: String, fault: Option<Fault> },
    #[error("TLS: {0}")]
    Tls(String),
    #[error("{0}")]
    Exchange(String),
    #[error("no answer within {} ({phase})", format_duration_ms(*after_ms))]
    Timeout { after_ms: u64, phase: Phase },
}

/// How far an attempt has come.
#[derive(Clone, Debug, Default, thiserror::Error)]
pub(super) enum Phase {
    #[default]
    #[error("nothing sent")]
    Start,
    #[error("while looking up {0}")]
    Resolving(String),
    #[error("while connecting to {0}")]
    Connecting(String),
    #[error("connected, during the TLS handshake")]
    Handshake,
    #[error("connected, request sent")]
    Sent,
    #[error("status {0} came, but not the whole body")]
    Body(u16),
}

impl Failure {
    /// Whether it is worth another try.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Endpoint(_) | Self::Address { .. } | Self::Port { .. } | Self::Loop { .. } | Self::Shape(_) => {
                Outcome::Refused
            }
            _ => Outcome::Retryable { after_ms: None },
        }
    }

    /// A connection to `to` that did not come about.
    pub(super) fn connect(to: &str, error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("connection refused by {to}"),
            io::ErrorKind::TimedOut => format!("no connection to {to}: it does not answer"),
            io::ErrorKind::NotFound => format!("there is no socket {to}: is the application running?"),
            io::ErrorKind::PermissionDenied => format!("no permission to connect to {to}"),
            _ => format!("no connection to {to}: {error}"),
        };
        let fault = match error.kind() {
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Some(Fault::NoRoute),
            // This machine has no address to connect from: its own is gone, or it never had one of this kind.
            io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut | io::ErrorKind::AddrNotAvailable => {
                Some(Fault::Unreachable)
            }
            // Whoever refuses or breaks off has been reached.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                None
            }
            // Its own firewall, no descriptors: nobody was asked.
            _ => Some(Fault::Unclear),
        };
        Self::Connect { why, fault }
    }

    /// Whether it failed on the way, before anybody was reached or since.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Connect { fault, .. } => *fault,
            Self::Unresolved { .. } => Some(Fault::Unreachable),
            Self::Timeout { phase: Phase::Resolving(_) | Phase::Connecting(_), .. } => Some(Fault::Unreachable),
            Self::Timeout { phase: Phase::Handshake | Phase::Sent, .. } => Some(Fault::Unclear),
            _ => None,
        }
    }

    /// An exchange that broke off. `overrun`: because the peer sent more than was to be read.
    pub(super) fn exchange(error: &hyper::Error, overrun: bool) -> Self {
        let io = io_kind(error);
        let too_large =
            || format!("the head of the answer is larger than {} KiB: connection closed", limits::RESPONSE_HEAD >> 10);
        Self::Exchange(match io {
            _ if overrun || error.is_parse_too_large() => too_large(),
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                "the connection was reset before an answer came".to_owned()
            }
            _ if error.is_parse() => format!("the answer is not HTTP/1.1 ({error})"),
            _ if error.is_incomplete_message() || error.is_canceled() || error.is_user() => {
                "the connection was closed before an answer came".to_owned()
            }
            _ => format!("the exchange failed: {}", chain(error)),
        })
    }

    /// A body that broke off.
    pub(super) fn body(status: u16, error: &hyper::Error) -> Self {
        Self::Exchange(format!("status {status} came, but its body broke off: {}", chain(error)))
    }
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = inner.source();
    }
    None
}

fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(inner) => format!("{error}: {}", chain(inner)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Failure, Phase};
    use crate::model::Fault;

    #[test]
    fn who_was_reached_and_who_was_not() {
        // ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL (no address of that kind), ECONNREFUSED, ECONNRESET, EPERM, EMFILE.
        let cases = [
            (101, Some(Fault::NoRoute)),
            (113, Some(Fault::Unreachable)),
            (99, Some(Fault::Unreachable)),
            (111, None),
            (104, None),
            (1, Some(Fault::Unclear)),
            (24, Some(Fault::Unclear)),
        ];
        for (errno, fault) in cases {
            let failure = Failure::connect("192.0.2.1:80", &io::Error::from_raw_os_error(errno));
            assert_eq!(failure.fault(), fault, "{failure}");
        }
    }

    #[test]
    fn a_deadline_says_what_had_been_reached_by_then() {
        let cases = [
            (Phase::Resolving("a.example".into()), Some(Fault::Unreachable)),
            (Phase::Connecting("192.0.2.1:80".into()), Some(Fault::Unreachable)),
            (Phase::Handshake, Some(Fault::Unclear)),
            (Phase::Sent, Some(Fault::Unclear)),
            (Phase::Body(200), None),
        ];
        for (phase, fault) in cases {
            assert_eq!(Failure::Timeout { after_ms: 1, phase }.fault(), fault);
        }
    }
}
