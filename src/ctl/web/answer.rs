//! Answers, and what each of them says to the browser.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::gate::PageRefusal;
use super::session::PageEntry;
use crate::api::views::{ProblemView, TOTAL_HEADER};
use crate::ctl::error::CtlError;

pub(super) type PageBody = UnsyncBoxBody<Bytes, hyper::Error>;

const TEXT: &str = "text/plain; charset=utf-8";
const PROBLEM: &str = "application/problem+json";
/// What the page may do: load its own files and ask its own server. No script can make markup out
/// of text (`trusted-types`), whatever stands in the text.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src \
                           'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'; require-trusted-types-for 'script'; \
                           trusted-types 'none'";
/// What an answer of the API may do when somebody opens it by itself.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
/// What the daemon's answers may be. Anything else is bytes.
const KINDS: &[&str] = &[
    "application/json",
    "application/problem+json",
    "application/x-ndjson",
    "text/plain; version=0.0.4; charset=utf-8",
];
const BYTES: &str = "application/octet-stream";

/// Whose answer it is, and so what it may do in a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Page,
    Api,
}

/// An answer that stands ready.
pub(super) fn ready(status: StatusCode, kind: &'static str, bytes: Bytes) -> Response<PageBody> {
    let mut response = Response::new(whole(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub(super) fn whole(bytes: Bytes) -> PageBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The session is open: on to the page, in whose address the token does not stand. Who comes back
/// gets no key: a cookie alone does not prove who asks.
pub(super) fn to_page(entry: Option<PageEntry>) -> Response<PageBody> {
    let mut response = ready(StatusCode::SEE_OTHER, TEXT, Bytes::from_static(b"see /\n"));
    let headers = response.headers_mut();
    let Some(entry) = entry else {
        headers.insert(LOCATION, HeaderValue::from_static("/"));
        return response;
    };
    headers.insert(LOCATION, entry.location);
    headers.insert(SET_COOKIE, entry.cookie);
    // Whoever served something on this port before may have left a service worker there.
    let clear = HeaderName::from_static("clear-site-data");
    headers.insert(clear, HeaderValue::from_static("\"storage\""));
    response
}

/// A refusal: a problem for programs, a sentence for people.
pub(super) fn refused(why: PageRefusal, policy: Policy) -> Response<PageBody> {
    let status = why.status();
    let mut response = match policy {
        Policy::Page => ready(status, TEXT, format!("hookboxctl web: {why}\n").into()),
        Policy::Api => problem(status, &why.to_string()),
    };
    // What is left of its body is not read.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The daemon could not be asked.
pub(super) fn unreachable(error: &CtlError) -> Response<PageBody> {
    problem(StatusCode::BAD_GATEWAY, &error.to_string())
}

pub(super) fn wrong_method(policy: Policy, allow: &'static str) -> Response<PageBody> {
    let mut response = match policy {
        Policy::Page => ready(StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n".into()),
        Policy::Api => problem(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allow}")),
    };
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn problem(status: StatusCode, detail: &str) -> Response<PageBody> {
    let view = ProblemView {
        problem_type: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: detail.to_owned(),
    };
    // It has only text and a number: it can always be written.
    let text = serde_json::to_vec(&view).expect("a view is JSON");
    ready(status, PROBLEM, text.into())
}

/// An answer of the daemon: its status, its kind as far as it is one of ours, its body. None of its
/// other headers.
pub(super) fn passed<B>(from: &Response<B>, body: PageBody) -> Response<PageBody> {
    let kind = from.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = KINDS.iter().find(|known| Some(**known) == kind).unwrap_or(&BYTES);
    let mut response = Response::new(body);
    *response.status_mut() = from.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));

    for name in [RETRY_AFTER, ALLOW, HeaderName::from_static(TOTAL_HEADER)] {
        if let Some(value) = from.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// What every answer says.
pub(super) fn guard(response: &mut Response<PageBody>, policy: Policy) {
    let policy = match policy {
        Policy::Page => PAGE_POLICY,
        Policy::Api => API_POLICY,
    };

    let own = |name: &'static str| HeaderName::from_static(name);
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (own("cross-origin-resource-policy"), "same-origin"),
        (own("cross-origin-opener-policy"), "same-origin"),
        (own("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
