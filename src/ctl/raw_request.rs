//! A request that somebody kept, read from a file: as JSON, or as it went over the wire.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::CtlError;
use super::files::read_bytes;
use crate::api::bodies::CheckBody;
use crate::api::given::GivenHeaders;

/// Reads the request that a file holds.
pub(super) fn read(file: &Path) -> Result<CheckBody, CtlError> {
    let bytes = read_bytes(file)?;
    let shown = file.display();
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return serde_json::from_slice(&bytes).map_err(|error| {
            CtlError::Usage(format!("{shown} is not a request as JSON: {error}"))
        });
    }
    raw(&bytes).map_err(|why| {
        CtlError::Usage(format!(
            "{shown} is not a request: {why}; write it as it goes over the wire (POST /in/NAME \
             HTTP/1.1, header lines, an empty line, the body), or as JSON"
        ))
    })
}

/// Reads a request of HTTP/1. Lines may end with or without a carriage return.
fn raw(bytes: &[u8]) -> Result<CheckBody, String> {
    let (head, body) = split(bytes);
    let head = std::str::from_utf8(head).map_err(|_| "its head is not text")?;
    let mut lines = head.lines();
    let words: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let (method, target) = match words.as_slice() {
        [method, target] => (*method, *target),
        [method, target, version] if version.starts_with("HTTP/") => (*method, *target),
        _ => return Err("its first line is not METHOD PATH HTTP/1.1".into()),
    };

    let mut headers = GivenHeaders::default();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| {
            let shown: String = line.chars().take(60).collect();
            format!("'{shown}' is not a header line")
        })?;
        headers.push(name.trim().to_ascii_lowercase(), value.trim());
    }

    if headers.iter().any(|(name, _)| name == "transfer-encoding") {
        return Err("its body is in chunks: give the body itself, without transfer-encoding".into());
    }
    Ok(CheckBody {
        method: Some(method.to_owned()),
        url: Some(url(target, &headers)),
        headers,
        body_base64: STANDARD.encode(body),
        at: None,
    })
}

/// The head without its empty line, and the body.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[at..at + end];
        if line.is_empty() || line == b"\r" {
            return (&bytes[..at], &bytes[at + end + 1..]);
        }
        at += end + 1;
    }
    (bytes, &[])
}

/// The URL that the request was sent to.
fn url(target: &str, headers: &GivenHeaders) -> String {
    if target.contains("://") {
        return target.to_owned();
    }
    let first =
        |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let host = first("host").unwrap_or("localhost");
    let scheme = first("x-forwarded-proto").unwrap_or("https");
    format!("{scheme}://{host}{target}")
}

#[cfg(test)]
mod tests {
    use super::raw;

    #[test]
    fn a_request_is_read_as_it_went_over_the_wire() {
        for end in ["\r\n", "\n"] {
            let text = [
                "POST /in/a?x=1 HTTP/1.1",
                "Host: h.example",
                "X-Sig: a",
                "x-sig:b",
                "",
                "two\nlines\r\n",
            ]
            .join(end);
            let read = raw(text.as_bytes()).expect("a request");
            assert_eq!(read.method.as_deref(), Some("POST"));
            assert_eq!(read.url.as_deref(), Some("https://h.example/in/a?x=1"));
            let signed: Vec<_> = read.headers.iter().filter(|(name, _)| *name == "x-sig").collect();
            assert_eq!(signed, [("x-sig", "a"), ("x-sig", "b")]);
            assert_eq!(read.body_base64, "dHdvCmxpbmVzDQo=", "bit for bit");
        }
    }

    #[test]
    fn what_is_no_request_says_why() {
        for (text, why) in [
            ("", "first line"),
            ("hello", "first line"),
            ("POST /a HTTP/1.1\nno colon\n\n", "'no colon'"),
            ("POST /a HTTP/1.1\nTransfer-Encoding: chunked\n\n0\n\n", "chunks"),
        ] {
            let error = raw(text.as_bytes()).map(|_| ()).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(raw(b"GET / HTTP/1.0").expect("no body").body_base64, "");
    }
}
