//! A stream feeds three boxes as one consumer group, while daemons, bridges and the server are
//! killed at random moments and started again.
//!
//! At the end: every message is an event; at one box none is two events, for its key is known
//! there. A message whose box died between storing it and saying so goes to another box as well:
//! that is counted and printed, for no box knows what another one has.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::bridge::{Bridge, configuration};
use crate::intake::{a_box, route};
use crate::server::NatsServer;
use crate::storm_out::{FleetBox, Size, kill_one};
use crate::streams::Js;
use crate::support::rng::Rng;
use crate::support::{Home, until};

const BOXES: usize = 3;
/// Messages that are published between two kills at most, so that kills fall into the work.
const AHEAD: u64 = 60;

#[test]
fn every_message_becomes_an_event_and_at_one_box_never_two() {
    let Some(mut server) = NatsServer::start() else { return };
    let size = Size::of_environment();
    println!("in: {} messages, {} kills, HOOKBOX_SEED={}", size.events, size.kills, size.seed);
    let mut rng = Rng::new(size.seed);
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |_| {});
    let mut fleet: Vec<FleetBox> = (0..BOXES).map(|number| a_fleet_box(number, &server)).collect();

    let started = Instant::now();
    let mut killed: BTreeMap<&str, u64> = BTreeMap::new();
    let mut published = 0;
    for number in 1..=size.kills + 1 {
        let wanted = size.events * number / (size.kills + 1);
        let before = wanted.saturating_sub(AHEAD);
        while published < wanted {
            let key = format!("job-{published}");
            let headers = [("Nats-Msg-Id", key.as_str()), ("Hookbox-Type", &key)];
            js.publish("jobs.a", &headers, key.as_bytes());
            published += 1;
        }
        if number <= size.kills {
            // In the middle of taking what was published last.
            until("messages that are taken", size.patience(), || {
                (js.open("JOBS", "boxes")? <= published - before).then_some(())
            });
            *killed.entry(kill_one(&mut fleet, &mut server, &mut rng)).or_default() += 1;
        }
    }
    println!("in: {killed:?}, published after {:?}", started.elapsed());
    until("a consumer that is done", size.patience(), || {
        (js.open("JOBS", "boxes")? == 0).then_some(())
    });
    println!("in: taken after {:?}", started.elapsed());
    check_boxes(&fleet, size.events);
}

fn a_fleet_box(number: usize, server: &NatsServer) -> FleetBox {
    let mut home = Home::new();
    let daemon = a_box(&mut home, &[]);
    let name = format!("box-{number}");
    let config = configuration(&home, &name, &server.url(), &route("admin"));
    // One after the other: the first makes the consumer.
    let bridge = Some(Bridge::start(&config));
    FleetBox { home, config, daemon: Some(daemon), bridge, addr: Default::default() }
}

/// Holds the events of all boxes against what was published.
fn check_boxes(fleet: &[FleetBox], published: u64) {
    let mut boxes: HashMap<String, Vec<usize>> = HashMap::new();
    let mut shares = Vec::new();
    let mut recognized = 0;
    for (number, one) in fleet.iter().enumerate() {
        let list = one.daemon().lines(&["event", "list", "--limit", "1000000"]);
        shares.push(list.len());
        // The type of each is its key.
        for event in &list {
            let key = event["type"].as_str().expect("a type").to_owned();
            boxes.entry(key).or_default().push(number);
        }
        recognized += list.iter().filter_map(|e| e["duplicates"].as_u64()).sum::<u64>();
    }

    let missing =
        (0..published).filter(|number| !boxes.contains_key(&format!("job-{number}"))).count();
    let twice_at_one = boxes.values().filter(|at| has_repetition(at)).count();
    let at_two = boxes.values().filter(|at| at.len() > 1).count();
    println!(
        "in: {published} messages, events at the boxes {shares:?}: {missing} missing, \
         {twice_at_one} twice at one box, {at_two} at two boxes; {recognized} repetitions were \
         recognized"
    );
    assert_eq!((missing, twice_at_one), (0, 0));
}

fn has_repetition(at: &[usize]) -> bool {
    let mut sorted = at.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}
