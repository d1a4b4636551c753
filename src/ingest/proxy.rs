//! Who the client is behind a proxy: `Forwarded` (RFC 7239), `X-Forwarded-For`, and the PROXY protocol version 2. Pure.
//!
//! Only a peer in the configuration's `ingress.trusted_proxies` is believed. Each proxy appends the address that it saw,
//! so the list is read from its end: the first address that is no trusted proxy is the client's; what stands before it
//! is what the client says of itself. A request with both headers must say the same in both, for a proxy that
//! writes one lets the other pass.
//!
//! Refused with 400: a header that cannot be read, two headers that disagree. A client whose address the proxy hides
//! (`for=unknown`, `for=_x`) has none, and no allow-list lets it in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::HeaderMap;
use ipnet::IpNet;

/// Bytes of a PROXY header behind its first 16; the specification's own examples have less than 500.
pub(super) const PROXY_BYTES: usize = 2048;
/// Bytes of the fixed part.
pub(super) const PROXY_FIXED: usize = 16;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses that a chain of proxies may have put in.
const CHAIN: usize = 32;

/// Whose word on the client is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    pub nets: Vec<IpNet>,
    /// Whoever can open the Unix sockets that are listened on.
    pub unix: bool,
}

impl Trusted {
    /// Whether the peer at this address, or over a Unix socket (`None`), is a trusted proxy.
    pub(super) fn trusts(&self, ip: Option<IpAddr>) -> bool {
        ip.map_or(self.unix, |ip| self.nets.iter().any(|net| net.contains(&ip)))
    }
}

/// What a trusted proxy says of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Nothing: the proxy speaks for itself.
    Unsaid,
    Known(IpAddr),
    /// The proxy knows and does not say.
    Hidden,
}

/// The client of a request that came from a trusted proxy.
pub(super) fn client(headers: &HeaderMap, trusted: &Trusted) -> Result<Client, &'static str> {
    let forwarded = of_list(&elements(headers, "forwarded")?, trusted, forwarded_for)?;
    let x_forwarded = of_list(&elements(headers, "x-forwarded-for")?, trusted, |text| Ok(node(text)))?;
    match (forwarded, x_forwarded) {
        (Client::Unsaid, one) | (one, Client::Unsaid) => Ok(one),
        (one, other) if one == other => Ok(one),
        _ => Err("Forwarded and X-Forwarded-For name different clients"),
    }
}

/// Whether a trusted proxy says that the client used https. `None` when it says nothing.
pub(super) fn is_https(headers: &HeaderMap) -> Option<bool> {
    if let Some(proto) = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()) {
        return Some(proto.rsplit(',').next().unwrap_or_default().trim().eq_ignore_ascii_case("https"));
    }
    let elements = elements(headers, "forwarded").ok()?;
    let last = elements.last()?;
    let proto =
        last.split(';').find_map(|pair| pair.trim().split_once('=').filter(|(n, _)| n.eq_ignore_ascii_case("proto")));
    proto.map(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("https"))
}

/// The members of a list header, over all fields of that name. Commas within quotes do not separate.
fn elements(headers: &HeaderMap, name: &str) -> Result<Vec<String>, &'static str> {
    let mut found = Vec::new();
    for value in headers.get_all(name) {
        let value = value.to_str().map_err(|_| "a header that names the client is not text")?;
        let (mut quoted, mut from) = (false, 0);
        for (at, byte) in value.bytes().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    found.push(value[from..at].trim().to_owned());
                    from = at + 1;
                }
                _ => {}
            }
        }
        found.push(value[from..].trim().to_owned());
    }
    found.retain(|element| !element.is_empty());
    if found.len() > CHAIN { Err("too many proxies") } else { Ok(found) }
}

