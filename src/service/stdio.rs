//! What a program prints that is no log line. The macros of the standard library end the program
//! where their output cannot be written, and its exit code with it; here nothing panics.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Writes one line to standard error, in one piece. When nobody can read it, the exit code still
/// says what happened.
pub fn note(line: impl Display) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Writes text to standard output.
///
/// # Errors
/// When it cannot be written. A reader that went away (`| head`) is no error.
pub fn print(text: impl Display) -> io::Result<()> {
    print_to(&mut io::stdout().lock(), text)
}

fn print_to(out: &mut impl Write, text: impl Display) -> io::Result<()> {
    written(out.write_all(text.to_string().as_bytes()).and_then(|()| out.flush()))
}

/// What became of output that was written: see [`print()`].
///
/// # Errors
/// When it could not be written.
pub fn written(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind, Write};

    use super::print_to;

    /// An output that takes nothing.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
        let mut there = Vec::new();
        assert!(print_to(&mut there, "text").is_ok() && there == b"text");
        assert!(print_to(&mut Broken(ErrorKind::BrokenPipe), "text").is_ok());
        let full = print_to(&mut Broken(ErrorKind::StorageFull), "text").expect_err("full");
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
}
