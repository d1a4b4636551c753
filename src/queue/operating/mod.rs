//! What the operator asks for: settings, holds, retries, replays, dead letters.

pub(super) mod apply;
pub(super) mod commands;
pub(super) mod dead_letters;
pub(super) mod endpoint_settings;
pub mod left_out;
pub(super) mod operator;
pub(super) mod replay;
