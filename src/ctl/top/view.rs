//! Draws what the model shows. Everything fits 80 columns and 24 lines, and what does not fit is
//! cut. No lines are drawn around things, so a console without such characters shows it, too.

use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::keys::HELP;
use super::model::{TopMode, TopModel};
use super::screens::{TopColumn, TopRow};
use crate::ctl::args::TopScreen;
use crate::ctl::screen_text::{columns as columns_of, cut};
use crate::ctl::show;
use crate::ctl::sparkline::{ASCII, Ramp};
use crate::ctl::stats;
use crate::ctl::status::{beside_endpoints, folded};
use crate::ctl::table::{clean, size, span};
use crate::ctl::terminal::{Terminal, Tone};

/// On what it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct TopStyle {
    pub colours: bool,
    pub ramp: Ramp,
    /// It is printed as text, so that no row is the chosen one.
    pub is_printed: bool,
}

/// Between two columns.
const GAP: usize = 1;
/// Lines above what is listed, and with the one below it.
const HEAD_LINES: usize = 2;
const FRAME_LINES: usize = 3;

/// Lines from which on a screen has all numbers of the overview, and those that others leave out.
const ROOMY: usize = 30;
/// Lines about what is wrong beside endpoints.
const CONCERNS: usize = 3;
/// Lines for what the chosen row has no columns for.
const IN_FULL: usize = 2;
/// Columns of what is printed where there is no terminal: at least, and at most.
const PRINTED: (usize, usize) = (80, 1000);
const MINOR: &[&str] = &["latency", "commit", "disk"];

impl TopStyle {
    fn tone(self, tone: Tone) -> Style {
        let colour = match tone {
            _ if !self.colours => return Style::default(),
            Tone::Plain => return Style::default(),
            Tone::Good => Color::Green,
            Tone::Waiting => Color::Yellow,
            Tone::Bad => Color::Red,
        };
        Style::default().fg(colour)
    }
}

/// Reversed, which needs no colours.
fn bar() -> Style {
    Style::default().add_modifier(Modifier::REVERSED)
}

pub fn draw(frame: &mut Frame<'_>, model: &TopModel, style: TopStyle) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let body = height.saturating_sub(FRAME_LINES);

    let mut lines = vec![head(model, width, style), tabs(model, width)];
    lines.extend(match &model.mode {
        TopMode::Help => help(width),
        TopMode::Detail { from, .. } => detail(model, *from, width, body),
        _ => listing(model, width, body, style),
    });
    if model.away.is_some() {
        // What is shown was true before the daemon went.
        let dim = |line: Line<'static>| line.patch_style(Style::new().add_modifier(Modifier::DIM));
        let body = lines.split_off(lines.len().min(HEAD_LINES));
        lines.extend(body.into_iter().map(dim));
    }
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(foot(model, width, style));
    if style.ramp == ASCII {
        lines = lines.into_iter().map(in_ascii).collect();
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// What is true of the daemon as a whole.
fn head(model: &TopModel, width: usize, style: TopStyle) -> Line<'static> {
    let Some(status) = &model.data.status else {
        return Line::styled(padded("hookbox: waiting for the daemon", width), bar());
    };
    let deliveries = &status.deliveries;
    let accepting = match &status.reason {
        _ if model.away.is_some() => {
            let age_ms = model.data.now_ms.saturating_sub(model.data.answered_ms);
            format!("NO ANSWER, as of {} ago", span(age_ms.max(1000)))
        }
        _ if status.accepting => "accepting".to_owned(),
        Some(reason) => format!("NOT ACCEPTING ({})", clean(reason)),
        None => "NOT ACCEPTING".to_owned(),
    };

    let text = format!(
        "hookbox {}  up {}  {accepting}  {} waiting  {} held  {} dead  {} left",
        clean(&status.version),
        span(status.uptime_s.max(1) * 1000),
        deliveries.pending,
        deliveries.held,
        deliveries.dead,
        size(status.log.left_bytes),
    );
    let is_well = status.accepting && model.away.is_none();
    let alarm = if is_well { Style::default() } else { style.tone(Tone::Bad) };
    Line::styled(padded(&text, width), bar().patch(alarm))
}

fn tabs(model: &TopModel, width: usize) -> Line<'static> {
    let mut spans = Vec::new();
    for (n, screen) in TopScreen::ALL.into_iter().enumerate() {
        let text = format!(" {} {} ", n + 1, screen.title());
        let style = if screen == model.screen { bar() } else { Style::default() };
        spans.push(Span::styled(text, style));
    }

    let listing = model.listing();
    let filter = match (&model.mode, listing.filter.as_str()) {
        (TopMode::Filter, filter) => format!(" /{filter}_"),
        (_, "") => String::new(),
        (_, filter) => format!(" /{filter}"),
    };
    let of = listing.of.as_ref().map(|name| format!("  of {name}")).unwrap_or_default();
    let filter = of + &filter;
    let used: usize = spans.iter().map(Span::width).sum();
    spans.push(Span::raw(cut(&clean(&filter), width.saturating_sub(used))));
    Line::from(spans)
}

