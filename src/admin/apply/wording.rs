//! What is wrong with an entry of a file, in the words of files.
//!
//! Settings are checked by the same code wherever they come from, and advice names options. Here
//! each option is also given as the key that a file has.

use crate::api::{EndpointSpec, SourceSpec, Spec};

/// Settings that are true or false.
const SWITCHES: [&str; 4] = ["allow_private", "token", "split", "generate_secret"];
/// Words that are values where they follow an option.
const VALUES: [&str; 4] = ["none", "strict", "key", "hmac"];

/// The text with a key before each option: `` `allow_private = true` (--allow-private) ``. What
/// stands in brackets or in a command has its key already, or needs none.
pub fn in_files(text: &str) -> String {
    let mut worded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("--") {
        let (before, found) = rest.split_at(at);
        worded.push_str(before);
        let in_command = worded.matches('`').count() % 2 == 1;
        let is_worded = in_command || !(worded.is_empty() || worded.ends_with(' '));

        let written = if is_worded { None } else { setting(found) };
        let (setting, length) = written.unwrap_or_else(|| ("--".to_owned(), 2));
        worded.push_str(&setting);
        rest = &found[length..];
    }
    worded + rest
}

/// The setting that a text begins with an option for, and how much of the text says it.
fn setting(text: &str) -> Option<(String, usize)> {
    let end =
        text[2..].find(|c: char| !matches!(c, 'a'..='z' | '-')).map_or(text.len(), |at| at + 2);
    let option = &text[..end];
    let (key, from_file) = match &option[2..] {
        "secret-file" => ("secret".to_owned(), true),
        "public-key-file" => ("public_key".to_owned(), false),
        name => (name.replace('-', "_"), false),
    };
    let is_known = |keys: &[&str]| keys.contains(&key.as_str());
    if !is_known(SourceSpec::KEYS) && !is_known(EndpointSpec::KEYS) {
        return None;
    }

    let value = text[end..].strip_prefix(' ').map(value).filter(|value| !value.is_empty());
    let said = value.map_or(end, |value| end + 1 + value.len());
    let written = match value {
        Some(value) if key == "set" => {
            let (name, value) = value.split_once('=')?;
            format!("set.{name} = {}", quoted(value))
        }
        Some(value) => format!("{key} = {}", quoted(value)),
        None if from_file => format!("{key} = \"file:/…\""),
        None if SWITCHES.contains(&key.as_str()) => format!("{key} = true"),
        None => key,
    };
    Some((format!("`{written}` ({})", &text[..said]), said))
}

/// The value that follows an option, or nothing: the sentence goes on then.
fn value(text: &str) -> &str {
    let word = text.split(' ').next().unwrap_or_default();
    let word = word.trim_end_matches([',', ';', ')', '`']);
    let word = word.strip_suffix(':').filter(|word| word.contains('=')).unwrap_or(word);
    let looks_so = word.starts_with(|c: char| c == '/' || c.is_ascii_digit())
        || word.contains([':', '='])
        || VALUES.contains(&word);
    if looks_so { word } else { "" }
}

/// A value as a file has it; what is left open stays open.
fn quoted(value: &str) -> String {
    let is_bare = matches!(value, "true" | "false" | "…") || value.parse::<u64>().is_ok();
    match value.strip_prefix('@') {
        Some(_) => "…".to_owned(),
        None if is_bare => value.to_owned(),
        None => format!("\"{value}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::in_files;

    #[test]
    fn options_are_also_given_as_keys() {
        for (said, worded) in [
            (
                "10.0.0.1 is private: add --allow-private if it is meant",
                "10.0.0.1 is private: add `allow_private = true` (--allow-private) if it is meant",
            ),
            (
                "needs a secret; give it with --secret-file",
                "needs a secret; give it with `secret = \"file:/…\"` (--secret-file)",
            ),
            (
                "needs an order: use it with --order strict or --order key",
                "needs an order: use it with `order = \"strict\"` (--order strict) or `order = \
                 \"key\"` (--order key)",
            ),
            (
                "name the issuer with --set issuer=…, or with --set jwks=@FILE.json",
                "name the issuer with `set.issuer = …` (--set issuer=…), or with `set.jwks = …` \
                 (--set jwks=@FILE.json)",
            ),
            (
                "take every one with --set any=true",
                "take every one with `set.any = true` (--set any=true)",
            ),
            ("use --url pull:, or another", "use `url = \"pull:\"` (--url pull:), or another"),
            ("--timeout is between 1ms and 5m", "`timeout` (--timeout) is between 1ms and 5m"),
        ] {
            assert_eq!(in_files(said), worded);
        }

        for as_it_is in [
            "'retry_max' (--retry-max): is less than retry_base",
            "use `hookboxctl source rotate-secret x --secret y`",
            "use --force to take it over -- or not --",
        ] {
            assert_eq!(in_files(as_it_is), as_it_is);
        }
    }
}
