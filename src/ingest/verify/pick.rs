//! Picks a few scalars out of a JSON body without building the rest of it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The scalars at the given paths (`/a/b`, plain object members without escapes), each as text: strings as they
/// are, integers as their digits. What is missing, of another type, or in a body that is no JSON is `None`; a
/// member that stands twice counts as its last, as most parsers have it.
pub(super) fn pick<const N: usize>(body: &[u8], paths: [&str; N]) -> [Option<String>; N] {
    let mut found = [const { None }; N];
    let wanted: Vec<(usize, &str)> =
        paths.iter().enumerate().map(|(at, path)| (at, path.strip_prefix('/').unwrap_or(path))).collect();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Picker { wanted: &wanted, found: &mut found }.deserialize(&mut json);
    match read.and_then(|()| json.end()) {
        Ok(()) => found,
        Err(_) => [const { None }; N],
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
        while let Some(name) = members.next_key::<String>()? {
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
    use super::pick;

    #[test]
    fn finds_scalars_at_any_depth() {
        let body = br#"{"id":"e\u00e9","n":7,"event":{"type":"x","deep":{"a":-1}},"list":[{"id":"no"}],"nil":null}"#;
        let found = pick(body, ["/id", "/n", "/event/type", "/event/deep/a", "/list", "/nil", "/none", "/event"]);
        let texts: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
        assert_eq!(texts, [Some("eé"), Some("7"), Some("x"), Some("-1"), None, None, None, None]);
    }

    #[test]
    fn the_last_of_two_counts_and_broken_json_gives_nothing() {
        assert_eq!(pick(br#"{"a":"1","a":"2"}"#, ["/a"]), [Some("2".to_owned())]);
        assert_eq!(pick(br#"{"a":{"b":"1"},"a":"2"}"#, ["/a/b"]), [None]);
        for broken in [&b"{\"a\":\"1\""[..], b"{\"a\":\"1\"} x", b"", b"[1]", b"\"a\"", b"\xff"] {
            assert_eq!(pick(broken, ["/a"]), [None], "{broken:?}");
        }
    }
}
