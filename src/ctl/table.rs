//! Tables and numbers for people: aligned columns, sizes, relative times.

use std::fmt::{Display, Write};

use crate::api::values::Time;
use crate::model::plain_text::plain;

/// Rows that are looked at for the columns' widths; longer lists go on with those widths.
pub const SAMPLE: usize = 100;

/// Columns: the title of each, and how it reads its cell out of a row.
pub type Columns<R> = &'static [(&'static str, Show<R>)];

/// How a column reads its cell, and shows it; `-` where there is nothing.
#[derive(Debug)]
pub enum Show<R> {
    Text(fn(&R) -> String),
    /// Right-aligned.
    Number(fn(&R) -> Option<u64>),
    /// Bytes, right-aligned.
    Size(fn(&R) -> Option<u64>),
    /// How long ago, or in how long.
    Time(fn(&R) -> Option<Time>),
}

impl<R> Show<R> {
    fn cell(&self, row: &R, now_ms: u64) -> String {
        match self {
            Self::Text(read) => text(&read(row)),
            Self::Number(read) => or_dash(read(row)),
            Self::Size(read) => or_dash(read(row).map(size)),
            Self::Time(read) => time(read(row), now_ms),
        }
    }

    fn is_right_aligned(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Size(_))
    }
}

/// A table that comes row by row. The first rows are held to find the widths.
#[derive(Debug)]
pub struct Table<R: 'static> {
    columns: Columns<R>,
    now_ms: u64,
    held: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl<R> Table<R> {
    #[must_use]
    pub fn new(now_ms: u64, columns: Columns<R>) -> Self {
        Self { columns, now_ms, held: Vec::new(), widths: None }
    }

    /// Takes a row; gives lines once there is something to print.
    pub fn push(&mut self, row: &R) -> Option<String> {
        let cell = |(_, show): &(_, Show<R>)| show.cell(row, self.now_ms);
        let cells: Vec<String> = self.columns.iter().map(cell).collect();
        if self.widths.is_some() {
            return Some(self.line(&cells));
        }
        self.held.push(cells);
        (self.held.len() == SAMPLE).then(|| self.start())
    }

    /// Whether anything has been printed, or is about to be.
    #[must_use]
    pub fn started(&self) -> bool {
        self.widths.is_some() || !self.held.is_empty()
    }

    /// What is left to print.
    pub fn finish(&mut self) -> String {
        if self.held.is_empty() { String::new() } else { self.start() }
    }

    fn start(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let titles: Vec<String> =
            self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
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
            let _ = if self.columns[i].1.is_right_aligned() {
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

/// A text, or `-`.
#[must_use]
pub fn text(text: &str) -> String {
    if text.is_empty() { "-".into() } else { clean(text) }
}

/// A value that may be missing, or `-`.
pub fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".into(), |value| text(&value.to_string()))
}

/// How long ago, or in how long, or `-`.
#[must_use]
pub fn time(at: Option<Time>, now_ms: u64) -> String {
    at.map_or_else(|| "-".into(), |at| relative(at.0, now_ms))
}

/// Names, or `all`: where a list chooses, an empty one chooses all.
pub fn list<T: Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "all".into();
    }
    items.iter().map(|item| text(&item.to_string())).collect::<Vec<_>>().join(",")
}

/// Text from elsewhere must not move the cursor, colour the terminal or turn the text around it.
#[must_use]
pub fn clean(text: &str) -> String {
    plain(text)
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
pub fn count<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let end = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{end}")
}

/// `1 delivery`, `2 deliveries`.
pub(super) fn deliveries<N: Display + PartialEq + From<u8>>(number: N) -> String {
    let noun = if number == N::from(1) { "delivery" } else { "deliveries" };
    format!("{number} {noun}")
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
    use super::{Columns, SAMPLE, Show, Table, relative, size, span};

    #[test]
    fn columns_are_aligned_and_text_is_harmless() {
        const COLUMNS: Columns<(&str, u64)> =
            &[("NAME", Show::Text(|row| row.0.to_owned())), ("N", Show::Number(|row| Some(row.1)))];
        let mut table = Table::new(0, COLUMNS);
        assert_eq!(table.push(&("a", 5)), None);
        assert_eq!(table.push(&("lon\u{1b}[31mger", 1234)), None);
        assert_eq!(
            table.finish(),
            "NAME            N\na               5\nlon\u{fffd}[31mger  1234\n"
        );
    }

    #[test]
    fn long_lists_begin_before_they_end() {
        let mut table = Table::new(0, &[("N", Show::Number(|row: &usize| Some(*row as u64)))]);
        let printed: Vec<Option<String>> = (0..=SAMPLE).map(|n| table.push(&n)).collect();
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
