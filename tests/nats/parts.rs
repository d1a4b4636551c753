//! Boxes that share a stream by its parts: each message is one event, also when a part changes
//! hands, and when the number of parts changes.

use std::collections::BTreeMap;
use std::ops::Range;

use async_nats::jetstream::stream::SubjectTransform;

use crate::bridge::{Bridge, METRICS, configuration, run};
use crate::intake::{a_box, route};
use crate::server::NatsServer;
use crate::streams::Js;
use crate::support::{Daemon, Home, SOON, until};

/// A box of several that share the stream `JOBS`.
struct PartBox {
    home: Home,
    daemon: Daemon,
    name: String,
}

impl PartBox {
    fn new(number: usize) -> Self {
        let mut home = Home::new();
        let daemon = a_box(&mut home, &[]);
        Self { home, daemon, name: format!("box-{number}") }
    }

    /// Its configuration, with a route for each of these parts.
    fn config(&self, server: &NatsServer, parts: &[&str]) -> String {
        let one = |part: &&str| {
            route("admin").replace("[in.create]", &format!("part = \"{part}\"\n[in.create]"))
        };
        let routes: String = parts.iter().map(one).collect();
        configuration(&self.home, &self.name, &server.url(), &format!("{METRICS}{routes}"))
    }

    fn bridge(&self, server: &NatsServer, parts: &[&str]) -> Bridge {
        Bridge::start(&self.config(server, parts))
    }
}

const LIST: [&str; 6] = ["event", "list", "--source", "jobs", "--limit", "1000"];

fn numbered(parts: usize) -> SubjectTransform {
    let (source, destination) = ("jobs.>".to_owned(), format!("{{{{random({parts})}}}}.jobs.>"));
    SubjectTransform { source, destination }
}

fn publish(js: &Js, numbers: Range<u64>) {
    js.publish_all(numbers, |number| {
        let key = format!("job-{number}");
        ("jobs.a", vec![("Nats-Msg-Id", key.clone()), ("Hookbox-Type", key.clone())], key)
    });
}

/// Waits until the boxes have so many events, of which none is there twice.
#[track_caller]
fn await_events(boxes: &[PartBox], wanted: usize) {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    until(&format!("{wanted} events"), SOON, || {
        seen.clear();
        for event in boxes.iter().flat_map(|one| one.daemon.lines(&LIST)) {
            *seen.entry(event["type"].as_str().expect("a type").to_owned()).or_default() += 1;
        }
        (seen.len() >= wanted).then_some(())
    });
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}

/// What is reported to a box without a part, and how one that takes all says so.
#[test]
fn a_consumer_that_boxes_may_share_is_a_weaker_promise() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |_| {});
    let one = PartBox::new(1);
    let said = run(&["--config", &one.config(&server, &["1/1"]), "--check", "--create"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("made consumer boxes of JOBS"), "{said:?}");
    assert!(!said.stdout.contains("give each box a part"), "{said:?}");

    let shared = configuration(&one.home, "box-1", &server.url(), &route("admin"));
    let said = run(&["--config", &shared, "--check"]);
    let weaker = "JOBS/boxes -> jobs: weaker: a message that comes again within 3d is the same \
                  event at this box alone: another box of this consumer does not know it";
    assert!(said.stdout.contains(weaker), "{said:?}");

    // Another one that takes all hears of the first.
    let other = PartBox::new(2);
    let said = run(&["--config", &other.config(&server, &["1/1"]), "--check"]);
    assert!(said.stdout.contains("weaker: the consumer was made by box-1"), "{said:?}");
}

/// A consumer that takes nothing would stay, and hold a place.
#[test]
fn a_part_that_the_stream_does_not_number_has_no_consumer_made() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |_| {});
    let one = PartBox::new(1);
    let said = run(&["--config", &one.config(&server, &["1/2"]), "--check", "--create"]);
    assert_eq!(said.code, Some(69), "{said:?}");
    assert!(said.stderr.contains("does not number the parts that 1/2 is one of"), "{said:?}");
    assert!(!said.stdout.contains("made consumer"), "{said:?}");
    assert_eq!(js.open("JOBS", "boxes-1"), None);
}

/// A box that is away for long: another one takes its part meanwhile, and gives it back.
#[test]
fn a_part_is_taken_over_and_given_back() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |config| config.subject_transform = Some(numbered(2)));
    let boxes = [PartBox::new(1), PartBox::new(2)];
    let first = boxes[0].bridge(&server, &["1/2"]);
    let second = boxes[1].bridge(&server, &["2/2"]);
    publish(&js, 0..40);
    await_events(&boxes, 40);

    assert_eq!(second.terminate().code(), Some(0));
    publish(&js, 40..80);
    assert_eq!(first.terminate().code(), Some(0));
    let first = boxes[0].bridge(&server, &["1/2", "2/2"]);
    first.await_log("the consumer was made by box-2");
    await_events(&boxes, 80);

    assert_eq!(first.terminate().code(), Some(0));
    let _first = boxes[0].bridge(&server, &["1/2"]);
    let _second = boxes[1].bridge(&server, &["2/2"]);
    publish(&js, 80..120);
    await_events(&boxes, 120);
}

/// Its consumers go on where they were: messages that were taken do not come again.
#[test]
fn the_number_of_parts_grows_and_shrinks() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |config| config.subject_transform = Some(numbered(2)));
    let boxes = [PartBox::new(1), PartBox::new(2), PartBox::new(3)];
    let mut bridges = vec![boxes[0].bridge(&server, &["1/2"]), boxes[1].bridge(&server, &["2/2"])];
    publish(&js, 0..40);
    await_events(&boxes, 40);

    // The server first: what runs goes on, and what is new for the third box waits for it.
    js.update("JOBS", |config| config.subject_transform = Some(numbered(3)));
    publish(&js, 40..80);
    bridges.push(boxes[2].bridge(&server, &["3/3"]));
    await_events(&boxes, 80);
    for (number, part) in ["1/3", "2/3"].into_iter().enumerate() {
        let new = |old: Bridge| {
            assert_eq!(old.terminate().code(), Some(0));
            boxes[number].bridge(&server, &[part])
        };
        let old = bridges.remove(number);
        bridges.insert(number, new(old));
    }
    publish(&js, 80..120);
    await_events(&boxes, 120);

    // The last box takes what waits for it, and goes.
    js.update("JOBS", |config| config.subject_transform = Some(numbered(2)));
    publish(&js, 120..160);
    await_events(&boxes, 160);
    until("the end of its part", SOON, || (js.open("JOBS", "boxes-3")? == 0).then_some(()));
    for bridge in bridges {
        assert_eq!(bridge.metric("hookbox_nats_in_duplicates_total"), Some(0));
        assert_eq!(bridge.terminate().code(), Some(0));
    }
    let _bridges = [boxes[0].bridge(&server, &["1/2"]), boxes[1].bridge(&server, &["2/2"])];
    publish(&js, 160..200);
    await_events(&boxes, 200);
}
