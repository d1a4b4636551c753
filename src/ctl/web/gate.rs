//! Who is let in: requests that a browser sends for the page itself, and nobody else's.
//!
//! The page has the rights of the user who runs the command, so every other page in the same
//! browser is an attacker. None of them can send these headers as the page does: `Host` names whom
//! the browser believes to talk to (a foreign name that was led to loopback is seen by it),
//! `Origin` the page that makes a request, `Sec-Fetch-Site` how the two stand to each other.

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PageRefusal {
    #[error("this server answers to loopback names only: use the URL that hookboxctl web printed")]
    ForeignHost,
    #[error("the request comes from another page: only the page itself may ask")]
    ForeignOrigin,
    #[error("a request that changes something needs an Origin that is the page's own")]
    NoOrigin,
    #[error(
        "this browser has not opened the session: open the URL that hookboxctl web printed; it \
         works once, and a new run of the command prints a new one"
    )]
    NoSession,
    #[error(
        "this tab has no key to the session, only the browser's cookie: paste its address into the \
         tab that opened the URL, where Ctrl and a click open a link in a tab with the key; or \
         stop hookboxctl web and start it again for a new URL"
    )]
    NoKey,
    #[error("the page has no service worker, and none is installed for it")]
    ServiceWorker,
    #[error(
        "this URL was already used, or is not of this run: stop hookboxctl web and start it again \
         for a new one"
    )]
    WrongToken,
    #[error("a page that is loaded in advance does not open the session: open the URL itself")]
    LoadedAhead,
    #[error("nothing is here")]
    Nothing,
    #[error("the request's body is larger than any that the page sends")]
    TooLarge,
    #[error("the request's body was not received in time, or ended early")]
    TooSlow,
    #[error("too many pages have live updates: close some of them")]
    TooManyStreams,
}

impl PageRefusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::ForeignHost
            | Self::ForeignOrigin
            | Self::NoOrigin
            | Self::NoKey
            | Self::ServiceWorker
            | Self::WrongToken => StatusCode::FORBIDDEN,
            Self::NoSession => StatusCode::UNAUTHORIZED,
            Self::Nothing => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::LoadedAhead | Self::TooManyStreams => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The page as a whole. A link from anywhere may lead to it: it holds nothing.
    Shell,
    /// A file of the page.
    File,
    /// What the daemon knows and does.
    Api,
}

/// Lets a request in, as far as its place of origin is concerned.
pub(super) fn check(head: &Parts, asked: Asked) -> Result<(), PageRefusal> {
    let host = loopback_host(head).ok_or(PageRefusal::ForeignHost)?;
    check_origin(head, host)?;
    // It would stay in the browser and stand before later runs on the same port.
    if head.headers.contains_key("service-worker") {
        return Err(PageRefusal::ServiceWorker);
    }

    let writes = !matches!(head.method, Method::GET | Method::HEAD);
    let site = every(&head.headers, "sec-fetch-site");
    let is_own = |site: &&str| *site == "same-origin" || (*site == "none" && !writes);
    let is_link = asked == Asked::Shell
        && !writes
        && only(&head.headers, "sec-fetch-mode") == Some("navigate")
        && only(&head.headers, "sec-fetch-dest") == Some("document");
    match site.iter().all(is_own) || is_link {
        true => Ok(()),
        false => Err(PageRefusal::ForeignOrigin),
    }
}

/// Whether the browser only loads ahead what somebody may look at later.
pub(super) fn is_loaded_ahead(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-purpose")
}

/// The request's host, when there is one and it is loopback. Its port is that of an SSH tunnel as
/// well as our own.
fn loopback_host(head: &Parts) -> Option<&str> {
    // A proxy is asked with whole URLs; this is none.
    if head.uri.authority().is_some() {
        return None;
    }
    let host = only(&head.headers, "host")?;
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };

    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.parse::<u16>().is_ok() && !digits.starts_with('+'),
        None => port.is_empty(),
    };
    let is_bracketed = host.starts_with('[');
    let is_loopback = match is_bracketed {
        true => name.parse::<std::net::Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()),
        false => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        }
    };
    (is_port && is_loopback).then_some(host)
}

/// The origin is the host; what changes something says so.
fn check_origin(head: &Parts, host: &str) -> Result<(), PageRefusal> {
    let is_read = matches!(head.method, Method::GET | Method::HEAD);
    let own = format!("http://{host}");
    let origins = every(&head.headers, "origin");
    match origins.as_slice() {
        [] if is_read => Ok(()),
        [] => Err(PageRefusal::NoOrigin),
        [origin] if origin.eq_ignore_ascii_case(&own) => Ok(()),
        _ => Err(PageRefusal::ForeignOrigin),
    }
}

