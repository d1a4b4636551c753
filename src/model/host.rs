//! The host of a URL: a name for the resolver, or an address.
//!
//! Only the numeric forms of IPv4 addresses (decimal, octal, hexadecimal, fewer than four parts)
//! are read, by the rules of the WHATWG URL standard, section 3.5. They become plain addresses
//! here, so that they never reach the system's resolver, which would read them, too, after the
//! address guard has seen only a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name of a host, and of one of its labels (RFC 1035 section 2.3.4).
const NAME_LEN: usize = 253;
const LABEL_LEN: usize = 63;

/// The host that a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// In lower case, without a dot at its end.
    Name(String),
    Address(IpAddr),
}

/// Why a text is not a host or a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("'{0}' is not a host name or an address")]
    Name(String),
    #[error("'{0}' is not an IPv4 address: write it as 192.0.2.1")]
    Ipv4(String),
    #[error("'{0}' is not an IPv6 address that can be sent to (zones, %…, are not supported)")]
    Ipv6(String),
    #[error("an IPv6 address stands in brackets: write http://[2001:db8::1]/")]
    OpenBracket,
    #[error("'{0}' does not belong behind the brackets")]
    AfterBracket(String),
    #[error("'{0}' is not a port: it is a number from 1 to 65535")]
    Port(String),
}

impl fmt::Display for Host {
    /// As a URL has it: an IPv6 address stands in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl Host {
    /// Reads the part of a URL between `//` and the path: a host, and its port if there is one.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn parse_with_port(authority: &str) -> Result<(Self, Option<u16>), HostError> {
        let (host, port) = split_port(authority)?;
        let port = port.map(parse_port).transpose()?;

        Ok((Self::parse(host)?, port))
    }

    fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inside) = text.strip_prefix('[') {
            let inside = inside.trim_end_matches(']');
            let ip = inside.parse::<Ipv6Addr>().map_err(|_| HostError::Ipv6(shown(inside)))?;
            return Ok(Self::Address(ip.into()));
        }

        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if !is_name(&name) {
            return Err(HostError::Name(shown(text)));
        }
        if ends_in_number(&name) {
            let ip = parse_ipv4(&name).ok_or_else(|| HostError::Ipv4(shown(text)))?;
            return Ok(Self::Address(ip.into()));
        }
        Ok(Self::Name(name))
    }

    /// Whether this is `localhost` or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(ip) => ip.is_loopback(),
        }
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), HostError> {
    let Some(inside) = authority.strip_prefix('[') else {
        return Ok(authority
            .split_once(':')
            .map_or((authority, None), |(host, port)| (host, Some(port))));
    };

    let end = inside.find(']').ok_or(HostError::OpenBracket)?;
    let (host, after) = (&authority[..end + 2], &inside[end + 1..]);
    match after.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if after.is_empty() => Ok((host, None)),
        None => Err(HostError::AfterBracket(shown(after))),
    }
}

fn parse_port(text: &str) -> Result<u16, HostError> {
    // `parse` alone takes a sign as well.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(HostError::Port(shown(text))),
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');

    !name.is_empty()
        && name.len() <= NAME_LEN
        && name.bytes().all(is_plain)
        && name.split('.').all(|label| (1..=LABEL_LEN).contains(&label.len()))
}

/// Whether the system's resolver might read this name as an address.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.bytes().all(|b| b.is_ascii_digit()) || parse_number(last).is_some()
}

/// Reads one to four numbers; the last one fills the bytes that are left.
fn parse_ipv4(name: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = name.split('.').map(parse_number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|&n| n > 255) || *last >= 1 << (8 * (4 - first.len())) {
        return None;
    }

    let head = first.iter().zip([24, 16, 8]).fold(0, |sum, (&n, shift)| sum + (n << shift));
    u32::try_from(head + last).ok().map(Ipv4Addr::from)
}

/// Reads a decimal, `0x` hexadecimal or `0` octal number.
fn parse_number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    match digits {
        "" if radix == 16 => Some(0),
        _ if digits.starts_with('+') => None,
        _ => u64::from_str_radix(digits, radix).ok(),
    }
}

/// The beginning of a text, for an error.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::Host;

    fn host(text: &str) -> Host {
        Host::parse_with_port(text).expect(text).0
    }

    #[test]
    fn all_ways_to_write_loopback_are_the_same_address() {
        let expected = Host::Address("127.0.0.1".parse().unwrap());
        for text in [
            "127.0.0.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "017700000001",
            "0177.0.0.1",
            "0x7f.0.0.0x1",
            "127.1",
            "127.0.1",
            "0177.0000.0000.0001",
        ] {
            assert_eq!(host(text), expected, "{text}");
        }
        assert_eq!(host("0"), Host::Address("0.0.0.0".parse().unwrap()));
    }

    #[test]
    fn a_host_is_written_as_in_a_url() {
        for (text, shown) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("127.1", "127.0.0.1"),
        ] {
            assert_eq!(host(text).to_string(), shown);
        }
    }
}
