//! Finds a few values in a JSON body without building the rest of it.

use std::borrow::Cow;
use std::fmt;

use data_encoding::HEXLOWER;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The scalars at the given paths (`/a/b`, plain object members without escapes), each as text:
/// strings as they are, integers as their digits. What is missing, of another type, or in a body
/// that is not JSON is `None`; of a member that occurs twice the last counts, as most parsers have
/// it.
pub(super) fn scalars<const N: usize>(body: &[u8], paths: [&str; N]) -> [Option<String>; N] {
    let mut found = [const { None }; N];
    let wanted: Vec<(usize, &str)> = paths
        .iter()
        .enumerate()
        .map(|(at, path)| (at, path.strip_prefix('/').unwrap_or(path)))
        .collect();

    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Picker { wanted: &wanted, found: &mut found }.deserialize(&mut json);

    match read.and_then(|()| json.end()) {
        Ok(()) => found,
        Err(_) => [const { None }; N],
    }
}

/// A digest of a JSON object without the top-level members of these names, which its provider
/// changes from one attempt to the next; `None` when the body is not an object. White space around
/// members is ignored.
pub(super) fn digest_without(body: &[u8], names: &[&str]) -> Option<String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let hash = Hashing(names).deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(format!("sha256:{}", HEXLOWER.encode(&hash.finalize())))
}

/// Hashes the members of an object, but for these.
struct Hashing<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Hashing<'_> {
    type Value = Sha256;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Sha256, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Hashing<'_> {
    type Value = Sha256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Sha256, A::Error> {
        let mut hash = Sha256::new();
        while let Some(name) = members.next_key::<String>()? {
            let value: &RawValue = members.next_value()?;
            if self.0.contains(&name.as_str()) {
                continue;
            }
            for part in [name.as_str(), value.get()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        Ok(hash)
    }
}

/// The members of a JSON object that have one of these names. Objects and arrays among them are
/// returned empty: no caller needs them, and they may be large. `None` when the body is not a
/// JSON object.
pub(super) fn members(body: &[u8], names: &[&str]) -> Option<Map<String, Value>> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = json.deserialize_map(Members(names)).ok()?;
    json.end().ok()?;
    Some(found)
}

struct Members<'n>(&'n [&'n str]);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = Map::new();
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            if self.0.contains(&name.as_ref()) {
                let value = members.next_value_seed(Shallow)?;
                found.insert(name.into_owned(), value);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A value without what is in it.
struct Shallow;

impl<'de> DeserializeSeed<'de> for Shallow {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shallow {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value, E> {
        Ok(is.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object(Map::new()))
    }
}

/// The wanted paths below the value that is read now; an empty path is the value itself.
struct Picker<'p, 'f> {
    wanted: &'p [(usize, &'p str)],
    found: &'f mut [Option<String>],
}

impl Picker<'_, '_> {
    fn found_scalar(self, text: Option<String>) {
        for (at, path) in self.wanted {
            if let Some(slot) = self.found.get_mut(*at) {
                *slot = if path.is_empty() { text.clone() } else { None };
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Picker<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Picker<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found_scalar(Some(text.to_owned()));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.found_scalar(Some(number.to_string()));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.found_scalar(Some(number.to_string()));
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.found_scalar(None);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.found_scalar(None);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.found_scalar(None);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.found_scalar(None);
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Picker { wanted, found } = self;
        Picker { wanted, found }.found_scalar(None);
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            let below: Vec<(usize, &str)> = wanted
                .iter()
                .filter_map(|(at, path)| {
                    let (head, tail) = path.split_once('/').unwrap_or((path, ""));
                    (!path.is_empty() && head == name).then_some((*at, tail))
                })
                .collect();

            if below.is_empty() {
                members.next_value::<IgnoredAny>()?;
            } else {
                members.next_value_seed(Picker { wanted: &below, found })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{digest_without, members, scalars};

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
    fn members_are_read_without_what_is_in_them() {
        let body = br#"{"a":"\u00e9","b":[0,0,0],"c":{"d":[1]},"e":null,"f":1,"g":[0,0],"a":"2"}"#;
        let found = members(body, &["a", "b", "c", "e", "f", "h"]).map(Value::Object);
        assert_eq!(found, Some(json!({"a": "2", "b": [], "c": {}, "e": null, "f": 1})));
        for broken in [&b"[]"[..], b"{\"a\":1} x", b"{\"a\":[1,]}", b"{\"a\"", b"", b"\"a\""] {
            assert_eq!(members(broken, &["a"]), None, "{broken:?}");
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
