//! Whether what `status` counts is what the lists show.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::admin::Admin;

/// More rows than any test makes.
const ALL: &str = "limit=10000000";

/// Deliveries that have not ended or are dead, as `status` counts them, as `delivery list` shows
/// them, and as `dlq list` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub status: BTreeMap<&'static str, u64>,
    pub list: BTreeMap<&'static str, u64>,
    pub dead_letters: u64,
    /// Of these, with the reason `lost`.
    pub lost: u64,
    /// Ids that a list shows twice.
    pub twice: Vec<String>,
}

impl Sums {
    pub fn agree(&self) -> bool {
        self.status == self.list && self.dead_letters == self.list["dead"] && self.twice.is_empty()
    }

    /// Counts once. While deliveries go on, the three are not of one moment.
    pub fn ask(socket: &Path) -> io::Result<Self> {
        let mut admin = Admin::connect(socket)?;
        let mut sums = Self::default();
        let status = admin.get("/v1/status")?.1;
        for state in ["pending", "held", "dead"] {
            sums.status.insert(state, status["deliveries"][state].as_u64().unwrap_or(u64::MAX));
            sums.list.insert(state, 0);
        }

        let mut seen = BTreeSet::new();
        for row in admin.lines(&format!("/v1/deliveries?{ALL}"))? {
            let state = match row["state"].as_str() {
                Some("in_flight") => "pending",
                Some(state) => state,
                None => continue,
            };
            if let Some(count) = sums.list.get_mut(state) {
                *count += 1;
                sums.note(&row, &mut seen);
            }
        }

        seen.clear();
        for row in admin.lines(&format!("/v1/dlq?{ALL}"))? {
            if row["state"] == "dead" {
                sums.dead_letters += 1;
                sums.lost += u64::from(row["reason"] == "lost");
                sums.note(&row, &mut seen);
            }
        }

        Ok(sums)
    }

    /// Counts until all agree.
    ///
    /// # Errors
    /// When they do not within this time: what they were the last time.
    pub fn agreeing(socket: &Path, within: Duration) -> Result<Self, String> {
        let begun = Instant::now();
        loop {
            match Self::ask(socket) {
                Ok(sums) if sums.agree() => return Ok(sums),
                other if begun.elapsed() > within => return Err(format!("{other:?}")),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn note(&mut self, row: &Value, seen: &mut BTreeSet<String>) {
        let id = row["id"].as_str().unwrap_or_default().to_owned();
        if !seen.insert(id.clone()) {
            self.twice.push(id);
        }
    }
}
