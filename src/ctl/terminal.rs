//! What people read the output on: how wide it is, whether it has colours, whether somebody is
//! there to be asked.

use std::io::{BufRead, IsTerminal, Write};

use super::error::CtlError;

/// The width of a terminal that does not say how wide it is.
const WIDTH: usize = 80;
/// Narrower ones are treated as if they were so wide.
const NARROWEST: usize = 40;

/// Where the output for people goes. A pipe has no width, and no colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Columns, where lines have to fit.
    pub width: Option<usize>,
    pub colours: bool,
}

/// How a word is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Waiting,
    Bad,
    Plain,
}

impl Terminal {
    /// That of standard output.
    pub(super) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Self::default();
        }
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let said = || variable("COLUMNS").and_then(|columns| columns.parse().ok());
        Self {
            width: Some(columns.or_else(said).unwrap_or(WIDTH).max(NARROWEST)),
            colours: has_colours(variable("NO_COLOR").as_deref(), variable("TERM").as_deref()),
        }
    }

    /// A text in its colour.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colours => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Waiting => "33",
            Tone::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// <https://no-color.org>: whatever it is set to, if it is not empty.
fn has_colours(no_color: Option<&str>, term: Option<&str>) -> bool {
    no_color.is_none() && term.is_some_and(|term| term != "dumb")
}

impl Tone {
    /// That of the state of a delivery, the condition of an endpoint, or the outcome of an attempt.
    #[must_use]
    pub fn of(state: &str) -> Self {
        match state {
            "delivered" | "active" | "accepting" => Self::Good,
            "pending" | "in_flight" | "held" | "offline" | "lagging" | "catching_up"
            | "retryable" | "retry" => Self::Waiting,
            "dead" | "failing" | "parked" | "gone" | "refused" | "failed" | "drop" | "hold" => {
                Self::Bad
            }
            _ => Self::Plain,
        }
    }
}

/// Whether somebody sits at the terminal who can be asked.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks whoever sits at the terminal whether to go on. Scripts are not asked, nor is who said
/// `--yes`.
///
/// # Errors
/// When the answer is no.
pub(super) fn confirm(yes: bool, what: &str) -> Result<(), CtlError> {
    if yes || !can_ask() {
        return Ok(());
    }

    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    let _ = write!(stderr, "{what} Go on? [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(CtlError::Refused("nothing was done".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Terminal, Tone, has_colours};

    #[test]
    fn colours_only_where_they_are_wanted() {
        assert!(has_colours(None, Some("xterm")));
        assert!(!has_colours(Some("1"), Some("xterm")));
        assert!(!has_colours(None, Some("dumb")) && !has_colours(None, None));

        let coloured = Terminal { width: None, colours: true };
        assert_eq!(coloured.paint(Tone::of("dead"), "dead"), "\u{1b}[31mdead\u{1b}[0m");
        assert_eq!(coloured.paint(Tone::of("other"), "other"), "other");
        assert_eq!(Terminal::default().paint(Tone::of("dead"), "dead"), "dead");
    }
}
