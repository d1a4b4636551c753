//! Whether a JSON text gives a name twice. The last of them would count otherwise, and the others
//! would be taken for entries that were left out.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Levels of objects that are looked at: the document, its tables, their entries.
const LEVELS: usize = 3;

/// Looks at the objects of the outer levels.
///
/// # Errors
/// Names the first key that is given twice, with its line; or what is not JSON.
pub fn check(text: &str) -> Result<(), serde_json::Error> {
    check_levels(text.as_bytes(), LEVELS)
}

/// The same for so many levels.
///
/// # Errors
/// As [`check`].
pub fn check_levels(text: &[u8], levels: usize) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    UniqueKeys { levels }.deserialize(&mut reader)
}

struct UniqueKeys {
    levels: usize,
}

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        match self.levels {
            0 => IgnoredAny::deserialize(value).map(drop),
            _ => value.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(A::Error::custom(format!("'{key}' is given twice")));
            }
            keys.insert(key);
            map.next_value_seed(UniqueKeys { levels: self.levels - 1 })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_name_that_is_given_twice_is_no_entry_that_was_left_out() {
        let whole = r#"{"source": {"a": {"allow": [1, "x"], "rate": null}, "b": {}}, "n": 1.5}"#;
        check(whole).expect("all names once");
        for twice in [
            r#"{"source": {}, "source": {}}"#,
            r#"{"endpoint": {"a": {}, "a": {}}}"#,
            r#"{"endpoint": {"a": {"url": "x", "url": "y"}}}"#,
        ] {
            let why = check(twice).expect_err(twice).to_string();
            assert!(why.contains("is given twice at line 1"), "{why}");
        }
    }
}
