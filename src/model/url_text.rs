//! The text of a URL, taken apart without asking whether it is one: for what people are shown.

use std::fmt;

/// Splits the text of a URL where its path begins: `https://a.example` and `/x?y`,
/// `unix:/run/a.sock:` and `/x`. The path is empty where there is none.
#[must_use]
pub fn split_at_path(url: &str) -> (&str, &str) {
    let at = match url.strip_prefix("unix:") {
        Some(rest) => rest.find(":/").map(|at| "unix:".len() + at + 1),
        None => url.find("://").map(|at| {
            let host = at + "://".len();
            url[host..].find(['/', '?', '#']).map_or(url.len(), |end| host + end)
        }),
    };
    url.split_at(at.unwrap_or(url.len()))
}

/// The text of a URL with another path and query, for people.
#[must_use]
pub fn with_path(url: &str, path: &dyn fmt::Display) -> String {
    let (front, _) = split_at_path(url);
    let is_bare_socket = front.starts_with("unix:") && !front.ends_with(':');
    format!("{front}{}{path}", if is_bare_socket { ":" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::{split_at_path, with_path};

    #[test]
    fn a_url_may_have_another_path() {
        for (url, front, path, changed) in [
            ("https://a/x?y", "https://a", "/x?y", "https://a/new"),
            ("https://a?y", "https://a", "?y", "https://a/new"),
            ("unix:/run/a.sock:/x", "unix:/run/a.sock:", "/x", "unix:/run/a.sock:/new"),
            ("unix:/run/a.sock", "unix:/run/a.sock", "", "unix:/run/a.sock:/new"),
        ] {
            assert_eq!(split_at_path(url), (front, path));
            assert_eq!(with_path(url, &"/new"), changed);
        }
        assert_eq!(split_at_path("exec:/bin/true"), ("exec:/bin/true", ""));
    }
}
