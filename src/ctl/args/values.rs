//! Values that are checked before the daemon is asked, and belong to no setting.

pub(super) fn dash(text: &str) -> Result<String, String> {
    if text == "-" {
        return Ok(text.to_owned());
    }
    Err("give the body with --data or --file, or - for stdin".into())
}

/// A whole number from 1.
pub(super) fn from_one(text: &str) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be a whole number from 1".to_owned())
}
