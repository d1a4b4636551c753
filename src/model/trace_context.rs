//! The trace that an event belongs to, as its sender says it: W3C Trace Context (the Recommendation
//! of 2021, and the second level for the random flag), and the distributed tracing extension of
//! CloudEvents 1.0. Pure.
//!
//! * A `traceparent` that is not valid, or stands twice, is as none, and its `tracestate` goes with
//!   it. A `tracestate` that is not valid is left out alone.
//! * A later version than 00 is read as far as this one knows it, and goes on as version 00.
//! * The header is of the hop that the event came over and decides. The extension says where the
//!   event began: it is asked where there is no header, and it is never changed.
//!
//! Limits: 32 entries of a `tracestate`, 512 characters of it are passed on: long entries are left
//! out first, then the last ones.

use super::json::pointer::{self, PointerValue};
use super::{Event, Header};

/// The length of a `traceparent` of version 00.
const PARENT_LENGTH: usize = 55;
/// Entries of a `tracestate`, the characters of it that are passed on, and those of an entry that
/// is left out before others are.
const STATE_ENTRIES: usize = 32;
const STATE_LENGTH: usize = 512;
const LONG_ENTRY: usize = 128;
/// Characters of a key and of a value.
const PART_LENGTH: usize = 256;
/// The flags that are known: sampled, and a random trace id.
const KNOWN_FLAGS: u8 = 0x03;

/// Where an event stands in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 digits of hex.
    trace_id: String,
    /// The span that sent the event: 16 digits of hex.
    parent_id: String,
    flags: u8,
    /// Empty when there is none.
    state: String,
}

impl TraceContext {
    /// The trace of an event: of the request that it came with, or else of where it began.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        Self::of_request(&event.headers).or_else(|| Self::of_origin(&event.headers, &event.body))
    }

    /// The trace of the request that an event came with.
    #[must_use]
    pub fn of_request(headers: &[Header]) -> Option<Self> {
        Self::in_headers(headers, "traceparent", "tracestate")
    }

    /// The trace that an event began in, by the extension of CloudEvents in binary or structured
    /// mode.
    #[must_use]
    pub fn of_origin(headers: &[Header], body: &[u8]) -> Option<Self> {
        let in_headers = || Self::in_headers(headers, "ce-traceparent", "ce-tracestate");
        let is_structured = headers.iter().any(|header| {
            header.name == "content-type"
                && header.value.to_ascii_lowercase().starts_with(b"application/cloudevents+json")
        });
        if !is_structured {
            return in_headers();
        }

        let pointers = [Some("/traceparent"), Some("/tracestate")];
        let [parent, state] = pointer::find(body, pointers).ok()?;
        let text = |value: Option<PointerValue>| value.and_then(PointerValue::into_text);
        let states: Vec<String> = text(state).into_iter().collect();
        Self::read(&text(parent)?, states.iter().map(String::as_str))
    }

    fn in_headers(headers: &[Header], parent: &str, state: &str) -> Option<Self> {
        let fields = |name| {
            let found = headers.iter().filter(move |header: &&Header| header.name == name);
            found.map(|header| std::str::from_utf8(&header.value).unwrap_or_default())
        };
        let mut parents = fields(parent);
        let (only, None) = (parents.next()?, parents.next()) else { return None };
        Self::read(only, fields(state))
    }

    /// Reads a `traceparent`, and the lines of a `tracestate`.
    fn read<'a>(parent: &str, states: impl Iterator<Item = &'a str>) -> Option<Self> {
        let parent = parent.trim_matches([' ', '\t']);
        let (known, rest) = (parent.get(..PARENT_LENGTH)?, parent.get(PARENT_LENGTH..)?);
        let parts: Vec<&str> = known.split('-').collect();
        let [version, trace_id, parent_id, flags] = parts.as_slice() else { return None };

        let is_hex = |text: &str, length: usize| {
            let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            text.len() == length && digits
        };
        let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|b| b != b'0');
        let fits = match *version {
            "ff" => false,
            "00" => rest.is_empty(),
            later => is_hex(later, 2) && (rest.is_empty() || rest.starts_with('-')),
        };
        if !(fits && is_id(trace_id, 32) && is_id(parent_id, 16) && is_hex(flags, 2)) {
            return None;
        }

        Some(Self {
            trace_id: (*trace_id).to_owned(),
            parent_id: (*parent_id).to_owned(),
            flags: u8::from_str_radix(flags, 16).ok()? & KNOWN_FLAGS,
            state: read_state(states).unwrap_or_default(),
        })
    }

    /// 32 digits of hex.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// The `traceparent` as it came, in version 00.
    #[must_use]
    pub fn parent(&self) -> String {
        self.with_span(&self.parent_id)
    }

    /// The `traceparent` of a request that another span sends, with 16 digits of hex.
    #[must_use]
    pub fn with_span(&self, span_id: &str) -> String {
        format!("00-{}-{span_id}-{:02x}", self.trace_id, self.flags)
    }

    /// The `tracestate`, if there is one.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        Some(self.state.as_str()).filter(|state| !state.is_empty())
    }
}

