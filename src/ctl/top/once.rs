//! One screen as text, and what `top` knows as JSON: for scripts, and for terminals that are none.

use ratatui::Terminal as Screen;
use ratatui::backend::TestBackend;
use serde_json::{Map, Value};

use super::commands::{TopAnswer, TopCommand};
use super::data::ROWS;
use super::model::TopModel;
use super::view::{TopStyle, draw, widest};
use super::worker;
use crate::ctl::args::TopScreen;
use crate::ctl::client::{AdminClient, path};
use crate::ctl::error::CtlError;
use crate::ctl::screen_text::columns;

/// Lines that are not rows, at most.
const AROUND: usize = 32;

/// Asks once, and draws once: all rows, and no line of keys. Without a width it is as wide as its
/// rows.
pub fn text(
    client: &AdminClient,
    model: &mut TopModel,
    now_ms: u64,
    width: Option<usize>,
    style: TopStyle,
) -> Result<String, CtlError> {
    for command in model.tick(now_ms) {
        let TopCommand::Refresh(queries) = command else { continue };
        for query in &queries {
            model.answer(worker::ask(client, query)?);
        }
    }
    // A terminal that stands still has a tail of what has passed.
    if model.screen == TopScreen::Tail {
        client.list("/v1/tail?limit=100", &mut |row| {
            model.answer(TopAnswer::Tail(Box::new(row.view()?)));
            Ok(())
        })?;
    }
    let height = u16::try_from(model.rows().len() + AROUND).unwrap_or(u16::MAX);
    let width = width.unwrap_or_else(|| widest(model));
    let width = u16::try_from(width).unwrap_or(u16::MAX);
    let screen = drawn(model, (width, height), style);
    let all = screen.trim_end().rsplit_once('\n').map_or("", |(all, _keys)| all);
    Ok(all.trim_end().to_owned())
}

/// What a terminal of this size would show.
pub fn drawn(model: &TopModel, (width, height): (u16, u16), style: TopStyle) -> String {
    let Ok(mut screen) = Screen::new(TestBackend::new(width, height));
    let Ok(_) = screen.draw(|frame| draw(frame, model, style));
    let buffer = screen.backend().buffer();

    let mut text = String::new();
    for y in 0..height {
        let (mut line, mut x) = (String::new(), 0);
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // Behind a letter of two columns stands a cell that is none of its own.
            x += if columns(symbol) > 1 { 2 } else { 1 };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One object with the answers that the views are made of.
pub fn json(client: &AdminClient) -> Result<Value, CtlError> {
    let mut all = Map::new();
    for (name, target) in [("status", "/v1/status"), ("history", "/v1/history?since=1h")] {
        all.insert(name.to_owned(), client.get(target)?.view()?);
    }
    let letters = path("/v1/dlq", &[("limit", Some(ROWS.to_string()))]);
    for (name, target) in [
        ("endpoints", "/v1/endpoints"),
        ("sources", "/v1/sources"),
        ("dead_letters", letters.as_str()),
    ] {
        let mut rows = Vec::new();
        client.list(target, &mut |row| {
            rows.push(row.view()?);
            Ok(())
        })?;
        all.insert(name.to_owned(), Value::Array(rows));
    }
    Ok(Value::Object(all))
}
