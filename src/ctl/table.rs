//! Tables and numbers for people: aligned columns, sizes, relative times.

use std::fmt::Write;

use serde_json::Value;

use crate::model::time::parse_wall;

/// Rows that are looked at for the columns' widths; longer lists go on with those widths.
pub const SAMPLE: usize = 100;

/// How a column shows its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Text,
    /// Right-aligned.
    Number,
    /// Bytes.
    Size,
    /// How long ago, or in how long.
    Time,
}

/// A table that comes row by row. The first rows are held to find the widths.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, &'static str, Show)>,
    now_ms: u64,
    held: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Table {
    /// Columns: their title, the field of the row (dots go into objects), how it is shown.
    #[must_use]
    pub fn new(now_ms: u64, columns: &[(&'static str, &'static str, Show)]) -> Self {
        Self { columns: columns.to_vec(), now_ms, held: Vec::new(), widths: None }
    }

    /// Takes a row; gives lines once there is something to print.
    pub fn push(&mut self, row: &Value) -> Option<String> {
        let cells: Vec<String> = self
            .columns
            .iter()
            .map(|(_, field, show)| cell(lookup(row, field), *show, self.now_ms))
            .collect();
        if self.widths.is_some() {
            return Some(self.line(&cells));
        }
        self.held.push(cells);
        (self.held.len() == SAMPLE).then(|| self.start())
    }

    /// Whether anything has been printed, or is about to be.
    #[must_use]
    pub fn started(&self) -> bool {
        self.widths.is_some()
    }

    /// What is left to print.
    pub fn finish(&mut self) -> String {
        if self.held.is_empty() { String::new() } else { self.start() }
    }

    fn start(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let titles: Vec<String> =
            self.columns.iter().map(|(title, ..)| (*title).to_owned()).collect();
        let width = |i: usize| {
            held.iter().chain([&titles]).map(|r| r[i].chars().count()).max().unwrap_or(0)
        };
        self.widths = Some((0..self.columns.len()).map(width).collect());
        let mut text = self.line(&titles);
        for row in &held {
            text.push_str(&self.line(row));
        }
        text
    }

    fn line(&self, cells: &[String]) -> String {
        let widths = self.widths.as_deref().unwrap_or_default();
        let mut line = String::new();
        for (i, cell) in cells.iter().enumerate() {
            let width = widths.get(i).copied().unwrap_or(0);
            let right = matches!(self.columns[i].2, Show::Number | Show::Size);
            let _ = if right {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// `a.b` is the field `b` of the object in field `a`.
fn lookup<'v>(row: &'v Value, field: &str) -> &'v Value {
    field.split('.').fold(row, |value, part| value.get(part).unwrap_or(&Value::Null))
}

/// One value for people.
#[must_use]
pub fn cell(value: &Value, show: Show, now_ms: u64) -> String {
    match (value, show) {
        (Value::Null, _) => "-".into(),
        (Value::String(text), Show::Time) => {
            parse_wall(text).map_or_else(|| clean(text), |at| relative(at, now_ms))
        }
        (Value::Number(number), Show::Size) => {
            number.as_u64().map_or_else(|| number.to_string(), size)
        }
        (Value::String(text), _) if text.is_empty() => "-".into(),
        (Value::String(text), _) => clean(text),
        (Value::Array(list), _) if list.is_empty() => "all".into(),
        (Value::Array(list), _) => {
            list.iter().map(|v| cell(v, Show::Text, now_ms)).collect::<Vec<_>>().join(",")
        }
        (Value::Object(object), _) if object.is_empty() => "-".into(),
        (other, _) => clean(&other.to_string()),
    }
}

/// Text from elsewhere must not move the cursor or colour the terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `3m ago`, `in 2h`, `now`.
#[must_use]
pub fn relative(at_ms: u64, now_ms: u64) -> String {
    let (distance, past) =
        if at_ms <= now_ms { (now_ms - at_ms, true) } else { (at_ms - now_ms, false) };
    if distance < 1000 {
        return "now".into();
    }
    let span = span(distance);
    if past { format!("{span} ago") } else { format!("in {span}") }
}

/// A length of time in one or two units.
#[must_use]
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small}{small_unit}"),
    }
}

/// `1 endpoint`, `2 endpoints`.
#[must_use]
pub fn count(number: &Value, noun: &str) -> String {
    let end = if number.as_u64() == Some(1) { "" } else { "s" };
    format!("{number} {noun}{end}")
}

/// `1 delivery`, `2 deliveries`.
pub(super) fn deliveries(number: &Value) -> String {
    format!("{number} {}", if number.as_u64() == Some(1) { "delivery" } else { "deliveries" })
}

/// Bytes in units of 1024.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut unit = 0;
    let (mut whole, mut tenths) = (bytes, 0);
    while whole >= 1024 && unit < 4 {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = ["B", "KiB", "MiB", "GiB", "TiB"][unit];
    if unit == 0 || whole >= 100 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{tenths} {name}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{SAMPLE, Show, Table, relative, size, span};

    #[test]
    fn columns_are_aligned_and_text_is_harmless() {
        let mut table =
            Table::new(0, &[("NAME", "name", Show::Text), ("N", "counts.n", Show::Number)]);
        assert_eq!(table.push(&json!({"name": "a", "counts": {"n": 5}})), None);
        assert_eq!(table.push(&json!({"name": "lon\u{1b}[31mger", "counts": {"n": 1234}})), None);
        assert_eq!(
            table.finish(),
            "NAME            N\na               5\nlon\u{fffd}[31mger  1234\n"
        );
    }

    #[test]
    fn long_lists_begin_before_they_end() {
        let mut table = Table::new(0, &[("N", "n", Show::Number)]);
        let printed: Vec<Option<String>> =
            (0..SAMPLE + 1).map(|n| table.push(&json!({"n": n}))).collect();
        assert!(printed[SAMPLE - 2].is_none() && printed[SAMPLE - 1].is_some());
        assert_eq!(printed[SAMPLE].as_deref(), Some("100\n"));
        assert_eq!(table.finish(), "");
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(relative(1000, 181_000), "3m ago");
        assert_eq!(relative(7_201_000, 1000), "in 2h");
        assert_eq!(relative(5, 900), "now");
        assert_eq!(span(90_000_000), "1d1h");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(64 << 20), "64.0 MiB");
        assert_eq!(size(u64::MAX), "16777215 TiB");
    }
}