/// All values of a header; what is no text stands for a value that is none of ours.
fn every<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect()
}

/// The value of a header that stands there once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    match every(headers, name).as_slice() {
        [value] => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::http::request::Parts;

    use super::{Asked, PageRefusal, check};

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn only_names_of_loopback_are_answered() {
        let with = |host: &str| check(&head("GET", "/", &[("host", host)]), Asked::Shell);
        for host in ["127.0.0.1", "127.0.0.1:8421", "LOCALHOST:9", "[::1]:80", "[::1]", "127.1.2.3"]
        {
            assert_eq!(with(host), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "localhost.",
            "[::2]",
            "127.0.0.1:",
            "127.0.0.1:x",
            "127.0.0.1:80:80",
            "::1",
            "0.0.0.0",
            "192.0.2.1",
            "0x7f.1",
            "[127.0.0.1]",
            "[::1",
            "[::1]x",
            "user@127.0.0.1",
            "127.0.0.1:+8",
        ] {
            assert_eq!(with(host), Err(PageRefusal::ForeignHost), "{host}");
        }

        let none = check(&head("GET", "/", &[]), Asked::Shell);
        assert_eq!(none, Err(PageRefusal::ForeignHost), "no host");
        let two = [("host", "127.0.0.1"), ("host", "evil.example")];
        assert_eq!(check(&head("GET", "/", &two), Asked::Shell), Err(PageRefusal::ForeignHost));
        let whole = head("GET", "http://127.0.0.1/", &[("host", "127.0.0.1")]);
        assert_eq!(check(&whole, Asked::Shell), Err(PageRefusal::ForeignHost));
    }

    #[test]
    fn writes_come_from_the_page_itself() {
        let host = ("host", "127.0.0.1:8421");
        let with = |more: &[(&str, &str)]| {
            check(&head("POST", "/api/v1/x", &[&[host], more].concat()), Asked::Api)
        };

        let own = ("origin", "http://127.0.0.1:8421");
        assert_eq!(with(&[own]), Ok(()));
        assert_eq!(with(&[own, ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(with(&[]), Err(PageRefusal::NoOrigin));
        for origin in
            ["null", "http://127.0.0.1:80", "https://127.0.0.1:8421", "http://localhost:8421"]
        {
            assert_eq!(with(&[("origin", origin)]), Err(PageRefusal::ForeignOrigin), "{origin}");
        }
        assert_eq!(with(&[own, ("origin", "http://evil")]), Err(PageRefusal::ForeignOrigin));
        for site in ["cross-site", "same-site", "none", "x"] {
            let refused = with(&[own, ("sec-fetch-site", site)]);
            assert_eq!(refused, Err(PageRefusal::ForeignOrigin), "{site}");
        }
    }

    #[test]
    fn others_may_link_to_the_page_and_ask_nothing() {
        let host = ("host", "localhost");
        let from = |asked: Asked, more: &[(&str, &str)]| {
            check(&head("GET", "/", &[&[host], more].concat()), asked)
        };
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(from(Asked::Shell, &link), Ok(()));
        assert_eq!(from(Asked::Api, &link), Err(PageRefusal::ForeignOrigin));
        assert_eq!(from(Asked::File, &link), Err(PageRefusal::ForeignOrigin));
        let frame = [link[0], link[1], ("sec-fetch-dest", "iframe")];
        assert_eq!(from(Asked::Shell, &frame), Err(PageRefusal::ForeignOrigin));

        // Another port of this machine is the same site, and somebody else's page.
        for site in ["cross-site", "same-site"] {
            let refused = from(Asked::Api, &[("sec-fetch-site", site)]);
            assert_eq!(refused, Err(PageRefusal::ForeignOrigin), "{site}");
        }
        assert_eq!(from(Asked::Api, &[("sec-fetch-site", "none")]), Ok(()), "typed by hand");
        let worker = [("sec-fetch-site", "same-origin"), ("service-worker", "script")];
        assert_eq!(from(Asked::File, &worker), Err(PageRefusal::ServiceWorker));
        assert_eq!(from(Asked::Api, &[("origin", "http://evil")]), Err(PageRefusal::ForeignOrigin));
    }
}
