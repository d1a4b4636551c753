//! The output: a line of JSON for each event or range.

use std::io::{ErrorKind, Write};

use serde_json::Value;

use super::error::{ArchiveError, ArchiveResult};

pub(super) fn write_line(out: &mut dyn Write, value: &Value) -> ArchiveResult<()> {
    writeln!(out, "{value}").map_err(|source| match source.kind() {
        ErrorKind::BrokenPipe => ArchiveError::NobodyReads,
        _ => ArchiveError::Io { doing: "write", path: "the output".into(), source },
    })
}
