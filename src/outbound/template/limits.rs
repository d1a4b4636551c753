//! How much stands in the tags of a template, counted before it is compiled.
//!
//! The template engine compiles an expression by recursion, one level for each operator of a chain:
//! `1+1+1…` within the length of a template is thousands of levels. And what nests brackets makes
//! values that are written by recursion. Both are bounded here, so that they stay far within the
//! stack of the threads that compile and render (`limits::IO_STACK`). What is counted is never less
//! than what the engine will find: an operator of two characters counts twice, and where a tag does
//! not end, all that follows it belongs to it.
//!
//! Limits: `limits::TEMPLATE_OPERATORS` in one tag, `limits::TEMPLATE_BRACKETS` in all tags of a
//! template.

use crate::model::limits;

/// Words that chain or nest expressions.
const WORDS: [&[u8]; 7] = [b"and", b"or", b"not", b"in", b"is", b"if", b"else"];

/// Refuses a template whose expressions would be too deep.
///
/// # Errors
/// Which limit is exceeded, and what to write instead.
pub fn check(name: &str, source: &str) -> Result<(), String> {
    let mut rest = source.as_bytes();
    let mut brackets = 0;
    while let Some(tag) = next_tag(&mut rest) {
        let counted = count(tag);
        if counted.operators > limits::TEMPLATE_OPERATORS {
            return Err(format!(
                "{name}: one expression has {} characters and words of operators, at most {} \
                 are taken: cut it into several with {{% set part = … %}}",
                counted.operators,
                limits::TEMPLATE_OPERATORS
            ));
        }

        brackets += counted.brackets;
        if brackets > limits::TEMPLATE_BRACKETS {
            return Err(format!(
                "{name}: more than {} brackets are opened in its expressions: write less into \
                 it, or into several headers",
                limits::TEMPLATE_BRACKETS
            ));
        }

        rest = rest.get(counted.length..).unwrap_or_default();
    }
    Ok(())
}

/// The text behind the opening of the next tag, up to the end of the template; comments and raw
/// text are not tags. `rest` goes on there, too.
pub(super) fn next_tag<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    loop {
        let at = rest.windows(2).position(|two| matches!(two, b"{{" | b"{%" | b"{#"))?;
        let inside = rest.get(at + 2..)?;
        let opening = rest.get(at + 1)?;
        match bare_tag(inside, b"raw").filter(|_| *opening == b'%') {
            Some(raw) => *rest = behind_raw(raw)?,
            None if *opening == b'#' => *rest = behind(inside, b"#}")?,
            None => {
                *rest = inside;
                return Some(inside);
            }
        }
    }
}

fn behind<'a>(text: &'a [u8], mark: &[u8; 2]) -> Option<&'a [u8]> {
    let at = text.windows(2).position(|two| two == mark)?;
    text.get(at + 2..)
}

/// The text behind a tag that holds nothing but this word.
fn bare_tag<'a>(inside: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let sign = |text: &'a [u8]| {
        text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text)
    };
    let text = sign(inside).trim_ascii_start().strip_prefix(word)?;
    sign(text.trim_ascii_start()).strip_prefix(b"%}")
}

fn behind_raw(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = behind(text, b"{%")?;
        if let Some(after) = bare_tag(text, b"endraw") {
            return Some(after);
        }
    }
}

/// The counts of one tag.
#[derive(Default)]
pub(super) struct TagCounts {
    operators: usize,
    brackets: usize,
    /// Bytes of it, its end included.
    pub length: usize,
}

/// Counts up to the end of a tag: the first `}}` or `%}` outside of brackets and strings.
pub(super) fn count(tag: &[u8]) -> TagCounts {
    let mut counted = TagCounts::default();
    let (mut at, mut open) = (0, 0i64);
    while let Some(byte) = tag.get(at) {
        let ends = open == 0 && matches!(tag.get(at..at + 2), Some(b"}}" | b"%}"));
        if ends {
            at += 2;
            break;
        }

        match byte {
            b'\'' | b'"' => at += string(&tag[at..]),
            b'(' | b'[' | b'{' => {
                open += 1;
                counted.brackets += 1;
            }
            b')' | b']' | b'}' => open -= 1,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'~' | b'<' | b'>' | b'=' | b'!' => {
                counted.operators += 1
            }
            letter if is_word(*letter) => {
                let length = tag[at..].iter().take_while(|byte| is_word(**byte)).count();
                counted.operators += usize::from(WORDS.contains(&&tag[at..at + length]));
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    counted.length = at;
    counted
}

/// Bytes from a quote up to the one that ends the string, which is not counted.
pub(super) fn string(text: &[u8]) -> usize {
    let quote = text.first().copied().unwrap_or_default();
    let mut escaped = false;
    let inside = text.iter().skip(1).take_while(|byte| {
        let goes_on = escaped || **byte != quote;
        escaped = !escaped && **byte == b'\\';
        goes_on
    });
    inside.count() + 1
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::model::limits::{TEMPLATE_BRACKETS, TEMPLATE_OPERATORS};

    #[test]
    fn text_strings_and_comments_are_not_counted() {
        let many = "+-*/%~([{ and or not ".repeat(1000);
        for fine in [
            many.clone(),
            format!("{{# {many} #}}{{{{ 1 + 1 }}}}"),
            format!("{{% raw %}}{{{{ {many} {{% endraw %}}"),
            format!("{{{{ '{many}' ~ \"{many}\\\"{many}\" }}}}"),
            "{{ a + 1 }}".repeat(2000),
            "{{ {'a': {'b': 1}}}}".repeat(TEMPLATE_BRACKETS / 2) + &many,
            format!("{{{{ nothing{} }}}}", ".order | notion".repeat(5000)),
            format!("{{{{ 1{} }}}}", "+1".repeat(TEMPLATE_OPERATORS)),
        ] {
            assert_eq!(check("t", &fine), Ok(()), "{}", &fine[..40]);
        }
    }

    #[test]
    fn what_only_looks_like_an_end_hides_nothing() {
        let many = "1+".repeat(TEMPLATE_OPERATORS + 1);

        for hidden in [
            format!("{{{{ '}}}}' ~ {many}1 }}}}"),
            format!("{{{{ {{'a': {{'b': 1}}}} ~ {many}1 }}}}"),
            format!("{{{{ '\\'}}}}' ~ {many}1 }}}}"),
            format!("{{# {{{{ ' #}}{{{{ {many}1 }}}}"),
            format!("{{% raw %}}{{{{ ' {{% endraw %}}{{{{ {many}1 }}}}"),
            format!("{{%- raw -%}}{{{{ ' {{%+ endraw%}}{{{{ {many}1 }}}}"),
            format!("{{% if {many}1 %}}"),
            format!("{{{{ [1, %}} {many}1"),
            format!("{{{{ {} 1 }}}}", "not ".repeat(TEMPLATE_OPERATORS + 1)),
        ] {
            assert!(
                check("t", &hidden).is_err_and(|why| why.contains("{% set")),
                "{}",
                &hidden[..20]
            );
        }

        let deep = format!("{{{{ {} }}}}", "[".repeat(TEMPLATE_BRACKETS + 1));
        assert!(check("t", &deep).is_err_and(|why| why.contains("brackets")));
    }
}
