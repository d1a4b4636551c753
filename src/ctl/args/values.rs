//! Values that are checked before the daemon is asked, and belong to no setting.

pub(super) fn dash(text: &str) -> Result<String, String> {
    if text == "-" {
        return Ok(text.to_owned());
    }
    Err("give the body with --data or --file, or - for stdin".into())
}
