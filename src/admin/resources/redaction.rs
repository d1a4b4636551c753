//! What is shown of headers and URLs: no credentials to anybody, and what an endpoint's owner wrote
//! only to owners.

use crate::admin::context::Admin;
use crate::api::views::HeadersView;
use crate::model::secret::redacted_to_origin;
use crate::model::{Header, REDACTED, is_credential_name};

/// Headers without credentials, of which earlier versions remembered more than this one does.
pub fn headers_view(headers: &[Header]) -> HeadersView {
    let mut shown = HeadersView::default();
    for header in headers {
        match is_credential_name(&header.name) {
            true => shown.set(&header.name, REDACTED),
            false => shown.add(&header.name, &header.text()),
        }
    }
    shown
}

/// The headers of a request for this caller: what the endpoint's own templates made may hold what
/// its owner wrote there.
pub fn request_headers(admin: &Admin, headers: &[Header]) -> HeadersView {
    if admin.shows_secrets() {
        return headers_view(headers);
    }
    let hide = |header: &Header| match is_plain_header(&header.name) {
        true => header.clone(),
        false => Header::new(header.name.clone(), REDACTED),
    };
    headers_view(&headers.iter().map(hide).collect::<Vec<_>>())
}

/// Whether it is hookbox itself that says it.
pub fn is_plain_header(name: &str) -> bool {
    let own = [
        "host",
        "user-agent",
        "content-type",
        "content-length",
        "content-encoding",
        "forwarded-headers",
    ];
    own.contains(&name)
        || ["webhook-", "hookbox-", "HOOKBOX_"].iter().any(|prefix| name.starts_with(prefix))
}

/// A URL for this caller: many receivers have a key in its path or query, so others than owners see
/// where it leads.
pub fn redacted_url(admin: &Admin, url: &str) -> String {
    if admin.shows_secrets() { url.to_owned() } else { redacted_to_origin(url) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::headers_view;
    use crate::model::Header;

    #[test]
    fn repeated_headers_are_joined() {
        let headers = [Header::new("a", "1"), Header::new("b", "2"), Header::new("a", "3")];
        assert_eq!(json!(headers_view(&headers)), json!({"a": "1, 3", "b": "2"}));
    }
}
