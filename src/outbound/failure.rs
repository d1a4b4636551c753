//! Why an attempt had no response, in words for the operator, and what that means for the delivery.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use crate::model::time::format_duration_ms;
use crate::model::{AttemptFault, Outcome, limits};

use super::guard::AddressKind;
use super::tls_words;

/// Why an endpoint is refused, in one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefusal {
    #[error("{0}")]
    Settings(String),
    /// The configuration of the daemon does not allow it.
    #[error("{0}")]
    NotAllowed(String),
}

impl From<String> for EndpointRefusal {
    fn from(why: String) -> Self {
        Self::Settings(why)
    }
}

impl EndpointRefusal {
    /// The same with more words behind it.
    pub fn with(self, more: &str) -> Self {
        match self {
            Self::Settings(why) => Self::Settings(format!("{why}{more}")),
            Self::NotAllowed(why) => Self::NotAllowed(format!("{why}{more}")),
        }
    }
}

/// Why nothing can be sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unusable {
    /// Settings that cannot be used, or templates that make nothing of the event.
    #[error("{0}")]
    Settings(String),
    /// A secret that is only named was not found: it may be there later.
    #[error("{0}")]
    Secret(String),
}

impl From<String> for Unusable {
    fn from(why: String) -> Self {
        Self::Settings(why)
    }
}

/// Why there is no response, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum AttemptFailure {
    #[error("{0}")]
    Endpoint(String),
    #[error("{address} is {kind}, which is dialled only for endpoints with --allow-private")]
    Address { address: SocketAddr, kind: AddressKind },
    #[error(
        "port {port} belongs to {service}, which is dialled only for endpoints with --allow-private"
    )]
    Port { port: u16, service: &'static str },
    #[error("the templates cannot be rendered for this event: {0}")]
    Template(String),
    #[error("a secret of the endpoint cannot be looked up: {0}")]
    Secret(String),
    #[error("the name {name} does not resolve{why}")]
    Unresolved { name: String, why: String },
    #[error(
        "the name {name} leads to {address}, {kind}, which is dialled only for endpoints with \
         --allow-private"
    )]
    Name { name: String, address: std::net::IpAddr, kind: AddressKind },
    #[error("{why}")]
    Connect { why: String, fault: Option<AttemptFault> },
    #[error("TLS: {0}")]
    Tls(String),
    #[error("{0}")]
    Exchange(String),
    #[error("no answer within {} ({phase})", format_duration_ms(*after_ms))]
    Timeout { after_ms: u64, phase: Phase },
}

/// How far an attempt has come.
#[derive(Clone, Debug, Default, thiserror::Error)]
pub enum Phase {
    #[default]
    #[error("nothing sent")]
    Start,
    #[error("while looking up {0}")]
    Resolving(String),
    #[error("while connecting to {0}")]
    Connecting(String),
    #[error("connected to the proxy {0}, which has not opened a tunnel")]
    Tunnel(String),
    #[error("connected, during the TLS handshake")]
    Handshake,
    #[error("connected, request sent")]
    Sent,
    #[error("status {0} came, but not the whole body")]
    Body(u16),
}

impl AttemptFailure {
    /// Whether it is worth another try.
    pub fn outcome(&self) -> Outcome {
        match self {
            // An address that is this machine's now may be another's tomorrow.
            Self::Address { kind: AddressKind::Own, .. } => Outcome::Retryable { after_ms: None },
            Self::Endpoint(_) | Self::Address { .. } | Self::Port { .. } | Self::Template(_) => {
                Outcome::Refused
            }
            _ => Outcome::Retryable { after_ms: None },
        }
    }

    /// A connection to `to` that did not come about.
    pub fn connect(to: &str, error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("connection refused by {to}"),
            io::ErrorKind::TimedOut => format!("no connection to {to}: it does not answer"),
            io::ErrorKind::NotFound => {
                format!("there is no socket {to}: is the application running?")
            }
            io::ErrorKind::PermissionDenied => format!("no permission to connect to {to}"),
            _ => format!("no connection to {to}: {error}"),
        };

