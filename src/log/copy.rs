//! A copy of a log: a folder built from the pieces of its segments.

use std::io;
use std::path::{Path, PathBuf};

use super::error::LogError;
use super::format::FolderFormat;
use super::frame::{ChainHead, FrameHead, HEAD_LEN, StoredFrame};
use super::header::SegmentHeader;
use super::piece::{Piece, SegmentEnd};
use super::reader::Head;
use super::segment::Segment;
use super::segment_summary::{DroppedRange, SegmentSummary};
use super::watermark::{Mark, Watermark};
use super::{checksums, folder};
use crate::model::Seq;

/// A log's folder that is being built.
#[derive(Debug)]
pub struct LogCopy {
    dir: PathBuf,
    /// The first record, and the chain head before it.
    first: Option<(Seq, ChainHead)>,
    open: Option<OpenCopy>,
    /// Where the copy ends so far.
    head: Head,
    /// The segments that were copied, and where the copy ended before the last one of them.
    copied: Vec<Seq>,
    before: Head,
    /// The last segment was not sealed yet: it may be copied once more.
    is_unsealed: bool,
    /// Something before the next segment cannot be read, so it need not follow on the last one.
    is_interrupted: bool,
}

/// The segment that is being copied.
#[derive(Debug)]
struct OpenCopy {
    header: Vec<u8>,
    checkpoint: Vec<u8>,
    /// Created once its checkpoint is complete: with the first frame, or at the end.
    segment: Option<Segment>,
    summary: SegmentSummary,
}

impl LogCopy {
    /// Begins a copy in a folder that is created for it.
    ///
    /// # Errors
    /// When the folder is there already and not empty, or cannot be created.
    pub fn begin(dir: &Path) -> Result<Self, LogError> {
        let is_used = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        if is_used {
            let what = "it is not empty: choose another folder";
            let taken = io::Error::new(io::ErrorKind::AlreadyExists, what);
            return Err(LogError::io("copy into", dir)(taken));
        }

        folder::create(dir)?;
        let (dir, head) = (dir.to_path_buf(), Head { seq: 0, hash: [0; 32] });
        Ok(Self {
            dir,
            first: None,
            open: None,
            head,
            copied: Vec::new(),
            before: head,
            is_unsealed: false,
            is_interrupted: false,
        })
    }

