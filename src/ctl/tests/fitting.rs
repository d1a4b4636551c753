//! What people see fits their terminal.

use serde_json::{Value, json};

use super::screens::{running, shown};
use crate::api::views::StatusView;
use crate::ctl::status;
use crate::ctl::terminal::Terminal;

#[test]
fn status_fits_the_width_of_the_terminal() {
    let mut status = running();
    let kinds: serde_json::Map<String, Value> =
        (0..12).map(|n| (format!("reason-number-{n}"), json!(n))).collect();
    status["refused"] = Value::Object(kinds);
    let screen = shown(&status, |status: &StatusView| {
        status::screen(status, Terminal { width: Some(80), colours: false })
    });
    for line in screen.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(screen.contains("11 reason-number-11"), "nothing is cut: {screen}");
    let indented = screen.lines().filter(|line| line.starts_with("           ")).count();
    assert!(indented >= 2, "{screen}");
}
