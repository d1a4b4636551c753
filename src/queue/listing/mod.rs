//! What lists ask the queue, so that they do not read the records of all the others: where
//! deliveries can stand, how many there are, and which a scan of the log does not come by.

mod candidates;
mod counts;
mod last_delivery;
mod orphans;
#[cfg(test)]
mod tests;

pub use candidates::{Candidates, CandidatesQuery, DeadOfQuery};
pub use counts::CountQuery;
pub use last_delivery::{LastDeliveryQuery, RelocatedQuery};
pub use orphans::{GoneQuery, GoneRecords, Orphans, OrphansQuery};
