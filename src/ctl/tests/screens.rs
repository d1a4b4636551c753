//! What people see of an answer, also of a daemon that is older or newer than this program.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::EndpointSpec;
use crate::api::values::Text;
use crate::api::views::{DeliveryView, EndpointView, SourceView, StatusView};
use crate::ctl::answer::{Answer, Whole};
use crate::ctl::lists::{DELIVERIES, ENDPOINTS};
use crate::ctl::table::{Columns, Table, local};
use crate::ctl::terminal::Terminal;
use crate::ctl::{endpoint_screen, fields, show, status};
use crate::model::{DeliveryId, Endpoint, EventId};

/// What `people` makes of an answer.
pub fn shown<V: DeserializeOwned>(answer: &Value, people: impl FnOnce(&V) -> String) -> String {
    let answer = Answer::of(answer).expect("JSON");
    people(&answer.view().expect("a view"))
}

pub fn event_id() -> Text<EventId> {
    Text(EventId { seq: 1, tag: 2 })
}

pub(super) fn delivery_id() -> Text<DeliveryId> {
    Text(DeliveryId { seq: 1, endpoint: 1 })
}

#[test]
fn an_event_that_goes_nowhere_says_so() {
    let mut event = json!({
        "id": event_id(), "source": "s", "type": "t", "received_at": "2026-11-23T13:20:00.000Z",
        "size": 0, "duplicates": 0, "request_line": "POST /in/s", "query": {}, "remote": "",
        "filter_too_expensive": [], "headers": {}, "deliveries": [], "body_base64": "",
    });
    let screen = shown(&event, show::event);
    assert!(screen.contains("filter_too_expensive  none\n"), "not 'all': {screen}");
    assert!(screen.contains("\ndeliveries\n  none: no endpoint matched it\n"), "{screen}");

    event["filter_too_expensive"] = json!(["app"]);
    event["deliveries"] = json!([{"id": delivery_id(), "endpoint": "b", "state": "pending"}]);
    let screen = shown(&event, show::event);
    let delivery = format!("  {}  b  pending\n", delivery_id());
    assert!(
        screen.contains("filter_too_expensive  app\n") && screen.contains(&delivery),
        "{screen}"
    );
    assert!(!screen.contains("no endpoint matched it"), "{screen}");
}

/// A daemon that runs for a minute. An older one, too: it knows neither shares nor a link.
pub fn running() -> Value {
    json!({
        "events": 3, "duplicates": 1, "sources": 1, "endpoints": 2,
        "attempts": 9, "failed_attempts": 4,
        "deliveries": {
            "pending": 2, "in_flight": 0, "delivered": 1, "dead": 0, "held": 0, "retrying": 1,
        },
        "log": {
            "segments": 1, "bytes": 2048, "quota_bytes": 4096, "reserve_bytes": 512,
            "used_bytes": 2048, "free_bytes": 8192, "left_bytes": 1536, "level": "low", "last": 7,
        },
        "uptime_s": 61, "started_at": "2026-11-23T13:20:00.000Z", "version": "0.1.0",
        "accepting": true, "listen": ["127.0.0.1:8420"], "data": "/d", "refused": {"mismatch": 2},
    })
}

/// The screen in a pipe.
fn plain_status(status: &StatusView) -> String {
    status::screen(status, Terminal::default())
}

#[test]
fn status_is_one_screen() {
    let screen = shown(&running(), plain_status);
    let parts = [
        "up 1m, accepting",
        "3 events",
        "2 mismatch",
        "2 pending (1 for a retry)",
        "LOW: 1.5 KiB left of a quota of 4.0 KiB (reserve 512 B), 8.0 KiB free on the disk",
    ];
    for part in parts {
        assert!(screen.contains(part), "{part} in {screen}");
    }
    for absent in ["but other content", "shares", "OFFLINE", "SUSPECT"] {
        assert!(!screen.contains(absent), "{absent} in {screen}");
    }
}

#[test]
fn status_shows_more_lines_when_there_is_something_to_show() {
    let with = |field: &str, value: Value| {
        let mut running = running();
        running[field] = value;
        shown(&running, plain_status)
    };

    let screen = with("replays", json!(2));
    assert!(screen.contains("pacing     2 replays\n"), "{screen}");
    let screen = with("catching_up", json!(1));
    assert!(screen.contains("pacing     1 endpoint catching up\n"), "{screen}");
    let screen = with("dedupe_conflicts", json!(2));
    assert!(screen.contains("2 with the dedupe key"), "{screen}");
    let screen = with("clock", json!({"suspect": true, "waiting_until": null}));
    assert!(screen.contains("clock      SUSPECT\n"), "{screen}");
    let screen = with("accepting", json!(false));
    assert!(screen.contains("up 1m, NOT ACCEPTING\n"), "{screen}");
}