        let fault = match error.kind() {
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Some(AttemptFault::NoRoute)
            }
            // This machine has no address to connect from: its own is gone, or it never had one of
            // this kind.
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::TimedOut
            | io::ErrorKind::AddrNotAvailable => Some(AttemptFault::Unreachable),
            // Whoever refuses or breaks off has been reached.
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => None,
            // Its own firewall, no descriptors: nobody was asked.
            _ => Some(AttemptFault::Unclear),
        };

        Self::Connect { why, fault }
    }

    /// Whether the link or the receiver's machine may be to blame, where nobody answered.
    pub fn fault(&self) -> Option<AttemptFault> {
        match self {
            Self::Template(_) => Some(AttemptFault::NotMade),
            // Nobody was asked.
            Self::Secret(_) => Some(AttemptFault::Unclear),
            Self::Connect { fault, .. } => *fault,
            Self::Unresolved { .. } => Some(AttemptFault::Unreachable),
            Self::Timeout { phase: Phase::Resolving(_) | Phase::Connecting(_), .. } => {
                Some(AttemptFault::Unreachable)
            }
            Self::Timeout { phase: Phase::Tunnel(_) | Phase::Handshake | Phase::Sent, .. } => {
                Some(AttemptFault::Unclear)
            }
            _ => None,
        }
    }

    /// An exchange that broke off. `overrun`: because the peer sent more than was to be read.
    pub fn exchange(error: &hyper::Error, overrun: bool) -> Self {
        let too_large = || {
            let (kib, fields) = (limits::RESPONSE_HEAD >> 10, limits::RESPONSE_FIELDS_READ);
            format!(
                "the head of the answer is larger than {kib} KiB or has more than {fields} fields: \
                 connection closed"
            )
        };

        Self::Exchange(match io_kind(error) {
            _ if overrun || error.is_parse_too_large() => too_large(),
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                "the connection was reset before an answer came".to_owned()
            }
            _ if error.is_parse() => format!("the answer is not HTTP/1.1 ({error})"),
            _ if error.is_incomplete_message() || error.is_canceled() || error.is_user() => {
                "the connection was closed before an answer came".to_owned()
            }
            _ => match tls_words::explain_cause(error) {
                Some(why) => format!("TLS: {why}"),
                None => format!("the exchange failed: {}", chain(error)),
            },
        })
    }

    /// A body that broke off.
    pub fn body(status: u16, error: &hyper::Error) -> Self {
        let why = tls_words::explain_cause(error).unwrap_or_else(|| chain(error));
        Self::Exchange(format!("status {status} came, but its body broke off: {why}"))
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

    use super::{AttemptFailure, Phase};
    use crate::model::AttemptFault;

    #[test]
    fn who_was_reached_and_who_was_not() {
        // ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL (no address of that kind), ECONNREFUSED,
        // ECONNRESET, EPERM, EMFILE.
        let cases = [
            (101, Some(AttemptFault::NoRoute)),
            (113, Some(AttemptFault::Unreachable)),
            (99, Some(AttemptFault::Unreachable)),
            (111, None),
            (104, None),
            (1, Some(AttemptFault::Unclear)),
            (24, Some(AttemptFault::Unclear)),
        ];
        for (errno, fault) in cases {
            let failure =
                AttemptFailure::connect("192.0.2.1:80", &io::Error::from_raw_os_error(errno));
            assert_eq!(failure.fault(), fault, "{failure}");
        }
    }

    #[test]
    fn a_deadline_says_what_had_been_reached_by_then() {
        let cases = [
            (Phase::Resolving("a.example".into()), Some(AttemptFault::Unreachable)),
            (Phase::Connecting("192.0.2.1:80".into()), Some(AttemptFault::Unreachable)),
            (Phase::Tunnel("p:3128".into()), Some(AttemptFault::Unclear)),
            (Phase::Handshake, Some(AttemptFault::Unclear)),
            (Phase::Sent, Some(AttemptFault::Unclear)),
            (Phase::Body(200), None),
        ];
        for (phase, fault) in cases {
            assert_eq!(AttemptFailure::Timeout { after_ms: 1, phase }.fault(), fault);
        }
    }
}
