//! The settings of a source or an endpoint as they come in JSON: what is given is set, `null` puts a setting back
//! to its default, what is unknown or out of range is refused by name.

use serde_json::{Map, Value};

use super::http::Problem;
use crate::model::time::{format_duration_ms, parse_duration_ms};
use crate::model::{Rate, limits};

/// One JSON object on its way into a setting each.
pub(super) struct Fields {
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

type Read<T> = Result<T, String>;

impl Fields {
    pub(super) fn new(map: Map<String, Value>) -> Self {
        Self { map, known: Vec::new() }
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.map.remove(key)
    }

    /// Whether it was given and is not taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Sets `slot` to what was given, or to `default` for `null`.
    pub(super) fn set<T>(
        &mut self,
        key: &'static str,
        slot: &mut T,
        default: T,
        read: impl FnOnce(&Value) -> Read<T>,
    ) -> Result<(), Problem> {
        match self.take(key) {
            None => {}
            Some(Value::Null) => *slot = default,
            Some(value) => *slot = read(&value).map_err(|why| Problem::bad(format!("'{key}': {why}")))?,
        }
        Ok(())
    }

    /// A value that must be there to be used, if it is.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Read<T>,
    ) -> Result<Option<T>, Problem> {
        let mut slot = None;
        self.set(key, &mut slot, None, |v| read(v).map(Some))?;
        Ok(slot)
    }

    /// Like [`Fields::get`], where `null` stands for `default`.
    pub(super) fn get_or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value) -> Read<T>,
    ) -> Result<Option<T>, Problem> {
        let mut slot = None;
        self.set(key, &mut slot, Some(default), |v| read(v).map(Some))?;
        Ok(slot)
    }

    /// Refuses what nobody took.
    pub(super) fn done(&self) -> Result<(), Problem> {
        let Some(key) = self.map.keys().next() else { return Ok(()) };
        let key: String = key.chars().take(80).collect();
        Err(Problem::bad(format!("unknown field '{key}': the fields here are {}", self.known.join(", "))))
    }
}

/// Reads into an `Option`, for [`Fields::set`].
pub(super) fn opt<T>(read: impl FnOnce(&Value) -> Read<T>) -> impl FnOnce(&Value) -> Read<Option<T>> {
    move |value| read(value).map(Some)
}

/// Bytes of a text that has no limit of its own.
const TEXT_LEN: usize = 4096;

/// Text without control characters, at most `TEXT_LEN` bytes, not empty.
pub(super) fn text(value: &Value) -> Read<String> {
    let text = value.as_str().ok_or("is text in quotes")?;
    match text.len() {
        0 => Err("is empty".into()),
        length if length > TEXT_LEN => Err(format!("has {length} bytes, no text here has more than {TEXT_LEN}")),
        _ if text.chars().any(char::is_control) => Err("has a control character in it".into()),
        _ => Ok(text.to_owned()),
    }
}

/// A secret or a key, which may have several lines (PEM).
pub(super) fn key_text(value: &Value) -> Read<String> {
    let text = value.as_str().ok_or("is text in quotes")?.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.len() > 16 << 10 {
        return Err("has 1 to 16384 characters".into());
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err("has control characters: is it a binary file?".into());
    }
    Ok(text.to_owned())
}

pub(super) fn boolean(value: &Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| "is true or false".into())
}

pub(super) fn texts(value: &Value) -> Read<Vec<String>> {
    let list = value.as_array().ok_or("is a list of texts")?;
    if list.len() > 256 {
        return Err("has at most 256 entries".into());
    }
    list.iter().map(text).collect()
}

/// Globs over event types.
pub(super) fn globs(value: &Value) -> Read<Vec<String>> {
    let globs = texts(value)?;
    match globs.iter().find(|g| g.len() > limits::TYPE_LEN) {
        Some(_) => Err(format!("a pattern has at most {} characters", limits::TYPE_LEN)),
        None => Ok(globs),
    }
}