/// The entries of a `tracestate`, as far as they are passed on; `None` when it is not valid.
fn read_state<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut entries: Vec<&str> = Vec::new();
    for entry in lines.flat_map(|line| line.split(',')) {
        let entry = entry.trim_matches([' ', '\t']);
        if entry.is_empty() {
            continue;
        }
        let (key, value) = entry.split_once('=')?;
        let is_new =
            entries.iter().all(|known| known.split_once('=').is_none_or(|(k, _)| k != key));
        if entries.len() == STATE_ENTRIES || !is_new || !is_key(key) || !is_value(value) {
            return None;
        }
        entries.push(entry);
    }

    let length = |entries: &[&str]| entries.iter().map(|entry| entry.len() + 1).sum::<usize>();
    while length(&entries) > STATE_LENGTH + 1 {
        match entries.iter().rposition(|entry| entry.len() > LONG_ENTRY) {
            Some(long) => _ = entries.remove(long),
            None => _ = entries.pop(),
        }
    }
    Some(entries.join(","))
}

/// A key: of one system, or of a tenant of it (`tenant@system`).
fn is_key(key: &str) -> bool {
    let part = |text: &str, most: usize, first_is_digit: bool| {
        let mut bytes = text.bytes();
        let first = bytes.next();
        let begins =
            first.is_some_and(|b| b.is_ascii_lowercase() || (first_is_digit && b.is_ascii_digit()));
        let goes_on =
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/".contains(&b));
        begins && goes_on && text.len() <= most
    };
    match key.split_once('@') {
        Some((tenant, system)) => part(tenant, 241, true) && part(system, 14, false),
        None => part(key, PART_LENGTH, true),
    }
}

