//! Finds a few values in a JSON body without building the rest of it, as `model::json` reads it: a
//! byte order mark, half of a surrogate pair or a control character hides no field.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::model::json::pieces;
use crate::model::json::pointer::{self, PointerValue};

/// The scalars at the given paths (`/a/b`, plain object members without escapes), each as text:
/// strings as they are, integers as their digits. What is missing, of another type, or in a body
/// that is not JSON is `None`; of a member that occurs twice the last counts, as most parsers have
/// it.
pub(super) fn scalars<const N: usize>(body: &[u8], paths: [&str; N]) -> [Option<String>; N] {
    match pointer::find(body, paths.map(Some)) {
        Ok(found) => found.map(|value| value.and_then(scalar)),
        Err(_) => [const { None }; N],
    }
}

fn scalar(value: PointerValue) -> Option<String> {
    match value {
        PointerValue::Text(text) | PointerValue::Inexact { text, .. } => Some(text),
        PointerValue::Number(digits) => {
            let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            is_integer.then_some(digits)
        }
        PointerValue::Bool(_) | PointerValue::Null | PointerValue::Other(..) => None,
    }
}

/// A digest of a JSON object without the top-level members of these names, which its provider
/// changes from one attempt to the next; `None` when the body is not an object. White space around
/// members is ignored.
pub(super) fn digest_without(body: &[u8], names: &[&str]) -> Option<String> {
    let mut hash = Sha256::new();
    let hashed = pieces::members(body, |name, value| {
        if names.contains(&name.text.as_ref()) {
            return;
        }
        for part in [name.text.as_bytes(), value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    });
    hashed.ok()?;
    Some(format!("sha256:{}", HEXLOWER.encode(&hash.finalize())))
}

/// A member that is read and stands in the body twice, so that nobody knows which one counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RepeatedMember(pub(super) String);

/// The values of an object's members that have one of these names, all others may be large and are
/// skipped. `None` when the body is not a JSON object.
///
/// # Errors
/// When one of these members stands there twice.
pub(super) fn members<'n>(
    body: &[u8],
    names: &[&'n str],
) -> Result<Option<Vec<(&'n str, PointerValue)>>, RepeatedMember> {
    let mut found: Vec<(&str, PointerValue)> = Vec::new();
    let mut repeated = None;
    let read = pieces::members(body, |name, value| {
        let Some(name) = names.iter().find(|known| **known == name.text) else { return };
        if found.iter().any(|(known, _)| known == name) {
            repeated = Some(RepeatedMember((*name).to_owned()));
        } else if let Ok([Some(value)]) = pointer::find(value, [Some("")]) {
            found.push((*name, value));
        }
    });

    match (read, repeated) {
        (Err(_), _) => Ok(None),
        (Ok(()), Some(repeated)) => Err(repeated),
        (Ok(()), None) => Ok(Some(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::{PointerValue, RepeatedMember, digest_without, members, scalars};

    #[test]
    fn finds_scalars_at_any_depth() {
        let body = br#"{"id":"e\u00e9","n":7,"event":{"type":"x","deep":{"a":-1}},"list":[{"id":"no"}],"nil":null}"#;
        let found = scalars(
            body,
            ["/id", "/n", "/event/type", "/event/deep/a", "/list", "/nil", "/none", "/event"],
        );
        let texts: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
        assert_eq!(texts, [Some("eé"), Some("7"), Some("x"), Some("-1"), None, None, None, None]);
    }

    #[test]
    fn what_counts_attempts_is_no_content() {
        let digest = |body: &str| digest_without(body.as_bytes(), &["tries", "at"]);
        let first = digest(r#"{"id":1,"tries":1,"data":{"tries":1}}"#);
        assert!(first.as_ref().is_some_and(|it| it.starts_with("sha256:")));
        assert_eq!(first, digest(r#"{ "id" : 1, "tries":22, "data":{"tries":1},"at":"x" }"#));
        for other in
            [r#"{"id":1,"data":{"tries":2}}"#, r#"{"id":2,"data":{"tries":1}}"#, r#"{"id":1}"#]
        {
            assert_ne!(first, digest(other), "{other}");
        }
        for none in ["[1]", "{", "", r#"{"a":1} x"#, "7"] {
            assert_eq!(digest(none), None, "{none}");
        }
    }

    #[test]
    fn members_are_read_and_none_of_them_twice() {
        let body = br#"{"a":"\u00e9","b":[0,0,0],"c":{"d":[1]},"e":null,"f":1,"g":[0,0],"g":"2"}"#;
        let found = members(body, &["a", "b", "e", "f", "h"]).expect("none twice").expect("JSON");
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["a", "b", "e", "f"]);
        assert_eq!(found[0].1, PointerValue::Text("é".into()));
        assert_eq!(found[2].1, PointerValue::Null);

        assert_eq!(members(body, &["a", "g"]), Err(RepeatedMember("g".into())));
        for escaped in [&br#"{"a":1,"\u0061":1}"#[..], br#"{"a":1,"a":[]}"#] {
            assert_eq!(members(escaped, &["a"]), Err(RepeatedMember("a".into())));
        }
        for broken in [&b"[]"[..], b"{\"a\":1} x", b"{\"a\":[1,]}", b"{\"a\"", b"", b"\"a\""] {
            assert_eq!(members(broken, &["a"]), Ok(None), "{broken:?}");
        }
    }

    #[test]
    fn one_odd_character_hides_no_field() {
        for body in [
            "\u{feff}{\"id\":\"7\",\"event\":{\"type\":\"x\"}}",
            "{\"id\":\"7\",\"note\":\"a\u{1}\nb\",\"event\":{\"type\":\"x\"}}",
            "{\"note\":\"\\ud83d\",\"id\":\"7\",\"event\":{\"type\":\"x\"}}",
        ] {
            let found = scalars(body.as_bytes(), ["/id", "/event/type"]);
            assert_eq!(found, [Some("7".to_owned()), Some("x".to_owned())], "{body:?}");
            assert!(digest_without(body.as_bytes(), &["id"]).is_some(), "{body:?}");
        }
    }

    #[test]
    fn the_last_of_two_counts_and_broken_json_gives_nothing() {
        assert_eq!(scalars(br#"{"a":"1","a":"2"}"#, ["/a"]), [Some("2".to_owned())]);
        assert_eq!(scalars(br#"{"a":{"b":"1"},"a":"2"}"#, ["/a/b"]), [None]);
        for broken in [&b"{\"a\":\"1\""[..], b"{\"a\":\"1\"} x", b"", b"[1]", b"\"a\"", b"\xff"] {
            assert_eq!(scalars(broken, ["/a"]), [None], "{broken:?}");
        }
    }
}
