//! Paths that templates make.

use std::fmt::Write;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use crate::model::limits;

use super::rendered::Rendered;

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3).
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// The URL's own path with the template's behind it; its query goes on with the template's.
///
/// # Errors
/// When what the template made is not a path, or leads out of the URL's own.
pub fn join(base: &Uri, rendered: &Rendered) -> Result<Uri, String> {
    let text = rendered.text.trim();
    let shown = || rendered.shown().trim().chars().take(80).collect::<String>();

    let path = text.split_once('?').map_or(text, |(path, _)| path);
    let decoded = path.to_ascii_lowercase().replace("%2e", ".");
    if decoded.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(format!("--path made '{}': . and .. are not sent", shown()));
    }

    let whole = whole_path(base, text);
    let fits = whole.len() <= limits::TEMPLATE_HEADER_BYTES && !whole.contains('#');
    let whole = if fits { whole.parse::<PathAndQuery>().ok() } else { None };
    whole.map(Uri::from).ok_or_else(|| {
        format!(
            "--path made '{}', which is not a path: write values as {{{{ body.name | urlencode \
             }}}}",
            shown()
        )
    })
}

/// The same as a text, unchecked.
pub fn whole_path(base: &Uri, rendered: &str) -> String {
    let (path, query) =
        rendered.split_once('?').map_or((rendered, None), |(path, query)| (path, Some(query)));

    let mut whole = base.path().to_owned();
    if !path.is_empty() {
        whole.truncate(whole.trim_end_matches('/').len());
        if !path.starts_with('/') {
            whole.push('/');
        }
        whole.push_str(path);
    }

    for (n, query) in [base.query(), query].into_iter().flatten().enumerate() {
        whole.push(if n == 0 { '?' } else { '&' });
        whole.push_str(query);
    }
    whole
}
