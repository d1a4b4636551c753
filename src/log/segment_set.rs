//! The set of segments: which there are, and which of them are open. Shared by the log and its
//! readers.
//!
//! Invariants: a segment is open at most once; `limits::OPEN_SEGMENTS` sealed ones are kept open,
//! and the one used longest ago is closed first; a segment in use is closed by its last user. One
//! from which much was read is closed as well, and opened again on demand. No lock is held while
//! records are read or decompressed.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::checksums::{self, FileStamps};
use super::damage::KnownDamage;
use super::disk_gauge::DiskGauge;
use super::error::LogError;
use super::format::FolderFormat;
use super::frame_cache::FrameCache;
use super::opener::SegmentOpener;
use super::options::Options;
use super::segment::Segment;
use super::segment_format::SegmentFormat;
use super::segment_slot::{OpenState, SegmentGuard, SegmentSlot};
use super::segment_summary::{DroppedRange, SegmentSummary};
use crate::model::{Seq, limits};

/// The problem of records that could not be read before: all walks pass over the same ones.
pub(super) const KNOWN: &str = "they could not be read before";

/// The segments by their first record.
type Slots = BTreeMap<Seq, Arc<SegmentSlot>>;

#[derive(Debug)]
pub(super) struct SegmentSet {
    pub dir: PathBuf,
    pub skip_sync: bool,
    /// The format of new segments.
    pub segment_format: SegmentFormat,
    pub format: FolderFormat,
    pub opener: SegmentOpener,
    pub gauge: DiskGauge,
    pub damage: KnownDamage,
    pub cache: FrameCache,
    /// Held as long as anybody may touch the folder.
    _lock: File,
    slots: RwLock<Slots>,
    dropped: RwLock<Vec<DroppedRange>>,
    /// The segments that are open, the one used longest ago first.
    recent: Mutex<VecDeque<Arc<SegmentSlot>>>,
    /// The last record that is durable.
    durable: AtomicU64,
    /// The records before this one are in the newest complete checkpoint.
    checkpoint_before: AtomicU64,
}

impl SegmentSet {
    pub fn new(
        options: &Options,
        lock: File,
        dropped: Vec<DroppedRange>,
        format: FolderFormat,
        gauge: DiskGauge,
    ) -> Self {
        Self {
            dir: options.dir.clone(),
            skip_sync: options.skip_sync,
            segment_format: options.segment_format,
            format,
            opener: SegmentOpener::new(options),
            gauge,
            damage: KnownDamage::default(),
            cache: FrameCache::default(),
            _lock: lock,
            slots: RwLock::default(),
            dropped: RwLock::new(dropped),
            recent: Mutex::default(),
            durable: AtomicU64::new(0),
            checkpoint_before: AtomicU64::new(0),
        }
    }

    /// The records before this one are in the newest complete checkpoint; the others are needed for
    /// a start.
    pub fn checkpoint_before(&self) -> Seq {
        self.checkpoint_before.load(Ordering::Acquire)
    }

    /// A checkpoint of the state before this record, of so many bytes, is complete.
    pub fn checkpoint_complete(&self, before: Seq, bytes: u64) {
        self.gauge.set_checkpoint(bytes);
        self.checkpoint_before.store(before, Ordering::Release);
    }

    pub fn durable(&self) -> Seq {
        self.durable.load(Ordering::Acquire)
    }

    /// Lets readers see the records up to this one.
    pub fn publish(&self, seq: Seq) {
        self.durable.store(seq, Ordering::Release);
    }

