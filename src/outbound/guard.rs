//! The address guard: which addresses may be dialled. Pure.
//!
//! IPv6 is refused unless it is global unicast (2000::/3) or carries an IPv4 address in a form that is still
//! in use (mapped, NAT64), which is then judged as that IPv4 address. IPv4 is allowed unless it stands in one
//! of the IANA special-purpose blocks (RFC 6890 and its registry) or is the metadata service of a cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
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
}

/// Whether `ip` may be dialled for an endpoint that was not given `--allow-private`.
///
/// # Errors
/// Says what kind of address it is when it may not.
pub fn allowed(ip: IpAddr) -> Result<(), Why> {
    match ip {
        IpAddr::V4(v4) => allowed_v4(v4),
        IpAddr::V6(v6) => allowed_v6(v6),
    }
}

fn allowed_v4(ip: Ipv4Addr) -> Result<(), Why> {
    match ip.octets() {
        [0, ..] => Err(Why::Unspecified),
        [127, ..] => Err(Why::Loopback),
        [10, ..] | [192, 168, ..] => Err(Why::Private),
        [172, b, ..] if (16..32).contains(&b) => Err(Why::Private),
        [169, 254, 169, 254] | [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192] => Err(Why::Metadata),
        [169, 254, ..] => Err(Why::LinkLocal),
        [100, b, ..] if (64..128).contains(&b) => Err(Why::Shared),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18 | 19, ..] => Err(Why::Documentation),
        [192, 88, 99, _] => Err(Why::Tunnel),
        [192, 0, 0, _] => Err(Why::Reserved),
        [a, ..] if (224..240).contains(&a) => Err(Why::Multicast),
        [255, 255, 255, 255] => Err(Why::Multicast),
        [a, ..] if a >= 240 => Err(Why::Reserved),
        _ => Ok(()),
    }
}

fn allowed_v6(ip: Ipv6Addr) -> Result<(), Why> {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return allowed_v4(v4);
    }
    let s = ip.segments();
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => Err(Why::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Err(Why::Loopback),
        // IPv4-compatible (deprecated), IPv4-translated, local-use NAT64.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 1, ..] => Err(Why::Tunnel),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => allowed_v4(embedded_v4(&ip, 12)),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => Err(Why::Metadata),
        // Teredo, 6to4.
        [0x2001, 0, ..] | [0x2002, ..] => Err(Why::Tunnel),
        [0x2001, 0xdb8, ..] | [0x2001, 2, 0, ..] => Err(Why::Documentation),
        [0x3fff, b, ..] if b < 0x1000 => Err(Why::Documentation),
        // IETF protocol assignments, the rest of 2001::/23.
        [0x2001, b, ..] if b < 0x200 => Err(Why::Reserved),
        [a, ..] if a & 0xfe00 == 0xfc00 => Err(Why::Private),
        [a, ..] if a & 0xffc0 == 0xfe80 => Err(Why::LinkLocal),
        // Site-local (deprecated).
        [a, ..] if a & 0xffc0 == 0xfec0 => Err(Why::Private),
        [a, ..] if a & 0xff00 == 0xff00 => Err(Why::Multicast),
        [a, ..] if a & 0xe000 != 0x2000 => Err(Why::Reserved),
        // ISATAP carries an IPv4 address in any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => allowed_v4(embedded_v4(&ip, 12)),
        _ => Ok(()),
    }
}

fn embedded_v4(ip: &Ipv6Addr, at: usize) -> Ipv4Addr {
    let octets = ip.octets();
    Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3])
}

#[cfg(test)]
mod tests {
    use super::{Why, allowed};

    #[test]
    fn every_special_block_is_refused_for_what_it_is() {
        let table = [
            ("0.0.0.0", Why::Unspecified),
            ("0.1.2.3", Why::Unspecified),
            ("127.0.0.1", Why::Loopback),
            ("127.255.255.254", Why::Loopback),
            ("10.0.0.1", Why::Private),
            ("172.16.0.1", Why::Private),
            ("172.31.255.255", Why::Private),
            ("192.168.1.1", Why::Private),
            ("169.254.1.1", Why::LinkLocal),
            ("169.254.169.254", Why::Metadata),
            ("168.63.129.16", Why::Metadata),
            ("100.100.100.200", Why::Metadata),
            ("100.64.0.1", Why::Shared),
            ("100.127.255.255", Why::Shared),
            ("224.0.0.1", Why::Multicast),
            ("239.255.255.255", Why::Multicast),
            ("255.255.255.255", Why::Multicast),
            ("240.0.0.1", Why::Reserved),
            ("192.0.0.1", Why::Reserved),
            ("192.0.2.1", Why::Documentation),
            ("198.18.0.1", Why::Documentation),
            ("198.19.255.255", Why::Documentation),
            ("198.51.100.7", Why::Documentation),
            ("203.0.113.9", Why::Documentation),
            ("192.88.99.1", Why::Tunnel),
            ("::", Why::Unspecified),
            ("::1", Why::Loopback),
            ("::127.0.0.1", Why::Tunnel),
            ("::ffff:127.0.0.1", Why::Loopback),
            ("::ffff:10.1.1.1", Why::Private),
            ("::ffff:0:127.0.0.1", Why::Tunnel),
            ("64:ff9b::127.0.0.1", Why::Loopback),
            ("64:ff9b::169.254.169.254", Why::Metadata),
            ("64:ff9b:1::8.8.8.8", Why::Tunnel),
            ("2001::1", Why::Tunnel),
            ("2001:0:7f00:1::", Why::Tunnel),
            ("2002:7f00:1::", Why::Tunnel),
            ("2001:2::1", Why::Documentation),
            ("2001:10::1", Why::Reserved),
            ("2001:db8::1", Why::Documentation),
            ("3fff::1", Why::Documentation),
            ("fc00::1", Why::Private),
            ("fd12:3456::1", Why::Private),
            ("fd00:ec2::254", Why::Metadata),
            ("fe80::1", Why::LinkLocal),
            ("febf::1", Why::LinkLocal),
            ("fec0::1", Why::Private),
            ("ff02::1", Why::Multicast),
            ("100::1", Why::Reserved),
            ("5f00::1", Why::Reserved),
            ("4000::1", Why::Reserved),
            ("2606:4700::5efe:127.0.0.1", Why::Loopback),
            ("2606:4700::200:5efe:192.168.0.1", Why::Private),
        ];
        for (ip, why) in table {
            assert_eq!(allowed(ip.parse().unwrap()), Err(why), "{ip}");
        }
    }

    #[test]
    fn the_neighbours_of_the_blocks_are_allowed() {
        for ip in [
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
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(allowed(ip.parse().unwrap()), Ok(()), "{ip}");
        }
    }
}
