//! The log of a running daemon, or that of a folder, as a source of pieces.

use std::cell::RefCell;
use std::path::Path;

use crate::api::views::LogStatView;
use crate::archive::{
    ArchiveError, ArchiveResult, LogPiece, OfflineLog, PieceDecoder, PieceSource,
};
use crate::ctl::client::AdminClient;
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;

/// Reads the log of a folder, or else the daemon's.
pub(super) fn read<T>(
    client: &AdminClient,
    data: Option<&Path>,
    work: impl FnOnce(&dyn PieceSource) -> ArchiveResult<T>,
) -> Result<T, CtlError> {
    let Some(data) = data else {
        let live = LiveLog { client, failure: RefCell::new(None) };
        return work(&live).map_err(|error| live.failure.take().unwrap_or_else(|| error.into()));
    };

    let log = OfflineLog::open(data, now_ms())?;
    let done = work(&log)?;
    log.close()?;
    Ok(done)
}

/// The log of a running daemon.
struct LiveLog<'a> {
    client: &'a AdminClient,
    /// The client's error, when it is why the work failed.
    failure: RefCell<Option<CtlError>>,
}

impl LiveLog<'_> {
    fn note<T>(&self, done: Result<T, CtlError>) -> ArchiveResult<T> {
        done.map_err(|error| {
            let what = error.to_string();
            self.failure.replace(Some(error));
            ArchiveError::Garbled(what)
        })
    }
}

impl PieceSource for LiveLog<'_> {
    fn segments(&self) -> ArchiveResult<Vec<u64>> {
        let stat = self.client.get("/v1/log").and_then(|answer| answer.view::<LogStatView>());
        let segments = self.note(stat)?.segments;
        Ok(segments.into_iter().map(|segment| segment.first).collect())
    }

    fn pieces(
        &self,
        first: u64,
        take: &mut dyn FnMut(LogPiece) -> ArchiveResult<()>,
    ) -> ArchiveResult<bool> {
        let mut decoder = PieceDecoder::default();
        let mut failure = None;
        let found = self.client.bytes(&format!("/v1/log/segments/{first}"), &mut |bytes| {
            decoder.take(bytes, take).map_err(|error| {
                let what = error.to_string();
                failure = Some(error);
                CtlError::Refused(what)
            })
        });

        match (failure, found) {
            (Some(error), _) => Err(error),
            (None, Ok(true)) => decoder.end().map(|()| true),
            (None, found) => self.note(found),
        }
    }
}