pub(super) fn number(low: u64, high: u64) -> impl Fn(&Value) -> Read<u64> {
    move |value| {
        let number = value.as_u64().ok_or("is a whole number")?;
        if (low..=high).contains(&number) { Ok(number) } else { Err(format!("is from {low} to {high}")) }
    }
}

pub(super) fn number32(low: u32, high: u32) -> impl Fn(&Value) -> Read<u32> {
    move |value| number(low.into(), high.into())(value).map(|n| u32::try_from(n).unwrap_or(high))
}

pub(super) fn real(low: f64, high: f64) -> impl Fn(&Value) -> Read<f64> {
    move |value| {
        let number = value.as_f64().ok_or("is a number")?;
        if (low..=high).contains(&number) { Ok(number) } else { Err(format!("is from {low} to {high}")) }
    }
}

/// Milliseconds, or a duration as people write it, up to `high`.
pub(super) fn duration_ms(low: u64, high: u64) -> impl Fn(&Value) -> Read<u64> {
    move |value| {
        let ms = match value {
            Value::String(text) => parse_duration_ms(text)?,
            other => other.as_u64().ok_or("is a number of milliseconds, or a duration such as \"15s\"")?,
        };
        if (low..=high).contains(&ms) { Ok(ms) } else { Err(format!("is from {} to {}", span(low), span(high))) }
    }
}

/// Whole days as such: a limit of `366d` is easier to read than one in years.
fn span(ms: u64) -> String {
    const DAY_MS: u64 = 86_400_000;
    if ms >= DAY_MS && ms.is_multiple_of(DAY_MS) { format!("{}d", ms / DAY_MS) } else { format_duration_ms(ms) }
}

/// `10/s`, `100/m`, `1000/h`, or a number, which is a second's.
pub(super) fn rate(value: &Value) -> Read<Rate> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    text.parse()
}

/// How a rate is written so that it reads back.
pub(super) fn show_rate(rate: Rate) -> String {
    match rate.per_ms {
        60_000 => format!("{}/m", rate.count),
        3_600_000 => format!("{}/h", rate.count),
        _ => format!("{}/s", rate.count),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Fields, duration_ms, key_text, number, opt, rate, show_rate, text, texts};

    #[test]
    fn given_null_and_absent_differ() {
        let serde_json::Value::Object(map) = json!({"a": "x", "b": null}) else { unreachable!() };
        let mut fields = Fields::new(map);
        let (mut a, mut b, mut c) = (None, Some("old".to_owned()), Some("old".to_owned()));
        for (key, slot) in [("a", &mut a), ("b", &mut b), ("c", &mut c)] {
            fields.set(key, slot, None, opt(text)).expect("well-formed");
        }
        assert_eq!((a.as_deref(), b.as_deref(), c.as_deref()), (Some("x"), None, Some("old")));
        fields.done().expect("nothing left");
    }

    #[test]
    fn what_is_out_of_range_says_the_range() {
        assert!(number(1, 5)(&json!(6)).expect_err("6").contains("from 1 to 5"));
        assert!(number(1, 5)(&json!(-1)).is_err() && number(1, 5)(&json!(1.5)).is_err());
        assert!(duration_ms(0, 1000)(&json!("2s")).is_err());
        assert_eq!(duration_ms(0, 9000)(&json!("2s")), Ok(2000));
        assert!(text(&json!("a\nb")).is_err() && texts(&json!("a")).is_err());
        assert_eq!(key_text(&json!("-----BEGIN\nx\n")).as_deref(), Ok("-----BEGIN\nx"));
    }

    #[test]
    fn rates_read_back() {
        for shown in ["10/s", "100/m", "7/h"] {
            assert_eq!(show_rate(rate(&json!(shown)).expect(shown)), shown);
        }
        assert!(rate(&json!("0/s")).is_err() && rate(&json!("1/fortnight")).is_err() && rate(&json!(-1)).is_err());
    }
}
