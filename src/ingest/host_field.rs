//! The value of a `Host` header (RFC 9112, 3.2), and the authority of an absolute request target:
//! `uri-host [ ":" port ]`. Pure.
//!
//! Whoever stands in front of the daemon, or reads a signed URL, may take what is not of this form
//! for another host than the daemon does.

use std::net::Ipv6Addr;

/// Whether it is a host, perhaps with a port, or empty.
pub(super) fn is_host(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((address, rest)) if is_literal(address) => ("", rest),
            _ => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => port,
        None if rest.is_empty() => "",
        None => return false,
    };
    is_name(host.as_bytes()) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// `reg-name` (RFC 3986, 3.2.2), which an IPv4 address is, too.
fn is_name(mut name: &[u8]) -> bool {
    while let [byte, rest @ ..] = name {
        name = match (byte, rest) {
            (b'%', [high, low, rest @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest
            }
            (byte, rest) if is_plain(*byte) => rest,
            _ => return false,
        };
    }
    true
}

/// `unreserved` and `sub-delims`.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

/// What stands in brackets: an IPv6 address, or one of a later version.
fn is_literal(text: &str) -> bool {
    let later = text.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.'));
    let is_later = later.is_some_and(|(version, address)| {
        !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !address.is_empty()
            && address.bytes().all(|byte| byte == b':' || is_plain(byte))
    });
    is_later || text.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in [
            "",
            "h",
            "hooks.example.com",
            "hooks.example.com.",
            "hooks.example.com:8443",
            "hooks.example.com:",
            "my_host-1",
            "192.0.2.7:80",
            "[::1]",
            "[2001:db8::1]:8080",
            "[::ffff:192.0.2.7]",
            "[v1.fe80::a+en1]",
            "b%C3%BCcher.example",
            "a,b;c=d",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }

        for bad in [
            "a b/c@d",
            "x, y",
            "http://x",
            "[::1",
            "::1",
            "[::1]x",
            "[::g]",
            "[]",
            "[v.x]",
            "[fe80::1%eth0]",
            "x:ab",
            "x:80:80",
            "x:-1",
            "u@x",
            "x/y",
            "x?y",
            "x#y",
            "x%",
            "x%g0",
            "x\\y",
            "bücher.example",
            "\"x\"",
            "x\ty",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(!is_host(b"\xff"));
    }
}
