//! Log lines stay lines, whatever they quote.

use std::io::{self, Write};

use crate::model::safe_text::is_active;

/// Writes each event as one line, whatever it quotes: a message may hold words of a sender, of a
/// receiver or of a file, and none of them begins a line of its own.
pub struct OneLine<W> {
    pub out: W,
    /// Whether escape sequences are ours.
    pub colours: bool,
}

impl<W: Write> Write for OneLine<W> {
    /// An event comes in one piece, with the end of its line.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let is_foreign = |c: char| is_active(c) && !(self.colours && c == '\u{1b}');

        if line.contains(is_foreign) {
            let mut line = line.replace(is_foreign, "\u{fffd}");
            line.push('\n');
            self.out.write_all(line.as_bytes())?;
        } else {
            self.out.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::OneLine;

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        let written = |event: &str, colours| {
            let mut line = OneLine { out: Vec::new(), colours };
            line.write_all(event.as_bytes()).expect("written");
            String::from_utf8(line.out).expect("text")
        };
        assert_eq!(written("WARN refused: a\n", false), "WARN refused: a\n");
        assert_eq!(
            written("WARN refused: a\nERROR\r\u{9b}2J\u{202e}\u{1b}[1m\n", false),
            "WARN refused: a?ERROR??2J??[1m\n".replace('?', "\u{fffd}")
        );
        assert_eq!(
            written("\u{1b}[33mWARN\u{1b}[0m a\nb\n", true),
            "\u{1b}[33mWARN\u{1b}[0m a\u{fffd}b\n"
        );
    }
}
