//! How full it is, and what follows from it. One place decides, and tells each change once.
//!
//! | level | from here on | what follows |
//! |---|---|---|
//! | open | | nothing. Long before the next level the oldest segments are retired early, see `retention` |
//! | low | half a reserve above it | outcomes are remembered without what was captured of request and response |
//! | refusing | the reserve | events are answered 503; what waits is carried out, its outcomes take from the reserve |
//! | halted | the floor | no attempt is started any more: its outcome would find no room |
//!
//! Each level is left a little above where it was entered, so that it does not flutter. Nothing here ever ends the
//! process or loses an event: when room is back, it goes on by itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::log::Room;
use crate::model::limits;
use crate::model::size::format_bytes;

/// What never goes by itself, and how it goes.
const MAKE_ROOM: &str = "make room (`hookboxctl dlq discard` gives up dead letters), or raise [log] quota";

/// How full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Open,
    Low,
    Refusing,
    Halted,
}

impl Level {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Low => "low",
            Self::Refusing => "refusing",
            Self::Halted => "halted",
        }
    }
}

/// The level changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: Level,
    pub to: Level,
    pub room: Room,
    pub reason: String,
}

impl Change {
    /// `refusing`, `accepting`, `disk_low` or `disk_ok`: what an operator is told.
    #[must_use]
    pub fn event(&self) -> &'static str {
        let refused = self.from >= Level::Refusing;
        match self.to {
            Level::Refusing | Level::Halted => "refusing",
            Level::Low | Level::Open if refused => "accepting",
            Level::Low => "disk_low",
            Level::Open => "disk_ok",
        }
    }
}

/// The level and the room it follows from. Part of [`super::Health`].
#[derive(Debug, Default)]
pub struct RoomState {
    seen: Mutex<Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    room: Room,
    level: Level,
}

impl RoomState {
    /// Takes in what was measured. Every change of the level goes through here, and is told here, once.
    pub fn see(&self, room: Room) -> Level {
        let mut seen = self.locked();
        let from = seen.level;
        let to = next(from, &room);
        *seen = Seen { room, level: to };
        drop(seen);
        if from != to {
            announce(&Change { from, to, room, reason: reason(&room, to) });
        }
        to
    }

    #[must_use]
    pub fn level(&self) -> Level {
        self.locked().level
    }

    #[must_use]
    pub fn room(&self) -> Room {
        self.locked().room
    }

