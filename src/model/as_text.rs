//! Serde for an optional value whose text is what `FromStr` reads and `Display` writes; a number is
//! read as its text.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(serde_json::Number),
}

pub fn serialize<T: Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    T::Err: Display,
{
    let written = Option::<TextOrNumber>::deserialize(deserializer);
    let text = match written.map_err(|_| D::Error::custom("must be a text in quotes"))? {
        None => return Ok(None),
        Some(TextOrNumber::Text(text)) => text,
        Some(TextOrNumber::Number(number)) => number.to_string(),
    };
    text.parse().map(Some).map_err(D::Error::custom)
}
