//! What is shown.

use super::{NOW, TopAnswer, TopCommand, TopScreen, TopWorld, ascii, id};
use crate::api::views::{TailView, UnusableSourceView};
use crate::ctl::top::commands::TopQuery;
use crate::ctl::top::data::TopKnown;
use crate::ctl::top::keys::TopKey;
use crate::ctl::top::model::TopMode;
use crate::ctl::top::view::widest;

#[test]
fn endpoints_that_fail_stand_first_with_their_reason() {
    let world = TopWorld::new(TopScreen::Endpoints);
    assert_eq!(world.listed(), ["bad", "crm", "app"]);
    let screen = world.screen();
    for part in [
        "hookbox 0.1.0  up 3h12m  accepting  41 waiting  7 held  30 dead  1.5 KiB left",
        "bad              failing          41     13m      0 in 48s   answered 500: the",
        "crm              held              7      8h      0 -        answered 410 Gone",
        "1 overview  2 endpoints",
    ] {
        assert!(screen.contains(part), "{part} in\n{screen}");
    }
}

#[test]
fn every_view_fits_every_size() {
    for screen in TopScreen::ALL {
        for size in [(80, 24), (200, 1100), (40, 10), (20, 3), (1, 1)] {
            let mut world = TopWorld::new(screen);
            world.size = size;
            for mode in ["", "?", "/x", "\u{1b}\n", "q"] {
                world.keys(mode);
                world.screen();
            }
        }
    }
    let mut world = TopWorld::new(TopScreen::Dead);
    world.style = ascii();
    world.size = (60, 24);
    let screen = world.screen();
    assert!(screen.is_ascii(), "{screen}");
}

#[test]
fn text_from_elsewhere_is_harmless() {
    let world = TopWorld::new(TopScreen::Dead);
    let screen = world.screen();
    assert!(screen.contains("\\x1b[3") && !screen.contains('\u{1b}'), "{screen}");
}

#[test]
fn a_filter_is_typed_and_ended() {
    let mut world = TopWorld::new(TopScreen::Dead);
    assert_eq!(world.listed().len(), 30);
    world.keys("/bad");
    assert_eq!(world.model.mode, TopMode::Filter);
    assert!(world.screen().contains("/bad_"), "{}", world.screen());
    world.keys("\n");
    assert_eq!(world.listed().len(), 10);
    // What letters mean again.
    world.keys("j");
    assert_eq!(world.model.listing().filter, "bad");

    world.keys("/");
    for _ in 0..3 {
        world.model.key(TopKey::Backspace);
    }
    world.keys("!bad\n");
    assert_eq!(world.listed().len(), 20);
    world.keys("\u{1b}");
    assert_eq!(world.listed().len(), 30);
}

#[test]
fn rows_are_sorted_by_each_column_and_the_chosen_one_moves_along() {
    let mut world = TopWorld::new(TopScreen::Endpoints);
    world.keys("j");
    let chosen = |world: &TopWorld| {
        let rows = world.model.rows();
        rows[world.model.listing().chosen(&rows)].key.clone()
    };
    assert_eq!(chosen(&world), "crm");
    world.keys("s");
    assert_eq!(world.listed(), ["bad", "crm", "app"], "by what waits");
    world.keys("sS");
    assert_eq!(world.listed(), ["app", "bad", "crm"], "the youngest first");
    assert_eq!(chosen(&world), "crm");
    world.keys("kk");
    assert_eq!(chosen(&world), "app");
    world.keys("G");
    assert_eq!(chosen(&world), "crm");

    let listing = world.model.listing_mut();
    assert!(listing.sort_by("waiting").is_ok());
    let why = listing.sort_by("colour").expect_err("there is none");
    assert!(why.contains("name, state, waiting, oldest"), "{why}");
}

#[test]
fn the_shape_of_a_backlog_is_by_age() {
    let world = TopWorld::new(TopScreen::Shape);
    let screen = world.screen();
    assert!(screen.contains("41 deliveries by age in minutes, all that wait"), "{screen}");
    let line = screen.lines().find(|line| line.starts_with("bad")).expect("a line");
    let numbers: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(numbers, ["bad", "41", ".", "4", "5", "10", "20", "2", ".", ".", ".", "."]);
}

