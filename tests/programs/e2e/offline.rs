//! The link goes away, for real: the daemon stands in a network of its own, whose cable is pulled.
//! Needs root.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::admin::Admin;
use super::support::network::{FAR, NEAR, Network};
use super::support::{Daemon, Home, Receiver, SOON, Step, keeps_rate, until, wall_ms};
use super::{open_source, text};

/// A daemon behind a cable, with receivers beyond it and one at home.
struct World {
    daemon: Daemon,
    near: Receiver,
    far: [Receiver; 2],
    /// On this machine, over a Unix socket: `/notices` gets the daemon's own events, `/local` all
    /// others.
    home_receiver: Receiver,
    network: Network,
    _home: Home,
}

impl World {
    fn new() -> Self {
        let network =
            Network::new().unwrap_or_else(|why| panic!("this test cannot run here: {why}"));
        let mut home = Home::new();
        home.args =
            vec!["--listen".to_owned(), format!("unix:{}", home.path().join("in.sock").display())];
        home.under = network.inside();
        let daemon = home.start();

        let near = Receiver::on(network.listen(NEAR));
        let far = FAR.map(|address| Receiver::on(network.listen(address)));
        let socket = home.path().join("out.sock");
        let home_receiver = Receiver::start_unix(&socket);

        open_source(&daemon, "in");
        let unix = |path: &str| format!("unix:{}:{path}", socket.display());
        daemon.json(&[
            "endpoint",
            "create",
            "notices",
            "--url",
            &unix("/notices"),
            "--from",
            "hookbox",
        ]);
        daemon.json(&["endpoint", "create", "local", "--url", &unix("/local"), "--from", "in"]);
        Self { daemon, near, far, home_receiver, network, _home: home }
    }

    /// An endpoint beyond the cable, retried every 300 ms.
    fn endpoint(&self, name: &str, url: &str, more: &[&str]) {
        let retries = ["--retry-base", "300ms", "--retry-max", "300ms", "--jitter", "0"];
        self.daemon
            .json(&[&["endpoint", "create", name, "--url", url][..], &retries, more].concat());
    }

    fn send(&self, count: usize) {
        for _ in 0..count {
            self.daemon
                .json(&["event", "send", "--source", "in", "--type", "test", "--data", "{}"]);
        }
    }

    fn status(&self) -> Value {
        self.daemon.json(&["status"])
    }

    fn is_online(&self) -> bool {
        self.status()["link"]["online"].as_bool().expect("it says so")
    }

    /// The notices of one type.
    fn notices(&self, kind: &str) -> Vec<Value> {
        let seen = self.home_receiver.seen("/notices");
        let of_kind = seen.iter().filter(|seen| seen.header("hookbox-type") == Some(kind));
        of_kind
            .map(|seen| serde_json::from_slice::<Value>(&seen.body).expect("JSON")["data"].clone())
            .collect()
    }

    /// The deliveries of an endpoint, each with its history.
    fn deliveries(&self, endpoint: &str) -> Vec<Value> {
        let mut admin = Admin::connect(&self.daemon.socket).expect("the socket");
        let all = self.daemon.lines(&["delivery", "list", "--endpoint", endpoint]);
        let show = |one: &Value| {
            admin.get(&format!("/v1/deliveries/{}", text(one, "id"))).expect("an answer").1
        };
        all.iter().map(show).collect()
    }
}

#[test]
#[ignore = "needs root and network namespaces (iproute2)"]
fn an_outage_costs_no_attempts_and_its_backlog_comes_at_a_pace() {
    let world = World::new();
    let World { daemon, near, far, network, .. } = &world;
    // One counted failure would be the end of a delivery, or one after more than five seconds.
    let once = ["--timeout", "2s", "--max-attempts", "1"];
    let young = ["--timeout", "2s", "--max-age", "5s"];
    world.endpoint("near", &near.url("/"), &[&young[..], &["--allow-private"]].concat());
    world.endpoint("far", &far[0].url("/"), &once);
    world.endpoint("paced", &far[1].url("/"), &[&once[..], &["--catch-up-rate", "5/s"]].concat());
    let beyond = ["near", "far", "paced"];
    // Each has a connection from before: what is sent on it is not refused, it finds nobody.
    world.send(1);
    daemon.await_count("delivered", 4);

    network.unplug().expect("the cable can be pulled");
    world.send(6);
    until("the daemon to notice", SOON, || (!world.is_online()).then_some(()));
    let since = wall_ms(&world.status()["link"]["offline_since"]);
    nobody_is_reached_and_nothing_is_given_up(&world, &beyond, since);

    near.script("/", [Step::Status(500)]);
    network.plug().expect("the cable can be put back");
    until("everything to be delivered", SOON, || {
        let deliveries = &world.status()["deliveries"];
        assert_eq!(deliveries["dead"], 0, "given up: {deliveries}");
        (deliveries["pending"] == 0 && deliveries["in_flight"] == 0).then_some(())
    });
    assert!(world.is_online());
    assert_eq!(world.notices("hookbox.online").len(), 1);
    assert_eq!(
        daemon.lines(&["event", "list", "--source", "hookbox"]).len(),
        2,
        "an outage is two messages"
    );

    for receiver in [near, &far[0], &far[1]] {
        let ids: BTreeSet<String> =
            receiver.all().iter().map(|seen| seen.id().to_owned()).collect();
        assert_eq!(ids.len(), 11);
    }
    uncounted_and_probed_one_by_one(&world, &beyond, since);
    comes_at_a_pace(&world);
}

