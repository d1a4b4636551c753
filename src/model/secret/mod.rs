//! Secrets: values that no `Debug`, list, log line or error ever shows.
//!
//! Things: [`Secret`] and [`TimedSecret`] (the values); `names` (which names of headers, parameters
//! and settings say that their value is a secret: the only list of them); `redact` (URLs, queries
//! and settings as people may see them).

mod names;
mod percent;
mod quoted;
mod redact;
mod value;

pub use names::{is_credential_name, is_secret_name, is_signature_name};
pub use percent::{decoded, percent_decoded};
pub use quoted::without_values;
pub use redact::{
    HIDDEN, looks_random, redacted_invalid_url, redacted_query, redacted_setting,
    redacted_to_origin, redacted_url, secrets_in_url, without_login,
};
pub use value::{REDACTED, Secret, TimedSecret, trimmed_secret};
