//! Stdout: sentences and tables for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::args::{OutputFormat, TableArgs};
use super::error::CtlError;
use super::table::Table;
use super::terminal::Terminal;
use crate::model::safe_text::{self, is_active};

pub(super) struct Output {
    pub(super) json: bool,
    is_terminal: bool,
    /// What people read it on.
    pub(super) terminal: Terminal,
    out: Sink,
}

/// Bytes of a line that are waited for, so that a character is not shown in two halves.
const LINE_BYTES: usize = 64 << 10;

/// Where it goes.
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    /// Kept by the demonstration: what people would see, and what programs would get.
    Kept(Vec<u8>, Vec<Answer>),
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        let (terminal, is_terminal) = (Terminal::of_stdout(), io::stdout().is_terminal());
        Self { json, is_terminal, terminal, out: Sink::Stdout(BufWriter::new(io::stdout())) }
    }

    /// Prints tables as the caller wants them: a wide one is neither cut nor lacks a column.
    pub(super) fn print_tables(&mut self, args: TableArgs) {
        if args.output == Some(OutputFormat::Wide) {
            self.terminal.width = None;
        }
    }

    /// Whether people read it at a terminal.
    pub(super) fn is_for_eyes(&self) -> bool {
        !self.json && self.is_terminal && matches!(self.out, Sink::Stdout(_))
    }

    /// Prints nothing; see [`Output::into_kept`].
    pub(super) fn kept() -> Self {
        let terminal = Terminal::default();
        let out = Sink::Kept(Vec::new(), Vec::new());
        Self { json: false, is_terminal: false, terminal, out }
    }

    /// What people would have seen, and the answers behind it.
    pub(super) fn into_kept(self) -> (String, Vec<Answer>) {
        match self.out {
            Sink::Kept(text, answers) => (String::from_utf8_lossy(&text).into_owned(), answers),
            Sink::Stdout(_) => Default::default(),
        }
    }

    fn keep(&mut self, answer: &Answer) {
        if let Sink::Kept(_, answers) = &mut self.out {
            answers.push(answer.clone());
        }
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), CtlError> {
        self.write(text)?;
        self.write("\n")
    }

    /// An answer as it came; on a terminal with escapes for what would act on it.
    fn json_line(&mut self, answer: &Answer) -> Result<(), CtlError> {
        match self.is_terminal {
            true => self.line(&escaped(answer.json())),
            false => self.line(answer.json()),
        }
    }

    /// Prints an answer: as it came with `--json`, else the text that `people` makes of its view.
    pub(super) fn one<V: DeserializeOwned>(
        &mut self,
        answer: &Answer,
        people: impl FnOnce(&V) -> String,
    ) -> Result<(), CtlError> {
        self.keep(answer);
        if self.json {
            return self.json_line(answer);
        }
        let text = people(&answer.view()?);
        self.line(text.trim_end_matches('\n'))
    }

    /// One row of a list that comes row by row.
    pub(super) fn row<V: DeserializeOwned>(
        &mut self,
        table: &mut Table<V>,
        answer: &Answer,
    ) -> Result<(), CtlError> {
        self.keep(answer);
        match self.json {
            true => self.json_line(answer),
            false => self.row_of(table, &answer.view()?),
        }
    }

    /// One row of a table for people.
    pub(super) fn row_of<R>(&mut self, table: &mut Table<R>, row: &R) -> Result<(), CtlError> {
        match table.push(row) {
            Some(lines) => self.write(&lines),
            None => Ok(()),
        }
    }

    /// The end of a list.
    pub(super) fn end<R>(&mut self, table: &mut Table<R>, empty: &str) -> Result<(), CtlError> {
        if self.json {
            return Ok(());
        }
        let lines = table.finish();
        if lines.is_empty() && !table.started() {
            return self.line(empty);
        }
        self.write(&lines)
    }

    fn write(&mut self, text: &str) -> Result<(), CtlError> {
        self.raw(text.as_bytes())
    }

    /// Bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), CtlError> {
        match &mut self.out {
            Sink::Stdout(out) => out.write_all(bytes).map_err(failed),
            Sink::Kept(kept, _) => {
                kept.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// A piece of a text as it is; on a terminal with escapes for what would act on it. `rest` is
    /// the beginning of its last line, and shown with what follows.
    pub(super) fn shown(&mut self, rest: &mut Vec<u8>, piece: &[u8]) -> Result<(), CtlError> {
        if !self.is_terminal {
            return self.raw(piece);
        }
        rest.extend_from_slice(piece);
        let lines = escaped_lines(rest);
        self.write(&lines)
    }

    /// The end of such a text.
    pub(super) fn shown_rest(&mut self, rest: &mut Vec<u8>) -> Result<(), CtlError> {
        let last = safe_text::escaped(&String::from_utf8_lossy(&std::mem::take(rest)));
        self.write(&last)
    }

    /// Flushes, so that a stream is seen at once.
    pub(super) fn finish(&mut self) -> Result<(), CtlError> {
        match &mut self.out {
            Sink::Stdout(out) => out.flush().map_err(failed),
            Sink::Kept(..) => Ok(()),
        }
    }
}

/// Takes the complete lines out of a text, for a terminal; what is left is a part of the next one.
fn escaped_lines(text: &mut Vec<u8>) -> String {
    let mut lines = String::new();
    let mut done = 0;
    while let Some(end) = text[done..].iter().position(|byte| *byte == b'\n') {
        lines.push_str(&safe_text::escaped(&String::from_utf8_lossy(&text[done..done + end])));
        lines.push('\n');
        done += end + 1;
    }
    text.drain(..done);

    if text.len() > LINE_BYTES {
        lines.push_str(&safe_text::escaped(&String::from_utf8_lossy(&std::mem::take(text))));
    }
    lines
}

/// The same JSON, in which characters that do something stand as `\u009b`. Those below a space are
/// escaped in every JSON, and stand nowhere but in strings.
pub(super) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character >= '\u{7f}' && is_active(character) {
            true => _ = write!(text, "\\u{:04x}", u32::from(character)),
            false => text.push(character),
        }
    }
    text
}

pub(super) fn failed(error: io::Error) -> CtlError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CtlError::OutputClosed,
        _ => CtlError::Io { what: "cannot write the output".into(), error },
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES, escaped, escaped_lines};

    #[test]
    fn text_for_a_terminal_is_harmless_wherever_its_pieces_end() {
        let (mut rest, mut shown) = (Vec::new(), String::new());
        for byte in "a{b=\"\u{1b}]0;x\u{9b}2J\"} 1\nnë 2\nlast".bytes() {
            rest.push(byte);
            shown.push_str(&escaped_lines(&mut rest));
        }
        assert_eq!(shown, "a{b=\"\\x1b]0;x\\u{9b}2J\"} 1\nnë 2\n");
        assert_eq!(rest, b"last", "it waits for its end");

        rest.resize(LINE_BYTES + 1, b'x');
        assert_eq!(escaped_lines(&mut rest).len(), LINE_BYTES + 1);
        assert!(rest.is_empty(), "but not for ever");
    }

    #[test]
    fn json_for_a_terminal_is_the_same_json_and_harmless() {
        let value =
            serde_json::json!({"a\u{9b}": "\u{7f}\u{80}\u{9f}\u{202e}\u{2028}\u{1b}\n ë日"});
        let text = escaped(&value.to_string());
        assert_eq!(text, r#"{"a\u009b":"\u007f\u0080\u009f\u202e\u2028\u001b\n ë日"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}
