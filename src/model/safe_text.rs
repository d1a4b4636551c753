//! Text from elsewhere, made harmless: what a receiver answered or a command said must not move a
//! cursor, colour a terminal, or look like a line of its own.

use std::fmt::Write;

/// Text in which every control character is shown by its code (`\x1b`, `\n`), and so is what turns
/// the direction of writing or is not seen at all.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(shown, "\\x{:02x}", u32::from(c));
            }
            c if is_active(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Whether a character is not shown but does something: it moves the cursor, colours the terminal,
/// ends the line, or turns what follows, so that it reads as something else.
#[must_use]
pub fn is_active(c: char) -> bool {
    c.is_control() || is_unseen(c)
}

/// What is not seen and changes what is: marks and overrides of the direction of writing, joiners,
/// separators of lines.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The beginning of a body in one line, for people: runs of white space are one space, control
/// characters are escaped, and at most `most` characters are left of it. `None` when there is
/// nothing to show.
#[must_use]
pub fn excerpt(body: &[u8], most: usize) -> Option<String> {
    // What is cut off later need not be looked at; a character has at most four bytes, and white
    // space may stand between.
    let beginning = &body[..body.len().min(most.saturating_mul(8))];
    let text = String::from_utf8_lossy(beginning);
    // The last character may have been cut.
    let text = if beginning.len() < body.len() { text.trim_end_matches('\u{fffd}') } else { &text };

    let strange = text.chars().filter(|c| *c == '\u{fffd}' || *c == '\0').count();
    if strange * 8 > text.chars().count() {
        return Some(format!("({} bytes that are not text)", body.len()));
    }

    let line = escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if line.is_empty() {
        return None;
    }
    let whole = beginning.len() == body.len();
    Some(if whole { shortened(&line, most) } else { shortened(&(line + "…"), most) })
}

/// A body as text: a byte that is none is shown by its code (`\xe9`), and of one that `may_be_cut`
/// an incomplete character at the end is left out. `None` when more than a quarter of it is no
/// text. Control characters stay as they are.
#[must_use]
pub fn readable(body: &[u8], may_be_cut: bool) -> Option<String> {
    let mut text = String::with_capacity(body.len());
    let (mut strange, mut left) = (0, body.len());
    for chunk in body.utf8_chunks() {
        let (valid, invalid) = (chunk.valid(), chunk.invalid());
        text.push_str(valid);
        strange += valid.chars().filter(|c| is_binary(*c)).count();

        left -= valid.len() + invalid.len();
        let is_incomplete =
            std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
        if may_be_cut && left == 0 && is_incomplete {
            continue;
        }
        strange += invalid.len();
        for byte in invalid {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    (strange * 4 <= body.len()).then_some(text)
}

/// Whether no text has such a character.
fn is_binary(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r' | '\x1b')
}

/// A text of at most `most` characters; one that is cut ends in `…`.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.trim_end_matches(['…', ' ']).to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::{escaped, excerpt, readable, shortened};

    #[test]
    fn nothing_of_a_text_reaches_the_terminal_as_an_order() {
        assert_eq!(escaped("a\u{1b}[31mb\u{7f}"), "a\\x1b[31mb\\x7f");
        assert_eq!(escaped("a\r\nb\tc\0"), "a\\r\\nb\\tc\\x00");
        assert_eq!(escaped("\u{9b}2J\u{202e}x\u{2028}"), "\\u{9b}2J\\u{202e}x\\u{2028}");
        assert_eq!(escaped("grüße 漢字 {\"a\": 1}"), "grüße 漢字 {\"a\": 1}");
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        let of = |body: &[u8]| excerpt(body, 20);
        assert_eq!(of(b""), None);
        assert_eq!(of(b" \n\t"), None);
        assert_eq!(of(b"{\"error\":\n  \"down\"}").as_deref(), Some("{\"error\": \"down\"}"));
        assert_eq!(of(b"\x1b[2Jgone").as_deref(), Some("\\x1b[2Jgone"));
        assert_eq!(of(&[0, 1, 2, 255]).as_deref(), Some("(4 bytes that are not text)"));

        let long = "é".repeat(1_000_001);
        let shown = of(long.as_bytes()).expect("a text");
        assert_eq!((shown.chars().count(), shown.ends_with("é…")), (20, true), "{shown}");
    }

    #[test]
    fn a_body_that_is_mostly_text_is_shown_as_text() {
        let of = |body: &[u8]| readable(body, true);
        let cut = "{\"error\":\"la base de données est arrêtée\"}".repeat(30);
        for end in 1..cut.len() {
            let whole = cut.get(..end).unwrap_or_else(|| &cut[..end - 1]);
            assert_eq!(of(&cut.as_bytes()[..end]).as_deref(), Some(whole), "{end}");
        }
        assert_eq!(readable("né".as_bytes(), false).as_deref(), Some("né"));
        assert_eq!(readable("é".as_bytes().split_at(1).0, false), None);
        assert_eq!(of("arr\u{ea}t".as_bytes()).as_deref(), Some("arrêt"));
        assert_eq!(of(b"un arr\xeat\xe9e").as_deref(), Some("un arr\\xeat\\xe9e"));
        assert_eq!(of(b"name=a\0value=b").as_deref(), Some("name=a\0value=b"));
        assert_eq!(of(&[0x89, b'P', b'N', b'G', 0, 0, 0, 13]), None);
        assert_eq!(of(b"").as_deref(), Some(""));
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcd", 3), "ab…");
        assert_eq!(shortened("ab d", 4), "ab d");
        assert_eq!(shortened("ab cd", 4), "ab…");
    }
}
