//! The drawing of `stats --svg`: panels below each other, with one axis of time.

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, IntoDrawingArea, IntoFont, LineSeries, RGBColor, Rectangle,
    SVGBackend, WHITE,
};

use crate::api::views::{HistoryRowView, HistoryView};
use crate::ctl::table::{local, local_short, size, span};

const WIDTH: u32 = 960;
const PANEL: u32 = 190;
const TITLE: u32 = 40;

const BLUE: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const GREEN: RGBColor = RGBColor(0x2b, 0x8a, 0x3e);
const RED: RGBColor = RGBColor(0xc9, 0x2a, 0x2a);
const AMBER: RGBColor = RGBColor(0xb8, 0x6b, 0x00);

type ReadFigure = fn(&HistoryRowView) -> Option<u64>;

/// Lines that have a scale in common.
struct Panel {
    title: &'static str,
    lines: &'static [(&'static str, RGBColor, ReadFigure)],
    text: fn(u64) -> String,
    of_endpoints: bool,
}

const PANELS: &[Panel] = &[
    Panel {
        title: "events and deliveries in a step",
        lines: &[("accepted", BLUE, |row| row.accepted), ("delivered", GREEN, |row| row.delivered)],
        text: plain,
        of_endpoints: true,
    },
    Panel {
        title: "refused, failed, given up in a step",
        lines: &[
            ("refused", AMBER, |row| row.refused),
            ("failed", BLUE, |row| row.failed),
            ("dead", RED, |row| row.dead),
        ],
        text: plain,
        of_endpoints: true,
    },
    Panel {
        title: "pending",
        lines: &[("pending", BLUE, |row| row.pending)],
        text: plain,
        of_endpoints: true,
    },
    Panel {
        title: "the oldest of them",
        lines: &[("oldest", AMBER, |row| row.oldest_s.map(|s| s.saturating_mul(1000)))],
        text: span,
        of_endpoints: true,
    },
    Panel {
        title: "from acceptance to delivery",
        lines: &[
            ("p50", GREEN, |row| row.latency_p50_ms),
            ("p99", AMBER, |row| row.latency_p99_ms),
        ],
        text: span,
        of_endpoints: true,
    },
    Panel {
        title: "commits of the log",
        lines: &[("p50", GREEN, |row| row.commit_p50_ms), ("p99", AMBER, |row| row.commit_p99_ms)],
        text: span,
        of_endpoints: false,
    },
    Panel {
        title: "the log on disk",
        lines: &[("disk", BLUE, |row| row.disk_bytes)],
        text: size,
        of_endpoints: false,
    },
];

fn plain(number: u64) -> String {
    number.to_string()
}

/// The drawing, as text.
pub fn svg(history: &HistoryView) -> Result<String, String> {
    let of_endpoint = history.endpoint.is_some();
    let panels: Vec<&Panel> =
        PANELS.iter().filter(|panel| panel.of_endpoints || !of_endpoint).collect();
    let count = u32::try_from(panels.len()).unwrap_or(1);
    let mut drawing = String::new();

    {
        let backend = SVGBackend::with_string(&mut drawing, (WIDTH, TITLE + PANEL * count));
        let root = backend.into_drawing_area();
        root.fill(&WHITE).map_err(|error| error.to_string())?;
        let (head, body) = root.split_vertically(TITLE);
        head.titled(&title(history), ("sans-serif", 18).into_font())
            .map_err(|error| error.to_string())?;
        for (area, panel) in body.split_evenly((panels.len(), 1)).iter().zip(&panels) {
            draw(area, panel, history).map_err(|error| error.to_string())?;
        }
        root.present().map_err(|error| error.to_string())?;
    }
    Ok(drawing)
}

fn title(history: &HistoryView) -> String {
    let of = history.endpoint.as_ref().map_or_else(|| "hookbox".to_owned(), Clone::clone);
    let step = span(history.step_ms);
    format!("{of}, {} to {}, steps of {step}", local(history.since.0), local(history.until.0))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(area: &Area<'_>, panel: &Panel, history: &HistoryView) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let values = |read: ReadFigure| history.rows.iter().filter_map(read);
    let most = panel.lines.iter().flat_map(|(_, _, read)| values(*read)).max().unwrap_or(0);
    let (since, until) = (history.since.0, history.until.0.max(history.since.0 + 1));

    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 14))
        .margin(8)
        .x_label_area_size(22)
        .y_label_area_size(84)
        .build_cartesian_2d(since..until, 0..most.saturating_add(most / 10).max(1))
        .map_err(|error| failed(&error))?;
    let length = until - since;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(8)
        .y_labels(4)
        .x_label_formatter(&|at| short(*at, length))
        .y_label_formatter(&|value| (panel.text)(*value))
        .draw()
        .map_err(|error| failed(&error))?;

    for (name, colour, read) in panel.lines {
        for (n, line) in known(history, *read).into_iter().enumerate() {
            let width = if line.len() == 1 { 4 } else { 2 };
            let drawn = chart
                .draw_series(LineSeries::new(line, colour.stroke_width(width)))
                .map_err(|error| failed(&error))?;
            // Once for each colour, however many pieces it has.
            if n == 0 {
                drawn.label(*name).legend(move |(x, y)| {
                    Rectangle::new([(x, y - 4), (x + 12, y + 4)], colour.filled())
                });
            }
        }
    }
    if panel.lines.len() > 1 {
        let mut labels = chart.configure_series_labels();
        labels.background_style(WHITE.mix(0.8)).draw().map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// The pieces of a line: it is broken where nothing is known.
fn known(history: &HistoryView, read: ReadFigure) -> Vec<Vec<(u64, u64)>> {
    let mut lines = vec![Vec::new()];
    for row in &history.rows {
        match (read(row), lines.last_mut()) {
            (Some(value), Some(line)) => line.push((row.at.0, value)),
            (None, Some(line)) if !line.is_empty() => lines.push(Vec::new()),
            _ => {}
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// The time of a label: of day, or with the day where the axis is longer than one.
fn short(at: u64, length: u64) -> String {
    let text = local_short(at);
    let part = if length > 86_400_000 { text.get(..11) } else { text.get(6..11) };
    part.unwrap_or(&text).to_owned()
}