fn is_value(value: &str) -> bool {
    let printable = |b: u8| (0x20..=0x7e).contains(&b) && b != b'=';
    (1..=PART_LENGTH).contains(&value.len())
        && value.bytes().all(printable)
        && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::{Header, TraceContext};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(fields: &[(&str, &str)]) -> Vec<Header> {
        fields.iter().map(|(name, value)| Header::new(*name, value.to_string())).collect()
    }

    fn of(fields: &[(&str, &str)]) -> Option<TraceContext> {
        TraceContext::of_request(&headers(fields))
    }

    /// The `tracestate` that goes on.
    fn state(lines: &[&str]) -> Option<String> {
        let mut fields = vec![("traceparent", PARENT)];
        fields.extend(lines.iter().map(|line| ("tracestate", *line)));
        of(&fields).expect("a trace").state().map(str::to_owned)
    }

    #[test]
    fn a_parent_is_read_and_another_span_stands_in_its_place() {
        let trace = of(&[("traceparent", PARENT)]).expect("the specification's example");
        assert_eq!(trace.trace_id(), TRACE);
        assert_eq!(trace.parent(), PARENT);
        assert_eq!(trace.with_span("b7ad6b7169203331"), format!("00-{TRACE}-b7ad6b7169203331-01"));
        assert_eq!(trace.state(), None);
    }

    #[test]
    fn what_is_not_valid_is_as_none() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of(&[("traceparent", wrong)]), None, "{wrong}");
        }

        assert_eq!(of(&[("traceparent", PARENT), ("traceparent", PARENT)]), None, "twice");
        assert_eq!(of(&[("tracestate", "a=1")]), None);
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for later in ["01", "cc", "fe"] {
            for rest in ["", "-what-the-future-brings", "-"] {
                let parent = format!("{later}{}{rest}", PARENT.trim_start_matches("00"));
                assert_eq!(of(&[("traceparent", &parent)]).expect("read").parent(), PARENT);
            }
        }
        let flags = |flags: &str| {
            let parent = PARENT.replace("-01", &format!("-{flags}"));
            of(&[("traceparent", &parent)]).expect("read").parent()
        };
        assert!(flags("ff").ends_with("-03") && flags("08").ends_with("-00"));
    }

    #[test]
    fn a_state_goes_on_whole_or_not_at_all() {
        assert_eq!(state(&["rojo=00f067aa0ba902b7,congo=t61"]).unwrap().matches(',').count(), 1);
        assert_eq!(state(&["a=1", " b=2 ,, \t", "c@d=3"]).as_deref(), Some("a=1,b=2,c@d=3"));
        assert_eq!(state(&["0a=x y", "1@a*/_-=~"]).as_deref(), Some("0a=x y,1@a*/_-=~"));
        for wrong in [
            "a",
            "=1",
            "a=",
            "A=1",
            "a=1,a=2",
            "a=1=2",
            "a=\u{e9}",
            "a b=1",
            "a@1=1",
            "a@b@c=1",
            "@a=1",
            "a=\t",
            "a@bcdefghijklmnop=1",
        ] {
            assert_eq!(state(&[wrong]), None, "{wrong}");
        }

        let many = |n: usize| (0..n).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(state(&[&many(32)]), Some(many(32)));
        assert_eq!(state(&[&many(33)]), None);
        assert_eq!(state(&[&format!("a={}", "x".repeat(257))]), None);
    }

    #[test]
    fn a_long_state_loses_its_long_entries_first_and_then_the_last() {
        let long = format!("long={}", "x".repeat(200));
        let entry = |n: usize| format!("k{n:02}={}", "y".repeat(90));
        let short: Vec<String> = (0..6).map(entry).collect();
        let all = [&[long], &short[..]].concat().join(",");
        assert_eq!(state(&[&all]), Some(short[..5].join(",")));
    }

    #[test]
    fn the_extension_says_where_an_event_began_and_the_header_decides() {
        let other = PARENT.replace("4bf9", "1111");
        let binary = headers(&[("ce-traceparent", &other), ("ce-tracestate", "a=1")]);
        let origin = TraceContext::of_origin(&binary, b"").expect("binary mode");
        assert_eq!((origin.parent(), origin.state()), (other.clone(), Some("a=1")));

        let structured =
            headers(&[("content-type", "Application/CloudEvents+JSON; charset=utf-8")]);
        let body = format!("{{\"traceparent\":\"{other}\",\"tracestate\":\"a=1\"}}");
        assert_eq!(TraceContext::of_origin(&structured, body.as_bytes()), Some(origin));
        let json = headers(&[("content-type", "application/json")]);
        assert_eq!(TraceContext::of_origin(&json, body.as_bytes()), None);
        for wrong in ["", "{", "{\"traceparent\":7}", "{\"tracestate\":\"a=1\"}"] {
            assert_eq!(TraceContext::of_origin(&structured, wrong.as_bytes()), None, "{wrong}");
        }
    }
}
