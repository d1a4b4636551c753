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
/// When what the template made is not a path, or leads out of the URL's own. The error names the
/// rule and not what was made: who may have it fail need not know what its owner wrote there.
pub fn join(base: &Uri, rendered: &Rendered) -> Result<Uri, String> {
    let text = rendered.text.trim();

    let path = text.split_once('?').map_or(text, |(path, _)| path);
    let decoded = path.to_ascii_lowercase().replace("%2e", ".");
    if decoded.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("--path made a path with . or .. in it, which is not sent".to_owned());
    }

    let whole = whole_path(base, text);
    let most = limits::TEMPLATE_HEADER_BYTES;
    if whole.len() > most {
        return Err(format!("--path made {} bytes, at most {most} are sent", whole.len()));
    }
    let parsed = if whole.contains('#') { None } else { whole.parse::<PathAndQuery>().ok() };
    parsed.map(Uri::from).ok_or_else(|| {
        "--path made a text with characters that no path has: write values as {{ body.name | \
         urlencode }}"
            .to_owned()
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
