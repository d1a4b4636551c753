//! What sources and endpoints, and their settings, may have.

/// Characters of the name of a source or an endpoint.
pub const NAME_LEN: usize = 64;
/// Sources that one log may have.
pub const SOURCES: usize = 4096;
/// Endpoints that one log may have.
pub const ENDPOINTS: usize = 4096;
/// Bytes of a text among the settings that has no limit of its own.
pub const TEXT_LEN: usize = 4096;
/// Bytes of a URL.
pub const URL_LEN: usize = 8 << 10;
/// Settings of a scheme that a source may have.
pub const SCHEME_SETTINGS: usize = 64;
/// The longest duration that a setting takes, where nothing else bounds it: a year.
pub const SETTING_MS: u64 = 366 * 86_400_000;
/// The largest growth of the delay between two retries.
pub const RETRY_FACTOR: u32 = 100;
/// Bytes of the settings of one source or endpoint. All settings are in each checkpoint.
pub const SETTINGS_BYTES: u64 = 256 << 10;
/// Bytes of the settings of all sources and endpoints together.
pub const SETTINGS_BYTES_ALL: u64 = 16 << 20;
