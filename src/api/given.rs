//! What a caller gives of an event or a request, read without making a tree of it: JSON as it
//! stands, and headers, of which there are only so many.

use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::limits;

/// A value of JSON, kept to the letter: no number is rounded, no key of an object gets lost, and it
/// takes no more memory than it has bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VerbatimJson(Box<RawValue>);

impl VerbatimJson {
    /// What a text says, or any other value as it is written.
    ///
    /// # Errors
    /// When it is a text that stands for no characters, such as half of a surrogate pair.
    pub fn into_text(self) -> Result<String, serde_json::Error> {
        match self.0.get().starts_with('"') {
            true => serde_json::from_str(self.0.get()),
            false => Ok(String::from(Box::<str>::from(self.0))),
        }
    }
}

impl PartialEq for VerbatimJson {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// Names and values of headers: an object of texts, or of lists of texts for a header that came
/// several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenHeaders(Vec<(String, String)>);

impl GivenHeaders {
    /// Adds a value to those that the name has.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn all_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Serialize for GivenHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for (at, (name, value)) in self.iter().enumerate() {
            // Each name once, where it comes first.
            if self.iter().take(at).any(|(before, _)| before == name) {
                continue;
            }
            match self.all_of(name).count() {
                1 => object.serialize_entry(name, value)?,
                _ => object.serialize_entry(name, &self.all_of(name).collect::<Vec<_>>())?,
            }
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for GivenHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadHeaders)
    }
}

struct ReadHeaders;

impl<'de> Visitor<'de> for ReadHeaders {
    type Value = GivenHeaders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<GivenHeaders, A::Error> {
        let mut found = GivenHeaders::default();
        while let Some(name) = object.next_key::<String>()? {
            let HeaderValues(values) = object.next_value()?;
            if found.len() + values.len() > limits::GIVEN_HEADERS {
                let most = limits::GIVEN_HEADERS;
                return Err(A::Error::custom(format!("has more than {most} headers")));
            }
            values.into_iter().for_each(|value| found.push(name.clone(), value));
        }
        Ok(found)
    }
}

/// The values of one header.
struct HeaderValues(Vec<String>);

impl<'de> Deserialize<'de> for HeaderValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadValues)
    }
}

struct ReadValues;

impl<'de> Visitor<'de> for ReadValues {
    type Value = HeaderValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts for each header")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HeaderValues, E> {
        Ok(HeaderValues(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<HeaderValues, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element::<String>()? {
            if values.len() == limits::GIVEN_HEADERS {
                let most = limits::GIVEN_HEADERS;
                return Err(A::Error::custom(format!("has more than {most} headers")));
            }
            values.push(value);
        }
        Ok(HeaderValues(values))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{GivenHeaders, VerbatimJson};
    use crate::model::limits;

    #[test]
    fn headers_are_texts_or_lists_of_them_and_only_so_many() {
        let text = json!({"a": "1", "b": ["2", "3"], "c": []}).to_string();
        let headers: GivenHeaders = serde_json::from_str(&text).expect("headers");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("a", "1"), ("b", "2"), ("b", "3")]);
        let written = serde_json::to_value(&headers).expect("JSON");
        assert_eq!(written, json!({"a": "1", "b": ["2", "3"]}));

        let many = vec!["x"; limits::GIVEN_HEADERS + 1];
        let apart: serde_json::Map<_, _> =
            (0..=limits::GIVEN_HEADERS).map(|n| (format!("x-{n}"), json!("x"))).collect();
        for wrong in [json!({"a": 1}), json!({"a": [[]]}), json!({"a": many}), json!(apart)] {
            serde_json::from_str::<GivenHeaders>(&wrong.to_string()).expect_err("refused");
        }
    }

    #[test]
    fn json_is_kept_to_the_letter_and_a_text_is_what_it_says() {
        for (given, kept) in [
            (r#"{"n":18446744073709551616, "n":1.0}"#, r#"{"n":18446744073709551616, "n":1.0}"#),
            (r#""a\n\u00e4""#, "a\nä"),
            ("1e400", "1e400"),
        ] {
            let read: VerbatimJson = serde_json::from_str(given).expect("JSON");
            assert_eq!(read.into_text().expect("text"), kept);
        }
    }
}