#[test]
fn status_names_who_reached_a_limit() {
    let mut full = running();
    let at = "2000-01-01T00:00:00.000Z";
    full["shares"] = json!([
        {"share": "connections", "of": "address 192.0.2.1", "effect": "refused", "count": 3,
         "what": "has reached its limit of connections", "since": at, "last_at": at},
        {"share": "lookups", "of": "name a.example", "effect": "delayed", "count": 1,
         "what": "waits for a name look-up", "since": at, "last_at": at},
    ]);

    let screen = shown(&full, plain_status);
    let first =
        "shares     address 192.0.2.1 has reached its limit of connections: refused 3 times";
    let second = "\n           name a.example waits for a name look-up: delayed once";
    assert!(screen.contains(first) && screen.contains(second), "{screen}");
}

/// Two endpoints that need somebody, and one more.
fn troubled() -> Value {
    let mut troubled = running();
    let at = "2000-01-01T00:00:00.000Z";
    let answer = format!("\u{1b}[2J{}", "the database is down ".repeat(10));
    troubled["worst"] = json!([
        {"endpoint": "app", "condition": "failing", "held_reason": null, "since": at,
         "waiting": 12, "dead": 3, "oldest_waiting_at": at, "last_error": "answered 500",
         "last_answer": answer, "next_probe_at": at, "command": "hookboxctl endpoint test app"},
        {"endpoint": "crm", "condition": "held", "held_reason": "gone", "since": at, "waiting": 1,
         "dead": 0, "oldest_waiting_at": null, "last_error": null, "last_answer": null,
         "next_probe_at": null, "command": "hookboxctl endpoint release crm"},
    ]);
    (troubled["troubled"], troubled["urgent"]) = (json!(3), json!(2));
    troubled
}

#[test]
fn status_names_the_worst_endpoints_within_the_width() {
    let screen = shown(&troubled(), plain_status);
    let since = local(946_684_800_000);
    for part in [
        "worst      app: failing, 12 waiting for up to 9".to_owned(),
        format!(", 3 dead letters, since {since} ("),
        "\n           answered 500: \\x1b[2Jthe database is down the".to_owned(),
        "\n           next probe ".to_owned(),
        "\n           > hookboxctl endpoint test app\n".to_owned(),
        "\n           crm: held: the receiver answered 410 Gone, 1 waiting, ".to_owned(),
        "\n           > hookboxctl endpoint release crm\n".to_owned(),
        "\n           and 1 more: hookboxctl endpoint list --state troubled\n".to_owned(),
    ] {
        assert!(screen.contains(&part), "{part} in {screen}");
    }

    let narrow = Terminal { width: Some(60), colours: true };
    let screen = shown(&troubled(), |status| status::screen(status, narrow));
    for part in ["12 waiting for up to 9", "3 dead letters", "the database is down"] {
        assert!(screen.contains(part), "{part} in {screen}");
    }
    let worst = screen.lines().skip_while(|line| !line.starts_with("worst")).take(7);
    for line in worst {
        let plain = line.replace("\u{1b}[31m", "").replace("\u{1b}[33m", "");
        let plain = plain.replace("\u{1b}[0m", "");
        assert!(plain.chars().count() <= 60, "{plain}");
        assert!(!plain.contains('\u{1b}'), "what the receiver said is not a command: {plain:?}");
    }
    assert!(screen.contains("\u{1b}[31mapp:\u{1b}[0m failing"), "{screen:?}");

    // Nothing waits for the next probe, which may be long overdue.
    let mut idle = troubled();
    idle["worst"][0]["waiting"] = json!(0);
    let screen = shown(&idle, plain_status);
    assert!(screen.contains("nothing waits: it is probed with the next event"), "{screen}");
    assert!(!screen.contains("next probe"), "{screen}");
}

