//! The private parsers, for the fuzzer. Compiled for it alone.

use super::form;

/// The fields of a form as a proof reads them; `None` when there are too many.
#[must_use]
pub fn form_fields(input: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    form::parse(input).ok()
}
