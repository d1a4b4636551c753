//! Networks as operators write them. Pure.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Bits in front of an IPv4 address that is written as an IPv6 one (RFC 4291, section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A network (`192.0.2.0/24`, `2001:db8::/32`) or one address. IPv4 written as IPv6
/// (`::ffff:192.0.2.0/120`) is IPv4, as the addresses of clients are: else it would fit none of
/// them.
#[must_use]
pub fn parse_network(text: &str) -> Option<IpNet> {
    let single = text.parse::<IpAddr>().ok().map(IpNet::from);
    single.or_else(|| text.parse().ok()).map(canonical)
}

fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else { return network };
    let mapped = Ipv6Addr::to_ipv4_mapped(&wide.addr());
    let prefix = wide.prefix_len().checked_sub(MAPPED_BITS);
    match (mapped, prefix) {
        (Some(address), Some(prefix)) => Ipv4Net::new(address, prefix).map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::parse_network;

    #[test]
    fn ipv4_is_ipv4_however_it_is_written() {
        for (text, network) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::1", "::1/128"),
        ] {
            let parsed = parse_network(text).expect(text);
            assert_eq!(parsed.to_string(), network, "{text}");
        }
        for wrong in ["", "192.0.2.0/33", "::ffff:192.0.2.0/129", "example.com", "unix"] {
            assert_eq!(parse_network(wrong), None, "{wrong}");
        }
    }
}
