//! Tables and numbers for people: aligned columns, sizes, relative times.

use std::fmt::Display;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::screen_text::{columns, cut};
use super::terminal::{Terminal, Tone};
use crate::api::values::Time;
use crate::model::safe_text::escaped;

/// Rows that are looked at for the columns' widths; longer lists go on with those widths.
pub const SAMPLE: usize = 100;

/// To so many columns a text is cut before a column is left out, where the terminal is too
/// narrow; and to so many where nothing is left to leave out.
const NARROW: usize = 24;
const NARROWEST: usize = 8;
/// Between two columns.
const GAP: usize = 2;

/// The rank of a column that is always shown. Of the others those of the highest rank are left out
/// first where the terminal is too narrow.
pub const ALWAYS: u8 = 0;

/// Columns: the title of each, how it reads its cell out of a row, and its rank.
pub type Columns<R> = &'static [(&'static str, Show<R>, u8)];

/// How a column reads its cell, and shows it; `-` where there is nothing.
#[derive(Debug)]
pub enum Show<R> {
    Text(fn(&R) -> String),
    /// A text that is never cut: an id or a name, which somebody may copy.
    Id(fn(&R) -> String),
    /// A word that is coloured by what it says.
    State(fn(&R) -> String),
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
            Self::Text(read) | Self::Id(read) | Self::State(read) => text(&read(row)),
            Self::Number(read) => or_dash(read(row)),
            Self::Size(read) => or_dash(read(row).map(size)),
            Self::Time(read) => time(read(row), now_ms),
        }
    }

    fn is_right_aligned(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Size(_))
    }

    /// What is left of a column of this width that may be cut to so many columns of the terminal.
    fn cut(&self, width: usize, to: usize) -> usize {
        if matches!(self, Self::Text(_)) { width.min(to) } else { width }
    }
}

/// A table that comes row by row. The first rows are held to find the widths.
#[derive(Debug)]
pub struct Table<R: 'static> {
    columns: Columns<R>,
    now_ms: u64,
    terminal: Terminal,
    held: Vec<Vec<String>>,
    /// A column without a width is left out.
    widths: Option<Vec<Option<usize>>>,
    rows: u64,
}

impl<R> Table<R> {
    /// One as wide as it comes.
    #[must_use]
    pub fn new(now_ms: u64, columns: Columns<R>) -> Self {
        Self::on(Terminal::default(), now_ms, columns)
    }

    /// One that fits a terminal.
    #[must_use]
    pub fn on(terminal: Terminal, now_ms: u64, columns: Columns<R>) -> Self {
        Self { columns, now_ms, terminal, held: Vec::new(), widths: None, rows: 0 }
    }

    /// Takes a row; gives lines once there is something to print.
    pub fn push(&mut self, row: &R) -> Option<String> {
        self.rows += 1;
        let cell = |(_, show, _): &(_, Show<R>, _)| show.cell(row, self.now_ms);
        let cells: Vec<String> = self.columns.iter().map(cell).collect();
        if self.widths.is_some() {
            return Some(self.line(&cells, true));
        }
        self.held.push(cells);
        (self.held.len() == SAMPLE).then(|| self.start())
    }

    /// Whether anything has been printed, or is about to be.
    #[must_use]
    pub fn started(&self) -> bool {
        self.widths.is_some() || !self.held.is_empty()
    }

    /// How many rows it has so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What is left to print.
    pub fn finish(&mut self) -> String {
        if self.held.is_empty() { String::new() } else { self.start() }
    }

    fn start(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let titles: Vec<String> =
            self.columns.iter().map(|(title, ..)| (*title).to_owned()).collect();
        let width =
            |i: usize| held.iter().chain([&titles]).map(|r| columns(&r[i])).max().unwrap_or(0);
        let widths = (0..self.columns.len()).map(width).collect();
        self.widths = Some(self.fitted(widths));

        let mut text = self.line(&titles, false);
        for row in &held {
            text.push_str(&self.line(row, true));
        }
        text
    }

