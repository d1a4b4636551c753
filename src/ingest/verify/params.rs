//! The scheme's settings (`--set KEY=VALUE`), read leniently: a number or a flag may come as text,
//! a list as an array or separated by commas.

use serde_json::Value;

use crate::model::Source;

/// A setting that is there and cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadParam(pub(super) String);

impl From<BadParam> for super::ProofRefusal {
    fn from(bad: BadParam) -> Self {
        Self::settings(bad.0)
    }
}

impl From<BadParam> for String {
    fn from(bad: BadParam) -> Self {
        bad.0
    }
}

pub(super) struct SchemeParams<'s>(pub(super) &'s Source);

impl<'s> SchemeParams<'s> {
    pub(super) fn value(&self, key: &str) -> Option<&'s Value> {
        self.0.params.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'s str>, BadParam> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(bad(key, "a text that is not empty")),
        }
    }

    /// One of the given words; the first is the default.
    pub(super) fn word(&self, key: &str, words: &[&'static str]) -> Result<&'static str, BadParam> {
        let default = words.first().copied().unwrap_or_default();
        let Some(text) = self.text(key)? else { return Ok(default) };
        words
            .iter()
            .find(|word| **word == text)
            .copied()
            .ok_or_else(|| bad(key, &format!("one of {}", words.join(", "))))
    }

    /// Not negative.
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, BadParam> {
        let number = match self.value(key) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        number
            .filter(|number| (0..=1 << 40).contains(number))
            .map(Some)
            .ok_or_else(|| bad(key, "a number of seconds"))
    }

    /// How old a signed time may be, in seconds; `none` for any age.
    pub(super) fn age(&self, key: &str, default: i64) -> Result<Option<i64>, BadParam> {
        if self.value(key).and_then(Value::as_str) == Some("none") {
            return Ok(None);
        }

        let number = self.number(key).map_err(|_| bad(key, "a number of seconds, or none"))?;
        Ok(Some(number.unwrap_or(default)))
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, BadParam> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(bad(key, "true or false")),
        }
    }

    /// Never an empty one.
    pub(super) fn list(&self, key: &str) -> Result<Option<Vec<&'s str>>, BadParam> {
        let list: Option<Vec<&str>> = match self.value(key) {
            None => return Ok(None),
            Some(Value::String(text)) => Some(text.split(',').map(str::trim).collect()),
            Some(Value::Array(items)) => items.iter().map(Value::as_str).collect(),
            Some(_) => None,
        };

        match list {
            Some(list) if !list.is_empty() && list.iter().all(|item| !item.is_empty()) => {
                Ok(Some(list))
            }
            _ => Err(bad(key, "a list of texts, as a JSON array or separated by commas")),
        }
    }

    /// Either of two keys, of which one holds a single value and the other several.
    pub(super) fn either(
        &self,
        one: &str,
        several: &str,
    ) -> Result<Option<Vec<&'s str>>, BadParam> {
        let mut all: Vec<&str> = self.text(one)?.into_iter().collect();
        all.extend(self.list(several)?.unwrap_or_default());
        Ok(Some(all).filter(|all| !all.is_empty()))
    }
}

fn bad(key: &str, wanted: &str) -> BadParam {
    BadParam(format!("--set {key}=… must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::SchemeParams;
    use crate::model::Source;

    #[test]
    fn texts_stand_for_numbers_flags_and_lists() {
        let mut source = Source::new("s", "jwt");
        for (key, value) in [
            ("n", json!(5)),
            ("t", json!("60")),
            ("neg", json!(-1)),
            ("f", json!("true")),
            ("l", json!("a, b")),
            ("a", json!(["x"])),
            ("e", json!([])),
            ("o", json!({})),
        ] {
            source.params.insert(key.into(), value);
        }

        let params = SchemeParams(&source);
        assert_eq!(
            (params.number("n"), params.number("t"), params.number("none")),
            (Ok(Some(5)), Ok(Some(60)), Ok(None))
        );
        assert!(
            params.number("neg").is_err()
                && params.number("l").is_err()
                && params.text("n").is_err()
        );
        assert_eq!((params.flag("f", false), params.flag("none", true)), (Ok(true), Ok(true)));
        assert_eq!(params.list("l"), Ok(Some(vec!["a", "b"])));
        assert_eq!(params.either("t", "a"), Ok(Some(vec!["60", "x"])));
        assert!(params.list("e").is_err() && params.list("o").is_err());
        assert_eq!(params.word("none", &["first", "second"]), Ok("first"));
        assert!(params.word("t", &["first", "second"]).is_err());
    }
}