#[test]
fn the_tail_is_followed_once_and_stands_still() {
    let mut world = TopWorld::new(TopScreen::Overview);
    let commands = world.keys("4");
    assert!(commands.contains(&TopCommand::Follow), "{commands:?}");
    assert!(!world.keys("14").contains(&TopCommand::Follow), "it goes on");

    let line = |n: u64| {
        let at = crate::api::values::Time(NOW);
        TopAnswer::Tail(Box::new(TailView::Duplicate { at, id: None, source: None, event_seq: n }))
    };
    world.model.answer(line(1));
    world.keys(" ");
    world.model.answer(line(2));
    assert_eq!(world.listed().len(), 1);
    assert!(world.screen().contains("paused"));
    world.keys(" ");
    assert_eq!(world.listed().len(), 2);
    assert!(world.screen().contains("duplicate of record 2"));

    // What the bar stands on is what Enter opens: of a tail that is followed the last line. And
    // whoever goes up in it reads it.
    let chosen = |world: &TopWorld| {
        let rows = world.model.rows();
        rows[world.model.chosen(&rows)].cells[3].text.clone()
    };
    assert_eq!(chosen(&world), "duplicate of record 2");
    world.keys("k");
    assert_eq!(chosen(&world), "duplicate of record 1");
    assert!(world.model.is_paused && world.screen().contains("paused"), "{}", world.screen());
}

#[test]
fn only_what_is_shown_is_asked_for_and_one_refresh_is_under_way_at_a_time() {
    let mut world = TopWorld::new(TopScreen::Dead);
    let wanted = vec![TopCommand::Refresh(vec![TopQuery::Status, TopQuery::DeadLetters(None)])];
    assert_eq!(world.model.tick(NOW + 2000), wanted);
    assert_eq!(world.model.tick(NOW + 4000), [], "the first is not answered yet");
    world.model.answer(TopAnswer::Away("no daemon".to_owned()));
    world.model.answer(TopAnswer::Refreshed);
    assert!(world.screen().contains("no daemon"), "{}", world.screen());
    let head = world.screen().lines().next().expect("a line").to_owned();
    assert!(head.contains("NO ANSWER, as of 4s ago") && !head.contains("accepting"), "{head}");
    world.keys("j");
    assert!(world.screen().contains("no daemon"), "it stays for as long as it is true");
    assert_eq!(world.listed().len(), 30, "what was known stays");
    assert_eq!(world.model.tick(NOW + 6000), wanted);

    world.model.answer(TopAnswer::Failed("no daemon at all".to_owned()));
    world.model.answer(TopAnswer::Status(Box::new(super::status())));
    assert!(!world.screen().contains("no daemon"), "{}", world.screen());

    world.keys("k");
    let commands = world.keys("\n");
    let delivery = TopQuery::Delivery(id(1));
    let expected =
        TopCommand::Refresh(vec![TopQuery::Status, TopQuery::DeadLetters(None), delivery]);
    assert_eq!(commands, [expected]);
}

#[test]
fn what_was_not_answered_yet_is_not_said_to_be_nothing() {
    for screen in TopScreen::ALL.into_iter().filter(|screen| *screen != TopScreen::Tail) {
        let mut world = TopWorld::new(screen);
        world.model.data.known = TopKnown::default();
        world.model.data.waiting.clear();
        let text = world.screen();
        for wrong in ["0 deliveries", "nothing", "no endpoints", "no dead letters", "is well"] {
            assert!(!text.contains(wrong), "{wrong}: {text}");
        }
    }
}

#[test]
fn the_help_and_the_reason_of_a_hold_are_whole_sentences() {
    let mut world = TopWorld::new(TopScreen::Endpoints);
    let shown = world.screen();
    assert!(shown.contains("answered 410 Gone") && !shown.contains(" gone"), "{shown}");
    world.keys("?");
    let help = world.screen();
    assert!(help.contains("what waits for an endpoint") && !help.contains('~'), "{help}");
}

#[test]
fn what_is_wrong_beside_the_endpoints_stands_above_them() {
    let mut world = TopWorld::new(TopScreen::Overview);
    assert!(!world.screen().contains("\n!"), "{}", world.screen());
    let why = "the secret cannot be read from /s\u{1b}[31m";
    let mut status = super::status();
    status.unusable = 1;
    status.unusable_sources =
        vec![UnusableSourceView { source: "github".to_owned(), reason: why.to_owned() }];
    status.link.online = false;
    world.model.answer(TopAnswer::Status(Box::new(status.clone())));
    for part in [
        "\n! source github refuses every request: the secret cannot be read from /s\\x1b[31m\n",
        "\n! the network is down\n",
        "\nbad ",
    ] {
        assert!(world.screen().contains(part), "{part} in {}", world.screen());
    }

    // A certificate that soon expires needs somebody before it does.
    let mut soon = super::status();
    soon.certificate = Some(super::view(serde_json::json!({
        "expires_at": super::rfc3339(NOW), "valid": true, "warning": "tls.cert: expires in 4 days",
    })));
    world.model.answer(TopAnswer::Status(Box::new(soon)));
    assert!(world.screen().contains("\n! tls.cert: expires in 4 days\n"), "{}", world.screen());

    // Endpoints have most of the lines.
    status.clock.suspect = true;
    status.log.level = "low".to_owned();
    world.model.answer(TopAnswer::Status(Box::new(status)));
    assert!(world.screen().contains("\n! and 2 more: hookboxctl status\n"), "{}", world.screen());
    assert!(world.screen().contains("\nbad "), "{}", world.screen());

    let mut source = super::source("github", &[("mismatch", 3)]);
    source.unusable = Some(why.to_owned());
    let mut world = TopWorld::new(TopScreen::Sources);
    world.model.answer(TopAnswer::Sources(vec![source]));
    assert!(world.screen().contains("EVERY REQUEST: the secret"), "{}", world.screen());
}

