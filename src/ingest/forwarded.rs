//! The client behind a proxy: `Forwarded` (RFC 7239) and `X-Forwarded-For`. Pure.
//!
//! Only a peer in the configuration's `ingress.trusted_proxies` is trusted. Each proxy appends the
//! address that it saw, so the list is read from its end: the first address that is not a trusted
//! proxy is the client's; what precedes it is what the client claims itself. The scheme is that of
//! the same hop. A request with both headers must name the same client in both, for a proxy that
//! writes one lets the other pass.
//!
//! Refused with 400: a header that cannot be read, a quote in it that is never closed (a client
//! that opens one would have what the proxy appends behind it read as a part of its own words), two
//! headers that disagree. A client whose address the proxy hides (`for=unknown`, `for=_x`) has
//! none, and no allow-list lets it in.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use ipnet::IpNet;

/// Addresses that a chain of proxies may have added.
const CHAIN: usize = 32;

/// The proxies that are trusted when they name another client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    pub nets: Vec<IpNet>,
    /// Whoever can open the Unix sockets of the listeners.
    pub unix: bool,
}

impl TrustedProxies {
    /// Whether the peer at this address, or over a Unix socket (`None`), is a trusted proxy.
    pub(super) fn trusts(&self, ip: Option<IpAddr>) -> bool {
        ip.map_or(self.unix, |ip| self.nets.iter().any(|net| net.contains(&ip)))
    }
}

/// The client as a trusted proxy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForwardedClient {
    /// No header names a client: the proxy speaks for itself.
    Unnamed,
    Known(IpAddr),
    /// The proxy knows the client and does not name it.
    Hidden,
}

/// The headers of a trusted proxy, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ForwardedInfo {
    pub client: ForwardedClient,
    /// Whether the client used https; `None` when no header tells.
    pub is_https: Option<bool>,
}

/// Reads the headers of a request that came from a trusted proxy.
pub(super) fn forwarded_info(
    headers: &HeaderMap,
    trusted: &TrustedProxies,
) -> Result<ForwardedInfo, &'static str> {
    let forwarded = elements(headers, "forwarded")?;
    let x_forwarded = elements(headers, "x-forwarded-for")?;
    let (by_forwarded, at_forwarded) = of_list(&forwarded, trusted, forwarded_for)?;
    let (by_x_forwarded, at_x_forwarded) = of_list(&x_forwarded, trusted, |text| Ok(node(text)))?;
    let client = match (by_forwarded, by_x_forwarded) {
        (ForwardedClient::Unnamed, one) | (one, ForwardedClient::Unnamed) => one,
        (one, other) if one == other => one,
        _ => return Err("Forwarded and X-Forwarded-For name different clients"),
    };

    // Only the hop that saw the client knows which scheme it used; what hops use among themselves
    // does not matter. Where both headers name the client, the common one counts.
    let in_forwarded = || forwarded_proto(from_end(&forwarded, at_forwarded)?);
    let in_x_forwarded = |at| x_forwarded_proto(headers, at);
    let is_https = if x_forwarded.is_empty() && !forwarded.is_empty() {
        in_forwarded().or_else(|| in_x_forwarded(at_forwarded))
    } else {
        in_x_forwarded(at_x_forwarded).or_else(in_forwarded)
    };
    Ok(ForwardedInfo { client, is_https })
}

/// The element at this place, counted from the end.
fn from_end(elements: &[String], at: usize) -> Option<&str> {
    elements.len().checked_sub(at + 1).and_then(|index| elements.get(index)).map(String::as_str)
}

/// The scheme that was seen by the hop which added the address at this place from the end. Hops
/// that add it only once, or overwrite it, leave fewer elements than there are addresses: then the
/// first is the nearest to the client.
fn x_forwarded_proto(headers: &HeaderMap, at: usize) -> Option<bool> {
    let elements = elements(headers, "x-forwarded-proto").ok()?;
    let proto = from_end(&elements, at).or(elements.first().map(String::as_str))?;
    Some(proto.eq_ignore_ascii_case("https"))
}

/// The `proto` of one element of `Forwarded`.
fn forwarded_proto(element: &str) -> Option<bool> {
    let pairs = pieces(element, b';')?;
    let pairs = pairs.into_iter().filter_map(|pair| pair.split_once('='));
    let mut protos = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("proto"));
    protos.next().map(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("https"))
}

/// The members of a list header, over all fields of that name. Commas within quotes do not
/// separate.
fn elements(headers: &HeaderMap, name: &str) -> Result<Vec<String>, &'static str> {
    let mut found = Vec::new();
    for value in headers.get_all(name) {
        let value = value.to_str().map_err(|_| "a header that names the client is not text")?;
        let members = pieces(value, b',')
            .ok_or("a header that names the client has a quote that is not closed")?;
        found.extend(members.into_iter().map(str::to_owned));
    }
    found.retain(|element| !element.is_empty());
    if found.len() > CHAIN { Err("too many proxies") } else { Ok(found) }
}

