//! Stdout: sentences and tables for people, JSON for programs.

use std::io::{self, BufWriter, Write};

use serde_json::Value;

use super::error::CtlError;
use super::table::Table;

pub(super) struct Output {
    pub(super) json: bool,
    out: Sink,
}

/// Where it goes.
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    /// Kept by the demonstration: what people would see, and the objects that programs would get.
    Kept(Vec<u8>, Vec<Value>),
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json, out: Sink::Stdout(BufWriter::new(io::stdout())) }
    }

    /// Prints nothing; see [`Output::into_kept`].
    pub(super) fn kept() -> Self {
        Self { json: false, out: Sink::Kept(Vec::new(), Vec::new()) }
    }

    /// What people would have seen, and the objects behind it.
    pub(super) fn into_kept(self) -> (String, Vec<Value>) {
        match self.out {
            Sink::Kept(text, values) => (String::from_utf8_lossy(&text).into_owned(), values),
            Sink::Stdout(_) => Default::default(),
        }
    }

    fn keep(&mut self, value: &Value) {
        if let Sink::Kept(_, values) = &mut self.out {
            values.push(value.clone());
        }
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), CtlError> {
        self.write(text)?;
        self.write("\n")
    }

    /// Prints an object: as JSON with `--json`, else as the text that `people` makes of it.
    pub(super) fn one(
        &mut self,
        value: &Value,
        people: impl FnOnce(&Value) -> String,
    ) -> Result<(), CtlError> {
        self.keep(value);
        let text = if self.json { value.to_string() } else { people(value) };
        self.line(text.trim_end_matches('\n'))
    }

    /// One row of a list that comes row by row.
    pub(super) fn row(&mut self, table: &mut Table, value: &Value) -> Result<(), CtlError> {
        self.keep(value);
        if self.json {
            return self.line(&value.to_string());
        }
        match table.push(value) {
            Some(lines) => self.write(&lines),
            None => Ok(()),
        }
    }

    /// The end of a list.
    pub(super) fn end(&mut self, table: &mut Table, empty: &str) -> Result<(), CtlError> {
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
        match &mut self.out {
            Sink::Stdout(out) => out.write_all(text.as_bytes()).map_err(failed),
            Sink::Kept(kept, _) => {
                kept.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
    }

    /// Flushes, so that a stream is seen at once.
    pub(super) fn finish(&mut self) -> Result<(), CtlError> {
        match &mut self.out {
            Sink::Stdout(out) => out.flush().map_err(failed),
            Sink::Kept(..) => Ok(()),
        }
    }
}

pub(super) fn failed(error: io::Error) -> CtlError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CtlError::OutputClosed,
        _ => CtlError::Io { what: "cannot write the output".into(), error },
    }
}
