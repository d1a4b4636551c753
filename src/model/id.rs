//! Ids. Each contains the sequence number of the record that made its thing, so that looking a
//! thing up needs no index: the id says where in the log it stands.
//!
//! Form: a prefix, then lower-case base32hex (RFC 4648 section 7, no padding), which sorts as the
//! bytes do. `evt_` + 26 characters (sequence number, 8 random bytes); `dlv_` + 20 characters
//! (sequence number of the record that made the delivery, endpoint number).

use std::fmt;
use std::str::FromStr;

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// The place of a record in the log: 1 for the first, without gaps.
pub type Seq = u64;
/// Number of a source; never reused.
pub type SourceId = u32;
/// Number of an endpoint; never reused.
pub type EndpointId = u32;

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789abcdefghijklmnopqrstuv");
    spec.encoding().expect("a constant alphabet of 32 symbols")
});

/// An event's id, which is also the `webhook-id` that its receivers see at every attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// The sequence number of the record that accepted it.
    pub seq: Seq,
    /// Random, so that ids of different logs differ and cannot be guessed.
    pub tag: u64,
}

/// A delivery's id: which record made it, for which endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId {
    /// `EventAccepted` for the fan-out, `Replayed` for a replay.
    pub seq: Seq,
    /// The endpoint it goes to.
    pub endpoint: EndpointId,
}

/// A batch's id, which is its `webhook-id` at every attempt: which record formed it, and which part
/// of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchId {
    pub seq: Seq,
    pub part: u32,
}

impl BatchId {
    /// The batch of one event that an endpoint is tested with. No real one has the number of a
    /// record that accepted an event.
    #[must_use]
    pub fn of_one(event: EventId) -> Self {
        Self { seq: event.seq, part: 0 }
    }
}

/// Text that is not an id of the kind asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    #[error("'{text}' is not {what}: it looks like {example}")]
    Unlike { text: String, what: &'static str, example: &'static str },
    #[error(
        "'{0}' is an event, not a delivery: `hookboxctl delivery list --event {0}` lists its \
         deliveries"
    )]
    AnEvent(EventId),
}

impl EventId {
    /// The id of the event that record `seq` accepts in the log with this salt. Its tag is derived,
    /// so that a duplicate can be answered with the first id without reading it back.
    #[must_use]
    pub fn in_log(salt: u64, seq: Seq) -> Self {
        // A bijective mixer (SplitMix64's finalizer): different numbers never get the same tag.
        let mut x = salt ^ seq.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self { seq, tag: x ^ (x >> 31) }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.seq.to_be_bytes());
        bytes[8..].copy_from_slice(&self.tag.to_be_bytes());
        write!(f, "evt_{}", BASE32.encode_display(&bytes))
    }
}

impl FromStr for EventId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes: [u8; 16] = decode(text, "evt_").ok_or_else(|| IdError::Unlike {
            text: text.chars().take(80).collect(),
            what: "an event id",
            example: "evt_00000000000g3kq1v8b2m4n6p0",
        })?;
        let (seq, tag) = bytes.split_at(8);
        Ok(Self { seq: be64(seq), tag: be64(tag) })
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0u8; 12];
        bytes[..8].copy_from_slice(&self.seq.to_be_bytes());
        bytes[8..].copy_from_slice(&self.endpoint.to_be_bytes());
        write!(f, "dlv_{}", BASE32.encode_display(&bytes))
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0u8; 12];
        bytes[..8].copy_from_slice(&self.seq.to_be_bytes());
        bytes[8..].copy_from_slice(&self.part.to_be_bytes());
        write!(f, "bat_{}", BASE32.encode_display(&bytes))
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeliveryId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let unlike = || IdError::Unlike {
            text: text.chars().take(80).collect(),
            what: "a delivery id",
            example: "dlv_00000000000g00000040",
        };
        let bytes: [u8; 12] = decode(text, "dlv_")
            .ok_or_else(|| text.parse().map_or_else(|_| unlike(), IdError::AnEvent))?;
        let (seq, endpoint) = bytes.split_at(8);
        let endpoint = endpoint.iter().fold(0, |n, b| (n << 8) | u32::from(*b));
        Ok(Self { seq: be64(seq), endpoint })
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Characters of a whole id behind its prefix.
const EVENT_CHARACTERS: usize = 26;
const DELIVERY_CHARACTERS: usize = 20;

