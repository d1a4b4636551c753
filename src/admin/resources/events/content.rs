//! The content of an event that a caller gives: its data, its content type, its headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};

use crate::admin::http::problem::Problem;
use crate::api::given::{GivenHeaders, VerbatimJson};
use crate::model::{Header, REDACTED, is_credential_name, limits};

/// The content type of a body, where none is given.
pub fn content_type_of(body: &[u8]) -> &'static str {
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => "application/json",
        Err(_) => "application/octet-stream",
    }
}

/// The bytes that are given as text, as JSON, which stays as it is written, or in base64.
pub fn data_of(
    data: Option<VerbatimJson>,
    encoded: Option<String>,
) -> Result<Option<Bytes>, Problem> {
    match (data, encoded) {
        (Some(_), Some(_)) => Err(Problem::bad("give 'data' or 'data_base64', not both")),
        (Some(data), None) => match data.into_text() {
            Ok(text) => Ok(Some(text.into())),
            Err(error) => Err(Problem::bad(format!("'data': {error}"))),
        },
        (None, Some(encoded)) => {
            STANDARD.decode(encoded).map(|bytes| Some(bytes.into())).map_err(|e| {
                Problem::bad(format!(
                    "'data_base64' is not base64 (RFC 4648 section 4, padded): {e}"
                ))
            })
        }
        (None, None) => Ok(None),
    }
}

/// Headers beside the content type.
pub fn extra_headers(headers: &GivenHeaders) -> Result<Vec<Header>, Problem> {
    if headers.len() > limits::HEADERS {
        return Err(Problem::bad(format!("'headers': at most {}", limits::HEADERS)));
    }

    let read = |(name, value): (&str, &str)| {
        let name = name.to_ascii_lowercase();
        let good = HeaderName::from_bytes(name.as_bytes()).is_ok()
            && name != "content-type"
            && HeaderValue::from_str(value).is_ok();
        if good {
            // As those of a sender.
            let value = if is_credential_name(&name) { REDACTED } else { value };
            return Ok(Header::new(name, value.to_owned()));
        }
        Err(Problem::bad(format!(
            "'headers': '{name}' is not allowed here (use the field 'content_type' for the \
             content type)"
        )))
    };
    headers.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::extra_headers;
    use crate::api::given::GivenHeaders;

    fn object(value: Value) -> GivenHeaders {
        serde_json::from_value(value).expect("headers")
    }

    #[test]
    fn headers_cannot_smuggle_lines() {
        assert!(extra_headers(&object(json!({"x": "a\r\nb: c"}))).is_err());
        assert!(extra_headers(&object(json!({"x y": "a"}))).is_err());
        assert_eq!(extra_headers(&object(json!({"X-A": "b"}))).expect("good")[0].name, "x-a");
    }
}
