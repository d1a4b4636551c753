//! Which secrets a template looks up: each name stands in the template itself. A name that is made
//! of the event would let its sender choose among the files and variables of the daemon.

use super::limits::{count, is_word, next_tag, string};
use super::secrets::SECRET;

/// Whether a template calls `secret` with anything but a text in quotes, or gives it another name.
pub fn computes_a_name(source: &str) -> bool {
    let mut rest = source.as_bytes();
    while let Some(tag) = next_tag(&mut rest) {
        let length = count(tag).length.min(tag.len());
        if tag.get(..length).is_some_and(computes_in_tag) {
            return true;
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

fn computes_in_tag(tag: &[u8]) -> bool {
    let (mut at, mut before) = (0, b' ');
    while let Some(byte) = tag.get(at) {
        let length = match byte {
            b'\'' | b'"' => string(&tag[at..]) + 1,
            letter if is_word(*letter) => {
                tag[at..].iter().take_while(|byte| is_word(**byte)).count()
            }
            _ => 1,
        };
        let end = (at + length).min(tag.len());

        // A field of something may have any name.
        if tag[at..end] == *SECRET.as_bytes() && before != b'.' && !is_called_with_text(&tag[end..])
        {
            return true;
        }
        if !byte.is_ascii_whitespace() {
            before = *byte;
        }
        at = end;
    }
    false
}

/// Whether what follows the function's name is a text in quotes between parentheses.
fn is_called_with_text(behind: &[u8]) -> bool {
    let Some(inside) = behind.trim_ascii_start().strip_prefix(b"(") else { return false };
    let inside = inside.trim_ascii_start();
    if !inside.starts_with(b"'") && !inside.starts_with(b"\"") {
        return false;
    }
    let after = inside.get(string(inside)..).unwrap_or_default();
    let after = after.strip_prefix(&inside[..1]).unwrap_or(after);
    after.trim_ascii_start().starts_with(b")")
}

#[cfg(test)]
mod tests {
    use super::computes_a_name;

    #[test]
    fn a_name_is_a_text_in_quotes() {
        for good in [
            "Bearer {{ secret('env:TOKEN') }}",
            "{{ secret ( \"cred:a\" ) | upper }}{% if secret('file:/a b') == 'x' %}{% endif %}",
            "{{ body.secret }}{{ body . secret }}{{ 'secret(body.x)' }} secret(body.x)",
            "{# secret(body.x) #}{% raw %}{{ secret(body.x) }}{% endraw %}{{ body.secrets }}",
            "{{ {'a': secret('env:A')} }}",
        ] {
            assert!(!computes_a_name(good), "{good}");
        }

        for computed in [
            "{{ secret(body.name) }}",
            "{{ secret('env:' ~ body.name) }}",
            "{{ secret('env:A' if body.a else body.b) }}",
            "{% set s = secret %}{{ s(body.name) }}",
            "{{ [secret][0](body.name) }}",
            "{{ body.name | string }}{{ secret((body.name)) }}",
            "{{ '}}' ~ secret(body.name) }}",
            "{{ secret() }}",
        ] {
            assert!(computes_a_name(computed), "{computed}");
        }
    }
}
