//! Records to bytes and back: a version byte, then rmp-serde (structs as arrays).

use serde::Deserialize;

use super::variants::Record;

/// The format this version writes. A record with a higher one was written by a later hookbox.
pub const VERSION: u8 = 1;

/// Bytes that are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record is empty")]
    Empty,
    #[error(
        "the record has format {0}, this version reads up to {VERSION}: \
         use the hookbox that wrote it, or a later one"
    )]
    Newer(u8),
    #[error("the record is of a kind that this version does not know: {0}")]
    UnknownKind(rmp_serde::decode::Error),
    #[error("the record cannot be read: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
    #[error("the record has bytes too many at its end")]
    Trailing,
}

/// Appends the encoded record to `out`.
///
/// # Panics
/// Never for the types of this crate: every one of them can be serialized into memory.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    out.push(VERSION);
    rmp_serde::encode::write(out, record).expect("records serialize into memory");
}

/// Reads one record that fills `bytes` exactly.
///
/// # Errors
/// When the bytes are not a record of this version.
pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let (&version, rest) = bytes.split_first().ok_or(RecordError::Empty)?;
    if version > VERSION {
        return Err(RecordError::Newer(version));
    }
    if version != VERSION {
        let text = format!("there is no format {version}");
        return Err(RecordError::Malformed(rmp_serde::decode::Error::Syntax(text)));
    }

    // From the bytes, as states are read: a second kind of reader would be all of this code twice.
    let mut decoder = rmp_serde::Deserializer::from_read_ref(rest);
    let record = Record::deserialize(&mut decoder).map_err(|error| match error {
        // serde's message about a variant whose name is not in the list.
        rmp_serde::decode::Error::Syntax(text) if text.starts_with("unknown variant") => {
            RecordError::UnknownKind(rmp_serde::decode::Error::Syntax(text))
        }
        error => RecordError::Malformed(error),
    })?;

    // Whatever follows has a first byte.
    match <()>::deserialize(&mut decoder) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(record),
        _ => Err(RecordError::Trailing),
    }
}
