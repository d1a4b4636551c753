//! Sources and endpoints from files: what a set of them changes.
//!
//! From below: `configured` is what sources and endpoints have in common, `kept` what stays of a
//! setting whose secret was struck out, `renames` who gets another name, `plan` (pure) what
//! changes, [`export()`] (pure) what there is as a file has it, `wording` says refusals in the
//! words of files, [`boot`] is what became of the files of the start. `resources/apply` makes
//! secrets, checks what is planned, and asks the queue.
//!
//! Invariants, held by tests over thousands of generated configurations: what is exported and
//! applied changes nothing; what was applied and is applied again changes nothing; a plan that is
//! refused changes nothing. No secret is in a plan's differences or in an export.
//!
//! A plan is made from what was configured at one moment. The queue does it only while that is
//! still so; otherwise a new one is made, a few times.
//!
//! Refused: a set that takes from another set, or prunes an endpoint with waiting deliveries,
//! unless it is forced; a name that two have; a secret that is given as such.

pub mod boot;
mod configured;
mod entries;
mod export;
mod fields;
mod kept;
mod plan;
mod renames;
#[cfg(test)]
mod tests;
mod wording;

pub use configured::{Configured, MakeSecrets};
pub use entries::check_entries;
pub use export::export;
pub use plan::{ConfiguredNow, Obstacle, Plan, PlanOptions, PlannedChange, plan};
pub use wording::in_files;