    pub fn add(&self, slot: Arc<SegmentSlot>) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).insert(slot.first, slot);
    }

    pub fn remove(&self, first: Seq) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).remove(&first);
    }

    pub fn all(&self) -> Vec<Arc<SegmentSlot>> {
        self.slots().values().cloned().collect()
    }

    pub fn newest(&self) -> Option<Arc<SegmentSlot>> {
        self.slots().values().next_back().cloned()
    }

    pub fn oldest(&self) -> Option<Arc<SegmentSlot>> {
        self.slots().values().next().cloned()
    }

    pub fn get(&self, first: Seq) -> Option<Arc<SegmentSlot>> {
        self.slots().get(&first).cloned()
    }

    /// The segment that begins at `seq`, or the last one that begins before it.
    pub fn at_or_before(&self, seq: Seq) -> Option<Arc<SegmentSlot>> {
        self.slots().range(..=seq).next_back().map(|(_, slot)| slot.clone())
    }

    /// The first segment that begins behind `seq`.
    pub fn after(&self, seq: Seq) -> Option<Arc<SegmentSlot>> {
        self.slots().range(seq.checked_add(1)?..).next().map(|(_, slot)| slot.clone())
    }

    /// The first record of the segment that holds this one, for messages: of the last that begins
    /// before it, where none holds it any more.
    pub fn segment_of(&self, seq: Seq) -> Seq {
        self.at_or_before(seq).map_or(seq, |slot| slot.first)
    }

    /// These records could not be read before.
    pub fn known_damage(&self, first: Seq, last: Seq) -> LogError {
        LogError::damaged(self.segment_of(first), first, last, KNOWN)
    }

    fn slots(&self) -> RwLockReadGuard<'_, Slots> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ranges that retention dropped.
    pub fn dropped(&self) -> Vec<DroppedRange> {
        self.dropped.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_dropped(&self, dropped: Vec<DroppedRange>) {
        *self.dropped.write().unwrap_or_else(PoisonError::into_inner) = dropped;
    }

    /// Whether it is known that the records of this range are not there: dropped by retention, or a
    /// gap that was reported when it came about and is remembered by the segment behind it.
    pub fn is_known_gap(&self, first: Seq, last: Seq) -> bool {
        let dropped = self.dropped.read().unwrap_or_else(PoisonError::into_inner);

        let mut at = first;
        while at <= last {
            let end = match dropped.iter().find(|d| (d.first..=d.last).contains(&at)) {
                Some(range) => range.last,
                None => match self.after(at).map(|slot| slot.summary()) {
                    Some(SegmentSummary { gap_from: Some(from), first, .. }) if from <= at => {
                        first - 1
                    }
                    _ => return false,
                },
            };
            let Some(next) = end.checked_add(1) else { return true };
            at = next;
        }
        true
    }

    /// Uses a segment, which is opened unless it is open. `None` when it has been dropped.
    pub fn acquire(&self, slot: &Arc<SegmentSlot>) -> Result<Option<SegmentGuard>, LogError> {
        match self.try_acquire(slot) {
            // What it lacks (an inode, a descriptor, memory) may be what others hold that nobody
            // uses at the moment. No lock of a slot is held here.
            Err(error @ (LogError::Io { .. } | LogError::Store { .. })) => {
                tracing::debug!(%error, "closing other segments to open this one");
                self.close_idle();
                self.try_acquire(slot)
            }
            acquired => acquired,
        }
    }

    fn try_acquire(&self, slot: &Arc<SegmentSlot>) -> Result<Option<SegmentGuard>, LogError> {
        let guard = {
            let mut state = slot.state();
            if state.dropped.is_some() {
                return Ok(None);
            }
            if let Some(why) = &state.lost {
                return Err(LogError::Damaged(slot.problem(why.clone())));
            }

            let segment = match &state.segment {
                Some(segment) => segment.clone(),
                None => match self.reopen(slot, &mut state) {
                    Ok((segment, checked)) => {
                        (state.was_open, state.checked_stamps) = (true, checked);
                        state.open_stamps = checksums::stamps(&self.dir, slot.first);
                        Arc::new(segment)
                    }
                    Err(error) if error.is_damage() => {
                        let why = self.opener.quarantine(slot.first, &error);
                        state.lost = Some(why.clone());
                        return Err(self.report_lost(slot, why));
                    }
                    Err(error) => return Err(error),
                },
            };
            state.keep_open = true;
            SegmentGuard::new(slot, &mut state, segment)
        };

        self.mark_used(slot);
        Ok(Some(guard))
    }

    fn reopen(
        &self,
        slot: &SegmentSlot,
        state: &mut OpenState,
    ) -> Result<(Segment, Option<FileStamps>), LogError> {
        state.openings += 1;
        self.opener.reopen(slot.first, state)
    }

    fn report_lost(&self, slot: &SegmentSlot, why: String) -> LogError {
        let problem = slot.problem(why);
        tracing::error!(%problem, "a segment of the log is damaged; see `hookboxctl log salvage`");
        self.damage.add(&problem);
        LogError::Damaged(problem)
    }

    /// Marks a segment as used just now, and lets those be closed that were used longest ago.
    fn mark_used(&self, slot: &Arc<SegmentSlot>) {
        let mut old = Vec::new();
        {
            let mut recent = self.recent();
            if recent.back().is_some_and(|s| Arc::ptr_eq(s, slot)) {
                return;
            }
            recent.retain(|s| !Arc::ptr_eq(s, slot));
            recent.push_back(slot.clone());
            // The active one, which the log itself holds open, does not count.
            while recent.len() > limits::OPEN_SEGMENTS + 1 {
                old.extend(recent.pop_front());
            }
        }

        old.iter().for_each(|slot| slot.release());
    }

    /// Closes sealed segments that nobody is using.
    pub fn close_idle(&self) {
        self.close_idle_but(None);
    }

    /// The same, but for the segment that begins with this record.
    pub fn close_idle_but(&self, kept: Option<Seq>) {
        let idle: VecDeque<_> = {
            let mut recent = self.recent();
            let is_kept = |slot: &Arc<SegmentSlot>| Some(slot.first) == kept;
            let (rest, idle) = std::mem::take(&mut *recent).into_iter().partition(is_kept);
            *recent = rest;
            idle
        };
        idle.iter().for_each(|slot| slot.release());
        self.cache.clear();
    }

    /// Records the checksums of closed segments of which `which` is true, as far as this process
    /// opened them and they are not recorded yet. What cannot be written is left out: such a
    /// segment is probed the next time.
    pub fn record_checksums(&self, which: impl Fn(&SegmentSummary) -> bool) {
        if !self.opener.probes() {
            return;
        }

        for slot in self.all().into_iter().filter(|slot| which(&slot.summary())) {
            self.record_checksums_of(&slot);
        }
    }

    /// Reads a closed segment through without its lock, for which the thread that commits may wait.
    fn record_checksums_of(&self, slot: &SegmentSlot) {
        let (stamps, openings) = {
            let state = slot.state();
            let stamps = checksums::stamps(&self.dir, slot.first);
            let is_known = stamps.is_some() && state.checked_stamps == stamps;
            if !state.is_closed() || !state.was_open || is_known {
                return;
            }
            (stamps, state.openings)
        };
        let found = checksums::of_files(&self.dir, slot.first);

        // Whoever has opened it meanwhile may have changed it.
        let mut state = slot.state();
        if state.is_closed() && state.openings == openings {
            let recorded = found.and_then(|found| checksums::record(&self.dir, slot.first, &found));
            state.checked_stamps = recorded.ok().and(stamps);
        }
    }

    /// Forgets a segment, whose lock is held: nobody opens it meanwhile. Its folder, which `rename`
    /// gives another name, is deleted after its last user.
    ///
    /// # Errors
    /// Those of `rename`.
    pub fn drop_slot(
        &self,
        slot: &Arc<SegmentSlot>,
        mut state: MutexGuard<'_, OpenState>,
        rename: impl FnOnce() -> Result<PathBuf, LogError>,
    ) -> Result<(), LogError> {
        self.cache.forget(slot.first, slot.last());
        self.recent().retain(|s| !Arc::ptr_eq(s, slot));

        state.dropped = Some(rename()?);
        state.close_if_idle();
        Ok(())
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Arc<SegmentSlot>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