/// What the bottom line says: a question, what came of an action, or which keys there are.
fn foot(model: &TopModel, width: usize, style: TopStyle) -> Line<'static> {
    if let TopMode::Confirm { question, .. } = &model.mode {
        let text = format!("{} [y/N]", cut(&clean(question), width.saturating_sub(6)));
        return Line::styled(padded(&text, width), bar());
    }
    if let Some(message) = &model.message {
        let tone = if message.is_bad { Tone::Bad } else { Tone::Plain };
        return Line::styled(padded(&clean(&message.text), width), style.tone(tone));
    }

    if let Some(why) = &model.away {
        return Line::styled(padded(&clean(why), width), style.tone(Tone::Bad));
    }

    let keys = match (&model.mode, model.screen) {
        (TopMode::Filter, _) => "type what rows must have; Enter: done, Esc: no filter",
        (TopMode::Help, _) => "any key: back",
        (TopMode::Detail { .. }, _) => "r retry  d discard or cancel  Esc back",
        (_, TopScreen::Overview | TopScreen::Endpoints) => {
            "? help  / filter  s sort  r retry  d discard  h hold  u release  q end"
        }
        (_, TopScreen::Sources) => "? help  / filter  s sort  q end",
        (_, TopScreen::Tail) if model.is_paused => "paused: Space continues",
        (_, TopScreen::Tail) => "? help  / filter  Space stop  Enter delivery  q end",
        (_, TopScreen::Dead) => {
            "? help  / filter  Space mark  * all  r retry  d discard  Enter show  q end"
        }
        (_, TopScreen::Shape) => "? help  / filter  s sort  r retry  q end",
    };
    Line::raw(padded(keys, width))
}

fn help(width: usize) -> Vec<Line<'static>> {
    let line = |(keys, what): &(&str, &str)| Line::raw(cut(&format!("  {keys:<26}{what}"), width));
    [Line::default()].into_iter().chain(HELP.iter().map(line)).collect()
}

/// One delivery with all its attempts.
fn detail(model: &TopModel, from: usize, width: usize, height: usize) -> Vec<Line<'static>> {
    let Some(delivery) = &model.data.delivery else {
        return vec![Line::raw("…")];
    };
    let text = show::delivery(delivery, Terminal { width: Some(width), colours: false });
    let lines: Vec<&str> = text.lines().collect();
    let from = from.min(lines.len().saturating_sub(height));
    lines[from..].iter().map(|line| Line::raw(cut(line, width))).collect()
}

