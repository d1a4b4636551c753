//! What a command about many deliveries comes to, slice by slice.

use std::collections::BTreeMap;

use crate::api::views::LeftOutView;
use crate::model::DeliveryId;
use crate::queue::DeliveriesChanged;

/// How often dead letters are looked for that retention has relocated after they were read.
pub const LOOKS: usize = 3;

#[derive(Debug, Default)]
pub struct CommandTotals {
    pub changed: usize,
    left_out: BTreeMap<String, usize>,
    /// Those that have to be read again.
    pub moved: Vec<DeliveryId>,
}

impl CommandTotals {
    pub fn add(&mut self, changed: DeliveriesChanged) {
        self.changed += changed.count;
        for (why, count) in changed.left_out {
            self.leave_out(why, count);
        }
        self.moved.extend(changed.moved);
    }

    pub fn leave_out(&mut self, why: &str, count: usize) {
        if count > 0 {
            *self.left_out.entry(why.to_owned()).or_default() += count;
        }
    }

    /// What was left out, with what is still being relocated after so many looks.
    pub fn left_out(mut self) -> Vec<LeftOutView> {
        self.leave_out("is being moved within the log by retention: try again", self.moved.len());
        let view = |(why, count)| LeftOutView { why, count };
        self.left_out.into_iter().map(view).collect()
    }
}
