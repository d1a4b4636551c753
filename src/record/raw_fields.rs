//! What an encoded record says, without decoding it: MessagePack is passed over value by value,
//! which takes as long as it has values, and not as it has bytes.

use crate::model::EndpointId;

/// How many of a record's first bytes say its version and that one entry follows.
const PREFIX: usize = 2;
/// The field of the kinds with an event that names the endpoints which the event is for. Fields are
/// stored by their order, and new ones come last.
const FAN_OUT: u64 = 2;

/// Whether a record with an event is for one of these endpoints, which are in order. `None` for
/// bytes that are not what was expected.
pub(super) fn is_for_one_of(record: &[u8], endpoints: &[EndpointId]) -> Option<bool> {
    let kind_and_fields = record.get(PREFIX..)?;
    let (fields, rest) = array(skip(kind_and_fields, 1)?)?;
    if fields <= FAN_OUT {
        return None;
    }

    let (count, mut rest) = array(skip(rest, FAN_OUT)?)?;
    for _ in 0..count {
        let (id, behind) = unsigned(rest)?;
        if endpoints.binary_search_by_key(&id, |endpoint| u64::from(*endpoint)).is_ok() {
            return Some(true);
        }
        rest = behind;
    }
    Some(false)
}

/// What comes behind so many values.
fn skip(mut bytes: &[u8], mut values: u64) -> Option<&[u8]> {
    while values > 0 {
        let (&marker, rest) = bytes.split_first()?;
        let Extent { size, inner, rest } = extent(marker, rest)?;
        bytes = rest.get(usize::try_from(size).ok()?..)?;
        // Each of them has a byte of its own, so that this ends.
        values = (values - 1).checked_add(inner)?;
    }
    Some(bytes)
}

/// What belongs to a value behind its marker and its length.
struct Extent<'a> {
    /// Its bytes.
    size: u64,
    /// The values that it holds.
    inner: u64,
    rest: &'a [u8],
}

fn extent(marker: u8, rest: &[u8]) -> Option<Extent<'_>> {
    let bytes = |size: u64| Some(Extent { size, inner: 0, rest });
    let values = |inner: u64| Some(Extent { size: 0, inner, rest });
    let counted = |width: usize, more: u64| {
        let (size, rest) = number(rest, width)?;
        Some(Extent { size: size + more, inner: 0, rest })
    };
    let holding = |width: usize, each: u64| {
        let (count, rest) = number(rest, width)?;
        Some(Extent { size: 0, inner: count * each, rest })
    };

    match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => bytes(0),
        0x80..=0x8f => values(2 * u64::from(marker & 0x0f)),
        0x90..=0x9f => values(u64::from(marker & 0x0f)),
        0xa0..=0xbf => bytes(u64::from(marker & 0x1f)),
        0xcc | 0xd0 => bytes(1),
        0xcd | 0xd1 => bytes(2),
        0xca | 0xce | 0xd2 => bytes(4),
        0xcb | 0xcf | 0xd3 => bytes(8),
        // Extensions have a type besides.
        0xd4..=0xd8 => bytes(1 + (1 << (marker - 0xd4))),
        0xc7..=0xc9 => counted(1 << (marker - 0xc7), 1),
        0xc4..=0xc6 => counted(1 << (marker - 0xc4), 0),
        0xd9..=0xdb => counted(1 << (marker - 0xd9), 0),
        0xdc | 0xdd => holding(2 << (marker - 0xdc), 1),
        0xde | 0xdf => holding(2 << (marker - 0xde), 2),
        0xc1 => None,
    }
}

/// An array's length, and what comes behind it.
fn array(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&marker, rest) = bytes.split_first()?;
    match marker {
        0x90..=0x9f | 0xdc | 0xdd => {
            let Extent { inner, rest, .. } = extent(marker, rest)?;
            Some((inner, rest))
        }
        _ => None,
    }
}

fn unsigned(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&marker, rest) = bytes.split_first()?;
    match marker {
        0x00..=0x7f => Some((marker.into(), rest)),
        0xcc..=0xcf => number(rest, 1 << (marker - 0xcc)),
        _ => None,
    }
}

/// A number of so many bytes, the largest first.
fn number(bytes: &[u8], width: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_at_checked(width)?;
    Some((number.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte)), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{is_for_one_of, skip};

    proptest! {
        #[test]
        fn other_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = is_for_one_of(&bytes, &[1]);
            let rest = skip(&bytes, 3).map_or(0, <[u8]>::len);
            prop_assert_eq!(bytes.len().min(rest), rest);
        }
    }

    #[test]
    fn values_of_each_kind_are_passed_over() {
        use serde_json::json;
        for value in [
            json!(null),
            json!(true),
            json!(-7),
            json!(300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(0.5),
            json!("x".repeat(20)),
            json!("x".repeat(70_000)),
            json!(vec![1; 40]),
            json!({"a": [{"b": "c".repeat(300)}], "d": {}}),
        ] {
            let mut bytes = rmp_serde::to_vec(&value).expect("written");
            bytes.push(0x2a);
            assert_eq!(skip(&bytes, 1), Some(&[0x2a][..]), "{value}");
        }

        let blob = [&[0xc5, 1, 0][..], &[9; 256], &[0x2a]].concat();
        assert_eq!(skip(&blob, 1), Some(&[0x2a][..]));
        assert_eq!(skip(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0], 1), None, "cut short");
    }
}
