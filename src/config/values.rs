//! Durations, sizes and rates, as they are written in the file.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::model::{Rate, size, time};

/// A duration in milliseconds, written like `"15s"` or as a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub u64);

/// A size in bytes, written like `"64MiB"` or as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A rate, written like `"50/s"` or as a number by the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSetting(pub Rate);

/// What a value may be written as.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenValue {
    Whole(u64),
    Number(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORM: &str = "must be a duration such as \"15s\", or a number of seconds";
        let written =
            WrittenValue::deserialize(deserializer).map_err(|_| D::Error::custom(FORM))?;
        let ms = match written {
            WrittenValue::Whole(seconds) => {
                seconds.checked_mul(1000).ok_or_else(|| D::Error::custom(FORM))?
            }
            WrittenValue::Number(seconds) => {
                time::seconds_to_ms(seconds).map_err(D::Error::custom)?
            }
            WrittenValue::Text(text) => time::parse_span_ms(&text).map_err(D::Error::custom)?,
        };
        Ok(Self(ms))
    }
}

impl<'de> Deserialize<'de> for RateSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORM: &str = "must be a rate such as \"50/s\", or a number of attempts a second";
        let written =
            WrittenValue::deserialize(deserializer).map_err(|_| D::Error::custom(FORM))?;
        let text = match written {
            WrittenValue::Whole(count) => count.to_string(),
            WrittenValue::Number(_) => return Err(D::Error::custom(FORM)),
            WrittenValue::Text(text) => text,
        };
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORM: &str = "must be a size such as \"64MiB\", or a number of bytes";
        let written =
            WrittenValue::deserialize(deserializer).map_err(|_| D::Error::custom(FORM))?;
        match written {
            WrittenValue::Whole(bytes) => Ok(Self(bytes)),
            WrittenValue::Number(_) => Err(D::Error::custom(FORM)),
            WrittenValue::Text(text) => {
                size::parse_bytes(&text).map(Self).map_err(D::Error::custom)
            }
        }
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time::span_text(self.0))
    }
}

impl Serialize for RateSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&size::size_text(self.0))
    }
}
