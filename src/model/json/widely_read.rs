//! Whether JSON is of a kind that nearly every parser takes. RFC 8259 (section 9) lets a parser
//! limit the depth, the range of numbers and the characters of strings, and common ones do: 64
//! levels, the range of a double, 4,300 digits, no half of a surrogate pair.

use super::read::{JsonReader, JsonToken, text};

/// Levels of arrays and objects. What it is put into adds some.
const DEPTH: usize = 32;
/// Bytes of a number.
const NUMBER: usize = 512;

/// Whether nearly every parser takes this text. What is no JSON is not widely read.
#[must_use]
pub fn is_widely_read(json: &[u8]) -> bool {
    let mut reader = JsonReader::new(json);
    let mut depth = 0;
    loop {
        let is_usual = match reader.next() {
            Ok(None) => return true,
            Err(_) => false,
            Ok(Some(JsonToken::Object(_) | JsonToken::Array(_))) => {
                depth += 1;
                depth <= DEPTH
            }
            Ok(Some(JsonToken::End)) => {
                depth -= 1;
                true
            }

            // Of a text, what it says; of a number, its range.
            Ok(Some(JsonToken::Name((from, to)) | JsonToken::Text((from, to)))) => {
                text(&json[from..to]).exact
            }
            Ok(Some(JsonToken::Number((from, to)))) => is_usual_number(&json[from..to]),
            Ok(Some(JsonToken::Bool(_) | JsonToken::Null)) => true,
        };

        if !is_usual {
            return false;
        }
    }
}

fn is_usual_number(number: &[u8]) -> bool {
    let value = std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok());
    number.len() <= NUMBER && value.is_some_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::is_widely_read;

    #[test]
    fn what_common_parsers_refuse_is_not_widely_read() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let digits = |count| "9".repeat(count);
        for (json, expected) in [
            ("{\"a\": [1, -2.5e10, true, null, \"\\ud83d\\ude00\"]}".to_owned(), true),
            (nested(32), true),
            (nested(33), false),
            (nested(100_000), false),
            (digits(78), true),
            (digits(309), false),
            (format!("0.{}", digits(600)), false),
            ("1e400".to_owned(), false),
            ("[\"\\ud83d\"]".to_owned(), false),
            ("{\"\\udc00\": 1}".to_owned(), false),
            ("[1".to_owned(), false),
        ] {
            let shown = &json[..json.len().min(40)];
            assert_eq!(is_widely_read(json.as_bytes()), expected, "{shown}");
        }
    }
}