#[test]
fn a_list_that_is_cut_says_of_how_many() {
    let mut world = TopWorld::new(TopScreen::Dead);
    assert!(!world.screen().contains("the newest"), "{}", world.screen());
    let letters = (1..=1_000).map(|n| super::dead_letter(n, "bad")).collect();
    world.model.answer(TopAnswer::DeadLetters(letters));
    let mut status = super::status();
    status.deliveries.dead = 2_600;
    world.model.answer(TopAnswer::Status(Box::new(status)));
    assert!(world.screen().contains("the newest 1000 of 2600 dead letters"), "{}", world.screen());
    world.keys("*d");
    assert!(world.screen().contains("Discard 1000 of 2600 dead letters for good?"));
}

#[test]
fn the_time_of_a_line_of_the_tail_has_its_seconds() {
    let mut world = TopWorld::new(TopScreen::Tail);
    let at = crate::api::values::Time(NOW);
    world.model.answer(TopAnswer::Tail(Box::new(TailView::Duplicate {
        at,
        id: None,
        source: None,
        event_seq: 1,
    })));
    let time = crate::ctl::table::local_short(NOW);
    assert!(world.screen().contains(&format!("{time} in ")), "{}", world.screen());
}

#[test]
fn an_endpoint_that_status_names_has_waited_for_as_long_as_there() {
    let mut world = TopWorld::new(TopScreen::Endpoints);
    let mut status = serde_json::to_value(super::status()).expect("JSON");
    let oldest = super::rfc3339(super::DAEMON_NOW - 7_200_000);
    status["worst"] = serde_json::json!([{
        "endpoint": "bad", "condition": "failing", "held_reason": null, "since": null,
        "waiting": 41, "dead": 0, "oldest_waiting_at": oldest,
        "last_error": null, "last_answer": null, "next_probe_at": null, "command": "",
    }]);
    world.model.answer(TopAnswer::Status(Box::new(super::view(status))));
    assert!(world.screen().contains("failing          41      2h"), "{}", world.screen());
}

#[test]
fn what_a_column_is_too_narrow_for_is_shown_below_of_the_chosen_row() {
    let mut world = TopWorld::new(TopScreen::Endpoints);
    let words = "answered 500: the database is down and will be for a while, ask 管理员 before \
                 you do anything about it";
    let mut endpoints = vec![super::endpoint("bad", "failing", 41, Some("answered 500"), 1000)];
    let activity = endpoints[0].activity.as_mut().expect("an activity");
    activity.last_answer = words.strip_prefix("answered 500: ").map(str::to_owned);
    endpoints.push(super::endpoint("app", "active", 0, None, 0));
    world.model.answer(TopAnswer::Endpoints(endpoints));

    let screen = world.screen();
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[3].starts_with("bad ") && lines[3].contains("answered 500: the…"), "{screen}");
    let below = lines[21..23].join(" ");
    assert_eq!(below, words, "{screen}");
    // A row that has room for all of it needs no more lines.
    world.keys("j");
    assert_eq!(world.screen().lines().nth(22), Some(""), "{}", world.screen());

    // What is printed has no chosen row; where there is no terminal it is as wide as its rows.
    world.keys("k");
    world.style.is_printed = true;
    assert_eq!(world.screen().lines().nth(22), Some(""), "{}", world.screen());
    world.size.0 = u16::try_from(widest(&world.model)).expect("not that wide");
    assert!(world.screen().contains("and will be for a while, ask"), "{}", world.screen());
}

#[test]
fn whoever_knows_no_key_finds_them() {
    let mut world = TopWorld::new(TopScreen::Overview);
    world.keys("?");
    let screen = world.screen();
    for part in ["filter: rows with this text", "hold an endpoint", "any key: back"] {
        assert!(screen.contains(part), "{part} in\n{screen}");
    }
    world.keys("q");
    assert_eq!(world.model.mode, TopMode::Normal, "any key");
    assert_eq!(world.keys("q"), [TopCommand::Quit]);
    assert_eq!(world.model.key(TopKey::Interrupt), [TopCommand::Quit]);
}