/// The records that an id may name which begins so: the first and the last of them. `None` when no
/// id of this kind begins so.
#[must_use]
pub fn records_of_beginning(text: &str, prefix: &str) -> Option<(Seq, Seq)> {
    const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
    /// Characters in which the number of the record stands.
    const CHARACTERS: usize = 13;
    const BITS: u32 = 64;

    let digits = text.strip_prefix(prefix)?.as_bytes();
    let digit = |byte: &u8| ALPHABET.iter().position(|symbol| symbol == byte);
    let digits: Vec<usize> = digits.iter().map(digit).collect::<Option<_>>()?;
    // What is longer than a whole id is the beginning of none.
    let most = if prefix == "evt_" { EVENT_CHARACTERS } else { DELIVERY_CHARACTERS };
    if digits.is_empty() || digits.len() > most {
        return None;
    }

    let known = digits.iter().take(CHARACTERS);
    let bits = 5 * u32::try_from(known.len()).ok()?;
    let value = known.fold(0u128, |value, digit| (value << 5) | *digit as u128);
    let (first, last) = match bits.checked_sub(BITS) {
        Some(beyond) => (value >> beyond, value >> beyond),
        None => {
            let open = BITS - bits;
            (value << open, (value << open) | ((1 << open) - 1))
        }
    };
    Some((Seq::try_from(first).ok()?, Seq::try_from(last).ok()?))
}

fn decode<const N: usize>(text: &str, prefix: &str) -> Option<[u8; N]> {
    let bytes = BASE32.decode(text.strip_prefix(prefix)?.as_bytes()).ok()?;
    bytes.try_into().ok()
}

fn be64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| (n << 8) | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::{DeliveryId, EventId, records_of_beginning};

    #[test]
    fn ids_read_back_and_sort_by_sequence() {
        let a = EventId { seq: 1, tag: u64::MAX };
        let b = EventId { seq: 2, tag: 0 };
        assert!(a.to_string() < b.to_string());
        assert_eq!(a.to_string().parse::<EventId>().as_ref(), Ok(&a));
        let d = DeliveryId { seq: u64::MAX, endpoint: 7 };
        assert_eq!(d.to_string().parse::<DeliveryId>().as_ref(), Ok(&d));
    }

    #[test]
    fn the_beginning_of_an_id_says_which_record_may_be_meant() {
        for seq in [1, 31, 32, 12_345_678, u64::MAX - 1, u64::MAX] {
            for text in [
                EventId { seq, tag: u64::MAX }.to_string(),
                DeliveryId { seq, endpoint: 7 }.to_string(),
            ] {
                for length in 5..=text.len() {
                    let range = records_of_beginning(&text[..length], &text[..4]);
                    let (first, last) = range.expect("a beginning");
                    assert!((first..=last).contains(&seq), "{}: {range:?}", &text[..length]);
                    // The number of the record stands in the first thirteen characters.
                    assert_eq!(first == last, length >= 4 + 13, "{}: {range:?}", &text[..length]);
                }
            }
        }
        assert_eq!(records_of_beginning("evt_", "evt_"), None);
        assert_eq!(records_of_beginning("evt_0z", "evt_"), None);
        assert_eq!(records_of_beginning("dlv_0", "evt_"), None);
        assert_eq!(records_of_beginning("dlv_000000000000000000000", "dlv_"), None, "too long");
    }

    #[test]
    fn garbage_is_refused_with_an_example() {
        for text in ["", "evt_", "evt_x", "dlv_00", "evt_zzzzzzzzzzzzzzzzzzzzzzzzzz", "é"] {
            let refusal = text.parse::<EventId>().expect_err(text).to_string();
            assert!(refusal.contains("looks like evt_"), "{refusal}");
        }
    }

    #[test]
    fn the_id_of_an_event_instead_of_a_delivery_names_the_right_command() {
        let event = EventId { seq: 1, tag: 2 };
        let refusal = event.to_string().parse::<DeliveryId>().expect_err("no delivery").to_string();
        let next = format!(
            "'{event}' is an event, not a delivery: `hookboxctl delivery list --event {event}` \
             lists its"
        );
        assert!(refusal.starts_with(&next), "{refusal}");
        let refusal = "dlv_x".parse::<DeliveryId>().expect_err("no delivery").to_string();
        assert!(refusal.contains("looks like dlv_"), "{refusal}");
    }
}