/// While the link is down, what comes in is accepted, what lies on this machine is reached, and
/// the rest waits for probes.
fn nobody_is_reached_and_nothing_is_given_up(world: &World, beyond: &[&str; 3], since: u64) {
    let daemon = &world.daemon;
    world.send(4);
    daemon.await_count("delivered", 4 + 10 + 1);
    assert_eq!(world.notices("hookbox.offline").len(), 1);

    let away = daemon.lines(&["endpoint", "list", "--state", "offline"]);
    let away: BTreeSet<&str> = away.iter().map(|endpoint| text(endpoint, "name")).collect();
    assert_eq!(away, BTreeSet::from(*beyond));
    let waiting = daemon.lines(&["delivery", "list", "--endpoint", "far", "--state", "pending"]);
    let why = daemon.json(&["delivery", "explain", text(&waiting[0], "id")]);
    assert_eq!(text(&why["reasons"][0], "kind"), "offline", "{why}");

    // Longer than the age of one allows: after 1, 2 and 4 s there is nobody, and the next probe is
    // set.
    let mut probes = BTreeSet::new();
    until("three probes", SOON, || {
        let link = world.status()["link"].clone();
        assert_eq!(link["online"], false, "nobody has answered: {link}");
        probes.insert(wall_ms(&link["next_probe_at"]));
        (probes.iter().any(|at| at - since > 10_000)).then_some(())
    });
    assert_eq!(world.notices("hookbox.online").len(), 0);
    assert_eq!(world.status()["deliveries"]["pending"], 30, "{}", world.status());
}

/// The probe or what was under way, and then one each 200 ms.
fn comes_at_a_pace(world: &World) {
    let delivered = world.deliveries("paced").into_iter().map(|delivery| {
        let last = delivery["history"]
            .as_array()
            .and_then(|history| history.last())
            .expect("it was delivered");
        wall_ms(&last["started_at"])
    });

    let mut delivered: Vec<u64> = delivered.collect();
    delivered.sort_unstable();
    keeps_rate(&delivered[1..], 5.0, 5.0);
}

/// No failure but the one that was an answer counts, and of those made while the link was known to
/// be down none came before its time.
fn uncounted_and_probed_one_by_one(world: &World, beyond: &[&str], since: u64) {
    let mut probes = Vec::new();
    for delivery in beyond.iter().flat_map(|endpoint| world.deliveries(endpoint)) {
        let history = delivery["history"].as_array().expect("a list");
        let (last, before) = history.split_last().expect("it was delivered");
        assert_eq!(last["outcome"], "delivered", "{delivery}");
        let (failed, answered): (Vec<_>, Vec<_>) =
            before.iter().partition(|attempt| attempt["status"].is_null());
        assert_eq!(delivery["attempts"], answered.len() + 1, "{delivery}");
        assert!(failed.iter().all(|attempt| attempt["counted"] == false), "{delivery}");

        // What was under way when the link was given up is not a probe.
        probes.extend(
            failed
                .iter()
                .map(|attempt| wall_ms(&attempt["started_at"]))
                .filter(|at| *at > since + 500),
        );
    }

    probes.sort_unstable();
    assert!(probes.len() >= 3, "{probes:?}");
    let gaps =
        std::iter::once(&since).chain(&probes).zip(&probes).map(|(before, probe)| probe - before);
    for (gap, at_least) in gaps.zip([1_000, 2_000, 4_000, 8_000]) {
        assert!(
            gap + 50 >= at_least,
            "a probe after {gap} ms instead of {at_least}: {probes:?} since {since}"
        );
    }
}

#[test]
#[ignore = "needs root and network namespaces (iproute2)"]
fn two_hosts_that_fall_silent_are_the_link_and_one_is_its_own_fault() {
    let world = World::new();
    let World { daemon, far, network, .. } = &world;
    world.endpoint("a", &far[0].url("/"), &["--timeout", "1s"]);
    world.endpoint("b", &far[1].url("/"), &["--timeout", "1s"]);
    world.send(1);
    daemon.await_count("delivered", 3);

    network.silence(FAR[1]).expect("a host can go");
    world.send(1);
    // The other one answers meanwhile: it is not the link, however long it takes.
    let attempts = || world.deliveries("b").iter().filter_map(|d| d["attempts"].as_u64()).max();
    until("enough failures of one host", SOON, || (attempts() >= Some(6)).then_some(()));
    assert!(world.is_online());
    daemon.await_count("delivered", 5);

    network.silence(FAR[0]).expect("the other one as well");
    world.send(1);
    until("the daemon to notice", SOON, || (!world.is_online()).then_some(()));

    let away = daemon.lines(&["endpoint", "list", "--state", "offline"]);
    assert_eq!(away.len(), 2);
    for host in FAR {
        network.answer(host).expect("a host can come back");
    }

    daemon.await_count("pending", 0);
    until("the daemon to notice", SOON, || world.is_online().then_some(()));
    assert_eq!(
        (world.notices("hookbox.offline").len(), world.notices("hookbox.online").len()),
        (1, 1)
    );
    assert_eq!(world.status()["deliveries"]["dead"], 0);
}

/// An address that anybody could have, and that is this machine's: what listens there trusts who is
/// here.
#[test]
#[ignore = "needs root and network namespaces (iproute2)"]
fn addresses_of_this_machine_are_not_dialled() {
    let world = World::new();
    let own = "3ffe:8::1";
    world.network.own(&format!("{own}/128")).expect("one more address");
    let url = format!("http://[{own}]:8080/");
    let refused = world.daemon.ctl().try_json(&["endpoint", "create", "own", "--url", &url]);
    assert!(
        refused.code == Some(64) && refused.stderr.contains("an address of this machine"),
        "{}",
        refused.stderr
    );
    world.daemon.json(&["endpoint", "create", "meant", "--url", &url, "--allow-private"]);
    // As long as it is another's, it may be dialled.
    world.daemon.json(&["endpoint", "create", "other", "--url", "http://[3ffe:8::2]:8080/"]);
}
