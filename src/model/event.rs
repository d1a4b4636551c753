//! An event: one accepted webhook.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EventId, SourceId, WallMs, canonical_header_name, limits, query};

/// The header that counts the daemons of this kind that an event has passed.
pub const HOPS: &str = "hookbox-hops";

/// One header field: the name in lower case, the value as its bytes came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: Bytes,
}

impl Header {
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// The value for people: bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

/// The value of a header as a key: two that differ make different texts. Of one that is not UTF-8
/// (`Müller-1` in Latin-1) the digest of its bytes stands behind what can be read.
#[must_use]
pub fn exact_text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let digest = HEXLOWER.encode(&Sha256::digest(value));
            format!("{} sha256:{digest}", String::from_utf8_lossy(value))
        }
    }
}

/// What a repetition of an event is known by beside its dedupe key: salted fingerprints, made at
/// its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// Of what a repetition says again: an event of the same key that says something else is
    /// another one.
    pub content: Option<u64>,
    /// Of something that is enough by itself, whatever stands as key: what was signed.
    pub also: Option<u64>,
    /// The earlier event that has the same key, and says something else.
    pub conflicts_with: Option<EventId>,
    /// How long `also` is remembered at least, however short its source's window is.
    #[serde(default)]
    pub also_for_ms: u64,
}

/// Whether a field of this (lower-case) name holds a digest of a body, and is wrong as soon as the
/// body is another one.
#[must_use]
pub fn is_digest(name: &str) -> bool {
    const DIGESTS: [&str; 13] = [
        "content-digest",
        "repr-digest",
        "digest",
        "content-md5",
        "x-content-md5",
        "x-content-sha256",
        "x-content-sha1",
        "x-content-sha512",
        "x-amz-content-sha256",
        "x-bz-content-sha1",
        "x-goog-hash",
        "x-ms-blob-content-md5",
        "x-ms-content-crc64",
    ];
    let name = &*canonical_header_name(name);
    DIGESTS.contains(&name) || name.starts_with("x-amz-checksum-")
}

/// One accepted webhook. Immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub source: SourceId,
    /// The source's name when the event came, which outlives the source.
    pub source_name: String,
    /// The event's type (`push`, `invoice.paid`); empty when none is known.
    pub kind: String,
    pub received_at: WallMs,
    /// The identity that the sender gave this event; a repetition within the window is a
    /// duplicate.
    pub dedupe_key: Option<String>,
    /// Method, path and query as they came, e.g. `POST /in/github?x=1`.
    pub request_line: String,
    /// The address it came from, as text.
    pub remote: String,
    pub headers: Vec<Header>,
    /// Opaque, bit for bit.
    pub body: Bytes,
    /// Whether its source was a provider preset: then its headers go along by default.
    #[serde(default)]
    pub from_provider: bool,
    /// The id it was accepted under by the log that it was imported from; receivers go on seeing
    /// this one.
    #[serde(default)]
    pub first_id: Option<EventId>,
}

impl Event {
    /// Whether it is one of the daemon's own, from the built-in source `hookbox`.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.source == 0
    }

    /// Bytes of its body and its headers: senders choose both.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|header| header.name.len() + header.value.len());
        self.body.len() + headers.sum::<usize>()
    }

    /// How many daemons of this kind it has passed, as they say themselves (`hookbox-hops`): the
    /// most that any of them says, so that nobody makes it less by saying it twice.
    #[must_use]
    pub fn hops(&self) -> u32 {
        hops_of(&self.headers)
    }

    /// Whether it has passed so many daemons that it must be going round in circles. Such an event
    /// is kept and goes nowhere by itself.
    #[must_use]
    pub fn is_looping(&self) -> bool {
        self.hops() >= limits::HOPS
    }

    /// The id that its receivers see, the same at every attempt and in every log.
    #[must_use]
    pub fn webhook_id(&self) -> EventId {
        self.first_id.unwrap_or(self.id)
    }

    /// The query that it came with, without the question mark; `…` stands in the place of secrets.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        query::of_line(&self.request_line)
    }

    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|h| h.name == name).map(|h| &h.value)
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn cost(&self) -> usize {
        let headers: usize = self.headers.iter().map(|h| h.name.len() + h.value.len() + 64).sum();
        self.body.len() + headers + self.kind.len() + self.source_name.len() + 256
    }
}

/// The hops that header fields speak of; see [`Event::hops`].
#[must_use]
pub fn hops_of(headers: &[Header]) -> u32 {
    let fields = headers.iter().filter(|header| header.name == HOPS);
    let texts = fields.filter_map(|header| std::str::from_utf8(&header.value).ok());
    texts.flat_map(|text| text.split(',')).filter_map(|text| count(text.trim())).max().unwrap_or(0)
}

/// A number of any length; one too large for the type is the largest.
fn count(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Event, Header};
    use crate::model::EventId;

    #[test]
    fn the_largest_number_of_hops_counts() {
        let mut event = Event {
            id: EventId { seq: 1, tag: 1 },
            source: 1,
            source_name: "s".into(),
            kind: String::new(),
            received_at: 0,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
            from_provider: false,
            first_id: None,
        };

        let cases: [(&[&str], u32, bool); 9] = [
            (&[], 0, false),
            (&["7"], 7, false),
            (&[" 8 "], 8, true),
            (&["0", "9"], 9, true),
            (&["9, 0"], 9, true),
            (&["99999999999999999999"], u32::MAX, true),
            (&["-1"], 0, false),
            (&["+9"], 0, false),
            (&["many"], 0, false),
        ];

        for (values, hops, loops) in cases {
            event.headers = values
                .iter()
                .map(|value| Header::new("hookbox-hops", (*value).to_owned()))
                .collect();
            assert_eq!((event.hops(), event.is_looping()), (hops, loops), "{values:?}");
        }
    }
}
