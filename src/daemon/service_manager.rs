//! What the service manager hears of the daemon (sd_notify(3)): that it is ready, what it does,
//! that it needs more time, and that it lives.
//!
//! It lives as long as the thread that commits answers: each sign of life is an answer of that
//! thread, or a write of its that has returned while it had no time to answer. A daemon that
//! accepts connections and commits nothing is ended by `WatchdogSec=` and started again.
//!
//! More time is asked for while the log is opened, and while it is closed, as long as the process
//! computes: a start that hangs is ended by `TimeoutStartSec=`. And once for attempts in flight,
//! which may take their time when the daemon stops, whatever `TimeoutStopSec=` says.

use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::watch;

use crate::queue::{Refusal, Status};
use crate::scheduler::Handle;
pub use crate::service::notify::ready;
use crate::service::notify::{NotifyState, is_there, notify, pause};

/// Between two looks at whether a start or a stop goes on.
const LOOK: Duration = Duration::from_secs(5);
/// What is asked for then.
const MORE: Duration = Duration::from_secs(30);
/// After an answer that the thread had no time for.
const AGAIN: Duration = Duration::from_secs(1);
/// Ticks of the processor, of a hundredth of a second, that a look of its own may take.
const OWN_TICKS: u64 = 2;

/// The daemon stops, after attempts in flight, which may take up to `patience`.
pub fn stopping(in_flight: usize, patience: Duration) {
    let line = format!("stopping, {} in flight", some(in_flight as u64, "attempt"));
    let more = NotifyState::ExtendTimeoutUsec(micros(patience + MORE));
    notify(&[NotifyState::Stopping, NotifyState::Status(&line), more]);
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Asks for more time until it is dropped, as long as the process computes.
pub struct MoreTime {
    _stop: mpsc::SyncSender<()>,
}

/// Says what goes on, and asks for more time for it.
pub fn more_time(what: &str) -> MoreTime {
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    notify(&[NotifyState::Status(what)]);
    if is_there() {
        std::thread::spawn(move || {
            let mut done = ticks();
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let now = ticks();
                if is_working(done, now) {
                    notify(&[NotifyState::ExtendTimeoutUsec(micros(MORE))]);
                }
                done = now;
            }
        });
    }
    MoreTime { _stop: stop }
}

/// Whether what was done between two looks is more than the looks themselves.
fn is_working(before: u64, now: u64) -> bool {
    now.saturating_sub(before) > OWN_TICKS
}

/// The time of the processor that this process has taken.
fn ticks() -> u64 {
    ticks_in(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

/// `utime` and `stime` in the text of proc_pid_stat(5), behind the name, which may hold anything.
fn ticks_in(stat: &str) -> u64 {
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Reports how the daemon is, and that it lives, until it stops.
pub async fn report(handle: Handle, addresses: Vec<String>, mut stop: watch::Receiver<bool>) {
    if !is_there() {
        return;
    }
    let pause = pause();
    let mut reported = String::new();

    loop {
        let lives = || notify(&[NotifyState::Watchdog]);
        let answered = answer(&handle, pause, lives).await;
        let next = if answered.is_ok() { pause } else { AGAIN };
        if let Ok(status) = answered {
            let refusal = (!handle.health().is_accepting()).then(|| handle.health().reason());
            let line = line(&status, &addresses.join(","), refusal.as_deref());
            notify(&[NotifyState::Watchdog]);
            if line != reported {
                notify(&[NotifyState::Status(&line)]);
                reported = line;
            }
        }

        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(next) => {}
        }
    }
}

/// An answer of the thread that commits. On a slow disk it may have no time for one during a large
/// commit: then `lives` is called as long as its writes return.
async fn answer(
    handle: &Handle,
    pause: Duration,
    mut lives: impl FnMut(),
) -> Result<Status, Refusal> {
    let mut answered = pin!(handle.status_unmetered());
    let mut returned = handle.health().returned_writes();
    loop {
        if let Ok(answered) = tokio::time::timeout(pause, &mut answered).await {
            return answered;
        }
        let before = std::mem::replace(&mut returned, handle.health().returned_writes());
        if before != returned {
            lives();
        }
    }
}

/// What `systemctl status` shows.
fn line(status: &Status, addresses: &str, refusal: Option<&str>) -> String {
    let head = match refusal {
        Some(why) => format!("NOT ACCEPTING: {why}"),
        None => format!("accepting on {addresses}"),
    };
    let Status { sources, endpoints, pending, held, dead, .. } = status;
    let (sources, endpoints) =
        (some(*sources as u64, "source"), some(*endpoints as u64, "endpoint"));
    format!(
        "{head}; {sources}, {endpoints}, {} waiting, {}",
        pending + held,
        some(*dead, "dead letter")
    )
}

fn some(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{WriteProgress, write_progress};

    /// When a test gives up what takes milliseconds.
    const GIVES_UP: Duration = Duration::from_secs(200);

    #[test]
    fn a_start_that_computes_gets_more_time_and_one_that_hangs_does_not() {
        let stat = |utime, stime| format!("7 (a) b) S 1 7 7 0 -1 4 9 0 0 0 {utime} {stime} 0 0 20");
        assert_eq!(ticks_in(&stat(40, 2)), 42);
        assert_eq!(ticks_in(""), 0);
        assert!(is_working(ticks_in(&stat(40, 2)), ticks_in(&stat(90, 30))));
        assert!(!is_working(ticks_in(&stat(40, 2)), ticks_in(&stat(41, 2))));
        assert!(std::fs::read_to_string("/proc/self/stat").is_ok_and(|text| text.contains(')')));
    }

    #[tokio::test]
    async fn writes_that_return_are_signs_of_life_while_the_thread_has_no_time_to_answer() {
        let (handle, channels) = crate::scheduler::channel();
        let _ = handle.health().writes.set(WriteProgress::of_this_thread());
        let pause = Duration::from_millis(1);

        // Whoever waits for a sign of life lets a write return before the next one is due.
        let mut signs = 0;
        let mut channels = Some(channels);
        let ended = answer(&handle, pause, || {
            signs += 1;
            write_progress::returned();
            if signs == 3 {
                drop(channels.take());
            }
        });
        let first_write = async {
            tokio::task::yield_now().await;
            write_progress::returned();
        };
        let both = async { tokio::join!(ended, first_write) };
        // Where a sign is missing nothing more comes.
        let ended = tokio::time::timeout(GIVES_UP, both).await;
        assert_eq!(signs, 3, "signs of life");
        let (ended, ()) = ended.expect("the thread has ended, and still somebody waits for it");
        assert!(ended.is_err(), "the thread has ended");

        let (handle, channels) = crate::scheduler::channel();
        let hangs = answer(&handle, pause, || panic!("nothing was written"));
        let looks = tokio::time::sleep(20 * pause);
        tokio::select! {
            _ = hangs => panic!("nobody answers"),
            () = looks => drop(channels),
        }
    }

    #[test]
    fn the_line_says_what_waits_and_why_nothing_is_accepted() {
        let status = Status { sources: 2, endpoints: 1, pending: 3, held: 1, ..Status::default() };
        assert_eq!(
            line(&status, "127.0.0.1:8420", None),
            "accepting on 127.0.0.1:8420; 2 sources, 1 endpoint, 4 waiting, 0 dead letters"
        );
        assert!(line(&status, "x", Some("no room")).starts_with("NOT ACCEPTING: no room; "));
    }
}