#[test]
fn a_check_says_in_one_line_what_needs_somebody() {
    let of = |status: &Value| status::verdict(&status_of(status));
    let mut well = running();
    well["log"]["level"] = json!("open");
    let verdict = of(&well);
    assert_eq!((verdict.ok, verdict.reason.as_str()), (true, "OK: accepting, 2 endpoints"));

    let low = of(&running());
    assert_eq!((low.ok, low.accepting), (false, true));
    assert_eq!(low.reason, "ATTENTION: disk space is scarce");

    let mut dead = well.clone();
    dead["deliveries"]["dead"] = json!(1);
    assert_eq!(of(&dead).reason, "ATTENTION: 1 dead letter");
    dead["deleted_with_dead"] = json!([
        {"endpoint": "old", "dead": 1, "command": "hookboxctl dlq discard --endpoint old"}
    ]);
    let expected =
        "ATTENTION: 1 dead letter of deleted endpoints: hookboxctl dlq discard --endpoint old";
    assert_eq!(of(&dead).reason, expected);
    let screen = shown(&dead, plain_status);
    let lines = "\ndeleted    old: 1 dead letter of an endpoint that was deleted\n           > \
                 hookboxctl dlq discard --endpoint old\n";
    assert!(screen.contains(lines), "{screen}");
    let mut damaged = well.clone();
    damaged["log"]["damage"] = json!([{"segment": 1, "first": 1, "last": 2, "what": "bits"}]);
    assert!(of(&damaged).reason.contains("1 damaged range"), "{:?}", of(&damaged));
    damaged["log"]["damage"][0]["acknowledged_at"] = json!("2026-11-24T09:00:00.000Z");
    assert!(of(&damaged).ok, "{:?}", of(&damaged));
    let screen = shown(&damaged, plain_status);
    assert!(screen.contains("\ndamaged    records 1 to 2 (acknowledged 2026-11-2"), "{screen}");
    let mut offline = well.clone();
    offline["link"] = json!({"online": false, "offline_since": null, "next_probe_at": null,
        "endpoints_away": 2});
    assert_eq!(of(&offline).reason, "ATTENTION: the network is down");

    let mut troubled = troubled();
    troubled["log"]["level"] = json!("open");
    let verdict = of(&troubled);
    assert!(verdict.reason.starts_with("ATTENTION: app: failing, 12 waiting for"), "{verdict:?}");
    assert!(verdict.reason.contains(": answered 500: \\x1b[2Jthe database is"), "{verdict:?}");
    assert!(verdict.reason.ends_with("; 1 endpoint more"), "{verdict:?}");
    // What the operator holds needs nobody.
    troubled["urgent"] = json!(0);
    assert!(of(&troubled).ok);

    let mut stopped = troubled;
    (stopped["accepting"], stopped["reason"]) = (json!(false), json!("the disk is full"));
    let verdict = of(&stopped);
    assert_eq!((verdict.ok, verdict.accepting), (false, false));
    assert_eq!(verdict.reason, "NOT ACCEPTING: the disk is full");
}

fn status_of(status: &Value) -> StatusView {
    serde_json::from_value(status.clone()).expect("a status")
}

#[test]
fn a_check_says_what_differs_from_the_files_of_the_start() {
    let of = |status: &Value| status::verdict(&status_of(status));
    let mut unapplied = running();
    unapplied["log"]["level"] = json!("open");
    unapplied["applied"] = json!({"files": ["/a.toml"], "at": "2026-11-23T13:20:00.000Z",
        "changed": 0, "error": "/a.toml:3: no", "drift": []});
    assert_eq!(
        of(&unapplied).reason,
        "ATTENTION: nothing of apply.d was applied at the start: /a.toml:3: no"
    );

    unapplied["applied"]["error"] = Value::Null;
    unapplied["applied"]["drift"] = json!(["endpoint app (retry_base)"]);
    let drifted = of(&unapplied);
    assert!(!drifted.ok, "the next start would change it");
    assert_eq!(
        drifted.reason,
        "ATTENTION: not as the files of apply.d say: endpoint app (retry_base): see `hookboxctl \
         diff /a.toml --set apply.d --prune --force`"
    );
    unapplied["applied"]["files"] = json!(["/a b.toml", "/c.toml"]);
    unapplied["applied"]["drift"] = json!(["endpoint app (rate)", "source in (not there)"]);
    assert!(
        of(&unapplied).reason.ends_with(
            "endpoint app (rate) and 1 more: see `hookboxctl diff '/a b.toml' /c.toml --set \
             apply.d --prune --force`"
        ),
        "{}",
        of(&unapplied).reason
    );
}

