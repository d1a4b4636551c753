//! Under which id an event stands here: an imported one has another than where it came from.

use sha2::{Digest, Sha256};

use super::event_lookup::read;
use super::log_scan::LogScan;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::model::{EventId, SourceId};
use crate::queue::ImportedQuery;

/// What the fingerprints of ids are made with, where those of dedupe keys have their source's
/// number; sources are numbered from 1.
pub const NO_SOURCE: SourceId = 0;

/// The first 8 bytes of SHA-256 over the log's salt, the source and the key, as ingest makes it.
pub fn fingerprint(salt: u64, source: SourceId, key: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(salt.to_be_bytes());
    hash.update(source.to_be_bytes());
    hash.update([0u8]);
    hash.update(key.as_bytes());
    hash.finalize().iter().take(8).fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// The fingerprint of an event's first id.
pub fn identity(admin: &Admin, id: EventId) -> u64 {
    fingerprint(admin.handle.directory().salt, NO_SOURCE, &id.to_string())
}

/// The id that the event has here that was imported under this one, if one was.
pub fn imported_as(scan: &LogScan, id: EventId) -> Result<Option<EventId>, Problem> {
    let seq = scan.ask(&ImportedQuery(identity(&scan.admin, id)))?;
    let Some(seq) = seq else { return Ok(None) };
    Ok(read(scan, seq)?.map(|(event, _)| event.id))
}

/// The id that an event has here: the one given, or, when that is of another log or of a part that
/// was lost, that of the event that was imported under it.
pub fn local_id(scan: &LogScan, id: EventId) -> Result<EventId, Problem> {
    let own = read(scan, id.seq).is_ok_and(|found| found.is_some_and(|(event, _)| event.id == id));
    if own { Ok(id) } else { Ok(imported_as(scan, id)?.unwrap_or(id)) }
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn fingerprints_depend_on_all_three_parts() {
        let one = fingerprint(1, 2, "key");
        assert_eq!(one, fingerprint(1, 2, "key"));
        for other in [fingerprint(2, 2, "key"), fingerprint(1, 3, "key"), fingerprint(1, 2, "kex")]
        {
            assert_ne!(one, other);
        }
    }
}
