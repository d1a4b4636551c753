//! What lists ask the queue, so that they do not read the records of all the others: where
//! deliveries can stand, how many there are, and which a scan of the log does not come by.

mod candidates;
mod counts;
mod last_delivery;
mod orphans;

pub use candidates::{Candidates, CandidatesQuery, DeadOfQuery};
pub use counts::CountQuery;
pub use last_delivery::LastDeliveryQuery;
pub use orphans::{Orphans, OrphansQuery};
