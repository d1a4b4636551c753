//! Plans over generated configurations, and single ones, as stories.

mod generated;
mod stories;
mod world;
