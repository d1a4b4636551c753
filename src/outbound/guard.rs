//! The address guard: which addresses may be dialled. Pure; what this machine knows of itself is
//! asked by `own_address`.
//!
//! IPv6 is refused unless it is global unicast (2000::/3) or holds an IPv4 address in a form that
//! is still in use (mapped, NAT64), which then counts as that IPv4 address. IPv4 is allowed
//! unless it stands in one of the IANA special-purpose blocks (RFC 6890 and its registry) or is the
//! metadata service of a cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ports of services that speak in lines and could be made to take a webhook for commands, or that
/// no webhook receiver listens on.
const PORTS: [(u16, &str); 24] = [
    (1, "tcpmux"),
    (7, "echo"),
    (19, "chargen"),
    (21, "ftp"),
    (22, "ssh"),
    (23, "telnet"),
    (25, "smtp"),
    (53, "dns"),
    (110, "pop3"),
    (111, "rpcbind"),
    (119, "nntp"),
    (135, "rpc"),
    (139, "netbios"),
    (143, "imap"),
    (389, "ldap"),
    (445, "smb"),
    (465, "smtps"),
    (514, "syslog"),
    (587, "submission"),
    (3306, "mysql"),
    (5432, "postgres"),
    (6379, "redis"),
    (9042, "cassandra"),
    (11211, "memcached"),
];

/// The kind of an address that is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressKind {
    #[error("an unspecified address")]
    Unspecified,
    #[error("a loopback address")]
    Loopback,
    #[error("a private address")]
    Private,
    #[error("a link-local address")]
    LinkLocal,
    #[error("a carrier's shared address (100.64.0.0/10)")]
    Shared,
    #[error("a multicast or broadcast address")]
    Multicast,
    #[error("a cloud's metadata address")]
    Metadata,
    #[error("a reserved address")]
    Reserved,
    #[error("a documentation or benchmark address")]
    Documentation,
    #[error("an address that tunnels to another one")]
    Tunnel,
    #[error("an address of this machine")]
    Own,
}

/// Whether `ip` may be dialled for an endpoint that was not given `--allow-private`.
///
/// # Errors
/// Says what kind of address it is when it may not.
pub fn allowed(ip: IpAddr) -> Result<(), AddressKind> {
    match ip {
        IpAddr::V4(v4) => allowed_v4(v4),
        IpAddr::V6(v6) => allowed_v6(v6),
    }
}

/// Whether `port` may be dialled without `--allow-private`.
///
/// # Errors
/// Names the service it belongs to.
pub fn allowed_port(port: u16) -> Result<(), &'static str> {
    PORTS.iter().find(|(p, _)| *p == port).map_or(Ok(()), |(_, service)| Err(*service))
}

fn allowed_v4(ip: Ipv4Addr) -> Result<(), AddressKind> {
    match ip.octets() {
        [0, ..] => Err(AddressKind::Unspecified),
        [127, ..] => Err(AddressKind::Loopback),
        [10, ..] | [192, 168, ..] => Err(AddressKind::Private),
        [172, b, ..] if (16..32).contains(&b) => Err(AddressKind::Private),
        [169, 254, 169, 254] | [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192] => {
            Err(AddressKind::Metadata)
        }
        [169, 254, ..] => Err(AddressKind::LinkLocal),
        [100, b, ..] if (64..128).contains(&b) => Err(AddressKind::Shared),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18 | 19, ..] => {
            Err(AddressKind::Documentation)
        }
        [192, 88, 99, _] => Err(AddressKind::Tunnel),
        [192, 0, 0, _] => Err(AddressKind::Reserved),

        [a, ..] if (224..240).contains(&a) => Err(AddressKind::Multicast),
        [255, 255, 255, 255] => Err(AddressKind::Multicast),
        [a, ..] if a >= 240 => Err(AddressKind::Reserved),
        _ => Ok(()),
    }
}

fn allowed_v6(ip: Ipv6Addr) -> Result<(), AddressKind> {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return allowed_v4(v4);
    }

    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Err(AddressKind::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Err(AddressKind::Loopback),
        // IPv4-compatible (deprecated), IPv4-translated, local-use NAT64.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 1, ..] => {
            Err(AddressKind::Tunnel)
        }
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => allowed_v4(embedded_v4(&ip, 12)),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => Err(AddressKind::Metadata),
        // Teredo, 6to4.
        [0x2001, 0, ..] | [0x2002, ..] => Err(AddressKind::Tunnel),
        [0x2001, 0xdb8, ..] | [0x2001, 2, 0, ..] => Err(AddressKind::Documentation),
        [0x3fff, b, ..] if b < 0x1000 => Err(AddressKind::Documentation),
        // IETF protocol assignments, the rest of 2001::/23.
        [0x2001, b, ..] if b < 0x200 => Err(AddressKind::Reserved),
        [a, ..] if a & 0xfe00 == 0xfc00 => Err(AddressKind::Private),
        [a, ..] if a & 0xffc0 == 0xfe80 => Err(AddressKind::LinkLocal),
        // Site-local (deprecated).
        [a, ..] if a & 0xffc0 == 0xfec0 => Err(AddressKind::Private),
        [a, ..] if a & 0xff00 == 0xff00 => Err(AddressKind::Multicast),
        [a, ..] if a & 0xe000 != 0x2000 => Err(AddressKind::Reserved),
        // ISATAP has an IPv4 address in any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => allowed_v4(embedded_v4(&ip, 12)),
        _ => Ok(()),
    }
}

