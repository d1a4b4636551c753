//! Usage errors in one line, the same of every program.

/// clap's message in one line: what is wrong, its tip, and where to read on. `command` is what has
/// the help.
#[must_use]
pub fn usage_line(message: &str, command: &str) -> String {
    let mut summary = String::new();
    for line in message.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }

        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = line.strip_prefix("tip: ").unwrap_or(line);
        if !summary.is_empty() {
            summary.push_str(if summary.ends_with(':') { " " } else { "; " });
        }
        summary.push_str(line);
    }

    format!("{summary}: see `{command} --help`")
}
