//! Deliveries and dead letters: listed, shown, attempted again, cancelled, discarded.

mod attempt;
mod commands;
pub mod dead_letter_commands;
pub mod dead_letters;
mod dry_run;
mod ends;
mod find;
mod list;
mod listing;
mod orphans;
mod row;
mod show;
mod totals;

pub use attempt::{Aftermath, aftermath};
pub use commands::{cancel, retry};
pub use find::event_of;
pub use list::list;
pub use show::{show, show_one};
