//! Formats 2 to 4: values in cells that were prepared empty, so that sled writes each value once.
//!
//! sled writes a page anew when its eleventh part comes, and both halves of a leaf of more than 16
//! entries. So a leaf gets its nine keys before its values, with empty values, which is when sled
//! splits it; then each of the nine is written once, and it is never written anew (see [`fill`]).
//! The keys are the numbers of the cells, in a few hundred trees (see [`names`] and [`trees`]).
//!
//! A commit whose frame fits one value is one insert. Of any other commit the parts come first, and
//! the heads of its frames at the end (see [`commit`] and [`value`]). In format 4 the payload of a
//! commit's first frame may begin with bytes that were written ahead of it (see [`ahead`]).
//!
//! Opening a segment reads the names of its trees and no leaf. A process that opens one begins a
//! new tree before it writes, because nobody knows how far the last one was prepared.

mod ahead;
mod cell_layout;
mod checkpoint;
mod commit;
mod fill;
mod leaf;
mod names;
mod salvage;
mod search;
mod store;
#[cfg(test)]
mod tamper;
#[cfg(test)]
mod tests;
mod trees;
mod value;

pub(in crate::log) use self::ahead::AheadWriter;
pub(super) use self::cell_layout::CellLayout;
pub(in crate::log) use self::checkpoint::CheckpointWriter;
pub(super) use self::salvage::salvage;
pub(in crate::log) use self::value::PlacedAhead;