fn of_list(
    elements: &[String],
    trusted: &Trusted,
    read: impl Fn(&str) -> Result<Node, &'static str>,
) -> Result<Client, &'static str> {
    let mut nearest = Client::Unsaid;
    for element in elements.iter().rev() {
        match read(element)? {
            Node::Address(ip) => {
                nearest = Client::Known(ip);
                if !trusted.trusts(Some(ip)) {
                    return Ok(nearest);
                }
            }
            Node::Hidden => return Ok(Client::Hidden),
            Node::Nonsense => return Err("a header that names the client cannot be read"),
        }
    }
    Ok(nearest)
}

/// How a header names one hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Address(IpAddr),
    Hidden,
    Nonsense,
}

/// The `for` of one element of `Forwarded`: `for=192.0.2.60;proto=http`, `For="[2001:db8::17]:4711"`.
fn forwarded_for(element: &str) -> Result<Node, &'static str> {
    let mut found = None;
    for pair in element.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("Forwarded cannot be read")?;
        if !name.eq_ignore_ascii_case("for") {
            continue;
        }
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        if found.replace(node(value)).is_some() {
            return Err("Forwarded names one hop twice");
        }
    }
    // An element without `for` is a hop that does not say whom it saw.
    Ok(found.unwrap_or(Node::Hidden))
}

/// An address with or without a port, in brackets or not; `unknown`; or a name that hides it.
fn node(text: &str) -> Node {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return Node::Hidden;
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    // `192.0.2.1:_port` is legal, too.
    let ip = ip.or_else(|| text.rsplit_once(":_").and_then(|(host, _)| host.trim_matches(['[', ']']).parse().ok()));
    ip.map_or(Node::Nonsense, |ip| Node::Address(ip.to_canonical()))
}

/// What a PROXY header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxied {
    /// The proxy's own connection (a health check).
    Local,
    From(SocketAddr),
    /// A client without an internet address.
    Elsewhere,
}

/// How many bytes follow the fixed part; the reason when it is no PROXY header of version 2.
pub(super) fn proxy_length(fixed: &[u8; PROXY_FIXED]) -> Result<usize, &'static str> {
    if !fixed.starts_with(SIGNATURE) || fixed[12] >> 4 != 2 {
        return Err("the connection does not begin with a PROXY header of version 2");
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > PROXY_BYTES { Err("the PROXY header is too long") } else { Ok(length) }
}

