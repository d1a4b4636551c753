//! Figures: a table for people, one object for scripts.

use serde_json::{Map, Value, json};

/// Collects figures and shows them.
pub struct Report {
    json: bool,
    figures: Map<String, Value>,
}

impl Report {
    pub fn new(json: bool) -> Self {
        Self { json, figures: Map::new() }
    }

    /// A heading for people.
    pub fn title(&self, text: &str) {
        if !self.json {
            println!("\n{text}");
        }
    }

    /// One figure.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str) {
        if !self.json {
            println!("  {name:<44} {:>12} {unit}", shown(value));
        }
        self.figures.insert(name.to_owned(), json!({ "value": rounded(value), "unit": unit }));
    }

    /// Several measurements of the same thing: median and range.
    pub fn spread(&mut self, name: &str, values: &[f64], unit: &str) {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else { return };
        let middle = sorted[sorted.len() / 2];
        if !self.json {
            println!(
                "  {name:<44} {:>12} {unit}  ({} to {})",
                shown(middle),
                shown(low),
                shown(high)
            );
        }
        let (middle, low, high) = (rounded(middle), rounded(low), rounded(high));
        let value = json!({ "value": middle, "low": low, "high": high, "unit": unit });
        self.figures.insert(name.to_owned(), value);
    }

    /// What could not be measured, and why.
    pub fn skipped(&mut self, name: &str, why: &str) {
        if !self.json {
            println!("  {name:<44}      skipped: {why}");
        }
        self.figures.insert(name.to_owned(), json!({ "skipped": why }));
    }

    pub fn finish(self) {
        if self.json {
            println!("{}", Value::Object(self.figures));
        }
    }
}

/// The `share` (0 to 1) of sorted microseconds, in milliseconds.
pub fn percentile_ms(sorted_us: &[u32], share: f64) -> f64 {
    if sorted_us.is_empty() {
        return f64::NAN;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = ((sorted_us.len() - 1) as f64 * share).round() as usize;
    f64::from(sorted_us[at]) / 1000.0
}

/// A count as a floating-point number; counts here are far below 2^52.
#[allow(clippy::cast_precision_loss)]
pub fn number(count: u64) -> f64 {
    count as f64
}

fn rounded(value: f64) -> Value {
    if value.is_finite() { json!((value * 1000.0).round() / 1000.0) } else { Value::Null }
}

fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
