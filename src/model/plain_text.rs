//! Text from elsewhere in a line that people read.

/// What stands for a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// Whether a character is not shown but does something: moves the cursor, colours the terminal,
/// ends the line, or turns the direction of what follows, so that it reads as something else.
#[must_use]
pub fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text on one line, with a replacement for every character that does something.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_active(c) { REPLACEMENT } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_is_left_that_moves_or_turns_text() {
        let hostile = "a\n\t\u{1b}[2J\u{7f}\u{9b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\
                       \u{2066}\u{2069}b";
        assert_eq!(plain(hostile), "a???[2J??????????b".replace('?', "\u{fffd}"));
        assert_eq!(plain("Zoë \u{200b}→ 日本 \u{2065}"), "Zoë \u{200b}→ 日本 \u{2065}");
    }
}
