//! How much of a line a text takes on a terminal: letters of East Asia and emoji take two columns,
//! accents that stand by themselves none.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that a text takes.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A text of at most so many columns; one that is cut ends in `…`.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let kept: String = text.chars().take_while(fits).collect();
    kept.trim_end_matches(['…', ' ']).to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::{columns, cut};

    #[test]
    fn wide_letters_take_two_columns_and_accents_none() {
        for (text, expected) in [("", 0), ("abc…", 4), ("你好", 4), ("e\u{301}", 1), ("👩x", 3)]
        {
            assert_eq!(columns(text), expected, "{text}");
        }
        assert_eq!(cut("你好世界", 8), "你好世界");
        assert_eq!(cut("你好世界", 7), "你好世…");
        assert_eq!(cut("你好世界", 6), "你好…", "half a letter is none");
        assert_eq!(cut("a word too many", 8), "a word…");
        assert_eq!(cut("ab", 0), "…");
    }
}