    /// The widths with which a line fits the terminal: what can be done without is left out, and
    /// the longest texts are cut.
    fn fitted(&self, widths: Vec<usize>) -> Vec<Option<usize>> {
        let mut widths: Vec<Option<usize>> = widths.into_iter().map(Some).collect();
        let Some(most) = self.terminal.width else { return widths };
        let narrow = |(i, width): (usize, &Option<usize>)| {
            width.map(|width| self.columns[i].1.cut(width, NARROW))
        };

        while total(widths.iter().enumerate().map(narrow)) > most {
            let present = (0..widths.len()).filter(|i| widths[*i].is_some());
            let dispensable = present.filter(|i| self.columns[*i].2 > ALWAYS);
            let Some(least) = dispensable.max_by_key(|i| self.columns[*i].2) else { break };
            widths[least] = None;
        }

        while total(widths.iter().copied()) > most {
            let may_be_cut = |i: &usize| {
                let show = &self.columns[*i].1;
                widths[*i].is_some_and(|width| show.cut(width, NARROWEST) < width)
            };
            let widest = (0..widths.len()).filter(may_be_cut).max_by_key(|i| widths[*i]);
            let Some(widest) = widest else { break };
            widths[widest] = widths[widest].map(|width| width - 1);
        }
        widths
    }

