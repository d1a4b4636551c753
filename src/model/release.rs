//! Which release of hookbox this is.

use std::sync::LazyLock;

/// The version, as Cargo.toml has it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, as far as whoever built it has said so with `HOOKBOX_COMMIT`
/// (the scripts in `packaging/` do): a build needs no repository.
pub const COMMIT: &str = match option_env!("HOOKBOX_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    _ => "unknown",
};

/// Both, as `--version` prints them.
#[must_use]
pub fn version_and_commit() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {COMMIT})"));
    TEXT.as_str()
}
