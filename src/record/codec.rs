//! Records to bytes and back: a version byte, then rmp-serde (structs as arrays).

use std::io;

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
    encode_around(record, &[], out);
}

/// The same without the bytes of `apart`, which stand in the record where they lie in memory.
/// Returns where in `out` they belong; `None` when they do not stand there, or are empty.
///
/// # Panics
/// As for [`encode`].
pub fn encode_around(record: &Record, apart: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    out.push(VERSION);
    let mut writer = WriterAround { out, apart, at: None };
    rmp_serde::encode::write(&mut writer, record).expect("records serialize into memory");
    writer.at
}

/// Writes everything but the bytes that are to be left out.
struct WriterAround<'a> {
    out: &'a mut Vec<u8>,
    apart: &'a [u8],
    at: Option<usize>,
}

impl io::Write for WriterAround<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let is_apart = bytes.len() == self.apart.len()
            && !bytes.is_empty()
            && self.at.is_none()
            && bytes.as_ptr() == self.apart.as_ptr();
        if is_apart {
            self.at = Some(self.out.len());
        } else {
            self.out.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
