use super::{Link, LinkChange, LinkEvidence, Locality, locality};
use crate::model::{AttemptFault, AttemptReport, Endpoint, limits};

fn far(host: &str) -> Locality {
    Locality::Far(host.to_owned())
}

#[test]
fn localities_are_distinguished() {
    let at =
        |url: &str, allow_private| locality(&Endpoint { allow_private, ..Endpoint::new("e", url) });
    for here in [
        "http://127.0.0.1:80/x",
        "http://[::1]:8/",
        "http://localhost/",
        "unix:/run/a:/",
        "exec:/bin/a",
    ] {
        assert_eq!(at(here, true), Locality::Here, "{here}");
    }
    assert_eq!(at("https://A.example:444/x", false), far("a.example"));
    assert_eq!(at("http://192.0.2.7/", true), Locality::Near("192.0.2.7".into()));
}

#[test]
fn one_silent_host_is_its_own_fault_and_two_are_the_links() {
    let mut link = Link::default();
    let out = LinkEvidence::Failed(AttemptFault::Unreachable);
    assert_eq!(link.learn(1, &far("a"), out, 1_000), LinkChange::None);
    assert_eq!(link.learn(1, &far("a"), out, 2_000), LinkChange::None);
    assert_eq!(link.learn(2, &far("b"), out, 3_000), LinkChange::None, "that may be chance");

    let t = 1_000 + limits::LINK_SPAN_MS;
    assert_eq!(link.learn(2, &far("b"), out, t), LinkChange::WentOffline);
    assert!(link.keeps_back(1) && link.keeps_back(2) && !link.keeps_back(3));
    assert!(link.candidates(t + 500).is_empty());
    assert_eq!(link.candidates(t + 1_000), [1, 2]);

    link.probes(1);
    assert!(link.candidates(t + 1_000).is_empty(), "one at a time");
    assert_eq!(link.learn(1, &far("a"), out, t + 2_000), LinkChange::None);
    assert!(link.candidates(t + 3_000).is_empty(), "the gap has doubled");
    assert_eq!(link.candidates(t + 4_000), [2, 1]);

    link.probes(2);
    assert_eq!(
        link.learn(2, &far("b"), LinkEvidence::Reached { at: t + 4_100 }, t + 4_100),
        LinkChange::CameBack
    );
    assert!(!link.keeps_back(1));
}

#[test]
fn dead_hosts_beside_one_that_answers_are_dead_hosts() {
    let mut link = Link::default();
    for n in 0..100 {
        let now = n * 100;
        assert_eq!(
            link.learn(999, &far("good"), LinkEvidence::Reached { at: now }, now),
            LinkChange::None
        );

        let id = u32::try_from(n).expect("a small number");
        let failed = LinkEvidence::Failed(AttemptFault::Unreachable);
        assert_eq!(link.learn(id, &far(&format!("dead{n}")), failed, now), LinkChange::None);
    }
}

#[test]
fn no_route_is_enough_and_our_own_machine_is_no_evidence() {
    let mut link = Link::default();
    assert_eq!(
        link.learn(1, &Locality::Here, LinkEvidence::Failed(AttemptFault::NoRoute), 1),
        LinkChange::None
    );
    assert_eq!(
        link.learn(1, &far("a"), LinkEvidence::Failed(AttemptFault::NoRoute), 1),
        LinkChange::WentOffline
    );
    assert_eq!(
        link.learn(7, &Locality::Near("printer".into()), LinkEvidence::Reached { at: 2 }, 2),
        LinkChange::None,
        "near hosts are not evidence"
    );

    link.forget(1);
    assert!(link.offline.is_none());
}

#[test]
fn a_host_without_a_route_beside_others_that_answer_is_soon_its_own_fault() {
    let mut link = Link::default();
    let no_route = LinkEvidence::Failed(AttemptFault::NoRoute);

    // Host six has no route, and host four answers.
    for n in 0..limits::LINK_LOST {
        let now = u64::from(n) * 1_000;
        assert_eq!(link.learn(1, &far("six"), no_route, now), LinkChange::WentOffline);
        assert_eq!(
            link.learn(2, &far("four"), LinkEvidence::Reached { at: now + 5 }, now + 5),
            LinkChange::CameBack
        );
    }

    assert_eq!(link.learn(1, &far("six"), no_route, 10_000), LinkChange::None);
    assert!(!link.away.contains(&1), "its attempts count");

    assert_eq!(
        link.learn(2, &far("four"), no_route, 11_000),
        LinkChange::WentOffline,
        "that is the link"
    );
    assert_eq!(link.learn(1, &far("six"), no_route, 11_500), LinkChange::None);
    assert!(link.keeps_back(1), "as long as there is none for anybody");
    assert_eq!(
        link.learn(1, &far("six"), LinkEvidence::Reached { at: 12_000 }, 12_000),
        LinkChange::CameBack
    );
    assert_eq!(
        link.learn(1, &far("six"), no_route, 13_000),
        LinkChange::WentOffline,
        "there was a route meanwhile"
    );
}