/// An endpoint that fails, of which only the retries are not as they are by default.
fn failing_endpoint() -> Value {
    let spec = EndpointSpec::of(&Endpoint::new("app", "http://x/"));
    let mut endpoint = serde_json::to_value(spec).expect("JSON");
    let more = json!({
        "name": "app", "retry_base": "7s", "state": "active", "held_reason": null, "held_at": null,
        "secrets": [], "created_at": "2026-11-23T13:20:00.000Z", "waiting": 4, "in_flight": 0,
        "retrying": 4, "delivered": 5, "dead": 0, "last_error": "answered 500",
        "last_answer": "{\"error\": \"database is down\"}", "condition": "failing", "window": 1,
        "failures_in_row": 9, "failing_ms": 60_000, "offline": false, "lanes": 0,
        "breaker_opened_at": "2026-11-23T13:20:00.000Z", "parked_lanes": 0, "batches_waiting": 0,
        "next_probe_at": "2026-11-23T13:21:00.000Z", "requests_failed": 9,
    });
    for (key, value) in more.as_object().expect("an object") {
        endpoint[key] = value.clone();
    }
    endpoint
}

#[test]
fn an_endpoint_begins_with_its_condition_and_shows_what_was_set() {
    let of = |all: bool| {
        shown(&failing_endpoint(), |endpoint| {
            endpoint_screen::screen(endpoint, all, Terminal::default())
        })
    };
    let screen = of(false);
    assert!(screen.starts_with("app: failing, 4 waiting, since "), "{screen}");
    assert!(screen.contains("\nanswered 500: {\"error\": \"database is down\"}\n"), "{screen}");
    for line in ["retry_base       7s\n", "url              http://x/\n", "retrying         4\n"] {
        assert!(screen.contains(line), "{line} in {screen}");
    }
    for hidden in ["retry_factor", "max_age", "concurrency", "parked_lanes", "offline "] {
        assert!(!screen.contains(hidden), "{hidden} in {screen}");
    }

    let whole = of(true);
    assert!(whole.starts_with("app: failing, 4 waiting, since "), "{whole}");
    for field in ["retry_factor", "max_age", "concurrency", "parked_lanes", "condition"] {
        assert!(whole.contains(field), "{field} in {whole}");
    }
}

#[test]
fn what_was_answered_is_shown_as_text() {
    let attempt = |number: u32, body: &str| {
        json!({
            "number": number, "started_at": "2026-11-23T13:20:00.000Z", "duration_ms": 3,
            "outcome": "retryable", "status": 500, "error": null, "next_at": null, "next": "retry",
            "reason": null, "counted": true, "batch": null, "connect_ms": null,
            "request": {"method": "POST", "url": "http://x/", "headers": {}},
            "response": {"status": 500, "headers": {}, "body_base64": STANDARD.encode(body)},
            "answer": body.lines().next(), "exit": null, "output": null,
        })
    };
    let delivery = json!({
        "id": delivery_id(), "event": event_id(), "endpoint": "app", "state": "pending",
        "attempts": 2, "due_at": null, "operator": [],
        "history": [attempt(1, "first"), attempt(2, "second\n\tline\u{1b}[2J")],
    });
    let screen = shown(&delivery, |delivery| show::delivery(delivery, Terminal::default()));
    assert!(screen.contains("retryable     500  -     first\n"), "{screen}");
    let answer = "\nanswer to attempt 2: 500\n  second\n    line\\x1b[2J";
    assert!(screen.contains(answer), "{screen}");

    // Of a longer answer the log has the beginning, which may end inside a character.
    let mut long = delivery.clone();
    let body = "é".repeat(600);
    long["history"][1]["response"]["body_base64"] =
        json!(STANDARD.encode(&format!("x{body}").as_bytes()[..1024]));
    let screen = shown(&long, |delivery| show::delivery(delivery, Terminal::default()));
    assert!(screen.contains(&format!("500\n  x{}\n", "é".repeat(511))), "{screen}");
}

fn source() -> Value {
    json!({
        "name": "g", "path": "/in/g", "url": "http://x/in/g", "secrets": [],
        "created_at": "2026-11-23T13:20:00.000Z",
    })
}

