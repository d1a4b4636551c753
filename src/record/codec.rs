//! Records to bytes and back: a version byte, then rmp-serde (structs as arrays).

use super::Record;

/// The format this version writes. A record with a higher one was written by a later hookbox.
pub const VERSION: u8 = 1;

/// Bytes that are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record is empty")]
    Empty,
    #[error(
        "the record has format {0}, this version reads up to {VERSION}: use the hookbox that wrote it, or a later one"
    )]
    Newer(u8),
    #[error("the record cannot be read: {0}")]
    Garbage(#[from] rmp_serde::decode::Error),
    #[error("the record has {0} bytes too many at its end")]
    Trailing(usize),
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
    if version != VERSION {
        return Err(RecordError::Newer(version));
    }
    let mut reader = rest;
    let record = {
        let mut decoder = rmp_serde::Deserializer::new(&mut reader);
        serde::Deserialize::deserialize(&mut decoder)?
    };
    match reader.len() {
        0 => Ok(record),
        left => Err(RecordError::Trailing(left)),
    }
}
