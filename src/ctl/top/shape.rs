//! The shape of the backlog, as Postfix's qshape has it: how much waits for each endpoint, by age.

use std::collections::BTreeMap;

use crate::api::views::DeliveryView;

/// Ages in minutes up to which a column counts; what is older stands in the last one.
pub const AGES_MIN: [u64; 9] = [1, 5, 10, 20, 40, 80, 160, 320, 640];

/// How many deliveries wait for an endpoint, by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShapeRow {
    pub total: u64,
    pub by_age: [u64; AGES_MIN.len() + 1],
}

impl ShapeRow {
    fn add(&mut self, age_ms: u64) {
        let class = AGES_MIN.partition_point(|bound| bound * 60_000 <= age_ms);
        self.by_age[class] += 1;
        self.total += 1;
    }
}

/// The row of all together.
pub const TOTAL: &str = "TOTAL";

/// All together under the name `TOTAL`, and each endpoint.
#[must_use]
pub fn shape(waiting: &[DeliveryView], now_ms: u64) -> Vec<(String, ShapeRow)> {
    let mut total = ShapeRow::default();
    let mut rows: BTreeMap<&str, ShapeRow> = BTreeMap::new();
    for delivery in waiting {
        let age_ms = delivery.created_at.map_or(0, |at| now_ms.saturating_sub(at.0));
        total.add(age_ms);
        rows.entry(&delivery.endpoint).or_default().add(age_ms);
    }

    let mut rows: Vec<(String, ShapeRow)> =
        rows.into_iter().map(|(name, row)| (name.to_owned(), row)).collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.total));
    rows.insert(0, (TOTAL.to_owned(), total));
    rows
}
