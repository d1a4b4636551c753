//! What is said at the start: what the promise is, and what is missing.

use crate::bridge::{Bridge, METRICS, configuration, run};
use crate::out::{ROUTE, a_box};
use crate::server::NatsServer;
use crate::streams::Js;
use crate::support::Home;

#[test]
fn the_check_says_what_the_stream_promises() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |config| {
        config.storage = async_nats::jetstream::stream::StorageType::Memory;
        config.max_messages = 10;
    });
    let home = Home::new();
    let _daemon = a_box(&home, &[]);
    let config = configuration(&home, "box-1", &server.url(), ROUTE);
    let said = run(&["--config", &config, "--check"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in [
        "the configuration is valid",
        "stream -> HOOKS: weaker: storage is memory",
        "weaker: at max_msgs 10 the oldest messages are dropped",
        "promise: an event that is published again within 1h is stored once",
        "weaker: the stream takes messages of 1.0 MiB with their headers",
    ] {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }

    // With the monitoring port it is known how often it syncs.
    js.stream("FILES", &["files.>"], |_| {});
    let route = ROUTE.replace("HOOKS", "FILES") + "subject = \"files.{source}.{type}\"\n";
    let text = std::fs::read_to_string(configuration(&home, "box-1", &server.url(), &route));
    let text = text.expect("just written");
    let with = |more: &str| {
        let changed = text.replace("[nats]\n", &format!("[nats]\n{more}"));
        run(&["--config", &home.write("nats.toml", &changed), "--check"])
    };
    let said = with("");
    assert!(said.stdout.contains("weaker: sync_interval is not known"), "{said:?}");
    let monitoring = format!("monitoring = \"{}\"\n", server.monitoring);
    let said = with(&monitoring);
    assert!(
        said.stdout.contains("promise: each message is synced to disk before it is acknowledged"),
        "{said:?}"
    );

    // What is weaker is an error where that is asked for.
    let said = with("strict = true\n");
    assert_eq!(said.code, Some(78), "{said:?}");
    assert!(said.stderr.contains("(strict = true asks for more)"), "{said:?}");
}

#[test]
fn what_is_missing_is_said_and_made_only_when_it_was_asked_for() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    daemon.json(&["source", "create", "jobs", "--verify", "none"]);
    let routes = format!(
        "{ROUTE}[out.create]\nduplicate_window = \"3h\"\nmax_bytes = \"10MiB\"\n\
         [[in]]\nstream = \"HOOKS\"\nconsumer = \"back\"\nsource = \"jobs\"\n\
         [in.create]\nfilter = [\"hooks.box-2.>\"]\n"
    );
    let config = configuration(&home, "box-1", &server.url(), &routes);
    let said = run(&["--config", &config]);
    assert_eq!(said.code, Some(69), "{said:?}");
    assert!(said.stderr.contains("there is no stream HOOKS: make it, or let it"), "{said:?}");
    assert!(js.try_count("HOOKS").is_none(), "nothing was made");

    let said = run(&["--config", &config, "--check", "--create"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("made stream HOOKS: {\"name\":\"HOOKS\""), "{said:?}");
    assert!(said.stdout.contains("made consumer back of HOOKS"), "{said:?}");
    let made = js.info("HOOKS").config;
    assert_eq!(made.subjects, ["hooks.*.*.*"], "each box has its own in them");
    assert_eq!(made.duplicate_window, std::time::Duration::from_secs(3 * 3600));
    assert_eq!(made.max_bytes, 10 << 20);
    assert_eq!(made.discard, async_nats::jetstream::stream::DiscardPolicy::New);

    // What is there is left as it is, and the next box publishes to the same stream.
    for name in ["box-1", "box-2"] {
        let config = configuration(&home, name, &server.url(), &routes);
        let said = run(&["--config", &config, "--check", "--create"]);
        assert!(said.code == Some(0) && !said.stdout.contains("made "), "{name}: {said:?}");
    }
}

/// What hookbox publishes comes back to it, and is published again.
#[test]
fn routes_in_a_circle_are_named() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    js.stream("JOBS", &["jobs.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    daemon.json(&["source", "create", "jobs", "--verify", "none"]);
    let said_of = |stream: &str, filter: &str| {
        let back = format!(
            "[[in]]\nstream = \"{stream}\"\nconsumer = \"{}\"\nsource = \"jobs\"\n\
             [in.create]\nfilter = [\"{filter}\"]\n",
            filter.replace(['.', '*', '>'], "_")
        );
        let routes = format!("{ROUTE}{back}");
        let config = configuration(&home, "box-1", &server.url(), &routes);
        let said = run(&["--config", &config, "--check", "--create"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout.contains("-> jobs: weaker: its events go back to HOOKS, by the route stream")
    };

    assert!(said_of("HOOKS", "hooks.>") && said_of("HOOKS", "hooks.box-2.>"));
    assert!(!said_of("HOOKS", "hooks.*.app.*") && !said_of("JOBS", "jobs.>"));
    daemon.json(&["endpoint", "update", "stream", "--from", "app"]);
    assert!(!said_of("HOOKS", "hooks.>"));
}

#[test]
fn a_route_in_says_what_its_stream_keeps() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |config| {
        config.storage = async_nats::jetstream::stream::StorageType::Memory;
        config.max_messages = 10;
    });
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    daemon.json(&["source", "create", "jobs", "--verify", "none", "--dedupe-window", "0"]);
    let route = "[[in]]\nstream = \"JOBS\"\nconsumer = \"boxes\"\nsource = \"jobs\"\n";
    let config = configuration(&home, "box-1", &server.url(), route);
    let said = run(&["--config", &config, "--check", "--create"]);
    for part in [
        "JOBS/boxes -> jobs: weaker: storage is memory",
        "JOBS/boxes -> jobs: weaker: at max_msgs 10 the oldest messages are dropped",
        "JOBS/boxes -> jobs: weaker: --dedupe-window of the source is 0",
    ] {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }
}

#[test]
fn what_cannot_work_is_said_with_what_to_do() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    js.stream("OTHER", &["other.>"], |config| config.no_ack = true);
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    daemon.json(&["endpoint", "create", "web", "--url", "https://example.com/"]);
    for (routes, part) in [
        (ROUTE.replace("\"stream\"", "\"none\""), "hookbox has no endpoint none: hookboxctl"),
        (ROUTE.replace("\"stream\"", "\"web\""), "name one with --url pull:"),
        (format!("{ROUTE}subject = \"x.{{type}}\"\n"), "and not all of x.*"),
        (
            ROUTE.replace("HOOKS", "OTHER") + "subject = \"other.{type}\"\n",
            "acknowledges nothing (no_ack)",
        ),
        (
            "[[in]]\nstream = \"HOOKS\"\nconsumer = \"c\"\nsource = \"app\"\n".to_owned(),
            "stream HOOKS has no consumer c",
        ),
        (
            "[[in]]\nstream = \"HOOKS\"\nconsumer = \"c\"\npart = \"1/3\"\nsource = \"app\"\n"
                .to_owned(),
            "stream HOOKS has no consumer c-1:",
        ),
        (
            "[[in]]\nstream = \"HOOKS\"\nconsumer = \"c\"\nsource = \"none\"\n".to_owned(),
            "hookbox has no source none: hookboxctl",
        ),
        (
            "[[in]]\nstream = \"NONE\"\nconsumer = \"c\"\nsource = \"app\"\n".to_owned(),
            "there is no stream NONE: make it; --create makes those of [[out]]",
        ),
    ] {
        let said = run(&["--config", &configuration(&home, "box-1", &server.url(), &routes)]);
        assert_eq!(said.code, Some(69), "{routes}: {said:?}");
        assert!(said.stderr.contains(part), "{part}: {said:?}");
    }

    // What is known of a stream is said, also where it cannot work.
    let route = ROUTE.replace("HOOKS", "OTHER") + "subject = \"other.{type}\"\n";
    let config = configuration(&home, "box-1", &server.url(), &route);
    let said = run(&["--config", &config, "--check"]);
    assert_eq!(said.code, Some(69), "{said:?}");
    for part in ["OTHER: impossible: OTHER acknowledges nothing", "OTHER: promise: one replica"] {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }

    // The last change that could not be seen at the start: refused at each publish.
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), ROUTE));
    assert_eq!(bridge.terminate().code(), Some(0));
}

