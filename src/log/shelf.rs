//! The shelf: which segments there are, and which of them are open. Shared by the log and its readers.
//!
//! Invariants: a segment is open at most once; `limits::OPEN_SEGMENTS` sealed ones are kept open, the one used
//! longest ago is closed first; a segment in use is closed by its last user. One from which much was read is closed as
//! well, and opened again when it is asked for. No lock is held while records are read or unpacked: a slot's lock is
//! held while its segment is being opened or closed, the others only for a moment.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::format::Format;
use super::frame::{ChainHead, Decoded};
use super::room::Gauge;
use super::segment::Segment;
use super::sums::{self, Compared, Glance};
use super::{LogError, Options, Problem, failpoint, folder, probe};
use crate::model::{Seq, WallMs, limits};

/// Frames kept unpacked for random reads, and the bytes they may take.
const HOT_FRAMES: usize = 4;
const HOT_BYTES: usize = 4 << 20;
/// Damaged ranges that `status` tells of; `log verify` tells of all.
const DAMAGE: usize = 100;

/// What is known of a segment without opening it. A seal file is this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub first: Seq,
    /// One before `first` when it is empty.
    pub last: Seq,
    pub records: u64,
    pub payload_bytes: u64,
    /// The chain head before its first record and after its last.
    pub prev: ChainHead,
    pub head: ChainHead,
    pub gap_from: Option<Seq>,
    pub created_at: WallMs,
    /// `None` while it is active.
    pub sealed_at: Option<WallMs>,
}

/// Records that retention dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dropped {
    pub first: Seq,
    pub last: Seq,
    pub head: ChainHead,
}

/// One segment's place.
#[derive(Debug)]
pub(super) struct Slot {
    pub first: Seq,
    facts: Mutex<Facts>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    segment: Option<Arc<Segment>>,
    users: usize,
    /// Stays open without users.
    keep: bool,
    /// Its folder has been given this name, to be deleted.
    dropped: Option<PathBuf>,
    /// Why it cannot be opened, ever.
    lost: Option<String>,
    /// It was open in this process already, so it can be opened though nothing was noted of its files.
    known: bool,
    /// How its files looked when they were noted, or found to be as noted.
    noted: Option<Glance>,
    /// How its files looked after it was opened, while it is open or closed just now to be opened again: its files are
    /// not read through for that.
    left: Option<Glance>,
}

impl Slot {
    pub fn new(facts: Facts) -> Arc<Self> {
        Arc::new(Self { first: facts.first, facts: Mutex::new(facts), held: Mutex::default() })
    }

    pub fn facts(&self) -> Facts {
        locked(&self.facts).clone()
    }

    pub fn change(&self, with: impl FnOnce(&mut Facts)) {
        with(&mut locked(&self.facts));
    }

    pub fn last(&self) -> Seq {
        locked(&self.facts).last
    }

    pub fn lose(&self, why: String) {
        locked(&self.held).lost = Some(why);
    }

    pub fn lost(&self) -> Option<String> {
        locked(&self.held).lost.clone()
    }

    /// The whole of it as a problem.
    pub fn problem(&self, what: String) -> Problem {
        Problem { segment: self.first, first: self.first, last: self.last(), what }
    }
}

/// A segment in use.
#[derive(Debug)]
pub(super) struct Borrowed {
    slot: Arc<Slot>,
    segment: Option<Arc<Segment>>,
}

impl std::ops::Deref for Borrowed {
    type Target = Segment;
    fn deref(&self) -> &Segment {
        self.segment.as_ref().expect("it is taken only by drop")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut held = locked(&self.slot.held);
        self.segment = None;
        held.users -= 1;
        close_if_idle(&mut held);
    }
}

/// Closes the segment when nobody needs it; runs under the slot's lock, so that nobody opens it meanwhile.
fn close_if_idle(held: &mut Held) {
    if held.users > 0 {
        return;
    }
    let worn = held.segment.as_ref().is_some_and(|segment| segment.is_worn());
    let wanted = held.keep && held.dropped.is_none();
    if worn || !wanted {
        held.segment = None;
    }
    if !wanted {
        held.left = None;
    }
    if let Some(path) = &held.dropped {
        // What cannot be removed now is removed when the log is opened the next time.
        failpoint::reached("drop.deleting");
        let _ = folder::remove(path);
    }
}

#[derive(Debug)]
pub(super) struct Shelf {
    pub dir: PathBuf,
    pub skip_sync: bool,
    pub format: Format,
    /// See [`super::probe`]; without a program nothing is probed.
    probe: Option<PathBuf>,
    /// Held as long as anybody may touch the folder.
    _lock: File,
    slots: RwLock<BTreeMap<Seq, Arc<Slot>>>,
    dropped: RwLock<Vec<Dropped>>,
    recent: Mutex<VecDeque<Arc<Slot>>>,
    hot: Mutex<VecDeque<Arc<Decoded>>>,
    durable: AtomicU64,
    pub gauge: Gauge,
    /// What was found damaged since the log was opened; at most [`DAMAGE`] of it.
    damage: Mutex<Vec<Problem>>,
}

