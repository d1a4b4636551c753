//! The files that are written, and times on the command line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::ctl::output::escaped;
use crate::model::time::parse_moment;

/// A new file for its owner alone, or stdout.
pub(super) fn create(output: Option<&Path>) -> Result<Box<dyn Write>, CtlError> {
    let Some(output) = output else {
        return Ok(match io::stdout().is_terminal() {
            true => Box::new(TerminalLines { out: io::stdout(), line: Vec::new() }),
            false => Box::new(BufWriter::new(io::stdout())),
        });
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(output);
    let file = file.map_err(|error| CtlError::of_new_file(output, error))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Lines of JSON for a terminal, on which nothing of them acts.
struct TerminalLines<W> {
    out: W,
    /// A line that has not come to its end.
    line: Vec<u8>,
}

impl<W: Write> Write for TerminalLines<W> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(part);
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            let lines: Vec<u8> = self.line.drain(..=end).collect();
            self.out.write_all(escaped(&String::from_utf8_lossy(&lines)).as_bytes())?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes what is still buffered.
pub(super) fn flush(mut file: Box<dyn Write>, output: Option<&Path>) -> Result<(), CtlError> {
    file.flush().map_err(failed("cannot write", output.unwrap_or(Path::new("stdout"))))
}

/// A file in `folder` that has no name any more, so that it goes when it is closed.
pub(super) fn unnamed(folder: &Path) -> Result<File, CtlError> {
    let name = folder.join(format!(".import-{}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&name);
    let file = file.map_err(failed("cannot create", &name))?;
    std::fs::remove_file(&name).map_err(failed("cannot remove", &name))?;
    Ok(file)
}

/// A file that is read again from its start.
pub(super) fn rewound(mut file: File) -> Result<File, CtlError> {
    let what = "cannot read the export again";
    file.rewind().map_err(|error| CtlError::Io { what: what.into(), error })?;
    Ok(file)
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CtlError {
    let what = format!("{what} {}", path.display());
    move |error| match error.kind() {
        io::ErrorKind::BrokenPipe => CtlError::OutputClosed,
        _ => CtlError::Io { what, error },
    }
}

/// The time that an option gives, read as the daemon reads it.
pub(super) fn time(option: &str, text: Option<&str>) -> Result<Option<u64>, CtlError> {
    let parse = |text| parse_moment(text, now_ms());
    text.map(parse).transpose().map_err(|why| CtlError::Usage(format!("{option}: {why}")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::TerminalLines;

    #[test]
    fn lines_for_a_terminal_are_escaped_wherever_their_pieces_end() {
        let mut lines = TerminalLines { out: Vec::new(), line: Vec::new() };
        for byte in "{\"a\":\"\u{9b}2J\"}\n{\"b\":\"ë\"}\n".bytes() {
            lines.write_all(&[byte]).expect("written");
        }
        let text = String::from_utf8(lines.out).expect("text");
        assert_eq!(text, "{\"a\":\"\\u009b2J\"}\n{\"b\":\"ë\"}\n");
    }
}
