//! Live updates: the daemon's tail as server-sent events, and going on where a browser was cut off.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::super::support::{Daemon, Home, SOON};
use super::{Page, open_source, until};

/// A stream as a browser reads it.
struct Events(BufReader<TcpStream>);

#[derive(Debug, PartialEq)]
struct Seen {
    name: String,
    id: String,
    data: Value,
}

impl Events {
    /// Asks for one; the status and what it may go on with.
    fn ask(page: &Page, path: &str, last_seen: Option<&str>) -> (u16, Self) {
        let mut stream = TcpStream::connect(page.addr).expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("ours");
        let last = last_seen.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nX-Hookbox-Key: {}\r\n\
             Accept: text/event-stream\r\n{last}\r\n",
            page.addr, page.cookie, page.key
        );
        stream.write_all(text.as_bytes()).expect("sent");

        let mut events = Self(BufReader::new(stream));
        let first = events.line();
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        while !events.line().is_empty() {}
        (status, events)
    }

    fn open(page: &Page, path: &str, last_seen: Option<&str>) -> Self {
        let (status, events) = Self::ask(page, path, last_seen);
        assert_eq!(status, 200);
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// The next event; its lines come in chunks, whose sizes stand between them.
    fn next(&mut self) -> Seen {
        let mut seen = Seen { name: String::new(), id: String::new(), data: Value::Null };
        loop {
            let line = self.line();
            if let Some(id) = line.strip_prefix("id: ") {
                id.clone_into(&mut seen.id);
            } else if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut seen.name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                seen.data = serde_json::from_str(data).expect("JSON");
                return seen;
            }
        }
    }
}

fn opened() -> (Home, Daemon, Page) {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "a");
    open_source(&daemon, "b");
    let page = Page::open(&daemon);
    (home, daemon, page)
}

#[test]
fn a_browser_that_was_cut_off_misses_nothing_and_gets_nothing_twice() {
    let (_home, daemon, page) = opened();
    let send = |source: &str| daemon.accept(&format!("/in/{source}"), &[], b"x");
    let first = send("a");
    let mut events = Events::open(&page, "/api/v1/tail?limit=0", None);
    let second = send("a");
    let mut seen = events.next();
    // Whoever follows is sent an event after its sender is answered: this one may be on its way.
    if seen.id == first {
        seen = events.next();
    }
    assert_eq!((seen.id.as_str(), &seen.data["what"]), (second.as_str(), &"event".into()));
    assert_eq!(seen.data["id"], second.as_str());
    drop(events);

    let missed = [send("a"), send("b"), send("a")];
    let mut again = Events::open(&page, "/api/v1/tail?limit=0", Some(&second));
    for id in &missed {
        assert_eq!(&again.next().id, id);
    }
    let later = send("b");
    assert_eq!(again.next().id, later, "and what comes from then on");

    // In the URL, for a page that went on reading elsewhere; of one source alone.
    let path = format!("/api/v1/tail?source=a&last_event_id={second}");
    let mut of_one = Events::open(&page, &path, None);
    assert_eq!([of_one.next().id, of_one.next().id], [missed[0].clone(), missed[2].clone()]);
    send("b");
    let last = send("a");
    assert_eq!(of_one.next().id, last);
}

#[test]
fn whoever_was_away_for_too_long_is_notified() {
    let (_home, daemon, page) = opened();
    let there = daemon.accept("/in/a", &[], b"x");
    let mut events = Events::open(&page, "/api/v1/tail", Some("evt_of_another_log"));
    assert_eq!(events.next().name, "missed");
    assert_eq!(events.next().id, there);
    let later = daemon.accept("/in/a", &[], b"x");
    assert_eq!(events.next().id, later);
}

#[test]
fn streams_have_a_number_and_leave_connections_for_the_rest() {
    let (_home, _daemon, page) = opened();
    let held: Vec<Events> =
        (0..12).map(|_| Events::open(&page, "/api/v1/tail?limit=0", None)).collect();
    assert_eq!(Events::ask(&page, "/api/v1/tail?limit=0", None).0, 503);
    assert_eq!(page.get("/api/v1/status").status, 200);
    drop(held);
    until("a stream that ended is noticed", SOON, || {
        (Events::ask(&page, "/api/v1/tail?limit=0", None).0 == 200).then_some(())
    });
}
