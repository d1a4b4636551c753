//! Plots as SVG: both axes are logarithmic, a line has a colour, a mark and a dash of its own. The
//! ground is drawn as well, so that a plot is readable on a light and on a dark page.

use std::fmt::Write as _;

/// One plot.
pub struct Plot {
    pub title: &'static str,
    /// What the horizontal axis counts, and where it has ticks.
    pub x: &'static str,
    pub ticks: Vec<f64>,
    pub y: &'static str,
    pub series: Vec<Series>,
}

/// One line.
pub struct Series {
    pub name: &'static str,
    /// Which of the colours and marks.
    pub style: usize,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
/// The field between the axes.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 360.0;

/// Colours that are distinguished by eyes that see no red or green, on light and on dark.
const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.ground { fill: #ffffff } .grid { stroke: #d8dee4 } .axis { stroke: #57606a; fill: none }
.line { fill: none; stroke-width: 2 }
.c0 { stroke: #6e7781; fill: #6e7781 } .c1 { stroke: #d55e00; fill: #d55e00 }
.c2 { stroke: #0072b2; fill: #0072b2 } .c3 { stroke: #007a5a; fill: #007a5a }
.c4 { stroke: #a0457e; fill: #a0457e } .c5 { stroke: #8a6d00; fill: #8a6d00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.ground { fill: #0d1117 } .grid { stroke: #30363d } .axis { stroke: #8b949e }
.c0 { stroke: #9198a1; fill: #9198a1 } .c1 { stroke: #ff8c3a; fill: #ff8c3a }
.c2 { stroke: #56b4e9; fill: #56b4e9 } .c3 { stroke: #2fc796; fill: #2fc796 }
.c4 { stroke: #e69ac8; fill: #e69ac8 } .c5 { stroke: #f0e442; fill: #f0e442 }
}
.line { fill: none }";
const DASHES: [&str; 6] = ["2 4", "none", "8 4", "none", "4 3", "10 3 2 3"];

/// A logarithmic axis from its first to its last number, between two places.
struct Axis {
    from: f64,
    to: f64,
    places: (f64, f64),
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let share = (value / self.from).ln() / (self.to / self.from).ln();
        self.places.0 + (self.places.1 - self.places.0) * share
    }
}

impl Plot {
    pub fn svg(&self) -> String {
        let first = self.ticks.first().copied().unwrap_or(1.0);
        let last = self.ticks.last().copied().unwrap_or(10.0);
        let x = Axis { from: first, to: last, places: (LEFT + 16.0, RIGHT - 16.0) };
        let values = || self.series.iter().flat_map(|s| s.points.iter().map(|point| point.1));
        let (low, high) = values().fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        let numbers = numbers_around(low, high);
        let (from, to) = (numbers[0], numbers[numbers.len() - 1]);
        let y = Axis { from, to, places: (BOTTOM, TOP) };

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\" aria-label=\"{}\">\n<style>\n{STYLE}\n</style>\n<rect class=\"ground\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\n",
            self.title
        );
        text(&mut svg, (LEFT, 28.0), "start", " class=\"title\"", self.title);
        self.axes(&mut svg, &x, &y, &numbers);
        for (row, series) in (0_u32..).zip(&self.series) {
            series.draw(&mut svg, &x, &y, TOP + 12.0 + 24.0 * f64::from(row));
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, x: &Axis, y: &Axis, numbers: &[f64]) {
        for &number in numbers {
            let at = y.at(number);
            line(svg, "grid", (LEFT, at), (RIGHT, at));
            text(svg, (LEFT - 8.0, at + 4.5), "end", "", &shown(number));
        }
        for &tick in &self.ticks {
            let at = x.at(tick);
            line(svg, "axis", (at, BOTTOM), (at, BOTTOM + 5.0));
            text(svg, (at, BOTTOM + 21.0), "middle", "", &shown(tick));
        }
        line(svg, "axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
        line(svg, "axis", (LEFT, TOP), (LEFT, BOTTOM));
        text(svg, (f64::midpoint(LEFT, RIGHT), BOTTOM + 44.0), "middle", "", self.x);
        let middle = f64::midpoint(TOP, BOTTOM);
        let turned = format!(" transform=\"rotate(-90 18 {middle})\"");
        text(svg, (18.0, middle), "middle", &turned, self.y);
    }
}

impl Series {
    /// The line with its marks, and its row of the legend.
    fn draw(&self, svg: &mut String, x: &Axis, y: &Axis, row: f64) {
        let style = self.style % DASHES.len();
        let dash = DASHES[style];
        let places: Vec<(f64, f64)> =
            self.points.iter().map(|&(a, b)| (x.at(a), y.at(b))).collect();
        let legend = [(RIGHT + 16.0, row), (RIGHT + 44.0, row)];
        for run in [&places[..], &legend] {
            let points: Vec<String> = run.iter().map(|(a, b)| format!("{a:.1},{b:.1}")).collect();
            let points = points.join(" ");
            let _ = writeln!(
                svg,
                "<polyline class=\"c{style} line\" stroke-dasharray=\"{dash}\" \
                 points=\"{points}\"/>"
            );
        }
        for &place in places.iter().chain([&(RIGHT + 30.0, row)]) {
            mark(svg, style, place);
        }
        text(svg, (RIGHT + 52.0, row + 4.5), "start", "", self.name);
    }
}

fn mark(svg: &mut String, style: usize, (x, y): (f64, f64)) {
    let polygon = |corners: &[(f64, f64)]| {
        let corners: Vec<String> =
            corners.iter().map(|(a, b)| format!("{:.1},{:.1}", x + a, y + b)).collect();
        format!("<polygon class=\"c{style}\" points=\"{}\"/>", corners.join(" "))
    };
    let shape = match style {
        0 => format!("<circle class=\"c{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"),
        1 => format!("<circle class=\"c{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
        2 => polygon(&[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)]),
        3 => polygon(&[(0.0, -5.0), (5.0, 4.0), (-5.0, 4.0)]),
        4 => polygon(&[(0.0, 5.0), (5.0, -4.0), (-5.0, -4.0)]),
        _ => polygon(&[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)]),
    };
    let _ = writeln!(svg, "{shape}");
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, more: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{more}>{words}</text>"
    );
}

/// 1, 2, 5, 10, …: those between which all values are, two at least.
fn numbers_around(low: f64, high: f64) -> Vec<f64> {
    let (low, high) = if low <= high && low > 0.0 { (low, high) } else { (1.0, 10.0) };
    let all: Vec<f64> =
        (-3..9).flat_map(|power| [1.0, 2.0, 5.0].map(|first| first * 10_f64.powi(power))).collect();
    let first = all.iter().rposition(|&n| n <= low).unwrap_or(0);
    let last = all.iter().position(|&n| n >= high).unwrap_or(all.len() - 1);
    all[first..=last.max(first + 1)].to_vec()
}

fn shown(number: f64) -> String {
    if number >= 1000.0 {
        let thousands = number / 1000.0;
        return format!("{thousands},000");
    }
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