fn listing(model: &TopModel, width: usize, height: usize, style: TopStyle) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if model.screen == TopScreen::Overview {
        lines.extend(overview(model, (width, height), style));
    }
    if !is_known(model) {
        lines.push(Line::raw("…"));
        return lines;
    }
    if let Some(all) = model.dead_in_all().filter(|_| model.screen == TopScreen::Dead) {
        let newest = model.data.dead.len();
        let title = format!("the newest {newest} of {all} dead letters; `dlq list` has them all");
        lines.push(Line::raw(cut(&title, width)));
    }
    if model.screen == TopScreen::Shape {
        let (count, all) = (model.data.waiting.len(), model.data.is_all);
        let what = if all { "all that wait" } else { "the newest of them only" };
        let title = format!("{count} deliveries by age in minutes, {what}");
        lines.push(Line::raw(cut(&title, width)));
    }

    let rows = model.rows();
    let columns = widths(model.screen.columns(), width);
    lines.push(titles(model, &columns));
    if rows.is_empty() {
        let what = match model.screen {
            _ if !model.listing().filter.is_empty() => "no row matches the filter (Esc ends it)",
            TopScreen::Overview | TopScreen::Endpoints if has_no_endpoints(model) => "no endpoints",
            TopScreen::Overview => "every endpoint is well",
            TopScreen::Dead => "no dead letters",
            TopScreen::Tail => "nothing has happened yet",
            _ => "nothing",
        };
        lines.push(Line::raw(what));
        return lines;
    }

    let listing = model.listing();
    let chosen = model.chosen(&rows);
    let in_full = match rows.get(chosen) {
        Some(row) if !style.is_printed => in_full(row, &columns, width, style),
        _ => Vec::new(),
    };
    let left = height.saturating_sub(lines.len() + in_full.len());
    let first = (chosen + 1).saturating_sub(left);
    for (n, row) in rows.iter().enumerate().skip(first).take(left) {
        let is_marked = listing.marked.contains(&row.key);
        lines.push(row_line(row, &columns, (n == chosen, is_marked), style));
    }
    lines.resize(lines.len().max(height.saturating_sub(in_full.len())), Line::default());
    lines.extend(in_full);
    lines
}

/// The last cell of a row, where its column is too narrow for it.
fn in_full(
    row: &TopRow,
    columns: &[(&'static TopColumn, usize)],
    width: usize,
    style: TopStyle,
) -> Vec<Line<'static>> {
    let (Some(cell), Some((_, room))) = (row.cells.last(), columns.last()) else {
        return Vec::new();
    };
    if columns_of(&cell.text) <= *room {
        return Vec::new();
    }

    let all = folded(&cell.text, width);
    let mut lines: Vec<String> = all.iter().take(IN_FULL).cloned().collect();
    if let (Some(last), Some(next)) = (lines.last_mut(), all.get(IN_FULL)) {
        *last = format!("{last} {next}");
    }
    let line = |text: String| Line::styled(cut(&text, width), style.tone(row.tone));
    lines.into_iter().map(line).collect()
}

/// The columns with which no last cell is cut.
pub fn widest(model: &TopModel) -> usize {
    let columns = model.screen.columns();
    let fixed: usize = columns.iter().map(|column| column.width + GAP).sum();
    let rows = model.rows();
    let last = |row: &TopRow| row.cells.last().map_or(0, |cell| columns_of(&cell.text));
    let last = rows.iter().map(last).max().unwrap_or(0);
    (fixed + last).clamp(PRINTED.0, PRINTED.1)
}

/// Whether the daemon has answered what the view is made of.
fn is_known(model: &TopModel) -> bool {
    let known = model.data.known;
    match model.screen {
        TopScreen::Overview | TopScreen::Endpoints => known.endpoints,
        TopScreen::Sources => known.sources,
        TopScreen::Dead => known.dead,
        TopScreen::Shape => known.waiting,
        TopScreen::Tail => true,
    }
}

fn has_no_endpoints(model: &TopModel) -> bool {
    model.data.status.as_ref().is_some_and(|status| status.endpoints == 0)
}

/// The numbers of the last hour, with small plots: on a small screen only the most important ones,
/// so that the endpoints below them have most of it.
fn overview(
    model: &TopModel,
    (width, height): (usize, usize),
    style: TopStyle,
) -> Vec<Line<'static>> {
    let terminal = Terminal { width: Some(width), colours: false };
    let text = match &model.data.history {
        Some(history) => stats::screen(history, terminal, style.ramp),
        None => "…".to_owned(),
    };
    let is_small = height < ROOMY;
    let lines =
        text.lines().filter(|line| !is_small || !MINOR.iter().any(|minor| line.starts_with(minor)));
    let lines = lines.map(|line| Line::raw(cut(line, width)));
    lines.chain(concerns(model, width, style)).chain([Line::default()]).collect()
}