    fn line(&self, cells: &[String], coloured: bool) -> String {
        let widths = self.widths.as_deref().unwrap_or_default();
        let mut line = String::new();
        for ((_, show, _), (cell, width)) in self.columns.iter().zip(cells.iter().zip(widths)) {
            let Some(width) = *width else { continue };
            let shown = match self.terminal.width {
                Some(_) => cut(cell, width),
                None => cell.clone(),
            };
            let padding = " ".repeat(width.saturating_sub(columns(&shown)));
            let painted = match show {
                Show::State(_) if coloured => self.terminal.paint(Tone::of(cell), &shown),
                _ => shown,
            };

            let (before, after) = if show.is_right_aligned() {
                (padding, String::new())
            } else {
                (String::new(), padding)
            };
            line.extend([before, painted, after, " ".repeat(GAP)]);
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// The width of a line of these columns.
fn total(widths: impl Iterator<Item = Option<usize>>) -> usize {
    widths.flatten().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
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
    escaped(text)
}

/// The date and time of day where the caller is, with its distance to UTC:
/// `2026-11-23 14:20:00 +01:00`.
#[must_use]
pub fn local(at_ms: u64) -> String {
    local_as(at_ms, "%Y-%m-%d %H:%M:%S %:z")
}

/// The same with milliseconds.
#[must_use]
pub fn local_ms(at_ms: u64) -> String {
    local_as(at_ms, "%Y-%m-%d %H:%M:%S.%3f %:z")
}

/// Without a year and a zone, for a column of times.
#[must_use]
pub fn local_short(at_ms: u64) -> String {
    local_as(at_ms, "%m-%d %H:%M:%S")
}

fn local_as(at_ms: u64, format: &str) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.unwrap_or(Timestamp::MAX).to_zoned(TimeZone::system());
    at.strftime(format).to_string()
}

/// The date and time where the caller is, and how long ago that is; or `-`.
#[must_use]
pub fn moment(at: Option<Time>, now_ms: u64) -> String {
    at.map_or_else(|| "-".into(), |Time(at)| format!("{} ({})", local(at), relative(at, now_ms)))
}

/// `3m ago`, `in 2h`, `now`.
#[must_use]
pub fn relative(at_ms: u64, now_ms: u64) -> String {
    let (distance, past) =
        if at_ms <= now_ms { (now_ms - at_ms, true) } else { (at_ms - now_ms, false) };
    if distance < 1000 {
        return "now".into();
    }
    // What is a second short of a day, because answers take a while, is a day.
    let span = span(rounded(distance));
    if past { format!("{span} ago") } else { format!("in {span}") }
}

/// To the nearest of the smaller units that are shown.
fn rounded(ms: u64) -> u64 {
    let unit = match ms {
        0..60_000 => 1000,
        60_000..86_370_000 => 60_000,
        _ => 3_600_000,
    };
    (ms + unit / 2) / unit * unit
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
    use super::{
        ALWAYS, Columns, SAMPLE, Show, Table, local, local_ms, moment, relative, size, span,
    };
    use crate::api::values::Time;
    use crate::ctl::terminal::Terminal;
    use crate::model::time::parse_wall;

    #[test]
    fn columns_are_aligned_and_text_is_harmless() {
        const COLUMNS: Columns<(&str, u64)> = &[
            ("NAME", Show::Text(|row| row.0.to_owned()), ALWAYS),
            ("N", Show::Number(|row| Some(row.1)), ALWAYS),
        ];
        let mut table = Table::new(0, COLUMNS);
        assert_eq!(table.push(&("a", 5)), None);
        assert_eq!(table.push(&("lon\u{1b}[31mger", 1234)), None);
        assert_eq!(
            table.finish(),
            "NAME               N\na                  5\nlon\\x1b[31mger  1234\n"
        );
    }

    #[test]
    fn long_lists_begin_before_they_end() {
        let mut table =
            Table::new(0, &[("N", Show::Number(|row: &usize| Some(*row as u64)), ALWAYS)]);
        let printed: Vec<Option<String>> = (0..=SAMPLE).map(|n| table.push(&n)).collect();
        assert!(printed[SAMPLE - 2].is_none() && printed[SAMPLE - 1].is_some());
        assert_eq!(printed[SAMPLE].as_deref(), Some("100\n"));
        assert_eq!(table.finish(), "");
    }

    #[test]
    fn a_table_fits_its_terminal() {
        type Row = (&'static str, &'static str, &'static str, &'static str);
        const COLUMNS: Columns<Row> = &[
            ("ID", Show::Id(|row| row.0.to_owned()), ALWAYS),
            ("EVENT", Show::Id(|row| row.1.to_owned()), 1),
            ("STATE", Show::State(|row| row.2.to_owned()), ALWAYS),
            ("REASON", Show::Text(|row| row.3.to_owned()), ALWAYS),
        ];
        let row = (
            "dlv_0000000000008000000g",
            "evt_00000000000g3kq1v8b2m4n6p0",
            "dead",
            "answered 500: the database is down and nobody knows why",
        );
        let shown = |width: Option<usize>, colours: bool| {
            let mut table = Table::on(Terminal { width, colours }, 0, COLUMNS);
            assert_eq!(table.push(&row), None);
            table.finish()
        };

        let whole = shown(None, false);
        assert!(whole.contains(row.1) && whole.contains(row.3), "{whole}");
        for width in [60, 80, 120] {
            let fits = shown(Some(width), false);
            assert!(fits.lines().all(|line| line.chars().count() <= width), "{width}: {fits}");
            assert!(fits.contains(row.0) && fits.contains("answered"), "{width}: {fits}");
            assert_eq!(fits.contains(row.1), width == 120, "{width}: {fits}");
        }
        assert!(shown(Some(80), false).contains("answered 500: the database is down and nobody…"));
        let coloured = shown(Some(80), true);
        assert!(coloured.contains("  \u{1b}[31mdead\u{1b}[0m   answered"), "{coloured:?}");
    }

    #[test]
    fn wide_letters_fit_and_are_aligned() {
        const COLUMNS: Columns<(&str, &str)> = &[
            ("TYPE", Show::Text(|row| row.0.to_owned()), ALWAYS),
            ("STATE", Show::State(|row| row.1.to_owned()), ALWAYS),
        ];
        let shown = |width: Option<usize>| {
            let mut table = Table::on(Terminal { width, colours: false }, 0, COLUMNS);
            for kind in ["订单创建订单创建", "paid"] {
                assert_eq!(table.push(&(kind, "dead")), None);
            }
            table.finish()
        };
        assert_eq!(
            shown(None),
            "TYPE              STATE\n订单创建订单创建  dead\npaid              dead\n"
        );
        assert_eq!(shown(Some(18)), "TYPE         STATE\n订单创建订…  dead\npaid         dead\n");
    }

    #[test]
    fn times_of_day_have_a_date_and_a_zone() {
        let at = 1_700_000_000_123;
        let (whole, exact) = (local(at), local_ms(at));
        let zoned = format!("{}T{}{}", &whole[..10], &whole[11..19], &whole[20..]);
        assert_eq!(parse_wall(&zoned), Some(1_700_000_000_000), "{whole}");
        assert_eq!(exact, format!("{}.123{}", &whole[..19], &whole[19..]));
        let shown = moment(Some(Time(at)), at + 60_000);
        assert_eq!(shown, format!("{whole} (1m ago)"));
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(relative(1000, 181_000), "3m ago");
        assert_eq!(relative(7_201_000, 1000), "in 2h");
        assert_eq!(relative(5, 900), "now");
        // What was to be a day or an hour when it was asked for.
        assert_eq!(relative(86_399_000, 0), "in 1d");
        assert_eq!(relative(3_598_000, 0), "in 1h");
        assert_eq!(relative(59_700, 0), "in 1m");
        assert_eq!(relative(86_340_000, 0), "in 23h59m");
        assert_eq!(span(90_000_000), "1d1h");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(64 << 20), "64.0 MiB");
        assert_eq!(size(u64::MAX), "16777215 TiB");
    }
}