#[test]
fn a_configuration_that_is_wrong_ends_it_with_its_line() {
    let home = Home::new();
    let config = configuration(&home, "box-1", "nats://127.0.0.1:1", "[[out]]\nendpiont = \"a\"\n");
    let said = run(&["--config", &config, "--check"]);
    assert_eq!(said.code, Some(78), "{said:?}");
    assert!(
        said.stderr.contains("nats.toml:8: unknown field `endpiont`: did you mean"),
        "{said:?}"
    );
    assert_eq!(run(&["--frobnicate"]).code, Some(64));
    let page = run(&["--man"]).stdout;
    for part in [".TH hookbox-nats 8", "/etc/hookbox/nats/NAME.toml", ".SH \"SEE ALSO\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn metrics_are_served_on_loopback() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let routes = format!("{METRICS}{ROUTE}");
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &routes));
    daemon.accept("/in/app", &[], b"x");
    daemon.await_count("delivered", 1);
    crate::support::until("the counts", crate::support::SOON, || {
        let page = bridge.metrics()?;
        let has = |text: &str| page.lines().any(|line| line == text);
        (has("hookbox_nats_out_acknowledged_total{route=\"stream -> HOOKS\"} 1")
            && has("hookbox_nats_out_published_total{route=\"stream -> HOOKS\"} 1")
            && has("hookbox_nats_connected 1"))
        .then_some(())
    });
}