/// What needs somebody beside the endpoints, which are listed below it.
fn concerns(model: &TopModel, width: usize, style: TopStyle) -> Vec<Line<'static>> {
    let status = model.data.status.as_ref().filter(|status| status.accepting);
    let mut all = status.map(|status| beside_endpoints(status)).unwrap_or_default();
    // One that is still valid needs nobody at once.
    let own = status.and_then(|status| status.certificate.as_ref()).filter(|own| own.valid);
    all.extend(own.and_then(|own| own.warning.clone()));
    if all.len() > CONCERNS {
        let more = all.len() - (CONCERNS - 1);
        all.truncate(CONCERNS - 1);
        all.push(format!("and {more} more: hookboxctl status"));
    }
    let line = |text: String| Line::styled(cut(&clean(&text), width), style.tone(Tone::Bad));
    all.into_iter().map(|text| line(format!("! {text}"))).collect()
}

/// The width of each column: the last one, or the one without a width, takes what is left.
fn widths(columns: &'static [TopColumn], width: usize) -> Vec<(&'static TopColumn, usize)> {
    let fixed: usize = columns.iter().map(|column| column.width + GAP).sum();
    let left = (width + GAP).saturating_sub(fixed);
    let wide = |column: &'static TopColumn| match column.width {
        0 => (column, left),
        width => (column, width),
    };
    columns.iter().map(wide).collect()
}

fn titles(model: &TopModel, columns: &[(&'static TopColumn, usize)]) -> Line<'static> {
    let sorted = model.listing().sorted;
    let mut text = String::new();
    for (n, (column, width)) in columns.iter().enumerate() {
        let arrow = match sorted {
            Some((by, true)) if by == n => "v",
            Some((by, false)) if by == n => "^",
            _ => "",
        };
        cell(&mut text, &format!("{}{arrow}", column.title), *width, column.is_number);
    }
    Line::styled(text, Style::default().add_modifier(Modifier::BOLD))
}

fn row_line(
    row: &TopRow,
    columns: &[(&'static TopColumn, usize)],
    (is_chosen, is_marked): (bool, bool),
    style: TopStyle,
) -> Line<'static> {
    let mut text = String::new();
    for (n, ((column, width), shown)) in columns.iter().zip(&row.cells).enumerate() {
        let marked = format!("*{}", shown.text);
        let shown = if n == 0 && is_marked { &marked } else { &shown.text };
        cell(&mut text, shown, *width, column.is_number);
    }
    let tone = style.tone(row.tone);
    Line::styled(text, if is_chosen { tone.patch(bar()) } else { tone })
}

fn cell(text: &mut String, shown: &str, width: usize, is_number: bool) {
    let shown = cut(shown, width);
    let padding = " ".repeat(width.saturating_sub(columns_of(&shown)));
    let (before, after) =
        if is_number { (padding, String::new()) } else { (String::new(), padding) };
    text.extend([before, shown, after, " ".repeat(GAP)]);
}

/// A text over the whole line.
fn padded(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let padding = " ".repeat(width.saturating_sub(columns_of(&text)));
    text + &padding
}

/// The same in characters that every console has.
fn in_ascii(line: Line<'static>) -> Line<'static> {
    let simple = |span: Span<'static>| {
        let text = span.content.replace('…', "~").replace('↑', "^").replace('↓', "v");
        Span::styled(text, span.style)
    };
    Line { spans: line.spans.into_iter().map(simple).collect(), ..line }
}
