//! Refusals without the values that they quote.

use super::value::REDACTED;
use crate::model::limits::REDACTED_SECRET_MIN;

/// A refusal of settings without their values, whole or in part: what it quotes of them, and what
/// stands in it without quotes. It still names the setting and says what to write.
#[must_use]
pub fn without_values(refusal: &str, values: &[String]) -> String {
    let mut whole: Vec<&String> =
        values.iter().filter(|value| value.len() >= REDACTED_SECRET_MIN).collect();
    whole.sort_by_key(|value| std::cmp::Reverse(value.len()));

    let mut left = refusal.to_owned();
    for value in whole {
        let escaped = format!("{value:?}");
        let escaped = escaped.trim_matches('"');
        for written in [value.as_str(), escaped] {
            left = left.replace(written, REDACTED);
        }
    }
    without_quoted_parts(&left, values)
}

/// The text without what stands in quotes in it and in one of the values.
fn without_quoted_parts(text: &str, values: &[String]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '`']) {
        let (before, quoted) = rest.split_at(at);
        shown.push_str(before);
        let (quote, behind) = quoted.split_at(1);
        let end = behind.find(quote).filter(|end| is_part(&behind[..*end], values));
        shown.push_str(quote);
        rest = match end {
            Some(end) => {
                shown.push_str(REDACTED);
                shown.push_str(quote);
                &behind[end + 1..]
            }
            None => behind,
        };
    }
    shown.push_str(rest);
    shown
}

fn is_part(text: &str, values: &[String]) -> bool {
    text.len() >= REDACTED_SECRET_MIN && values.iter().any(|value| value.contains(text))
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn values_are_left_out_whole_in_part_and_escaped() {
        for (value, refusal, left) in [
            ("a s3cret", "must be a list: write [\"a s3cret\"]", "must be a list: write [\"…\"]"),
            ("a\"s3cret", "write \"a\\\"s3cret\"", "write \"…\""),
            ("a.example/s3cret", "write http://a.example/s3cret or", "write http://… or"),
            (
                "Bearer s3cret: x",
                "--header 'Bearer s3cret' is not a header's name: write it as 'Name: value'",
                "--header '…' is not a header's name: write it as 'Name: value'",
            ),
            ("it's s3cret", "'s s3cret' and more", "'…' and more"),
            ("x", "an 'x' stays: it is no secret", "an 'x' stays: it is no secret"),
        ] {
            assert_eq!(without_values(refusal, &[value.to_owned()]), left);
        }
    }
}
