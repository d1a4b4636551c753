//! A stream feeds three boxes as one consumer group, while daemons, bridges and the server are
//! killed at random moments and started again.
//!
//! At the end: every message is an event; at one box none is two events, for its key is known
//! there. Where the boxes share one consumer, a message whose box died between storing it and
//! saying so goes to another box as well; where each has a part of the stream, it comes to the
//! same box again, and is one event.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use async_nats::jetstream::stream::SubjectTransform;

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

/// How the boxes share the stream.
#[derive(Clone, Copy, PartialEq)]
enum Sharing {
    /// One consumer for all.
    Consumer,
    /// A part for each, with a consumer of its own.
    Parts,
}

impl Sharing {
    /// The lines of a box in its configuration.
    fn route(self, number: usize) -> String {
        let route = route("admin");
        match self {
            Self::Consumer => route,
            Self::Parts => route
                .replace("[in.create]", &format!("part = \"{}/{BOXES}\"\n[in.create]", number + 1)),
        }
    }

    /// What is not acknowledged yet.
    fn open(self, js: &Js) -> Option<u64> {
        match self {
            Self::Consumer => js.open("JOBS", "boxes"),
            Self::Parts => (1..=BOXES).map(|n| js.open("JOBS", &format!("boxes-{n}"))).sum(),
        }
    }
}

/// No box knows what another one has: what goes to a second one after a kill is printed.
#[test]
fn every_message_becomes_an_event_and_at_one_box_never_two() {
    storm(Sharing::Consumer);
}

#[test]
fn with_a_part_for_each_box_every_message_becomes_one_event() {
    storm(Sharing::Parts);
}

fn storm(sharing: Sharing) {
    let Some(mut server) = NatsServer::start() else { return };
    let size = Size::of_environment();
    println!("in: {} messages, {} kills, HOOKBOX_SEED={}", size.events, size.kills, size.seed);
    let mut rng = Rng::new(size.seed);
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |config| {
        if sharing == Sharing::Parts {
            let (source, destination) = ("jobs.>".to_owned(), "{{random(3)}}.jobs.>".to_owned());
            config.subject_transform = Some(SubjectTransform { source, destination });
        }
    });
    let boxes = (0..BOXES).map(|number| a_fleet_box(number, sharing, &server));
    let mut fleet: Vec<FleetBox> = boxes.collect();

    let started = Instant::now();
    let mut killed: BTreeMap<&str, u64> = BTreeMap::new();
    let mut published = 0;
    for number in 1..=size.kills + 1 {
        let wanted = size.events * number / (size.kills + 1);
        let before = wanted.saturating_sub(AHEAD);
        js.publish_all(published..wanted, |number| {
            let key = format!("job-{number}");
            ("jobs.a", vec![("Nats-Msg-Id", key.clone()), ("Hookbox-Type", key.clone())], key)
        });
        published = wanted;
        if number <= size.kills {
            // In the middle of taking what was published last.
            until("messages that are taken", size.patience(), || {
                (sharing.open(&js)? <= published - before).then_some(())
            });
            *killed.entry(kill_one(&mut fleet, &mut server, &mut rng)).or_default() += 1;
        }
    }
    println!("in: {killed:?}, published after {:?}", started.elapsed());
    until("a consumer that is done", size.patience(), || (sharing.open(&js)? == 0).then_some(()));
    println!("in: taken after {:?}", started.elapsed());
    let at_two = check_boxes(&fleet, size.events);
    assert!(sharing == Sharing::Consumer || at_two == 0, "{at_two} messages are two events");
}

fn a_fleet_box(number: usize, sharing: Sharing, server: &NatsServer) -> FleetBox {
    let mut home = Home::new();
    let daemon = a_box(&mut home, &[]);
    let name = format!("box-{number}");
    let config = configuration(&home, &name, &server.url(), &sharing.route(number));
    // One after the other: the first makes the consumer.
    let bridge = Some(Bridge::start(&config));
    FleetBox { home, config, daemon: Some(daemon), bridge, addr: Default::default() }
}

/// Holds the events of all boxes against what was published; how many are events at two.
fn check_boxes(fleet: &[FleetBox], published: u64) -> usize {
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
    at_two
}

fn has_repetition(at: &[usize]) -> bool {
    let mut sorted = at.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}
