//! This machine's own addresses, whatever kind they are: behind each of them stand services that
//! trust who is here, as behind loopback. Asked of the kernel for each address that is about to be
//! dialled, so that there is no list to grow old.
//!
//! Not known: addresses that something in front of this machine translates to its own.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use super::guard::{self, AddressKind};

/// Whether `ip` may be dialled for an endpoint that was not given `--allow-private`: the guard's
/// classification, and what this machine knows of itself.
///
/// # Errors
/// Says what kind of address it is when it may not.
pub fn allowed(ip: IpAddr) -> Result<(), AddressKind> {
    guard::allowed(ip)?;
    if is_own(guard::inner(ip)) { Err(AddressKind::Own) } else { Ok(()) }
}

/// Whether an interface of this machine has this address. Only one that does can be bound to;
/// nothing is sent.
fn is_own(ip: IpAddr) -> bool {
    match UdpSocket::bind((ip, 0)) {
        Ok(_) if !binds_anything(ip) => true,
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => false,
        // Where any address can be bound to, or none.
        _ => is_reached_from_itself(ip).unwrap_or(false),
    }
}

/// Some machines let their services bind to addresses that they do not have (yet).
fn binds_anything(ip: IpAddr) -> bool {
    let kind = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    let set =
        fs::read_to_string(format!("/proc/sys/net/{kind}/ip_nonlocal_bind")).unwrap_or_default();
    set.trim() == "1"
}

/// Packets to an own address come from it. Connecting a UDP socket sends nothing.
fn is_reached_from_itself(ip: IpAddr) -> io::Result<bool> {
    let any: IpAddr =
        if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((ip, 9))?;
    Ok(socket.local_addr()?.ip() == ip)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{allowed, is_own, is_reached_from_itself};

    #[test]
    fn own_addresses_are_known() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for own in ["127.0.0.1", "127.0.0.7"] {
            assert!(is_own(ip(own)), "{own}");
        }
        assert!(is_reached_from_itself(ip("127.0.0.1")).unwrap());
        for other in ["1.1.1.1", "192.0.2.7", "2606:4700:4700::1111"] {
            assert!(!is_own(ip(other)), "{other}");
        }
        for other in ["1.1.1.1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"] {
            assert_eq!(allowed(ip(other)), Ok(()), "{other}");
        }
    }
}