/// The pieces between separators outside of quotes; `None` when a quote is not closed, for then it
/// is unknown who wrote what follows it.
fn pieces(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut pieces, mut quoted, mut from) = (Vec::new(), false, 0);
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'"' {
            quoted = !quoted;
        } else if byte == separator && !quoted {
            pieces.push(text[from..at].trim());
            from = at + 1;
        }
    }
    pieces.push(text[from..].trim());
    (!quoted).then_some(pieces)
}

/// The client, and its place from the end of the list.
fn of_list(
    elements: &[String],
    trusted: &TrustedProxies,
    read: impl Fn(&str) -> Result<ForwardedNode, &'static str>,
) -> Result<(ForwardedClient, usize), &'static str> {
    let mut nearest = (ForwardedClient::Unnamed, 0);
    for (at, element) in elements.iter().rev().enumerate() {
        match read(element)? {
            ForwardedNode::Address(ip) => {
                nearest = (ForwardedClient::Known(ip), at);
                if !trusted.trusts(Some(ip)) {
                    return Ok(nearest);
                }
            }
            ForwardedNode::Hidden => return Ok((ForwardedClient::Hidden, at)),
            ForwardedNode::Unreadable => {
                return Err("a header that names the client cannot be read");
            }
        }
    }
    Ok(nearest)
}

/// How a header names one hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ForwardedNode {
    Address(IpAddr),
    Hidden,
    Unreadable,
}

/// The `for` of one element of `Forwarded`: `for=192.0.2.60;proto=http`,
/// `For="[2001:db8::17]:4711"`.
fn forwarded_for(element: &str) -> Result<ForwardedNode, &'static str> {
    let mut found = None;
    let pairs = pieces(element, b';').ok_or("Forwarded cannot be read")?;
    for pair in pairs.into_iter().filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("Forwarded cannot be read")?;
        if !name.eq_ignore_ascii_case("for") {
            continue;
        }
        let value =
            value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        if found.replace(node(value)).is_some() {
            return Err("Forwarded names one hop twice");
        }
    }
    // An element without `for` is a hop that hides whom it saw.
    Ok(found.unwrap_or(ForwardedNode::Hidden))
}