    /// Forgets what was copied so far: retention has dropped it from the log meanwhile, and what
    /// lives of it is behind what comes next.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn start_over(&mut self) -> Result<(), LogError> {
        for first in std::mem::take(&mut self.copied) {
            self.remove(first)?;
        }
        let head = Head { seq: 0, hash: [0; 32] };
        (self.first, self.open, self.head, self.before) = (None, None, head, head);
        (self.is_unsealed, self.is_interrupted) = (false, false);
        Ok(())
    }

    fn remove(&self, first: Seq) -> Result<(), LogError> {
        let dir = &self.dir;
        let paths =
            [folder::segment(dir, first), folder::seal(dir, first), folder::checksums(dir, first)];
        paths.iter().try_for_each(|path| folder::remove(path))
    }

    /// Takes in the next piece.
    ///
    /// # Errors
    /// When it does not fit what came before, or cannot be written.
    pub fn take(&mut self, piece: Piece) -> Result<(), LogError> {
        match piece {
            Piece::Header(bytes) => self.begin_segment(bytes),
            Piece::Checkpoint(bytes) => {
                self.current()?.checkpoint.extend_from_slice(&bytes);
                Ok(())
            }
            Piece::Frame(bytes) => self.frame(&bytes),
            // It is missing in the copy as it is in the log, and reported when either is verified.
            Piece::Missing(_) => {
                self.is_interrupted = true;
                Ok(())
            }
            Piece::End(end) => self.end_segment(&end),
        }
    }

    fn begin_segment(&mut self, bytes: Vec<u8>) -> Result<(), LogError> {
        let header = SegmentHeader::read(&self.dir, &bytes)?;
        self.make_way(header.first)?;
        self.check_follows(&header)?;
        self.first.get_or_insert((header.first, header.prev));

        let summary = SegmentSummary {
            first: header.first,
            last: header.first - 1,
            records: 0,
            payload_bytes: 0,
            prev: header.prev,
            head: header.prev,
            gap_from: header.gap_from,
            created_at: header.created_at,
            sealed_at: None,
        };
        self.open =
            Some(OpenCopy { header: bytes, checkpoint: Vec::new(), segment: None, summary });
        Ok(())
    }

    /// Removes the last segment when it comes once more: it had not been sealed, and was written to
    /// while others were copied.
    fn make_way(&mut self, first: Seq) -> Result<(), LogError> {
        if !self.is_unsealed || self.copied.last() != Some(&first) {
            return Ok(());
        }
        self.remove(first)?;
        self.copied.pop();
        self.head = self.before;
        if self.copied.is_empty() {
            self.first = None;
        }
        self.is_unsealed = false;
        Ok(())
    }

    /// Whether a segment goes on where the copy ends, unless records between them are lost: then
    /// its header says so, or a piece has.
    fn check_follows(&mut self, header: &SegmentHeader) -> Result<(), LogError> {
        let expected = self.head.seq + 1;
        let is_explained = std::mem::take(&mut self.is_interrupted)
            || header.gap_from.is_some_and(|from| from <= expected);
        let follows = header.first == expected && header.prev == self.head.hash;
        if self.first.is_none() || is_explained || follows {
            return Ok(());
        }

        let what = format!(
            "the segment that begins with record {} does not follow on record {}: the log was \
             rolled and shortened while it was copied; try again",
            header.first, self.head.seq
        );
        Err(LogError::corrupt("copy into", &self.dir, what))
    }

    fn current(&mut self) -> Result<&mut OpenCopy, LogError> {
        let dir = &self.dir;
        self.open.as_mut().ok_or_else(|| {
            LogError::corrupt("copy into", dir, "a piece came before its segment's header")
        })
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let dir = self.dir.clone();
        let bad = |what: String| LogError::corrupt("copy into", &dir, what);
        let head = FrameHead::read(bytes).map_err(bad)?;
        let frame = StoredFrame { head, stored: bytes[HEAD_LEN..].to_vec() };
        if frame.stored.len() != head.stored_len as usize || !frame.is_whole() {
            let what = format!(
                "the frame of records {} to {} was damaged on its way",
                head.first,
                head.last()
            );
            return Err(bad(what));
        }

        let open = self.current()?;
        let segment = open.created(&dir)?;
        let mut commit = segment.commit();
        commit.frame(&head, bytes)?;
        commit.finish()?;

        open.summary.last = head.last();
        open.summary.head = head.own;
        open.summary.records += u64::from(head.count);
        open.summary.payload_bytes += u64::from(head.stored_len);
        Ok(())
    }

    fn end_segment(&mut self, end: &SegmentEnd) -> Result<(), LogError> {
        // A segment that cannot be opened has no header; it is missing in the copy as well.
        let Some(mut open) = self.open.take() else { return Ok(()) };

        let segment = open.created(&self.dir)?;
        segment.sync()?;
        let chain = segment.chain;
        let OpenCopy { segment, mut summary, .. } = open;
        drop(segment);
        // A segment that is damaged later is then noticed before the store writes into it.
        let found = checksums::of_files(&self.dir, summary.first)?;
        checksums::record(&self.dir, summary.first, &found)?;

        self.before = self.head;
        self.copied.push(summary.first);
        self.is_unsealed = end.sealed_at.is_none();
        self.head = Head { seq: summary.last, hash: summary.head };
        if summary.records == 0 {
            summary.head = chain;
        }
        if end.sealed_at.is_some() {
            summary.sealed_at = end.sealed_at;
            folder::write_checked(&folder::seal(&self.dir, summary.first), &summary)?;
        }
        Ok(())
    }

    /// Completes the folder as a log. Returns its head.
    ///
    /// # Errors
    /// When a segment was not copied to its end, or something cannot be written.
    pub fn finish(self) -> Result<Head, LogError> {
        let (Some((first, prev)), None) = (self.first, &self.open) else {
            return Err(LogError::corrupt("copy into", &self.dir, "the copy is incomplete"));
        };
        if first > 1 {
            let before = vec![DroppedRange { first: 1, last: first - 1, head: prev }];
            folder::write_checked(&self.dir.join("dropped"), &before)?;
        }

        let (mut watermark, _) = Watermark::open(&self.dir, false)?;
        watermark.set(Mark { seq: self.head.seq, head: self.head.hash })?;
        watermark.sync()?;

        FolderFormat::read(&self.dir)?.write(&self.dir)?;
        folder::sync(&self.dir)?;
        Ok(self.head)
    }
}

impl OpenCopy {
    /// The segment, which is created if it is not yet.
    fn created(&mut self, dir: &Path) -> Result<&Segment, LogError> {
        if self.segment.is_none() {
            let first = self.summary.first;
            let segment = Segment::create_copy(dir, first, &self.header, &self.checkpoint)?;
            self.checkpoint = Vec::new();
            self.segment = Some(segment);
        }
        Ok(self.segment.as_ref().expect("it was created above"))
    }
}
