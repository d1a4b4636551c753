//! URLs, queries and settings as people may see them.

use serde_json::Value;

use super::names::is_secret_name;
use super::percent::{decoded, percent_decoded};
use super::value::REDACTED;
use crate::model::url_text::split_at_path;

/// Stands for a setting that is not shown.
pub const HIDDEN: &str = "(hidden)";

/// A URL without its login, and without the values of parameters whose name says that they are
/// secret.
#[must_use]
pub fn redacted_url(url: &str) -> String {
    let (front, query) =
        url.split_once('?').map_or((url, None), |(front, query)| (front, Some(query)));
    // Parameters stand in paths, too (RFC 3986, section 3.3), and behind a fragment's sign.
    let plain: Vec<_> = without_login(front)
        .split('/')
        .map(|segment| redacted_parameter(segment, &is_secret_name))
        .collect();

    let mut shown = plain.join("/");
    if let Some(query) = query {
        shown.push('?');
        shown.push_str(&redacted_query(query, &is_secret_name));
    }
    shown
}

/// A query without the values of parameters that are secret by their name, or are a URL with such a
/// parameter or a login in it.
#[must_use]
pub fn redacted_query(query: &str, is_secret: &dyn Fn(&str) -> bool) -> String {
    query.split('&').map(|piece| redacted_parameter(piece, is_secret)).collect::<Vec<_>>().join("&")
}

/// One parameter, which stands between two `&`. Some senders separate parameters with `;`, and a
/// secret may have one in it: what follows a secret goes with it.
fn redacted_parameter(piece: &str, is_secret: &dyn Fn(&str) -> bool) -> String {
    let mut at = 0;
    for part in piece.split([';', '#']) {
        if let Some((name, value)) = part.split_once('=')
            && !value.is_empty()
            && (is_secret(name) || hides_secret(value))
        {
            return format!("{}{name}={REDACTED}", &piece[..at]);
        }
        at += part.len() + 1;
    }
    piece.to_owned()
}

/// Whether the value of a parameter is a URL with a login in it, or with a parameter that its name
/// says is secret. Texts that people write are left alone, whatever they are about.
fn hides_secret(value: &str) -> bool {
    if !value.contains(['%', ':']) {
        return false;
    }
    let value = decoded(value);
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    let is_url = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !value.contains(char::is_whitespace);
    let has_login = rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@'));
    let mut pairs = value.split(['?', '&', ';', '#']).filter_map(|piece| piece.split_once('='));
    is_url && (has_login || pairs.any(|(name, value)| is_secret_name(name) && !value.is_empty()))
}

#[must_use]
pub fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{REDACTED}@{host}{}", &rest[end..]),
        None => url.to_owned(),
    }
}

/// A URL for those who may not know its secrets: its origin without its path, for many receivers
/// have a key in the path. A command and a socket are files of this machine, and shown.
#[must_use]
pub fn redacted_to_origin(url: &str) -> String {
    let (front, behind) = split_at_path(url);
    let front = without_login(front);
    match behind {
        "" | "/" => format!("{front}{behind}"),
        _ => format!("{}/{REDACTED}", front.trim_end_matches('/')),
    }
}

/// A text that was meant as a URL and is none: its apparent origin, and nothing of what follows.
#[must_use]
pub fn redacted_invalid_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end]
        .rsplit_once('@')
        .map_or_else(|| rest[..end].to_owned(), |(_, host)| format!("{REDACTED}@{host}"));
    let behind = if end < rest.len() { format!("/{REDACTED}") } else { String::new() };
    let between = if scheme.is_empty() { "" } else { "://" };
    let shown = format!("{scheme}{between}{host}{behind}");
    shown.chars().take(80).collect()
}

/// The parts of a URL that are secret, or look like it, so that answers can be searched for them:
/// as they stand there, and decoded.
#[must_use]
pub fn secrets_in_url(url: &str) -> Vec<String> {
    let (before, query) = url.split_once('?').unwrap_or((url, ""));
    let (_, path) = split_at_path(before);
    let mut found: Vec<&str> = path.split('/').filter(|segment| looks_random(segment)).collect();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        if is_secret_name(name) || looks_random(value) {
            found.push(value);
        }
    }

    // A receiver may quote a secret in either form.
    let plain =
        found.iter().map(|text| String::from_utf8_lossy(&percent_decoded(text)).into_owned());
    let mut all: Vec<String> = plain.collect();
    all.extend(found.into_iter().map(str::to_owned));
    all.sort();
    all.dedup();
    all
}

/// Whether a text looks generated: it is long, or has digits or capital letters in it.
#[must_use]
pub fn looks_random(text: &str) -> bool {
    let is_odd = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase();
    text.len() >= 24 || (text.len() >= 8 && text.bytes().any(is_odd))
}