/// An address with or without a port, in brackets or not; `unknown`; or a name that hides it.
fn node(text: &str) -> ForwardedNode {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return ForwardedNode::Hidden;
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    // `192.0.2.1:_port` is legal, too.
    let ip = ip.or_else(|| {
        text.rsplit_once(":_").and_then(|(host, _)| host.trim_matches(['[', ']']).parse().ok())
    });
    ip.map_or(ForwardedNode::Unreadable, |ip| ForwardedNode::Address(ip.to_canonical()))
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::{ForwardedClient, TrustedProxies, forwarded_info};

    fn trusted() -> TrustedProxies {
        let nets =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().expect("a net")).collect();
        TrustedProxies { nets, unix: false }
    }

    fn ask(pairs: &[(&'static str, &str)]) -> Result<ForwardedClient, &'static str> {
        let mut headers = HeaderMap::new();
        pairs
            .iter()
            .for_each(|(name, value)| _ = headers.append(*name, value.parse().expect("a value")));
        forwarded_info(&headers, &trusted()).map(|info| info.client)
    }

    fn known(ip: &str) -> Result<ForwardedClient, &'static str> {
        Ok(ForwardedClient::Known(ip.parse().expect("an address")))
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        assert_eq!(ask(&[]), Ok(ForwardedClient::Unnamed));
        assert_eq!(ask(&[("x-forwarded-for", "192.0.2.1")]), known("192.0.2.1"));
        assert_eq!(ask(&[("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.1.1.1")]), known("192.0.2.1"));
        assert_eq!(
            ask(&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.1")]),
            known("192.0.2.1")
        );
        assert_eq!(
            ask(&[("x-forwarded-for", "10.2.2.2, 10.1.1.1")]),
            known("10.2.2.2"),
            "all are trusted"
        );
        assert_eq!(
            ask(&[("x-forwarded-for", "nonsense, 192.0.2.1")]),
            known("192.0.2.1"),
            "the client's own words"
        );

        assert_eq!(ask(&[("x-forwarded-for", "192.0.2.1:443")]), known("192.0.2.1"));
        assert_eq!(ask(&[("x-forwarded-for", "::ffff:192.0.2.1")]), known("192.0.2.1"));
        assert_eq!(
            ask(&[("forwarded", "for=6.6.6.6, For=\"[2001:db8::17]:4711\";proto=https")]),
            known("2001:db8::17")
        );
        assert_eq!(
            ask(&[("forwarded", "for=192.0.2.1;by=\"a,b\", for=10.1.1.1")]),
            known("192.0.2.1")
        );

        assert_eq!(ask(&[("forwarded", "for=unknown")]), Ok(ForwardedClient::Hidden));
        assert_eq!(ask(&[("forwarded", "for=_gazonk, for=10.0.0.1")]), Ok(ForwardedClient::Hidden));
        assert_eq!(ask(&[("forwarded", "proto=https")]), Ok(ForwardedClient::Hidden));
    }

    #[test]
    fn what_cannot_be_read_or_disagrees_is_refused() {
        assert!(ask(&[("x-forwarded-for", "192.0.2.1, nonsense")]).is_err());
        assert!(ask(&[("forwarded", "for=192.0.2.1;for=6.6.6.6")]).is_err());
        assert!(ask(&[("forwarded", "nonsense")]).is_err());
        assert!(ask(&[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.1")]).is_err());
        assert_eq!(
            ask(&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")]),
            known("192.0.2.1")
        );

        // The client has opened a quote, and the proxy appended what it saw: all of it would be the
        // client's own words.
        for words in ["for=6.6.6.6;by=\"", "for=6.6.6.6;x=\"y", "for=_x;by=\"", "for=\"6.6.6.6"] {
            for seen in [
                "for=192.0.2.1",
                "for=\"[2001:db8::1]:4711\";proto=https",
                "for=192.0.2.1;by=\"_a\"",
            ] {
                assert!(
                    ask(&[("forwarded", &format!("{words}, {seen}"))]).is_err(),
                    "{words}, {seen}"
                );
            }
        }
        assert!(
            ask(&[("x-forwarded-for", "_\", 192.0.2.1")]).is_err(),
            "not a client that is hidden"
        );
        assert_eq!(
            ask(&[("forwarded", "for=6.6.6.6;x=\"\\\", for=192.0.2.1")]),
            known("192.0.2.1")
        );
        assert_eq!(
            ask(&[("forwarded", "for=192.0.2.1;host=\"a;for=6.6.6.6\"")]),
            known("192.0.2.1"),
            "no pair of its own"
        );

        let long = vec!["10.1.1.1"; 40].join(",");
        assert!(ask(&[("x-forwarded-for", &long)]).is_err());
    }

    #[test]
    fn the_scheme_is_the_word_of_the_hop_that_saw_the_client() {
        let of = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            pairs.iter().for_each(|(name, value)| {
                _ = headers.append(*name, value.parse().expect("a value"))
            });
            forwarded_info(&headers, &trusted()).expect("headers that agree").is_https
        };
        const FOR: &str = "x-forwarded-for";
        const PROTO: &str = "x-forwarded-proto";
        assert_eq!(of(&[(PROTO, "https")]), Some(true));
        assert_eq!(
            of(&[(PROTO, "https, http")]),
            Some(false),
            "nobody named a client: the nearest hop's word"
        );
        assert_eq!(of(&[(FOR, "192.0.2.1"), (PROTO, "http")]), Some(false));

        // Two hops, of which the first ended TLS.
        let hops = (FOR, "192.0.2.1, 10.1.1.1");
        assert_eq!(of(&[hops, (PROTO, "https, http")]), Some(true));
        assert_eq!(of(&[hops, (PROTO, "http, https")]), Some(false));
        assert_eq!(
            of(&[hops, (PROTO, "https"), (PROTO, "http")]),
            Some(true),
            "two fields are one list"
        );
        assert_eq!(of(&[hops, (PROTO, "https")]), Some(true), "one scheme for all hops");
        // What the client claims itself comes first, and is ignored.
        assert_eq!(
            of(&[(FOR, "6.6.6.6, 192.0.2.1, 10.1.1.1"), (PROTO, "https, http, http")]),
            Some(false)
        );
        assert_eq!(
            of(&[(FOR, "10.2.2.2, 10.1.1.1"), (PROTO, "https, http")]),
            Some(true),
            "all are trusted"
        );

        assert_eq!(of(&[("forwarded", "for=192.0.2.1; proto=HTTPS")]), Some(true));
        assert_eq!(
            of(&[("forwarded", "for=192.0.2.1;proto=https, for=10.1.1.1;proto=http")]),
            Some(true)
        );
        assert_eq!(
            of(&[("forwarded", "for=192.0.2.1;proto=http, for=10.1.1.1;proto=https")]),
            Some(false)
        );
        assert_eq!(
            of(&[("forwarded", "for=192.0.2.1, for=10.1.1.1"), (PROTO, "https, http")]),
            Some(true)
        );
        assert_eq!(of(&[("forwarded", "for=192.0.2.1;proto=http"), (PROTO, "https")]), Some(false));
        assert_eq!(of(&[("x-other", "https")]), None);
    }
}
