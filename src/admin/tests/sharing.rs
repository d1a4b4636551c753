//! What a member of the group asks for and then hangs up on still counts as its own, until the
//! daemon is done with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::AdminWorld;
use crate::admin::memory_log::MemoryLog;
use crate::model::limits;
use crate::permits::{FairPermit, FairPermits};

const MEMBER: u32 = 1000;

/// A connection on which something was asked, and nothing is read.
struct AskedRequest(UnixStream, JoinHandle<()>);

impl AskedRequest {
    /// Returns when the daemon has seen the end of the connection.
    async fn hang_up(self) {
        drop(self.0);
        self.1.await.expect("no panic");
    }
}

/// Sends a request of this member.
async fn asked(world: &AdminWorld, path: &str, body: &str) -> AskedRequest {
    let (mut stream, served) = world.connect_as(MEMBER);
    let method = if body.is_empty() { "GET" } else { "POST" };
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body.as_bytes()).await.expect("sent");
    AskedRequest(stream, served)
}

/// How many a member could have now.
fn free_for(permits: &Arc<FairPermits<u32>>, uid: u32) -> usize {
    let taken: Vec<FairPermit<u32>> = std::iter::from_fn(|| permits.take(uid)).collect();
    taken.len()
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// It is in memory as long as the thread that decides has not taken it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_keeps_the_turn_of_a_member_that_hangs_up() {
    let world = AdminWorld::new();
    let context = world.admin.context.clone();
    let event = format!("{{\"source\":\"github\",\"data\":1{}}}", " ".repeat(2 << 20));

    // The scheduler takes no request while its script is held.
    let script = world.script.clone();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (holds, is_held) = std::sync::mpsc::channel();
    let holder = std::thread::spawn(move || {
        let _script = script.lock().expect("not poisoned");
        holds.send(()).expect("the test waits");
        let _ = held.recv();
    });
    is_held.recv().expect("it is held");

    let sends = free_for(&context.sends, MEMBER);
    let asked = asked(&world, "/v1/events", &event).await;
    until(|| world.admin.handle.accepts_waiting() == 1).await;
    asked.hang_up().await;
    assert_eq!(free_for(&context.bodies, MEMBER), 0, "its turn was given back");
    assert!(free_for(&context.sends, MEMBER) < sends, "its place was given back");
    assert_eq!(free_for(&context.bodies, MEMBER + 1), 1, "others have theirs");

    drop(hold);
    holder.join().expect("no panic");
    until(|| free_for(&context.bodies, MEMBER) == 1).await;
    until(|| free_for(&context.sends, MEMBER) == sends).await;
    assert_eq!(world.script().accepted.len(), 1, "it was on its way, and came in");
}

/// Lets slow checks end, at the end of a test that fails as well: its runtime waits for their
/// threads.
struct SlowChecks(Arc<AtomicBool>);

impl SlowChecks {
    fn end(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for SlowChecks {
    fn drop(&mut self) {
        self.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_a_member_hangs_up_on_leave_the_others_theirs() {
    let started = Arc::new(AtomicUsize::new(0));
    let slow_checks = SlowChecks(Arc::default());
    let (count, gate) = (started.clone(), slow_checks.0.clone());
    let world = AdminWorld::with_adapters(MemoryLog::starting_at(1), |adapters| {
        let check = adapters.check.clone();
        adapters.check = Arc::new(move |source, request, at| {
            if request.url == "https://x/slow" {
                count.fetch_add(1, Ordering::AcqRel);
                while !gate.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            }
            check(source, request, at)
        });
    });
    let started = || started.load(Ordering::Acquire);
    let checks = world.admin.context.checks.clone();
    let all = free_for(&checks, MEMBER);
    assert!((1..limits::ADMIN_CHECKS).contains(&all), "{all}");

    let slow = json!({"method": "POST", "url": "https://x/slow"}).to_string();
    let ask = || asked(&world, "/v1/sources/github/check", &slow);
    for n in 1..=all {
        let asked = ask().await;
        until(|| started() == n).await;
        asked.hang_up().await;
        assert_eq!(free_for(&checks, MEMBER), all - n, "it is under way, and counts");
    }

    // An owner finds those that are kept, and the rest of the API is not concerned, however many
    // more the member asks for.
    let mut more = Vec::new();
    for _ in 0..2 * limits::ADMIN_CHECKS {
        more.push(ask().await);
    }
    let quick = json!({"method": "POST", "url": "https://x/"});
    for _ in 0..limits::ADMIN_CHECKS {
        let (status, _) = world.json("POST", "/v1/sources/github/check", quick.clone()).await;
        assert_eq!(status, 200);
        assert_eq!(world.json("GET", "/v1/status", Value::Null).await.0, 200);
    }
    assert_eq!(started(), all, "so many checks of one member at a time");

    slow_checks.end();
    until(|| started() == all + more.len()).await;
    until(|| free_for(&checks, MEMBER) == all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_ends_when_its_client_goes() {
    let world = AdminWorld::new();
    let lists = world.admin.context.lists.clone();
    let all = free_for(&lists, MEMBER);
    world.log.verifies_on.store(true, Ordering::Release);

    let asked = asked(&world, "/v1/log/verify", "").await;
    until(|| free_for(&lists, MEMBER) < all).await;
    asked.hang_up().await;
    until(|| free_for(&lists, MEMBER) == all).await;
    world.log.verifies_on.store(false, Ordering::Release);
}