#[test]
fn an_attempt_that_was_in_flight_when_the_link_went_down_is_no_answer() {
    let mut link = Link::default();
    assert_eq!(
        link.learn(1, &far("a"), LinkEvidence::Failed(AttemptFault::NoRoute), 1_000),
        LinkChange::WentOffline
    );

    // Out since before, on a connection of its own; and sent since, on one from before. Both are
    // cut off much later.
    assert_eq!(
        link.learn(2, &far("b"), LinkEvidence::Reached { at: 900 }, 16_000),
        LinkChange::None
    );
    assert_eq!(link.learn(3, &far("c"), LinkEvidence::Silence, 16_000), LinkChange::None);
    assert!(
        link.keeps_back(2) && link.keeps_back(3),
        "they wait with the others, and nothing counts"
    );

    link.probes(3);
    assert_eq!(link.learn(3, &far("c"), LinkEvidence::Silence, 31_000), LinkChange::None);
    assert_eq!(
        link.offline.map(|offline| (offline.probing, offline.probe_at)),
        Some((None, 33_000))
    );
    assert_eq!(
        link.learn(2, &far("b"), LinkEvidence::Reached { at: 40_000 }, 55_000),
        LinkChange::CameBack
    );
}

#[test]
fn endpoints_with_nothing_to_send_are_not_looked_at_until_they_may_have_something() {
    let mut link = Link::default();
    link.learn(1, &far("a"), LinkEvidence::Failed(AttemptFault::NoRoute), 1_000);
    let due = 1_000 + limits::LINK_GAP_MS;
    assert_eq!(link.candidates(due), [1]);

    link.rest(u64::MAX);
    link.look_again(2, due);
    assert!(link.candidates(due + 60_000).is_empty(), "another one does not wait for the link");

    link.look_again(1, due + 100);
    link.look_again(1, due + 500);
    assert!(link.candidates(due + 99).is_empty() && link.candidates(due + 100) == [1]);
}

#[test]
fn an_endpoint_that_leads_to_this_machine_by_now_waits_no_more() {
    let mut link = Link::default();
    link.learn(1, &far("a"), LinkEvidence::Failed(AttemptFault::NoRoute), 1_000);
    link.learn(2, &far("b"), LinkEvidence::Failed(AttemptFault::NoRoute), 1_000);
    link.probes(1);
    assert_eq!(
        link.learn(1, &Locality::Here, LinkEvidence::Reached { at: 2_500 }, 2_500),
        LinkChange::None
    );
    assert_eq!(link.candidates(2_500), [2], "the next one has its turn");
    assert_eq!(
        link.learn(2, &Locality::Here, LinkEvidence::Failed(AttemptFault::Unreachable), 3_000),
        LinkChange::CameBack
    );
}

#[test]
fn silence_on_a_connection_neither_accuses_the_link_nor_clears_it() {
    let mut link = Link::default();
    let out = LinkEvidence::Failed(AttemptFault::Unreachable);
    assert_eq!(link.learn(1, &far("a"), out, 1_000), LinkChange::None);
    assert_eq!(link.learn(2, &far("b"), LinkEvidence::Silence, 2_000), LinkChange::None);
    assert_eq!(
        link.learn(3, &far("c"), LinkEvidence::Reached { at: 500 }, 3_000),
        LinkChange::None,
        "that was before"
    );
    assert_eq!(link.learn(1, &far("a"), out, 9_000), LinkChange::None, "one host alone");
    assert_eq!(link.learn(2, &far("b"), out, 9_000), LinkChange::WentOffline);
}

#[test]
fn evidence_is_as_old_as_its_connection() {
    let report = |fault, connect_ms| AttemptReport {
        started_at: 1,
        duration_ms: 15_000,
        connect_ms,
        outcome: crate::model::Outcome::Retryable { after_ms: None },
        request: crate::model::RequestHead::default(),
        response: None,
        error: None,
        fault,
        command: None,
    };
    let evidence = |fault, connect_ms| LinkEvidence::by(&report(fault, connect_ms), 20_000);

    assert_eq!(evidence(None, None), LinkEvidence::Reached { at: 20_000 });
    assert_eq!(
        evidence(Some(AttemptFault::Unclear), Some(100)),
        LinkEvidence::Reached { at: 5_100 }
    );
    assert_eq!(evidence(Some(AttemptFault::Unclear), None), LinkEvidence::Silence);
    assert_eq!(
        evidence(Some(AttemptFault::NoRoute), None),
        LinkEvidence::Failed(AttemptFault::NoRoute)
    );
}
