//! `application/x-www-form-urlencoded`, decoded to bytes (WHATWG URL, 5.1): `+` is a space, `%XX` a byte, a
//! broken `%` stays as it is. Bytes that are not UTF-8 are kept, for signatures cover them as they are.

/// Name and value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// A field stands twice where it may stand once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Twice;

pub(super) fn parse(input: &[u8]) -> Vec<Field> {
    let pieces = input.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| {
            let equals = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
            let value = piece.get(equals + 1..).unwrap_or_default();
            (decode(&piece[..equals]), decode(value))
        })
        .collect()
}

/// The value of a field that must not stand twice.
pub(super) fn single<'f>(fields: &'f [Field], name: &str) -> Result<Option<&'f [u8]>, Twice> {
    let mut found = fields.iter().filter(|(field, _)| field == name.as_bytes());
    let first = found.next();
    if found.next().is_some() { Err(Twice) } else { Ok(first.map(|(_, value)| value.as_slice())) }
}

fn decode(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => output.push(b' '),
            (b'%', [high, low, after @ ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => {
                    output.push(high << 4 | low);
                    rest = after;
                }
                _ => output.push(b'%'),
            },
            (byte, _) => output.push(*byte),
        }
    }
    output
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Twice, parse, single};

    #[test]
    fn decodes_as_browsers_and_sdks_do() {
        let fields = parse(b"a=1+2&&b=%C3%AB%zz%4&c&=x&a%62=%00");
        let expected: Vec<(&[u8], &[u8])> =
            vec![(b"a", b"1 2"), (b"b", b"\xc3\xab%zz%4"), (b"c", b""), (b"", b"x"), (b"ab", b"\0")];
        let got: Vec<(&[u8], &[u8])> = fields.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_field_that_stands_twice_is_told() {
        let fields = parse(b"a=1&b=2&a=1");
        assert_eq!(single(&fields, "a"), Err(Twice));
        assert_eq!(single(&fields, "b"), Ok(Some(&b"2"[..])));
        assert_eq!(single(&fields, "c"), Ok(None));
    }
}
