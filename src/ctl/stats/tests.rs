//! What people see of a history.

use super::screen::screen;
use super::{NO_PLOTS, draw};
use crate::api::values::Time;
use crate::api::views::{HistoryRowView, HistoryView};
use crate::ctl::output::Output;
use crate::ctl::sparkline::{ASCII, BLOCKS};
use crate::ctl::terminal::Terminal;

const BEGIN: u64 = 1_800_000_000_000;

fn row(n: u64, count: Option<u64>) -> HistoryRowView {
    HistoryRowView {
        at: Time(BEGIN + n * 600_000),
        accepted: count,
        refused: count.map(|_| 0),
        delivered: count,
        failed: count.map(|_| 0),
        dead: count.map(|_| 0),
        pending: count.map(|count| count / 10),
        oldest_s: count.map(|_| 90),
        latency_p50_ms: count.map(|_| 12),
        latency_p99_ms: count.map(|_| 1500),
        commit_p50_ms: count.map(|_| 1),
        commit_p99_ms: count.map(|_| 4),
        disk_bytes: count.map(|_| 5 << 20),
    }
}

fn history(endpoint: Option<&str>) -> HistoryView {
    let counts = (0..144).map(|n| row(n, (!(20..40).contains(&n)).then_some(n * 7)));
    HistoryView {
        since: Time(BEGIN),
        until: Time(BEGIN + 86_400_000),
        step_ms: 600_000,
        endpoint: endpoint.map(str::to_owned),
        note: None,
        rows: counts.collect(),
        total: HistoryRowView { accepted: Some(68_432), ..row(0, Some(1)) },
    }
}

fn on(width: usize) -> Terminal {
    Terminal { width: Some(width), colours: false }
}

#[test]
fn a_screen_fits_and_shows_what_was_not_known() {
    for (width, ramp) in [(80, BLOCKS), (60, ASCII), (200, BLOCKS), (40, ASCII)] {
        let text = screen(&history(None), on(width), ramp);
        let longest = text.lines().skip(1).map(|line| line.chars().count()).max();
        assert!(longest.is_some_and(|longest| longest <= width.max(56)), "{width}: {text}");
        assert!(ramp == BLOCKS || text.is_ascii(), "{text}");
    }

    let text = screen(&history(None), on(80), BLOCKS);
    let accepted = text.lines().find(|line| line.starts_with("accepted")).expect("a line");
    assert!(accepted.contains("     ") && accepted.contains('█'), "a gap: {accepted}");
    assert!(accepted.ends_with("1001       1001      68432"), "{accepted}");
    for part in ["1d in steps of 10m", "oldest", "1m", "p99", "5.0 MiB"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn of_an_endpoint_only_its_own_figures_are_shown() {
    let text = screen(&history(Some("app")), on(80), BLOCKS);
    assert!(text.starts_with("app: 1d in steps"), "{text}");
    assert!(!text.contains("refused") && !text.contains("disk"), "{text}");
    let mut none = history(Some("app"));
    none.note = Some("none \u{1b}[31m".to_owned());
    let text = screen(&none, on(80), BLOCKS);
    assert!(text.ends_with("none \\x1b[31m\n") && text.lines().count() == 2, "{text}");
}

#[test]
fn a_drawing_takes_the_place_of_the_one_before_or_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plot.svg");
    let mut out = Output::kept();
    let drawn = draw(&mut out, &history(None), &file);
    if !cfg!(feature = "plot") {
        assert_eq!(drawn.expect_err("it cannot").to_string(), NO_PLOTS);
        return;
    }

    drawn.expect("drawn");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
    for part in ["accepted", "commits of the log", "MiB", "1s"] {
        assert!(text.contains(part), "{part}");
    }
    assert_eq!(text.matches("stroke-width=\"2\"").count(), 24, "each of 12 lines has a gap");
    assert!(!text.contains("<script") && !text.contains("href"));

    draw(&mut out, &history(Some("app")), &file).expect("drawn again");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(text.contains("app, ") && !text.contains("commits of the log"));
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 1, "nothing else is left behind");

    let link = folder.path().join("link.svg");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    for other in [link.as_path(), folder.path(), std::path::Path::new("/dev/null")] {
        let refused = draw(&mut out, &history(None), other).expect_err("no regular file");
        assert!(refused.to_string().ends_with("choose another name, or - for stdout"), "{refused}");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), text, "the link was not followed");
}
