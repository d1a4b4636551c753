//! Plans over generated configurations, and single ones that are told as a story.

mod generated;
mod stories;
mod world;
