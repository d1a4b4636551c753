//! `application/x-www-form-urlencoded`, decoded to bytes (WHATWG URL, 5.1): `+` is a space, `%XX` a
//! byte, a broken `%` stays as it is. Bytes that are not UTF-8 are kept, for signatures cover them
//! as they are.
//!
//! Each field costs more than its bytes, so a form may have [`limits::FORM_FIELDS`] of them.

use crate::model::limits;

use super::ProofRefusal;

/// Name and value.
pub(super) type FormField = (Vec<u8>, Vec<u8>);

/// A field occurs twice where it may occur once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RepeatedField;

/// There are more fields than a form may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyFields;

impl From<TooManyFields> for ProofRefusal {
    fn from(_: TooManyFields) -> Self {
        Self::malformed(format!(
            "the form or the query has more than {} fields",
            limits::FORM_FIELDS
        ))
    }
}

pub(super) fn parse(input: &[u8]) -> Result<Vec<FormField>, TooManyFields> {
    let mut fields = Vec::new();
    for piece in input.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
        if fields.len() == limits::FORM_FIELDS {
            return Err(TooManyFields);
        }
        let equals = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
        let value = piece.get(equals + 1..).unwrap_or_default();
        fields.push((decode(&piece[..equals]), decode(value)));
    }
    Ok(fields)
}

/// The value of a field that must not occur twice.
pub(super) fn single<'f>(
    fields: &'f [FormField],
    name: &str,
) -> Result<Option<&'f [u8]>, RepeatedField> {
    let mut found = fields.iter().filter(|(field, _)| field == name.as_bytes());
    let first = found.next();
    if found.next().is_some() {
        Err(RepeatedField)
    } else {
        Ok(first.map(|(_, value)| value.as_slice()))
    }
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
    use super::{RepeatedField, TooManyFields, limits, parse, single};

    #[test]
    fn decodes_as_browsers_and_sdks_do() {
        let fields = parse(b"a=1+2&&b=%C3%AB%zz%4&c&=x&a%62=%00").expect("few");
        let expected: Vec<(&[u8], &[u8])> = vec![
            (b"a", b"1 2"),
            (b"b", b"\xc3\xab%zz%4"),
            (b"c", b""),
            (b"", b"x"),
            (b"ab", b"\0"),
        ];
        let got: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_field_that_stands_twice_is_reported() {
        let fields = parse(b"a=1&b=2&a=1").expect("few");
        assert_eq!(single(&fields, "a"), Err(RepeatedField));
        assert_eq!(single(&fields, "b"), Ok(Some(&b"2"[..])));
        assert_eq!(single(&fields, "c"), Ok(None));
    }

    #[test]
    fn a_form_of_nothing_but_fields_is_refused() {
        assert_eq!(
            parse(&b"a&".repeat(limits::FORM_FIELDS)).map(|fields| fields.len()),
            Ok(limits::FORM_FIELDS)
        );
        assert_eq!(parse(&b"a&".repeat(limits::FORM_FIELDS + 1)), Err(TooManyFields));
    }
}
