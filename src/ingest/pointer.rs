//! Scalars out of a JSON body by JSON Pointer (RFC 6901), without building the document. Pure.
//!
//! One pass over the body, memory for what is looked for alone: a hostile body of a megabyte costs a megabyte.
//! Everything else is skipped without recursion. A body that is not JSON, to its last byte, has no fields. When a
//! name stands twice in an object the last one counts, as most parsers have it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Steps of a pointer; a longer one finds nothing.
const STEPS: usize = 32;

/// What stands at a pointer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    /// Whole, and so exact.
    Integer(i128),
    Number(f64),
    Bool(bool),
}

impl Scalar {
    /// As an event's type.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Integer(integer) => integer.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Bool(is) => is.to_string(),
        }
    }

    /// As an identity: only what is exact, because two that look alike would make an event a duplicate.
    pub fn into_key(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(integer) => Some(integer.to_string()),
            Self::Number(_) | Self::Bool(_) => None,
        }
    }
}

/// What stands at each of the pointers.
pub(super) fn find<const N: usize>(body: &[u8], pointers: [Option<&str>; N]) -> [Option<Scalar>; N] {
    let parsed = pointers.map(|pointer| pointer.and_then(steps));
    let wanted: Vec<Wanted<'_>> = parsed
        .iter()
        .enumerate()
        .filter_map(|(slot, steps)| steps.as_ref().map(|steps| Wanted { slot, rest: steps }))
        .collect();
    let mut found = [const { None }; N];
    let mut json = serde_json::Deserializer::from_slice(body);
    let seed = Seed { wanted: &wanted, found: &mut found };
    match seed.deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) => found,
        Err(_not_json) => [const { None }; N],
    }
}

/// The steps of a pointer, unescaped; `None` when it is not one.
fn steps(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let rest = pointer.strip_prefix('/')?;
    let steps: Vec<String> = rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    (steps.len() <= STEPS).then_some(steps)
}

#[derive(Clone, Copy)]
struct Wanted<'a> {
    slot: usize,
    rest: &'a [String],
}

struct Seed<'a> {
    wanted: &'a [Wanted<'a>],
    found: &'a mut [Option<Scalar>],
}

impl<'a> Seed<'a> {
    /// Sets what is looked for right here; `None` for what is not a scalar.
    fn set(self, scalar: Option<&Scalar>) {
        for wanted in self.wanted {
            // What stood here under the same name before is gone, whatever replaces it.
            self.found[wanted.slot] = if wanted.rest.is_empty() { scalar.cloned() } else { None };
        }
    }

    /// What is looked for below `step`.
    fn below(&self, step: impl Fn(&str) -> bool) -> Vec<Wanted<'a>> {
        let matches = |wanted: &&Wanted<'a>| wanted.rest.first().is_some_and(|first| step(first));
        self.wanted.iter().filter(matches).map(|wanted| Wanted { rest: &wanted.rest[1..], ..*wanted }).collect()
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.set(Some(&Scalar::Text(text.to_owned())));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.set(Some(&Scalar::Integer(number.into())));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.set(Some(&Scalar::Integer(number.into())));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.set(Some(&Scalar::Number(number)));
        Ok(())
    }

    fn visit_bool<E>(self, is: bool) -> Result<(), E> {
        self.set(Some(&Scalar::Bool(is)));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.set(None);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        Seed { wanted: self.wanted, found: self.found }.set(None);
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let below = self.below(|step| step == name);
            if below.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Seed { wanted: &below, found: self.found })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        Seed { wanted: self.wanted, found: self.found }.set(None);
        for index in 0usize.. {
            let below = self.below(|step| step.parse() == Ok(index) && step == index.to_string());
            if below.is_empty() {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
            } else if seq.next_element_seed(Seed { wanted: &below, found: self.found })?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Scalar, find};

    fn text(body: &str, pointer: &str) -> Option<String> {
        let [found] = find(body.as_bytes(), [Some(pointer)]);
        found.map(Scalar::into_text)
    }

    #[test]
    fn the_examples_of_rfc_6901() {
        let body = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        for (pointer, value) in [
            ("/foo/0", "bar"),
            ("/foo/1", "baz"),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(text(body, pointer).as_deref(), Some(value), "{pointer}");
        }
        for pointer in ["", "/foo", "/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/nope", "foo", "/foo/0/x"] {
            assert_eq!(text(body, pointer), None, "{pointer}");
        }
        assert_eq!(text("\"x\"", "").as_deref(), Some("x"));
    }

    #[test]
    fn several_are_found_in_one_pass() {
        let body = br#"{"a":{"b":"x","c":[1,{"d":true}]},"a2":"no"}"#;
        let [b, d, none, both] = find(body, [Some("/a/b"), Some("/a/c/1/d"), None, Some("/a/b")]);
        assert_eq!((b.as_ref(), d, none), (Some(&Scalar::Text("x".into())), Some(Scalar::Bool(true)), None));
        assert_eq!(b, both);
    }

    #[test]
    fn the_last_of_a_repeated_name_counts() {
        assert_eq!(text(r#"{"a":"x","a":"y"}"#, "/a").as_deref(), Some("y"));
        assert_eq!(text(r#"{"a":{"b":"x"},"a":1}"#, "/a/b"), None);
        assert_eq!(text(r#"{"a":{"b":"x"},"a":{"c":1}}"#, "/a/b"), None);
        assert_eq!(text(r#"{"a":{"b":"x"},"a":null}"#, "/a/b"), None);
    }

    #[test]
    fn what_is_not_json_to_its_end_has_no_fields() {
        for body in ["", "{", r#"{"a":"x"} y"#, r#"{"a":"x""#, "\u{feff}{}", r#"{"a":"x","b":}"#, r#"{'a':'x'}"#] {
            assert_eq!(text(body, "/a"), None, "{body}");
        }
        assert_eq!(find(b"{\"a\":\"\xff\"}", [Some("/a")]), [None]);
    }

    #[test]
    fn depth_and_width_do_no_harm() {
        let deep = format!("{{\"a\":\"x\",\"b\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        let _ = text(&deep, "/a");
        let wide = format!("{{\"b\":[{}1],\"a\":\"x\"}}", "1,".repeat(200_000));
        assert_eq!(text(&wide, "/a").as_deref(), Some("x"));
        assert_eq!(text(&wide, &"/b".repeat(1000)), None);
    }

    #[test]
    fn an_identity_is_exact_or_none() {
        let key = |body: &str| {
            let [found] = find(body.as_bytes(), [Some("/id")]);
            found.and_then(Scalar::into_key)
        };
        assert_eq!(key(r#"{"id":18446744073709551615}"#).as_deref(), Some("18446744073709551615"));
        assert_eq!(key(r#"{"id":-7}"#).as_deref(), Some("-7"));
        assert_eq!(key(r#"{"id":123456789012345678901}"#), None, "two such numbers would look alike");
        assert_eq!(key(r#"{"id":true}"#), None);
        assert_eq!(key(r#"{"id":{}}"#), None);
    }
}
