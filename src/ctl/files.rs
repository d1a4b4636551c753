//! Files that are named on the command line; `-` is stdin.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::CtlError;
use crate::model::secret::trimmed_secret;
use crate::service::stdio;

/// Bytes of a file that is given as a setting or a request.
const FILE_BYTES: u64 = 48 << 20;

/// The text of a file.
pub(super) fn read_text(file: &Path) -> Result<String, CtlError> {
    String::from_utf8(read_bytes(file)?)
        .map_err(|_| CtlError::Usage(format!("{} is not text (UTF-8)", file.display())))
}

/// The bytes of a file.
pub(super) fn read_bytes(file: &Path) -> Result<Vec<u8>, CtlError> {
    let failed = |error| CtlError::Io { what: format!("cannot read {}", file.display()), error };
    let reader: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(file).map_err(failed)?),
    };

    let mut bytes = Vec::new();
    // One byte more than is allowed shows that there is too much.
    reader.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES {
        let what = format!("{} is larger than {FILE_BYTES} bytes", file.display());
        return Err(CtlError::Usage(what));
    }
    Ok(bytes)
}

/// The secret in a file, without the line's end. What an editor or a copy left around it is left
/// out, too, and said.
pub(super) fn read_secret(file: &Path) -> Result<String, CtlError> {
    let text = read_text(file)?;
    let secret = trimmed_secret(&text);
    if text.trim_end_matches(['\r', '\n']) != secret && !secret.is_empty() {
        let file = file.display();
        stdio::note(format_args!(
            "hookboxctl: spaces or a byte order mark around the secret in {file} are ignored"
        ));
    }
    if secret.is_empty() {
        let what = format!("{} is empty: put the secret into it", file.display());
        return Err(CtlError::Usage(what));
    }
    Ok(secret.to_owned())
}