    /// Why events are refused; `None` when they are not.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let seen = self.locked();
        (seen.level >= Level::Refusing).then(|| reason(&seen.room, seen.level))
    }

    /// Why so many bytes of events more cannot be taken; `None` when they can.
    #[must_use]
    pub fn refuses(&self, bytes: u64) -> Option<String> {
        let seen = self.locked();
        if seen.level >= Level::Refusing {
            return Some(reason(&seen.room, seen.level));
        }
        // Small ones are looked after by the level; a large one must not take the reserve at once.
        let spare = seen.room.left().saturating_sub(seen.room.reserve);
        let fits = bytes < limits::STEP_BYTES as u64 || bytes.saturating_mul(2) <= spare || seen.room.quota == 0;
        (!fits).then(|| format!("it has {}, and {} are left", format_bytes(bytes), format_bytes(spare)))
    }

    fn locked(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the oldest segments should go before their time: well before anything is refused.
#[must_use]
pub fn wants_trim(room: &Room) -> bool {
    let ahead = room.reserve / 2 + 2 * room.segment;
    room.left() <= room.reserve.saturating_add(ahead.min(room.quota / 4)) || is_short_of_files(room)
}

/// Bytes that carrying forward may take from what is left: it has to end above the floor.
#[must_use]
pub fn may_carry(room: &Room) -> u64 {
    room.left().saturating_sub(floor(room))
}

/// Whether so many bytes can be carried forward though little is left, because dropping what they are carried out of
/// gives back more. The quota is a limit for what stays, so it may be exceeded for that moment, and the reserve is there
/// for it; only the file system has to have the bytes, beside what the log itself needs.
#[must_use]
pub fn may_exceed(room: &Room, bytes: u64) -> bool {
    room.free >= bytes.saturating_add(limits::ROOM_FLOOR)
}

fn floor(room: &Room) -> u64 {
    (room.reserve / 8).max(limits::ROOM_FLOOR)
}

fn is_short_of_files(room: &Room) -> bool {
    room.files.is_some_and(|files| files < limits::ROLL_FILES)
}

fn next(from: Level, room: &Room) -> Level {
    // Nobody measures: a log in a test, or before the first look.
    if room.quota == 0 {
        return Level::Open;
    }
    let (left, reserve) = (room.left(), room.reserve);
    let slack = |level| if from >= level { reserve / 8 } else { 0 };
    if left <= floor(room) + slack(Level::Halted) {
        Level::Halted
    } else if left <= reserve + slack(Level::Refusing) {
        Level::Refusing
    } else if left <= reserve + reserve / 2 + slack(Level::Low) || is_short_of_files(room) {
        Level::Low
    } else {
        Level::Open
    }
}

fn reason(room: &Room, level: Level) -> String {
    let left = format_bytes(room.left());
    let what = if room.is_quota() {
        format!("{left} of the quota of {} are left", format_bytes(room.quota))
    } else {
        format!("{left} are left on the file system")
    };
    let reserve = format_bytes(room.reserve);
    match level {
        Level::Open => what,
        Level::Low if is_short_of_files(room) => "the file system has no room for more files".to_owned(),
        Level::Low => format!("{what}, {reserve} of them are kept for outcomes"),
        Level::Refusing => format!("{what}, and {reserve} are kept for outcomes: {MAKE_ROOM}"),
        Level::Halted => format!("{what}, too little to remember an outcome: {MAKE_ROOM}"),
    }
}

/// Tells a change: the one place for whoever wants to hear of it.
fn announce(change: &Change) {
    let Change { from, to, room, reason } = change;
    let event = change.event();
    let (level, left, free, quota, reserve) = (to.name(), room.left(), room.free, room.quota, room.reserve);
    match event {
        "refusing" => {
            let attempts = if *to == Level::Halted { "; attempts are put off, too" } else { "" };
            tracing::error!(event, level, left, free, quota, reserve, "events are refused{attempts}: {reason}");
        }
        "accepting" => {
            tracing::warn!(
                event,
                level,
                left,
                free,
                quota,
                reserve,
                "there is room again, events are accepted: {reason}"
            );
        }
        "disk_low" => tracing::warn!(event, level, left, free, quota, reserve, "room gets low: {reason}"),
        _ => tracing::info!(event, level, left, free, quota, reserve, was = from.name(), "there is room: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Level, RoomState, may_exceed, next, wants_trim};
    use crate::log::Room;

    const MIB: u64 = 1 << 20;

    fn room(left: u64) -> Room {
        Room {
            quota: 1024 * MIB,
            reserve: 32 * MIB,
            used: 1024 * MIB - left,
            free: 1 << 40,
            segment: 64 * MIB,
            files: None,
        }
    }

    #[test]
    fn levels_follow_each_other_and_do_not_flutter() {
        let state = RoomState::default();
        let seen = |left| state.see(room(left * MIB));
        assert_eq!(
            [seen(500), seen(49), seen(48), seen(51), seen(53)].map(Level::name),
            ["open", "open", "low", "low", "open"]
        );
        assert_eq!([seen(33), seen(32), seen(35), seen(37)].map(Level::name), ["low", "refusing", "refusing", "low"]);
        assert_eq!([seen(5), seen(4), seen(7), seen(9)].map(Level::name), ["refusing", "halted", "halted", "refusing"]);
        assert!(state.refusal().is_some_and(|why| why.contains("9.0 MiB of the quota")), "{:?}", state.refusal());
        assert_eq!(seen(100), Level::Open);
        assert_eq!(state.refusal(), None);
    }

    #[test]
    fn changes_are_named_as_operators_know_them() {
        let change = |from, to| Change { from, to, room: room(0), reason: String::new() }.event();
        assert_eq!(change(Level::Open, Level::Low), "disk_low");
        assert_eq!(change(Level::Low, Level::Refusing), "refusing");
        assert_eq!(change(Level::Refusing, Level::Low), "accepting");
        assert_eq!(change(Level::Refusing, Level::Open), "accepting");
        assert_eq!(change(Level::Low, Level::Open), "disk_ok");
    }

    #[test]
    fn the_disk_limits_as_the_quota_does_and_a_large_event_is_refused_first() {
        let disk = Room { free: 20 * MIB, ..room(500 * MIB) };
        assert_eq!(next(Level::Open, &disk), Level::Refusing);
        assert!(wants_trim(&disk) && !wants_trim(&room(500 * MIB)));
        let state = RoomState::default();
        state.see(room(60 * MIB));
        assert_eq!(state.refuses(10_000), None);
        assert!(state.refuses(20 * MIB).is_some());
        let unmeasured = RoomState::default();
        assert_eq!(unmeasured.refuses(20 * MIB), None);
    }

    #[test]
    fn a_quota_may_be_exceeded_for_a_moment_and_a_file_system_may_not() {
        let full = Room { free: 100 * MIB, ..room(0) };
        assert!(may_exceed(&full, 98 * MIB) && !may_exceed(&full, 99 * MIB));
        assert_eq!(next(Level::Open, &full), Level::Halted);
    }

    #[test]
    fn without_files_nothing_is_refused() {
        let state = RoomState::default();
        assert_eq!(state.see(Room { files: Some(3), ..room(500 * MIB) }), Level::Low);
        assert_eq!(state.refuses(10), None);
    }
}