impl Shelf {
    pub fn new(options: &Options, lock: File, dropped: Vec<Dropped>, format: Format, gauge: Gauge) -> Self {
        Self {
            dir: options.dir.clone(),
            skip_sync: options.skip_sync,
            format,
            probe: options.probe.clone(),
            _lock: lock,
            slots: RwLock::default(),
            dropped: RwLock::new(dropped),
            recent: Mutex::default(),
            hot: Mutex::default(),
            durable: AtomicU64::new(0),
            gauge,
            damage: Mutex::default(),
        }
    }

    pub fn damage(&self) -> Vec<Problem> {
        locked(&self.damage).clone()
    }

    pub fn note_damage(&self, problem: &Problem) {
        let mut damage = locked(&self.damage);
        if damage.len() < DAMAGE && !damage.contains(problem) {
            damage.push(problem.clone());
        }
    }

    pub fn durable(&self) -> Seq {
        self.durable.load(Ordering::Acquire)
    }

    pub fn publish(&self, seq: Seq) {
        self.durable.store(seq, Ordering::Release);
    }

    pub fn add(&self, slot: Arc<Slot>) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).insert(slot.first, slot);
    }

    pub fn take_out(&self, first: Seq) -> Option<Arc<Slot>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).remove(&first)
    }

    pub fn all(&self) -> Vec<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub fn newest(&self) -> Option<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).values().next_back().cloned()
    }

    pub fn oldest(&self) -> Option<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).values().next().cloned()
    }

    pub fn get(&self, first: Seq) -> Option<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(&first).cloned()
    }

    /// The segment that begins at `seq` or the last one that begins before it.
    pub fn floor(&self, seq: Seq) -> Option<Arc<Slot>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.range(..=seq).next_back().map(|(_, slot)| slot.clone())
    }

    /// The first segment that begins behind `seq`.
    pub fn above(&self, seq: Seq) -> Option<Arc<Slot>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.range(seq.checked_add(1)?..).next().map(|(_, slot)| slot.clone())
    }

    pub fn dropped(&self) -> Vec<Dropped> {
        self.dropped.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_dropped(&self, dropped: Vec<Dropped>) {
        *self.dropped.write().unwrap_or_else(PoisonError::into_inner) = dropped;
    }

    /// Whether it is known that the records of this range are not there: dropped by retention, or a gap that was
    /// reported when it came about and is remembered by the segment behind it.
    pub fn is_known_hole(&self, first: Seq, last: Seq) -> bool {
        let dropped = self.dropped.read().unwrap_or_else(PoisonError::into_inner);
        let mut at = first;
        while at <= last {
            let upto = match dropped.iter().find(|d| (d.first..=d.last).contains(&at)) {
                Some(range) => range.last,
                None => match self.above(at).map(|slot| slot.facts()) {
                    Some(Facts { gap_from: Some(from), first, .. }) if from <= at => first - 1,
                    _ => return false,
                },
            };
            let Some(next) = upto.checked_add(1) else { return true };
            at = next;
        }
        true
    }

    /// Opens a segment that was not open in this process before; see [`Shelf::open_safely`].
    pub fn open(&self, first: Seq) -> Result<Segment, LogError> {
        self.open_safely(first, false).map(|(segment, _)| segment)
    }

    /// Opens a segment; by a child first, when it was open in a process that died, or when its files are not what they
    /// were. Returns as well how they looked, when they are as noted.
    fn open_safely(&self, first: Seq, known: bool) -> Result<(Segment, Option<Glance>), LogError> {
        let mut noted = None;
        if let Some(program) = &self.probe {
            let seen = sums::glance(&self.dir, first);
            let compared = sums::compare(&self.dir, first);
            noted = seen.filter(|_| compared == Compared::Same);
            let segment = folder::segment(&self.dir, first);
            if compared == Compared::Different {
                sums::keep_evidence(&segment);
            }
            let fine = noted.is_some() || (compared == Compared::Unknown && known);
            // What a process left that died before it could tell whether anything is wrong; asked once in a process.
            let undecided = !known && sums::has_evidence(&segment);
            if (!fine || undecided || folder::opened(&self.dir, first).exists()) && probe::probe(program, &segment)? {
                sums::drop_evidence(&segment);
            }
        }
        Ok((Segment::open(&self.dir, first, self.skip_sync)?, noted))
    }

    /// Opens a segment that is closed; without looking into its files, when it was closed just now and they look as it
    /// left them.
    fn open_anew(&self, first: Seq, held: &Held) -> Result<(Segment, Option<Glance>), LogError> {
        if held.left.is_some() && held.left == sums::glance(&self.dir, first) {
            return Ok((Segment::open(&self.dir, first, self.skip_sync)?, held.noted.clone()));
        }
        self.open_safely(first, held.known)
    }

    /// Notes the files of closed segments of which `which` is true, as far as they were opened by this process and are
    /// not as noted. What cannot be written is done without: such a segment is probed the next time.
    pub fn keep_sums(&self, which: impl Fn(&Facts) -> bool) {
        if self.probe.is_none() {
            return;
        }
        for slot in self.all().into_iter().filter(|slot| which(&slot.facts())) {
            // Held all the while, so that nobody opens it.
            let mut held = locked(&slot.held);
            let closed = held.segment.is_none() && held.users == 0 && held.dropped.is_none() && held.lost.is_none();
            if closed && held.known {
                let seen = sums::glance(&self.dir, slot.first);
                if seen.is_none() || held.noted != seen {
                    held.noted = sums::keep(&self.dir, slot.first).ok().and(seen);
                }
            }
        }
    }

    /// Opens the segment, unless it is open. `None` when it has been dropped.
    pub fn borrow(&self, slot: &Arc<Slot>) -> Result<Option<Borrowed>, LogError> {
        let borrowed = {
            let mut held = locked(&slot.held);
            if held.dropped.is_some() {
                return Ok(None);
            }
            if let Some(why) = &held.lost {
                return Err(LogError::Damaged(slot.problem(why.clone())));
            }
            let segment = match &held.segment {
                Some(segment) => segment.clone(),
                None => match self.open_anew(slot.first, &held) {
                    Ok((segment, noted)) => {
                        (held.known, held.noted) = (true, noted);
                        held.left = sums::glance(&self.dir, slot.first);
                        Arc::new(segment)
                    }
                    Err(error) if error.is_damage() => {
                        let why = self.put_aside(slot.first, &error);
                        held.lost = Some(why.clone());
                        let problem = slot.problem(why);
                        tracing::error!(%problem, "a segment of the log is damaged; see `hookboxctl log salvage`");
                        self.note_damage(&problem);
                        return Err(LogError::Damaged(problem));
                    }
                    Err(error) => return Err(error),
                },
            };
            held.segment = Some(segment.clone());
            held.users += 1;
            held.keep = true;
            Borrowed { slot: slot.clone(), segment: Some(segment) }
        };
        self.touch(slot);
        Ok(Some(borrowed))
    }

    /// Takes in a segment that is open already, as the active one: it stays open as long as what is returned.
    pub fn borrow_open(slot: &Arc<Slot>, segment: Segment) -> Borrowed {
        let segment = Arc::new(segment);
        let mut held = locked(&slot.held);
        held.segment = Some(segment.clone());
        held.users += 1;
        held.known = true;
        Borrowed { slot: slot.clone(), segment: Some(segment) }
    }

    /// Gives the folder of a segment that cannot be opened another name, so that it is never taken for a good one.
    pub fn put_aside(&self, first: Seq, error: &LogError) -> String {
        let aside = folder::aside(&self.dir, first);
        let _ = folder::remove(&folder::opened(&self.dir, first));
        let _ = folder::remove(&folder::sums(&self.dir, first));
        match folder::rename(&folder::segment(&self.dir, first), &aside) {
            Ok(()) => format!("the segment was put aside as {}: {error}", aside.display()),
            Err(rename) => format!("the segment cannot be used: {error}; nor can it be put aside: {rename}"),
        }
    }

    /// Marks a segment as used just now, and closes those that were used longest ago.
    fn touch(&self, slot: &Arc<Slot>) {
        let mut old = Vec::new();
        {
            let mut recent = locked(&self.recent);
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
        old.iter().for_each(release);
    }

    /// Closes sealed segments that nobody is using.
    pub fn close_idle(&self) {
        let idle: Vec<_> = locked(&self.recent).drain(..).collect();
        idle.iter().for_each(release);
        locked(&self.hot).clear();
    }

    /// Forgets a segment; its folder, to which `rename` gives another name, goes with its last user. Nobody opens the
    /// segment meanwhile.
    ///
    /// # Errors
    /// Those of `rename`.
    pub fn drop_slot(
        &self,
        slot: &Arc<Slot>,
        rename: impl FnOnce() -> Result<PathBuf, LogError>,
    ) -> Result<(), LogError> {
        let (first, last) = (slot.first, slot.last());
        locked(&self.hot).retain(|frame| frame.head.first < first || frame.head.first > last);
        locked(&self.recent).retain(|s| !Arc::ptr_eq(s, slot));
        let mut held = locked(&slot.held);
        held.dropped = Some(rename()?);
        close_if_idle(&mut held);
        Ok(())
    }

    pub fn hot(&self, seq: Seq) -> Option<Arc<Decoded>> {
        locked(&self.hot).iter().find(|frame| frame.head.holds(seq)).cloned()
    }

    pub fn keep_hot(&self, frame: &Arc<Decoded>) {
        let mut hot = locked(&self.hot);
        if frame.cost() > HOT_BYTES / 2 || hot.iter().any(|f| f.head.first == frame.head.first) {
            return;
        }
        hot.push_back(frame.clone());
        while hot.len() > HOT_FRAMES || hot.iter().map(|f| f.cost()).sum::<usize>() > HOT_BYTES {
            hot.pop_front();
        }
    }
}

fn release(slot: &Arc<Slot>) {
    let mut held = locked(&slot.held);
    held.keep = false;
    close_if_idle(&mut held);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these guard is whole at every moment, even if a thread panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
