//! Texts of settings that have a form: names, patterns, header names, JSON Pointers, templates,
//! files.
//!
//! Each is checked where it is read. Some are shown with parts replaced by `…` to callers who may
//! not see secrets, so that a check never asks for more than a redacted text still has.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{limits, valid_name};

/// Defines a text with a check: `name(text) -> Result<String, String>`.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema), schemars(transparent))]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<String, String> = $check;
                check(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)
                    .map_err(|_| D::Error::custom("must be a text in quotes"))?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

checked_text!(
    /// A text in one line.
    Line,
    line
);

checked_text!(
    /// The name of a source, which need not exist yet.
    SourceName,
    |text| {
        let name = line(text)?;
        if valid_name(&name) { Ok(name) } else { Err(format!("'{name}' cannot be the name of a \
                                                              source")) }
    }
);

checked_text!(
    /// The name of a set of files.
    SetName,
    |text| {
        let name = line(text)?;
        if valid_name(&name) { Ok(name) } else { Err(format!("'{name}' cannot be the name of a \
                                                              set")) }
    }
);

checked_text!(
    /// A pattern over event types: `*` stands for any characters, `?` for one.
    TypeGlob,
    |text| {
        let glob = line(text)?;
        if glob.len() > limits::TYPE_LEN {
            return Err(format!("a pattern has at most {} characters", limits::TYPE_LEN));
        }
        Ok(glob)
    }
);

checked_text!(
    /// A filter expression (RFC 9535), on one line or several.
    Expression,
    |text| {
        line(&text.replace(['\n', '\r', '\t'], " "))?;
        Ok(text.to_owned())
    }
);

checked_text!(
    /// The name of an HTTP header, in lower case.
    HeaderName,
    |text| {
        let name = line(text)?.to_ascii_lowercase();
        if name.bytes().all(is_token_byte) { Ok(name) } else { Err(format!("'{name}' cannot be \
                                                                            the name of a \
                                                                            header")) }
    }
);

checked_text!(
    /// A JSON Pointer (RFC 6901) into the body, such as `/data/type`.
    Pointer,
    |text| {
        let pointer = line(text)?;
        let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if pointer.starts_with('/') && escapes {
            return Ok(pointer);
        }
        Err(format!("'{pointer}' is not a JSON Pointer (RFC 6901): write it as /data/type"))
    }
);

checked_text!(
    /// An HTTP method.
    MethodName,
    |text| line(text).map(|method| method.to_ascii_uppercase())
);

checked_text!(
    /// A template, on one line or several.
    Template,
    |text| {
        if text.len() > limits::TEMPLATE_LEN {
            return Err(format!("has {} bytes, a template has at most \
                                {}", text.len(), limits::TEMPLATE_LEN));
        }
        Ok(text.to_owned())
    }
);

checked_text!(
    /// The body of an answer.
    AnswerText,
    |text| {
        if text.is_empty() || text.len() > limits::ANSWER_BYTES {
            return Err(format!("an answer has 1 to {} bytes", limits::ANSWER_BYTES));
        }
        Ok(text.to_owned())
    }
);

checked_text!(
    /// A header with a template for its value: `X-Kind: {{ type }}`.
    HeaderTemplate,
    |text| {
        let header = text.parse::<Template>()?.0;
        if header.contains(':') { Ok(header) } else { Err(format!("'{header}': write it as 'Name: \
                                                                   value or template'")) }
    }
);

impl HeaderTemplate {
    #[must_use]
    pub fn from_parts((name, value): &(String, String)) -> Self {
        Self(format!("{name}: {value}"))
    }

    #[must_use]
    pub fn parts(&self) -> (String, String) {
        let (name, value) = self.0.split_once(':').unwrap_or((&self.0, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    }
}

checked_text!(
    /// The path of a file that the daemon reads. The command line takes it relative to the current
    /// folder.
    DaemonFile,
    line
);

checked_text!(
    /// The SHA-256 of a public key: `sha256/` and base64.
    KeyPin,
    |text| {
        let digest = text.strip_prefix("sha256/").map(|rest| rest.trim_start_matches('/'));
        let bytes = digest.and_then(|text| STANDARD.decode(text).ok());
        match (digest, bytes) {
            (Some(digest), Some(bytes)) if bytes.len() == 32 => Ok(format!("sha256/{digest}")),
            _ => Err(format!("'{text}' is not the SHA-256 of a key: write it as sha256/BASE64")),
        }
    }
);

checked_text!(
    /// An argument of a command.
    Argument,
    |text| {
        if text.len() > limits::COMMAND_ARG || text.contains('\0') {
            return Err(format!("an argument has at most {} bytes and no NUL", limits::COMMAND_ARG));
        }
        Ok(text.to_owned())
    }
);

impl Line {
    /// What somebody else says, as a line: what is longer is cut, and each control character is
    /// replaced. `None` of nothing.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let mut line = String::with_capacity(text.len().min(limits::TEXT_LEN));
        for c in text.trim().chars() {
            let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
            if line.len() + c.len_utf8() > limits::TEXT_LEN {
                break;
            }
            line.push(c);
        }
        (!line.is_empty()).then_some(Self(line))
    }
}

impl From<Line> for String {
    fn from(line: Line) -> Self {
        line.0
    }
}

/// Text without control characters, not empty, of at most `limits::TEXT_LEN` bytes.
fn line(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("is empty".into()),
        length if length > limits::TEXT_LEN => {
            let most = limits::TEXT_LEN;
            Err(format!("has {length} bytes, no text here has more than {most}"))
        }
        _ if text.chars().any(char::is_control) => Err("contains a control character".into()),
        _ => Ok(text.to_owned()),
    }
}

/// A character of a token (RFC 9110, section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::Line;
    use crate::model::limits::TEXT_LEN;

    #[test]
    fn what_somebody_else_says_becomes_a_line_that_is_taken() {
        let long = "ä".repeat(TEXT_LEN);
        for (said, line) in [
            (" plain ", Some("plain".to_owned())),
            ("a\r\nb\u{1b}[0m", Some("a\u{fffd}\u{fffd}b\u{fffd}[0m".to_owned())),
            ("\n", None),
            ("", None),
            (long.as_str(), Some("ä".repeat(TEXT_LEN / 2))),
        ] {
            let made = Line::of(said);
            assert_eq!(made.clone().map(|line| line.0), line);
            assert!(made.is_none_or(|made| made.0.parse::<Line>() == Ok(made)));
        }
    }
}
