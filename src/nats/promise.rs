//! What is promised with these settings of the stream, the consumer and the server. Pure: facts in,
//! sentences out.

mod finding;
mod intake;
mod out;
mod stored;

#[cfg(test)]
mod tests;

pub use finding::{Finding, Weight};
pub use intake::{InFacts, filters, lacks_part, of_consumer};
pub use out::{OutFacts, of_stream};
