//! Log lines for the journal: each begins with its priority (sd-daemon(3)), and has no time of its
//! own, because the journal knows it.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::one_line::OneLine;

/// Whether standard error goes to the journal: the service manager says to which file that is.
pub fn is_stderr() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let found = rustix::fs::fstat(std::io::stderr());
    found.is_ok_and(|file| named == format!("{}:{}", file.st_dev, file.st_ino))
}

/// Writes lines to standard error, with their priorities.
pub struct JournalWriter;

/// One line.
pub struct PriorityLine<W> {
    /// What is still to be written in front of it.
    prefix: Option<&'static str>,
    out: W,
}

impl<'a> MakeWriter<'a> for JournalWriter {
    type Writer = PriorityLine<OneLine<io::Stderr>>;

    fn make_writer(&'a self) -> Self::Writer {
        PriorityLine { prefix: Some(priority(Level::INFO)), out: stderr() }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        PriorityLine { prefix: Some(priority(*metadata.level())), out: stderr() }
    }
}

fn stderr() -> OneLine<io::Stderr> {
    OneLine { out: io::stderr(), colours: false }
}

/// The priority of a level, as syslog(3) numbers them.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

impl<W: Write> Write for PriorityLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.prefix.take() {
            // In one piece, so that no other line comes between.
            Some(prefix) => {
                self.out.write_all(&[prefix.as_bytes(), bytes].concat())?;
                Ok(bytes.len())
            }
            None => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing::Level;

    use super::{PriorityLine, priority};

    #[test]
    fn a_line_begins_with_its_priority_once() {
        let mut line = PriorityLine { prefix: Some(priority(Level::WARN)), out: Vec::new() };
        line.write_all(b"an endpoint ").expect("written");
        line.write_all(b"fails\n").expect("written");
        assert_eq!(line.out, b"<4>an endpoint fails\n");
        assert_eq!((priority(Level::ERROR), priority(Level::TRACE)), ("<3>", "<7>"));
    }
}