/// Reads the header whose fixed part and rest came.
pub(super) fn proxied(fixed: &[u8; PROXY_FIXED], rest: &[u8]) -> Result<Proxied, &'static str> {
    const SHORT: &str = "the PROXY header is too short for its addresses";
    match (fixed[12] & 0xf, fixed[13] >> 4) {
        (0, _) => Ok(Proxied::Local),
        (1, 1) => {
            let part: &[u8; 12] = rest.first_chunk().ok_or(SHORT)?;
            let [a, b, c, d, _, _, _, _, high, low, ..] = *part;
            Ok(Proxied::From((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into()))
        }
        (1, 2) => {
            let part: &[u8; 36] = rest.first_chunk().ok_or(SHORT)?;
            let mut source = [0; 16];
            source.copy_from_slice(&part[..16]);
            Ok(Proxied::From((Ipv6Addr::from(source), u16::from_be_bytes([part[32], part[33]])).into()))
        }
        (1, _) => Ok(Proxied::Elsewhere),
        _ => Err("the PROXY header's command is not known"),
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::{Client, Proxied, Trusted, client, is_https, proxied, proxy_length};

    fn trusted() -> Trusted {
        let nets = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().expect("a net")).collect();
        Trusted { nets, unix: false }
    }

    fn ask(pairs: &[(&'static str, &str)]) -> Result<Client, &'static str> {
        let mut headers = HeaderMap::new();
        pairs.iter().for_each(|(name, value)| _ = headers.append(*name, value.parse().expect("a value")));
        client(&headers, &trusted())
    }

    fn known(ip: &str) -> Result<Client, &'static str> {
        Ok(Client::Known(ip.parse().expect("an address")))
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        assert_eq!(ask(&[]), Ok(Client::Unsaid));
        assert_eq!(ask(&[("x-forwarded-for", "192.0.2.1")]), known("192.0.2.1"));
        assert_eq!(ask(&[("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.1.1.1")]), known("192.0.2.1"));
        assert_eq!(ask(&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.1")]), known("192.0.2.1"));
        assert_eq!(ask(&[("x-forwarded-for", "10.2.2.2, 10.1.1.1")]), known("10.2.2.2"), "all are trusted");
        assert_eq!(ask(&[("x-forwarded-for", "nonsense, 192.0.2.1")]), known("192.0.2.1"), "the client's own words");
        assert_eq!(ask(&[("x-forwarded-for", "192.0.2.1:443")]), known("192.0.2.1"));
        assert_eq!(ask(&[("x-forwarded-for", "::ffff:192.0.2.1")]), known("192.0.2.1"));
        assert_eq!(
            ask(&[("forwarded", "for=6.6.6.6, For=\"[2001:db8::17]:4711\";proto=https")]),
            known("2001:db8::17")
        );
        assert_eq!(ask(&[("forwarded", "for=192.0.2.1;by=\"a,b\", for=10.1.1.1")]), known("192.0.2.1"));
        assert_eq!(ask(&[("forwarded", "for=unknown")]), Ok(Client::Hidden));
        assert_eq!(ask(&[("forwarded", "for=_gazonk, for=10.0.0.1")]), Ok(Client::Hidden));
        assert_eq!(ask(&[("forwarded", "proto=https")]), Ok(Client::Hidden));
    }

    #[test]
    fn what_cannot_be_read_or_disagrees_is_refused() {
        assert!(ask(&[("x-forwarded-for", "192.0.2.1, nonsense")]).is_err());
        assert!(ask(&[("forwarded", "for=192.0.2.1;for=6.6.6.6")]).is_err());
        assert!(ask(&[("forwarded", "nonsense")]).is_err());
        assert!(ask(&[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.1")]).is_err());
        assert_eq!(ask(&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")]), known("192.0.2.1"));
        let long = vec!["10.1.1.1"; 40].join(",");
        assert!(ask(&[("x-forwarded-for", &long)]).is_err());
    }

    #[test]
    fn the_scheme_is_the_proxys_word() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a value"));
            is_https(&headers)
        };
        assert_eq!(of("x-forwarded-proto", "https"), Some(true));
        assert_eq!(of("x-forwarded-proto", "https, http"), Some(false));
        assert_eq!(of("forwarded", "for=192.0.2.1; proto=HTTPS"), Some(true));
        assert_eq!(of("x-other", "https"), None);
    }

    #[test]
    fn proxy_headers_of_version_2() {
        let mut fixed = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
        let rest = [192, 0, 2, 7, 10, 0, 0, 1, 0x10, 0x92, 1, 0xbb];
        assert_eq!(proxy_length(&fixed), Ok(12));
        assert_eq!(proxied(&fixed, &rest), Ok(Proxied::From("192.0.2.7:4242".parse().expect("an address"))));
        assert!(proxied(&fixed, &rest[..11]).is_err());
        fixed[13] = 0x21;
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        six[33] = 9;
        assert_eq!(proxied(&fixed, &six), Ok(Proxied::From("[2001:db8::]:9".parse().expect("an address"))));
        fixed[13] = 0;
        assert_eq!(proxied(&fixed, &[]), Ok(Proxied::Elsewhere));
        fixed[12] = 0x20;
        assert_eq!(proxied(&fixed, &[]), Ok(Proxied::Local));
        fixed[12] = 0x2f;
        assert!(proxied(&fixed, &[]).is_err());
        fixed[14] = 0xff;
        assert!(proxy_length(&fixed).is_err(), "too long");
        fixed[12] = 0x11;
        assert!(proxy_length(&fixed).is_err(), "version 1");
        assert!(proxy_length(b"POST / HTTP/1.1\r").is_err());
    }
}