/// The address that is reached in the end: the IPv4 one where an allowed IPv6 address stands for
/// one.
pub fn inner(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => IpAddr::V4(embedded_v4(&v6, 12)),
        _ => ip,
    }
}

fn embedded_v4(ip: &Ipv6Addr, at: usize) -> Ipv4Addr {
    let octets = ip.octets();
    Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3])
}

#[cfg(test)]
mod tests {
    use super::{AddressKind, allowed, allowed_port, inner};

    #[test]
    fn every_special_block_is_refused_for_what_it_is() {
        let table = [
            ("0.0.0.0", AddressKind::Unspecified),
            ("0.1.2.3", AddressKind::Unspecified),
            ("127.0.0.1", AddressKind::Loopback),
            ("127.255.255.254", AddressKind::Loopback),
            ("10.0.0.1", AddressKind::Private),
            ("172.16.0.1", AddressKind::Private),
            ("172.31.255.255", AddressKind::Private),
            ("192.168.1.1", AddressKind::Private),
            ("169.254.1.1", AddressKind::LinkLocal),
            ("169.254.169.254", AddressKind::Metadata),
            ("168.63.129.16", AddressKind::Metadata),
            ("100.100.100.200", AddressKind::Metadata),
            ("100.64.0.1", AddressKind::Shared),
            ("100.127.255.255", AddressKind::Shared),
            ("224.0.0.1", AddressKind::Multicast),
            ("239.255.255.255", AddressKind::Multicast),
            ("255.255.255.255", AddressKind::Multicast),
            ("240.0.0.1", AddressKind::Reserved),
            ("192.0.0.1", AddressKind::Reserved),
            ("192.0.2.1", AddressKind::Documentation),
            ("198.18.0.1", AddressKind::Documentation),
            ("198.19.255.255", AddressKind::Documentation),
            ("198.51.100.7", AddressKind::Documentation),
            ("203.0.113.9", AddressKind::Documentation),
            ("192.88.99.1", AddressKind::Tunnel),
            ("::", AddressKind::Unspecified),
            ("::1", AddressKind::Loopback),
            ("::127.0.0.1", AddressKind::Tunnel),
            ("::ffff:127.0.0.1", AddressKind::Loopback),
            ("::ffff:10.1.1.1", AddressKind::Private),
            ("::ffff:0:127.0.0.1", AddressKind::Tunnel),
            ("64:ff9b::127.0.0.1", AddressKind::Loopback),
            ("64:ff9b::169.254.169.254", AddressKind::Metadata),
            ("64:ff9b:1::8.8.8.8", AddressKind::Tunnel),
            ("2001::1", AddressKind::Tunnel),
            ("2001:0:7f00:1::", AddressKind::Tunnel),
            ("2002:7f00:1::", AddressKind::Tunnel),
            ("2001:2::1", AddressKind::Documentation),
            ("2001:10::1", AddressKind::Reserved),
            ("2001:db8::1", AddressKind::Documentation),
            ("3fff::1", AddressKind::Documentation),
            ("fc00::1", AddressKind::Private),
            ("fd12:3456::1", AddressKind::Private),
            ("fd00:ec2::254", AddressKind::Metadata),
            ("fe80::1", AddressKind::LinkLocal),
            ("febf::1", AddressKind::LinkLocal),
            ("fec0::1", AddressKind::Private),
            ("ff02::1", AddressKind::Multicast),
            ("100::1", AddressKind::Reserved),
            ("5f00::1", AddressKind::Reserved),
            ("4000::1", AddressKind::Reserved),
            ("2606:4700::5efe:127.0.0.1", AddressKind::Loopback),
            ("2606:4700::200:5efe:192.168.0.1", AddressKind::Private),
        ];

        for (ip, why) in table {
            assert_eq!(allowed(ip.parse().unwrap()), Err(why), "{ip}");
        }
    }

    #[test]
    fn an_address_in_an_address_is_found() {
        for (ip, expected) in [
            ("8.8.8.8", "8.8.8.8"),
            ("::ffff:8.8.8.8", "8.8.8.8"),
            ("64:ff9b::8.8.8.8", "8.8.8.8"),
            ("2606:4700::5efe:8.8.8.8", "8.8.8.8"),
            ("2606:4700:4700::1111", "2606:4700:4700::1111"),
        ] {
            assert_eq!(inner(ip.parse().unwrap()).to_string(), expected, "{ip}");
        }
    }

    #[test]
    fn the_neighbours_of_the_blocks_are_allowed() {
        let neighbours = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "169.253.0.1",
            "192.167.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
        ];

        for ip in neighbours {
            assert_eq!(allowed(ip.parse().unwrap()), Ok(()), "{ip}");
        }
    }

    #[test]
    fn ordinary_ipv6_addresses_are_allowed() {
        for ip in
            ["2606:4700:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
        {
            assert_eq!(allowed(ip.parse().unwrap()), Ok(()), "{ip}");
        }
    }

    #[test]
    fn ports_of_line_protocols_are_named() {
        assert_eq!(allowed_port(6379), Err("redis"));
        assert!([80, 443, 8080, 3000, 8420].iter().all(|&p| allowed_port(p).is_ok()));
    }
}
