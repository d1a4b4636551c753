//! Text in lines that fit a screen.

use crate::ctl::screen_text::columns as length;

/// A text in lines of so many columns, broken after a comma, or between words where there is none
/// for too long.
pub(in crate::ctl) fn folded(text: &str, columns: usize) -> Vec<String> {
    let parts = text.split_inclusive(", ").map(str::trim_end).flat_map(|part| {
        let pieces: Vec<&str> = match length(part) <= columns {
            true => vec![part],
            false => part.split(' ').collect(),
        };
        pieces
    });

    let mut lines = vec![String::new()];
    for part in parts {
        let Some(line) = lines.last_mut() else { break };
        match line.is_empty() || length(line) + 1 + length(part) <= columns {
            true if line.is_empty() => line.push_str(part),
            true => line.push_str(&format!(" {part}")),
            false => lines.push(part.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn nothing_is_lost_of_a_text_in_lines() {
        let text = "app: failing, 12 waiting for up to 3h, 3 dead letters, since a long time ago";
        for columns in 20..80 {
            let lines = folded(text, columns);
            assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:?}");
            assert_eq!(lines.join(" "), text);
        }
    }
}
