//! The header of the PROXY protocol, versions 1 and 2, as a proxy sends it before the bytes of its
//! client. Pure.
//!
//! Source: the specification of HAProxy, proxy-protocol.txt.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a header of version 2 behind its fixed part; the specification's own examples have less
/// than 500.
pub(super) const MAX_REST: usize = 2048;
/// Bytes of the fixed part of version 2.
pub(super) const FIXED: usize = 16;
/// Bytes that tell the versions apart: none of version 1 has less.
pub(super) const START: usize = 12;
/// Bytes of a line of version 1 with its end, by its specification.
pub(super) const MAX_LINE: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The client that a PROXY header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyHeader {
    /// The proxy's own connection (a health check).
    Local,
    From(SocketAddr),
    /// A client without an internet address.
    Elsewhere,
}

/// Whether a header that begins so is a line of version 1.
pub(super) fn is_version_1(start: &[u8; START]) -> bool {
    start.starts_with(b"PROXY ")
}

/// Reads a line of version 1, without its end: `PROXY TCP4 192.0.2.7 10.0.0.1 4242 443`.
pub(super) fn read_version_1(line: &[u8]) -> Result<ProxyHeader, &'static str> {
    const WRONG: &str = "the PROXY header of version 1 cannot be read";
    let text = std::str::from_utf8(line).map_err(|_| WRONG)?;
    let words: Vec<&str> = text.split(' ').collect();

    let port = |text: &str| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| is_plain).ok_or(WRONG)
    };

    match words.as_slice() {
        // Whatever follows is not to be looked at.
        ["PROXY", "UNKNOWN", ..] => Ok(ProxyHeader::Elsewhere),
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let (from, to) = (from.parse::<IpAddr>(), to.parse::<IpAddr>());
            let (from, to) = (from.map_err(|_| WRONG)?, to.map_err(|_| WRONG)?);
            if from.is_ipv4() != (*family == "TCP4") || to.is_ipv4() != from.is_ipv4() {
                return Err(WRONG);
            }

            port(to_port)?;
            Ok(ProxyHeader::From(SocketAddr::new(from, port(from_port)?)))
        }
        _ => Err(WRONG),
    }
}

/// How many bytes follow the fixed part; the reason when it is not a PROXY header of version 2.
pub(super) fn version_2_length(fixed: &[u8; FIXED]) -> Result<usize, &'static str> {
    if !fixed.starts_with(SIGNATURE) || fixed[12] >> 4 != 2 {
        return Err("the connection does not begin with a PROXY header");
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MAX_REST { Err("the PROXY header is too long") } else { Ok(length) }
}

/// Reads the header whose fixed part and rest came.
pub(super) fn read_version_2(
    fixed: &[u8; FIXED],
    rest: &[u8],
) -> Result<ProxyHeader, &'static str> {
    const SHORT: &str = "the PROXY header is too short for its addresses";

    match (fixed[12] & 0xf, fixed[13] >> 4) {
        (0, _) => Ok(ProxyHeader::Local),
        (1, 1) => {
            let part: &[u8; 12] = rest.first_chunk().ok_or(SHORT)?;
            let [a, b, c, d, _, _, _, _, high, low, ..] = *part;
            Ok(ProxyHeader::From(
                (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into(),
            ))
        }
        (1, 2) => {
            let part: &[u8; 36] = rest.first_chunk().ok_or(SHORT)?;
            let mut source = [0; 16];
            source.copy_from_slice(&part[..16]);
            Ok(ProxyHeader::From(
                (Ipv6Addr::from(source), u16::from_be_bytes([part[32], part[33]])).into(),
            ))
        }
        (1, _) => Ok(ProxyHeader::Elsewhere),
        _ => Err("the PROXY header's command is not known"),
    }
}

#[cfg(test)]
mod tests {
    use super::{ProxyHeader, read_version_1, read_version_2, version_2_length};

    #[test]
    fn proxy_headers_of_version_1() {
        let of = |line: &str| read_version_1(line.as_bytes());
        let from = |text: &str| Ok(ProxyHeader::From(text.parse().expect("an address")));
        assert_eq!(of("PROXY TCP4 192.0.2.7 10.0.0.1 4242 443"), from("192.0.2.7:4242"));
        assert_eq!(of("PROXY TCP6 2001:db8::7 ::1 9 443"), from("[2001:db8::7]:9"));
        assert_eq!(of("PROXY UNKNOWN"), Ok(ProxyHeader::Elsewhere));
        assert_eq!(
            of("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535"),
            Ok(ProxyHeader::Elsewhere)
        );

        for wrong in [
            "PROXY",
            "PROXY TCP4",
            "PROXY TCP5 192.0.2.7 10.0.0.1 4242 443",
            "PROXY TCP4 2001:db8::7 ::1 9 443",
            "PROXY TCP6 192.0.2.7 10.0.0.1 4242 443",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4242",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4242 443 1",
            "PROXY TCP4 192.0.2.7 10.0.0.1  443",
            "PROXY  TCP4 192.0.2.7 10.0.0.1 4242 443",
            "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +4242 443",
            "PROXY TCP4 192.0.2.7 10.0.0.1 04242 443",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4242 443\r",
            "PROXY TCP4 192.0.2.007 10.0.0.1 4242 443",
            "PROXY UNKNOWNX",
            "proxy TCP4 192.0.2.7 10.0.0.1 4242 443",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(read_version_1(b"PROXY \xff").is_err());
    }

    #[test]
    fn proxy_headers_of_version_2() {
        let mut fixed = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
        let rest = [192, 0, 2, 7, 10, 0, 0, 1, 0x10, 0x92, 1, 0xbb];
        assert_eq!(version_2_length(&fixed), Ok(12));
        assert_eq!(
            read_version_2(&fixed, &rest),
            Ok(ProxyHeader::From("192.0.2.7:4242".parse().expect("an address")))
        );
        assert!(read_version_2(&fixed, &rest[..11]).is_err());

        fixed[13] = 0x21;
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        six[33] = 9;
        assert_eq!(
            read_version_2(&fixed, &six),
            Ok(ProxyHeader::From("[2001:db8::]:9".parse().expect("an address")))
        );

        fixed[13] = 0;
        assert_eq!(read_version_2(&fixed, &[]), Ok(ProxyHeader::Elsewhere));
        fixed[12] = 0x20;
        assert_eq!(read_version_2(&fixed, &[]), Ok(ProxyHeader::Local));

        fixed[12] = 0x2f;
        assert!(read_version_2(&fixed, &[]).is_err());
        fixed[14] = 0xff;
        assert!(version_2_length(&fixed).is_err(), "too long");
        fixed[12] = 0x11;
        assert!(version_2_length(&fixed).is_err(), "version 1");
        assert!(version_2_length(b"POST / HTTP/1.1\r").is_err());
    }
}
