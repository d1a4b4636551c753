//! On which lines the keys of a JSON text stand, so that an error names them as it does in TOML.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Levels of objects that are looked at: the document, its tables, their entries.
const LEVELS: usize = 3;

/// The path of each key, and the line on which its value begins. What is no object has no keys.
#[must_use]
pub fn of(text: &str) -> Vec<(Vec<String>, usize)> {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let mut keys = JsonKeys { text, ends, found: Vec::new() };
    keys.collect(text, &[]);
    keys.found
}

struct JsonKeys<'a> {
    text: &'a str,
    /// Where lines end.
    ends: Vec<usize>,
    found: Vec<(Vec<String>, usize)>,
}

impl JsonKeys<'_> {
    fn collect(&mut self, object: &str, path: &[String]) {
        let Ok(JsonMembers(members)) = serde_json::from_str(object) else { return };
        for (key, value) in members {
            // The value is a part of the text.
            let at = (value.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
            let line = self.ends.partition_point(|end| *end < at) + 1;
            let path: Vec<String> = path.iter().cloned().chain([key]).collect();
            self.found.push((path.clone(), line));
            if path.len() < LEVELS {
                self.collect(value.get(), &path);
            }
        }
    }
}

/// The members of an object, not looked into.
struct JsonMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for JsonMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(JsonMembersVisitor)
    }
}

struct JsonMembersVisitor;

impl<'de> Visitor<'de> for JsonMembersVisitor {
    type Value = JsonMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(JsonMembers(members))
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn each_key_has_the_line_of_its_value() {
        let text = [
            "{",
            r#""source": {"#,
            r#"  "a\u0062": {"rate": 1,"#,
            r#"    "allow":"#,
            r"      [1, 2]}",
            r#"}, "endpoint": {}}"#,
        ];
        let text = &text.join("\n");
        let lines: Vec<(String, usize)> =
            of(text).into_iter().map(|(path, line)| (path.join("."), line)).collect();

        let expected = [
            ("source", 2),
            ("source.ab", 3),
            ("source.ab.rate", 3),
            ("source.ab.allow", 5),
            ("endpoint", 6),
        ];
        assert_eq!(lines, expected.map(|(path, line)| (path.to_owned(), line)));
        assert!(of("[1]").is_empty() && of("{").is_empty());
    }
}