/// The value of a setting without its secrets: those that its own name or the names in it say, and
/// the private parts of keys (RFC 7518, section 6), at any depth, and also within a text of JSON.
#[must_use]
pub fn redacted_setting(name: &str, value: &Value) -> Value {
    const PRIVATE: [&str; 8] = ["k", "d", "p", "q", "dp", "dq", "qi", "oth"];
    let hidden = || Value::String(HIDDEN.to_owned());

    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        // The `keys` of a key set are objects, each with its public parts.
        Value::Array(_) | Value::Object(_) if name == "keys" => redacted_setting("", value),
        _ if is_secret_name(name) => hidden(),
        Value::Object(fields) => {
            let is_key = fields.contains_key("kty");
            let show = |(name, value): (&String, &Value)| {
                let is_private = is_key && PRIVATE.contains(&name.as_str());
                (name.clone(), if is_private { hidden() } else { redacted_setting(name, value) })
            };
            Value::Object(fields.iter().map(show).collect())
        }
        // The names of what a list holds are those in it: `keys` are objects.
        Value::Array(values) => values.iter().map(|value| redacted_setting("", value)).collect(),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => {
                Value::String(redacted_setting("", &inner).to_string())
            }
            _ if text.contains("PRIVATE KEY") => hidden(),
            _ if text.contains("://") => Value::String(redacted_url(text)),
            _ => value.clone(),
        },
        Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{redacted_setting, redacted_to_origin, redacted_url, secrets_in_url};

    #[test]
    fn a_mistaken_url_shows_where_it_seems_to_lead() {
        for (url, shown) in [
            ("nonsense", "nonsense"),
            ("nonsense://h:9/hook?key=hunter2", "nonsense://h:9/…"),
            ("h.example/hook/hunter2", "h.example/…"),
            ("user:hunter2@h.example", "…@h.example"),
            ("ftp://user:hunter2@h.example?x", "ftp://…@h.example/…"),
        ] {
            assert_eq!(super::redacted_invalid_url(url), shown);
        }
    }

    #[test]
    fn urls_are_shown_without_their_secrets() {
        for (url, shown) in [
            ("http://a/x?k%65y=S1&b=2&sig=S2", "http://a/x?k%65y=…&b=2&sig=…"),
            ("http://u:S1@a/x", "http://…@a/x"),
            ("http://a/x?S", "http://a/x?S"),
            ("unix:/run/a.sock:/x?token=S1", "unix:/run/a.sock:/x?token=…"),
            (
                "http://a/x?CLIENT%5FSecret=S1&c=client_secret",
                "http://a/x?CLIENT%5FSecret=…&c=client_secret",
            ),
            ("http://a/x?b=1;token=S1;S2&c=2", "http://a/x?b=1;token=…&c=2"),
            ("http://a/x?b=1#access_token=S1", "http://a/x?b=1#access_token=…"),
            ("http://a/x#access_token=S1", "http://a/x#access_token=…"),
            ("http://u:S1@a#x", "http://…@a#x"),
            ("http://a/x;session=S1/y;v=2", "http://a/x;session=…/y;v=2"),
            ("http://a/?next=https%3A%2F%2Fb%2F%3Ftoken%3DS1&b=2", "http://a/?next=…&b=2"),
            (
                "http://a/?next=https%253A%252F%252Fb%252F%253Fn%253D1%2526sig%253DS1",
                "http://a/?next=…",
            ),
            ("http://a/?next=https://u:S1@b/", "http://a/?next=…"),
            ("http://a/?next=https://b/?n=1", "http://a/?next=https://b/?n=1"),
            (
                "http://a/?text=my+key%3D5+see%20https://b/?key=1&token=&mail=x@y",
                "http://a/?text=my+key%3D5+see%20https://b/?key=1&token=&mail=x@y",
            ),
            (
                "http://a/x?token==S1&auth[token]=S2&api+key=S3",
                "http://a/x?token=…&auth[token]=…&api+key=…",
            ),
        ] {
            assert_eq!(redacted_url(url), shown);
        }

        for (url, shown) in [
            ("https://hooks.example.com/services/T0/S1?x=2", "https://hooks.example.com/…"),
            ("https://a.example:444", "https://a.example:444"),
            ("https://a.example/", "https://a.example/"),
            ("https://a.example?k=S1", "https://a.example/…"),
            ("unix:/run/a.sock:/x/S1", "unix:/run/a.sock:/…"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("exec:/usr/bin/true", "exec:/usr/bin/true"),
            ("pull:", "pull:"),
        ] {
            assert_eq!(redacted_to_origin(url), shown);
        }
    }

    #[test]
    fn settings_are_shown_without_their_secrets() {
        let set = json!({"keys": [
            {"kty": "oct", "k": "S1", "kid": "a"},
            {"kty": "RSA", "n": "1", "e": "AQAB", "d": "S2", "oth": [{"r": "S3"}]},
        ]});
        let as_text = json!(set.to_string());

        for shown in [redacted_setting("jwks", &set), redacted_setting("jwks", &as_text)] {
            let shown = shown.to_string();
            assert!(
                !shown.contains("S1") && !shown.contains("S2") && !shown.contains("S3"),
                "{shown}"
            );
            assert!(shown.contains("AQAB") && shown.contains("kid"), "{shown}");
        }

        assert_eq!(
            redacted_setting("jwks_url", &json!("https://a/x?key=S1")),
            json!("https://a/x?key=…")
        );
        assert_eq!(redacted_setting("other_secret", &json!("S1")), json!("(hidden)"));
        for plain in ["secret_encoding", "secret_query_param", "header", "keyid", "signed"] {
            assert_eq!(redacted_setting(plain, &json!("x")), json!("x"), "{plain}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_in_a_url_is_found() {
        assert_eq!(
            secrets_in_url("https://a/services/T0ABCDEFG/s%65cret1?token=x&page=2&code=A1B2C3D4"),
            ["A1B2C3D4", "T0ABCDEFG", "s%65cret1", "secret1", "x"]
        );
        assert!(secrets_in_url("https://a.example.com/hooks/in?page=2").is_empty());
        assert_eq!(secrets_in_url("unix:/run/a.sock:/K3YK3YK3Y"), ["K3YK3YK3Y"]);
    }
}
