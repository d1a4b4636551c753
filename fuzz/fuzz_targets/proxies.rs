//! Who the client is behind a proxy: `Forwarded`, `X-Forwarded-For`, and the PROXY protocol in both
//! versions. What a client puts in front of its proxy's word changes nothing; addresses are read as
//! they were written.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use hookbox::ingest::TrustedProxies;
use hookbox::ingest::fuzzing::{client, proxy_header, proxy_line};
use libfuzzer_sys::fuzz_target;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn trusted() -> TrustedProxies {
    let nets = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().expect("a net"));
    TrustedProxies { nets: nets.collect(), unix: false }
}

fn lists(data: &[u8]) {
    let names = ["forwarded", "x-forwarded-for", "x-forwarded-proto"];
    let values = data.split(|byte| *byte == 0);
    let headers: Vec<(&'static str, &[u8])> =
        names.into_iter().zip(values).filter(|(_, value)| !value.is_empty()).collect();

    let trusted = trusted();
    let Ok(Some(ip)) = client(&headers, &trusted) else { return };
    assert_eq!(ip, ip.to_canonical());
    if trusted.nets.iter().any(|net| net.contains(&ip)) {
        return;
    }

    // It is nobody whom the proxies trust, so whatever it says of others is its own word.
    let spoofed: Vec<(&'static str, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| match *name {
            "forwarded" => (*name, [b"for=6.6.6.6, ", *value].concat()),
            "x-forwarded-for" => (*name, [b"6.6.6.6, ", *value].concat()),
            _ => (*name, value.to_vec()),
        })
        .collect();
    let spoofed: Vec<(&'static str, &[u8])> =
        spoofed.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    // It may be refused: a header that named nobody names somebody else than the other one then.
    if let Ok(again) = client(&spoofed, &trusted) {
        assert_eq!(again, Some(ip));
    }
}

fn line(data: &[u8]) {
    let Ok(Some(from)) = proxy_line(data) else { return };
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let to = if from.is_ipv4() { "10.0.0.1" } else { "::1" };
    let again = format!("PROXY {family} {} {to} {} 443", from.ip(), from.port());
    assert_eq!(proxy_line(again.as_bytes()), Ok(Some(from)));
    assert!(proxy_line(&[data, b" x"].concat()).is_err(), "nothing may follow");
}

fn header(data: &[u8]) {
    let bytes = [SIGNATURE, data].concat();
    let Ok((from, length)) = proxy_header(&bytes) else { return };
    assert!(length <= bytes.len());
    let alone = proxy_header(&bytes[..length]);
    assert_eq!(alone, Ok((from, length)), "what follows it is not looked at");
    assert!(proxy_header(&bytes[..length - 1]).is_err());

    let Some(from) = from else { return };
    let mut again = [SIGNATURE, &[0x21]].concat();
    let port = from.port().to_be_bytes();
    match from.ip() {
        IpAddr::V4(ip) => {
            again.extend([0x11, 0, 12]);
            again.extend(ip.octets());
            again.extend([10, 0, 0, 1, port[0], port[1], 1, 0xbb]);
        }
        IpAddr::V6(ip) => {
            again.extend([0x21, 0, 36]);
            again.extend(ip.octets());
            again.extend([0; 16]);
            again.extend([port[0], port[1], 1, 0xbb]);
        }
    }

    let read: Option<SocketAddr> = proxy_header(&again).expect("well formed").0;
    assert_eq!(read.map(|read| (read.ip(), read.port())), Some((from.ip(), from.port())));
}

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    match which % 3 {
        0 => lists(data),
        1 => line(data),
        _ => header(data),
    }
});