#[test]
fn what_was_created_is_shown_with_its_secret_and_its_warnings() {
    let created = |source: &SourceView| show::created_source("source", source);
    let mut warned = source();
    warned["warnings"] = json!(["say --public-url"]);
    assert!(shown(&warned, created).contains("\nWarning: say --public-url."));

    let mut secret = source();
    secret["secret"] = json!("whsec_1");
    let screen = shown(&secret, created);
    assert!(screen.contains("Post webhooks to http://x/in/g"), "{screen}");
    assert!(screen.contains("(shown only once): whsec_1"), "{screen}");
}

fn rows<V: DeserializeOwned>(columns: Columns<V>, row: &Value) -> String {
    let mut table = Table::new(0, columns);
    shown(row, |row| table.push(row).unwrap_or_default()) + &table.finish()
}

#[test]
fn refusals_are_counted_in_words() {
    let mut refusing = source();
    refusing["refused"] = json!({"address": 3, "missing": 1});
    let screen = shown(&refusing, fields::fields);
    assert!(screen.contains("  address 3, missing 1\n"), "{screen}");
}

#[test]
fn words_and_fields_of_a_later_daemon_are_shown() {
    let delivery = json!({
        "id": delivery_id(), "event": event_id(), "endpoint": "app", "state": "dreaming",
        "attempts": 1, "due_at": null, "of_a_later_version": 1, "history": [], "operator": [],
    });
    assert!(rows::<DeliveryView>(DELIVERIES, &delivery).contains("app       dreaming  "));
    let screen = shown(&delivery, |delivery| show::delivery(delivery, Terminal::default()));
    for line in ["state               dreaming\n", "of_a_later_version  1\n"] {
        assert!(screen.contains(line), "{line} in {screen}");
    }

    // A setting whose value is refused here is left out of the row, and does not spoil it.
    let endpoint = json!({
        "name": "app", "url": "http://x/", "from": [], "types": ["push"], "order": "sideways",
        "timeout": "99d", "colour": "green", "state": "asleep", "held_reason": "season",
        "secrets": [], "created_at": "2026-11-23T13:20:00.000Z", "waiting": 4, "in_flight": 0,
        "retrying": 0, "delivered": 5, "dead": 6, "condition": "dozing", "window": 1,
        "failures_in_row": 0, "failing_ms": 0, "offline": false, "lanes": 0, "parked_lanes": 0,
        "batches_waiting": 0, "catching_up": "sideways",
    });
    let row = rows::<EndpointView>(ENDPOINTS, &endpoint);
    let expected = "app   dozing  http://x/  all   push         4          5     6\n";
    assert!(row.ends_with(expected), "{row}");
    let screen = shown(&endpoint, fields::fields);
    for line in ["order            sideways\n", "colour           green\n"] {
        assert!(screen.contains(line), "{line} in {screen}");
    }
}

#[test]
fn a_view_that_cannot_be_read_says_what_to_do() {
    let answer = Answer::of(&json!({"name": 1})).expect("JSON");
    let why = answer.view::<Whole<SourceView>>().expect_err("no source").to_string();
    assert!(why.contains("--json") && why.contains("the daemon's version"), "{why}");
}

#[test]
fn an_answer_is_passed_on_to_the_letter() {
    let line = "{\"b\": 1.50e3,  \"a\":\"\\u00e9\"}";
    assert_eq!(Answer::read(line.as_bytes()).expect("JSON").json(), line);
    assert!(Answer::read(b"<html>").is_err());
}

#[test]
fn times_of_an_explanation_are_those_of_the_caller() {
    let at = "2026-11-23T13:20:00.000Z";
    let answer = json!({
        "id": delivery_id(), "event": event_id(), "endpoint": "app", "state": "pending",
        "attempts": 1, "summary": "", "reasons": [{
            "kind": "hold", "text": format!("on hold since {at}, as 'x' says"), "since": at,
            "reason": "x",
        }],
    });
    let screen = shown(&answer, show::explained);
    let here = local(crate::model::time::parse_wall(at).expect("a time"));
    assert!(screen.contains(&format!("- On hold since {here}, as 'x' says.")), "{screen}");
}

#[test]
fn a_list_that_names_nothing_says_all_only_where_that_is_meant() {
    let fields = json!({"from": [], "types": [], "allow": [], "pin": [], "header": []});
    let screen = fields::fields(fields.as_object().expect("an object"));
    for line in ["from    all", "types   all", "allow   all", "pin     -", "header  none"] {
        assert!(screen.contains(line), "{line}: {screen}");
    }
}
