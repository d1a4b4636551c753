//! Values of settings: each is read and checked once, and written the same way on the command line,
//! in JSON, in files and in answers. A type states its range, so that help, errors and documents
//! agree.
//!
//! Durations and sizes are text (`"15s"`, `"1MiB"`). Numbers are taken, too: seconds for a
//! duration, bytes for a size.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::size::{parse_bytes, size_text};
use crate::model::time::{parse_span_ms, parse_wall, rfc3339, span_text};
use crate::model::{Secret, WallMs, limits};

/// The longest duration that a setting takes, where nothing else bounds it.
pub const YEAR_MS: u64 = limits::SETTING_MS;

/// A duration from `LOW` to `HIGH` milliseconds: text such as `"15s"` or `"1h 30m"`, or a number of
/// seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<const LOW: u64, const HIGH: u64>(u64);

impl<const LOW: u64, const HIGH: u64> Span<LOW, HIGH> {
    /// A value that was accepted before; it is shown as it is.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    #[must_use]
    pub fn ms(self) -> u64 {
        self.0
    }

    fn checked(ms: u64) -> Result<Self, String> {
        if (LOW..=HIGH).contains(&ms) {
            return Ok(Self(ms));
        }
        Err(format!("must be from {} to {}", span_text(LOW), span_text(HIGH)))
    }
}

impl<const LOW: u64, const HIGH: u64> FromStr for Span<LOW, HIGH> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::checked(parse_span_ms(text)?)
    }
}

impl<const LOW: u64, const HIGH: u64> fmt::Display for Span<LOW, HIGH> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&span_text(self.0))
    }
}

/// A size from `LOW` to `HIGH` bytes: text such as `"64KiB"` or `"1MiB"`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size<const LOW: u64, const HIGH: u64>(u64);

impl<const LOW: u64, const HIGH: u64> Size<LOW, HIGH> {
    /// A value that was accepted before; it is shown as it is.
    #[must_use]
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl<const LOW: u64, const HIGH: u64> FromStr for Size<LOW, HIGH> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = parse_bytes(text)?;
        if (LOW..=HIGH).contains(&bytes) {
            return Ok(Self(bytes));
        }
        Err(format!("must be from {} to {}", size_text(LOW), size_text(HIGH)))
    }
}

impl<const LOW: u64, const HIGH: u64> fmt::Display for Size<LOW, HIGH> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&size_text(self.0))
    }
}

/// A whole number from `LOW` to `HIGH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int<const LOW: u32, const HIGH: u32>(u32);

impl<const LOW: u32, const HIGH: u32> Int<LOW, HIGH> {
    /// A value that was accepted before; it is shown as it is.
    #[must_use]
    pub fn from_u32(number: u32) -> Self {
        Self(number)
    }

    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<const LOW: u32, const HIGH: u32> FromStr for Int<LOW, HIGH> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse::<u32>().ok().filter(|number| (LOW..=HIGH).contains(number));
        number.map(Self).ok_or_else(|| match HIGH {
            u32::MAX => format!("must be a whole number from {LOW} up"),
            _ => format!("must be a whole number from {LOW} to {HIGH}"),
        })
    }
}

impl<const LOW: u32, const HIGH: u32> fmt::Display for Int<LOW, HIGH> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number from `LOW` to `HIGH`, fractions included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Real<const LOW: u32, const HIGH: u32>(f64);

impl<const LOW: u32, const HIGH: u32> Real<LOW, HIGH> {
    /// A value that was accepted before; it is shown as it is.
    #[must_use]
    pub fn from_f64(number: f64) -> Self {
        Self(number)
    }

    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl<const LOW: u32, const HIGH: u32> FromStr for Real<LOW, HIGH> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = f64::from(LOW)..=f64::from(HIGH);
        let number = text.parse::<f64>().ok().filter(|number| range.contains(number));
        number.map(Self).ok_or_else(|| format!("must be a number from {LOW} to {HIGH}"))
    }
}

/// A value that is written as its text is, and read from text or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T: FromStr> FromStr for Text<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|why: T::Err| why.to_string())
    }
}

impl<T: fmt::Display> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A secret or a key: up to 16 KiB, several lines (PEM) allowed. `Debug` does not show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretText(pub Secret);

impl FromStr for SecretText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MAX: usize = 16 << 10;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() || text.len() > MAX {
            return Err(format!("must have 1 to {MAX} characters"));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err("has control characters: is it a binary file?".into());
        }
        Ok(Self(Secret(text.to_owned())))
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Secret(text))
    }
}

/// A time of the wall clock, written as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub WallMs);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_wall(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("is not a time as RFC 3339 writes it"))
    }
}

/// What a setting may be written as in JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(serde_json::Number),
}

/// Reads a value from its text, or from a number as if it had been written as text.
fn read<'de, D: Deserializer<'de>, T: FromStr>(
    deserializer: D,
    expected: &str,
) -> Result<T, D::Error>
where
    T::Err: fmt::Display,
{
    let written = Written::deserialize(deserializer).map_err(|_| D::Error::custom(expected))?;
    let text = match written {
        Written::Text(text) => text,
        Written::Number(number) => number.to_string(),
    };
    text.parse().map_err(D::Error::custom)
}

impl<const LOW: u64, const HIGH: u64> Serialize for Span<LOW, HIGH> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const LOW: u64, const HIGH: u64> Deserialize<'de> for Span<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "must be a duration such as \"15s\", or a number of seconds")
    }
}

/// Reads a duration out of an answer: whoever answered has checked its range.
pub(super) fn any_span<'de, const LOW: u64, const HIGH: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Span<LOW, HIGH>, D::Error> {
    Span::<0, { u64::MAX }>::deserialize(deserializer).map(|span| Span::from_ms(span.ms()))
}

impl<const LOW: u64, const HIGH: u64> Serialize for Size<LOW, HIGH> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const LOW: u64, const HIGH: u64> Deserialize<'de> for Size<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "must be a size such as \"1MiB\", or a number of bytes")
    }
}

impl<const LOW: u32, const HIGH: u32> Serialize for Int<LOW, HIGH> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, const LOW: u32, const HIGH: u32> Deserialize<'de> for Int<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "must be a whole number")
    }
}

impl<const LOW: u32, const HIGH: u32> Serialize for Real<LOW, HIGH> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, const LOW: u32, const HIGH: u32> Deserialize<'de> for Real<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "must be a number")
    }
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr> Deserialize<'de> for Text<T>
where
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "must be a text in quotes")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer);
        let text = text.map_err(|_| D::Error::custom("must be a text in quotes"))?;
        text.parse().map_err(D::Error::custom)
    }
}
