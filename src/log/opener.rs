//! Opens sealed segments, with care where their files are suspect.
//!
//! A segment is suspect when it was open in a process that died (its marker is left), when its
//! files are not what they were when it was closed, or when nothing was recorded of them. A child
//! process opens it first then: sled may panic over flipped bits. A segment that cannot be opened
//! is quarantined: its folder gets another name.

use std::path::PathBuf;

use super::checksums::{self, ChecksumMatch, FileStamps};
use super::error::LogError;
use super::folder;
use super::options::Options;
use super::probe::Prober;
use super::scratch_copy::{FetchedSegments, Origin};
use super::segment::Segment;
use super::segment_slot::OpenState;
use crate::model::Seq;

#[derive(Debug)]
pub(super) struct SegmentOpener {
    dir: PathBuf,
    skip_sync: bool,
    /// See [`Options::probe`]; without a program nothing is probed.
    prober: Option<Prober>,
    /// Where the segments of a scratch copy come from, and those that have been copied.
    origin: Option<Origin>,
    fetched: FetchedSegments,
}

impl SegmentOpener {
    pub fn new(options: &Options) -> Self {
        Self {
            dir: options.dir.clone(),
            skip_sync: options.skip_sync,
            prober: options
                .probe
                .clone()
                .map(|program| Prober { program, patience: options.probe_patience }),
            origin: options.origin.clone(),
            fetched: FetchedSegments::default(),
        }
    }

    /// Whether checksums of files are recorded and compared.
    pub fn probes(&self) -> bool {
        self.prober.is_some()
    }

    /// Whether the log is a scratch copy of another one.
    pub fn is_scratch_copy(&self) -> bool {
        self.origin.is_some()
    }

    /// Opens a segment that was not open in this process before.
    pub fn open(&self, first: Seq) -> Result<Segment, LogError> {
        self.open_checked(first, false).map(|(segment, _)| segment)
    }

    /// Opens a segment again. When it was closed a moment ago and its files have the stamps it
    /// left, they are not read through. Returns the stamps of its files as well, when their
    /// checksums match.
    pub fn reopen(
        &self,
        first: Seq,
        state: &OpenState,
    ) -> Result<(Segment, Option<FileStamps>), LogError> {
        if state.open_stamps.is_some() && state.open_stamps == checksums::stamps(&self.dir, first) {
            let segment = Segment::open(&self.dir, first, self.skip_sync)?;
            return Ok((segment, state.checked_stamps.clone()));
        }
        self.open_checked(first, state.was_open)
    }

    fn open_checked(
        &self,
        first: Seq,
        was_open: bool,
    ) -> Result<(Segment, Option<FileStamps>), LogError> {
        if let Some(origin) = &self.origin {
            origin.fetch(&self.dir, first, &self.fetched)?;
        }

        let checked = match &self.prober {
            Some(prober) => self.probe_if_suspect(prober, first, was_open)?,
            None => None,
        };
        Ok((Segment::open(&self.dir, first, self.skip_sync)?, checked))
    }

    /// Lets a child process open a suspect segment. Returns the stamps of its files, when their
    /// checksums match.
    fn probe_if_suspect(
        &self,
        prober: &Prober,
        first: Seq,
        was_open: bool,
    ) -> Result<Option<FileStamps>, LogError> {
        let segment = folder::segment(&self.dir, first);
        let stamps = checksums::stamps(&self.dir, first);
        let compared = checksums::compare(&self.dir, first);
        let checked = stamps.filter(|_| compared == ChecksumMatch::Same);

        let left_open = folder::open_marker(&self.dir, first).exists();
        // Nothing says what the files were like when it was closed: a backup of an older version,
        // for one. A scratch copy has the original beside it.
        let nothing_known = compared == ChecksumMatch::Unknown && !was_open && !left_open;
        let unprotected = nothing_known && !self.is_scratch_copy();
        if compared == ChecksumMatch::Different || unprotected {
            checksums::keep_as_found(&segment);
        }

        let trusted = checked.is_some() || (compared == ChecksumMatch::Unknown && was_open);
        // A process may have died before it could decide whether anything is wrong. Checked once in
        // each process.
        let undecided = !was_open && checksums::has_as_found(&segment);
        if (!trusted || undecided || left_open) && prober.probe(&segment)? {
            checksums::remove_as_found(&segment);
        }
        Ok(checked)
    }

    /// Renames the folder of a segment that cannot be opened, so that it is never taken for a good
    /// one. Returns what was done, for the report.
    pub fn quarantine(&self, first: Seq, error: &LogError) -> String {
        let quarantined = folder::quarantined(&self.dir, first);
        let _ = folder::remove(&folder::open_marker(&self.dir, first));
        let _ = folder::remove(&folder::checksums(&self.dir, first));

        match folder::rename(&folder::segment(&self.dir, first), &quarantined) {
            Ok(()) => format!("the segment was quarantined as {}: {error}", quarantined.display()),
            Err(rename) => {
                format!("the segment cannot be used: {error}; nor can it be quarantined: {rename}")
            }
        }
    }
}
