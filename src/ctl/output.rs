//! What goes to stdout: sentences and tables for people, JSON for programs.

use std::io::{self, BufWriter, Stdout, Write};

use serde_json::Value;

use super::CtlError;
use super::table::Table;

pub(super) struct Output {
    pub(super) json: bool,
    out: BufWriter<Stdout>,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json, out: BufWriter::new(io::stdout()) }
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), CtlError> {
        writeln!(self.out, "{text}").map_err(failed)
    }

    /// A JSON object, with `--json`; else what `people` says.
    pub(super) fn one(&mut self, value: &Value, people: impl FnOnce(&Value) -> String) -> Result<(), CtlError> {
        let text = if self.json { value.to_string() } else { people(value) };
        self.line(text.trim_end_matches('\n'))
    }

    /// One row of a list that comes row by row.
    pub(super) fn row(&mut self, table: &mut Table, value: &Value) -> Result<(), CtlError> {
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
        self.out.write_all(text.as_bytes()).map_err(failed)
    }

    /// So that what passes live is seen at once.
    pub(super) fn finish(&mut self) -> Result<(), CtlError> {
        self.out.flush().map_err(failed)
    }
}

fn failed(error: io::Error) -> CtlError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CtlError::NobodyReads,
        _ => CtlError::Io { what: "cannot write the output".into(), error },
    }
}
