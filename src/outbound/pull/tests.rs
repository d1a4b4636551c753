//! The reports of leases to the queue.

use std::sync::Arc;

use super::hub::LeaseHub;
use crate::model::{DeliveryId, Endpoint, LeaseRequest, Now, Settlement, limits};
use crate::queue::Input;
use crate::scheduler::{Channels, channel};

const ASK: LeaseRequest = LeaseRequest { max: 1, wait_ms: 1_000, lease_ms: 60_000 };

/// The number of deliveries that may be out, as it was reported last, and how many attempts have
/// ended.
fn reported(channels: &Channels) -> (Option<usize>, usize) {
    let mut finished = 0;
    for envelope in channels.requests.try_iter() {
        // The others only wake the scheduler.
        let _ = envelope.answer(|input: Input| {
            assert!(matches!(input, Input::Finished { .. }), "nobody reports {input:?}");
            finished += 1;
            Ok(())
        });
    }

    let wanted = channels.take_wanted().last().map(|input| match input {
        Input::Wanted { total, .. } => total,
        other => panic!("nobody waits for {other:?}"),
    });
    (wanted, finished)
}

#[tokio::test]
async fn a_consumer_that_hangs_up_while_it_settles_leaves_no_place_behind() {
    let (handle, channels) = channel();
    let clock: crate::model::Clock = Arc::new(|| Now { mono_ms: 1, wall_ms: 1 });
    let hub = LeaseHub::new(handle, clock, Arc::new(|bytes| bytes.fill(7)));
    let endpoint = Endpoint { id: 3, ..Endpoint::new("jobs", "pull:") };
    let event = Arc::new(crate::outbound::tests::event());
    hub.offer(DeliveryId { seq: 5, endpoint: 3 }, 1, event);
    let leased = hub.lease(&endpoint, ASK).await.expect("not too many wait").remove(0);
    assert_eq!(reported(&channels), (Some(1), 0), "one is out");
    tokio::select! {
        biased;
        _ = hub.settle(&leased.lease, Settlement::Ack) => panic!("nobody answers"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(reported(&channels), (Some(0), 1));
}

#[tokio::test]
async fn however_small_events_were_few_are_asked_for_at_a_time() {
    let (handle, channels) = channel();
    let clock: crate::model::Clock = Arc::new(|| Now { mono_ms: 1, wall_ms: 1 });
    let named = std::sync::atomic::AtomicU8::new(0);
    let random =
        move |bytes: &mut [u8]| bytes.fill(named.fetch_add(1, std::sync::atomic::Ordering::AcqRel));
    let hub = LeaseHub::new(handle, clock, Arc::new(random));
    let _waiting = hub
        .begin_waiting(3, LeaseRequest { max: 256, ..ASK }, Arc::default())
        .expect("not too many wait");
    for seq in 1..=40 {
        hub.offer(DeliveryId { seq, endpoint: 3 }, 1, Arc::new(crate::outbound::tests::event()));
    }
    // The next ones may be the largest that there are.
    assert_eq!(reported(&channels), (Some(40 + limits::LEASES_COMING), 0));
}

#[tokio::test]
async fn consumers_that_ask_again_and_again_take_no_places_in_the_schedulers_channel() {
    let (handle, channels) = channel();
    let clock: crate::model::Clock = Arc::new(|| Now { mono_ms: 1, wall_ms: 1 });
    let hub = LeaseHub::new(handle.clone(), clock, Arc::new(|bytes| bytes.fill(7)));
    let endpoint = Endpoint { id: 3, ..Endpoint::new("jobs", "pull:") };

    // The scheduler waits for its disk meanwhile.
    for _ in 0..10 {
        let none = hub.lease(&endpoint, LeaseRequest { wait_ms: 0, ..ASK }).await;
        assert!(none.expect("not too many wait").is_empty());
    }
    assert!(channels.requests.try_iter().count() <= 1);
    assert_eq!(channels.take_wanted().count(), 1, "the last number counts");
}
