//! Where the pieces of a log come from: a folder, or a daemon's socket.

use super::error::{ArchiveError, ArchiveResult};
use crate::log::Piece;
use crate::model::Seq;

/// How often reading continues with segments that came while it was done.
pub(super) const ROUNDS: usize = 1000;

pub trait PieceSource {
    /// The first records of the log's segments, ascending; also of those that cannot be read, whose
    /// pieces say so.
    ///
    /// # Errors
    /// When the list cannot be read.
    fn segments(&self) -> ArchiveResult<Vec<Seq>>;

    /// Calls `take` with the pieces of one segment. Returns false when the segment is gone.
    ///
    /// # Errors
    /// When they cannot be read, or `take` fails.
    fn pieces(
        &self,
        first: Seq,
        take: &mut dyn FnMut(Piece) -> ArchiveResult<()>,
    ) -> ArchiveResult<bool>;
}

/// Decodes the pieces of one segment that come over a socket, in any portions.
#[derive(Debug, Default)]
pub struct PieceDecoder {
    rest: Vec<u8>,
    ended: bool,
}

impl PieceDecoder {
    /// Takes in the next bytes, and calls `take` with the pieces that are complete now.
    ///
    /// # Errors
    /// When these are not pieces, or `take` fails.
    pub fn take(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(Piece) -> ArchiveResult<()>,
    ) -> ArchiveResult<()> {
        let garbled = |what| {
            let hint = "are the daemon and this program of one version?";
            ArchiveError::Garbled(format!("the daemon sent {what}: {hint}"))
        };

        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((piece, length)) = Piece::from_wire(&self.rest[at..]).map_err(garbled)? {
            at += length;
            self.ended = matches!(piece, Piece::End(_));
            take(piece)?;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Ends the decoding.
    ///
    /// # Errors
    /// When the segment did not come to its end.
    pub fn end(self) -> ArchiveResult<()> {
        if self.ended && self.rest.is_empty() {
            return Ok(());
        }
        let what = "the daemon stopped in the middle of a segment: its log says why";
        Err(ArchiveError::Garbled(what.to_owned()))
    }
}
