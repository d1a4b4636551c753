//! `hookboxctl web`: the server of the page over plain HTTP. What a browser makes of it is tried in
//! `tests/web`.

mod attacks;
mod stream;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::Signal;

use super::support::ctl::{built, program};
use super::support::daemon::signal;
use super::support::sizes::{not_root, require};
use super::support::{Client, Daemon, Home, Receiver, Response, SOON, until};
use super::trust::{as_nobody, open_home};
use super::{open_source, quick_endpoint};

/// A running `hookboxctl web`.
pub struct Page {
    child: Child,
    pub addr: SocketAddr,
    pub token: String,
    /// What the token was exchanged for, once it was.
    pub cookie: String,
    /// What the page sends besides, which stood behind the `#`.
    pub key: String,
}

impl Page {
    /// Starts it; the session is not open yet.
    pub fn start(daemon: &Daemon) -> Self {
        Self::of(daemon.ctl().spawn(&["web", "--listen", "127.0.0.1:0", "--no-open"]))
    }

    fn of(mut child: Child) -> Self {
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let url = lines.next().expect("a line").expect("text");
        let (addr, token) =
            url.strip_prefix("http://").and_then(|url| url.split_once("/?token=")).expect("a URL");
        let (addr, token) = (addr.parse().expect("an address"), token.to_owned());
        Self { child, addr, token, cookie: String::new(), key: String::new() }
    }

    /// Starts it and opens the session.
    pub fn open(daemon: &Daemon) -> Self {
        Self::start(daemon).entered()
    }

    fn entered(mut self) -> Self {
        let entered = self.get(&format!("/?token={}", self.token));
        assert_eq!(entered.status, 303);
        let set = entered.header("set-cookie").expect("a cookie");
        self.cookie = set.split(';').next().expect("name and value").to_owned();
        self.key = key_of(&entered);
        self
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr).expect("it takes connections")
    }

    pub fn get(&self, path: &str) -> Response {
        self.ask("GET", path, &[], b"")
    }

    /// A request as the page itself sends it.
    pub fn post(&self, path: &str, body: &str) -> Response {
        let origin = format!("http://{}", self.addr);
        self.ask("POST", path, &[("Origin", &origin)], body.as_bytes())
    }

    /// A request with the session's cookie and key, where there are any.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> Response {
        let mut headers = more.to_vec();
        if !self.cookie.is_empty() {
            headers.push(("Cookie", &self.cookie));
        }
        if !self.key.is_empty() {
            headers.push(("X-Hookbox-Key", &self.key));
        }
        self.client().request(method, path, &headers, body).expect("an answer")
    }
}

/// The key that the exchange gives to the page.
fn key_of(entered: &Response) -> String {
    let location = entered.header("location").expect("it leads on");
    location.strip_prefix("/#k=").expect("a key behind the hash").to_owned()
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_token_opens_the_session_once() {
    let home = Home::new();
    let daemon = home.start();
    let mut page = Page::start(&daemon);
    assert_eq!(page.get("/api/v1/status").status, 401, "nobody has entered");
    assert_eq!(page.get("/?token=guessed").status, 403);
    let url = format!("/?token={}", page.token);
    let ahead = page.ask("GET", &url, &[("Sec-Purpose", "prefetch;prerender")], b"");
    assert_eq!((ahead.status, ahead.header("set-cookie")), (503, None));

    let entered = page.get(&url);
    assert_eq!(entered.status, 303);
    assert_eq!(entered.header("clear-site-data"), Some("\"storage\""));
    let set = entered.header("set-cookie").expect("a cookie").to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.split("; ").any(|part| part == word), "{set}");
    }
    assert!(!set.contains("Max-Age") && !set.contains("Expires"), "{set}");

    let again = page.get(&url);
    assert_eq!((again.status, again.header("set-cookie")), (403, None), "it was used");
    assert_eq!(page.get("/api/v1/status").status, 401);
    page.cookie = set.split(';').next().expect("name and value").to_owned();
    assert_eq!(page.get("/api/v1/status").status, 403, "a cookie alone, which other ports get");
    let back = page.get(&url);
    assert_eq!((back.status, back.header("set-cookie")), (303, None), "who is in comes back");
    assert_eq!(back.header("location"), Some("/"), "and gets no key for the cookie");
    assert_eq!(back.header("clear-site-data"), None, "which would take the key that is there");
    page.key = key_of(&entered);
    assert_eq!(page.get("/api/v1/status").status, 200);
    page.cookie.clear();
    assert_eq!(page.get("/api/v1/status").status, 401, "a key alone");
}

#[test]
fn the_api_is_the_daemons_with_the_callers_rights() {
    let home = Home::new();
    let (daemon, receiver) = (home.start(), Receiver::start());
    open_source(&daemon, "s");
    quick_endpoint(&daemon, "e", &receiver.url("/"), &[]);
    let id = daemon.accept("/in/s", &[], b"{}");
    daemon.await_count("delivered", 1);
    let page = Page::open(&daemon);

    let status = page.get("/api/v1/status");
    assert_eq!(status.json()["events"], 1);
    assert_eq!(status.header("content-type"), Some("application/json"));
    let events = page.get("/api/v1/events?source=s&limit=5");
    assert_eq!(events.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(events.json()["id"], id.as_str());
    let metrics = page.get("/api/metrics");
    assert!(String::from_utf8_lossy(&metrics.body).contains("hookbox_events_total 1"));

    assert_eq!(page.post("/api/v1/endpoints/e/hold", "").status, 200);
    assert_eq!(daemon.json(&["endpoint", "show", "e"])["state"], "held");
    let counted = page.post("/api/v1/replays", "{\"all\":true,\"dry_run\":true}").json();
    assert_eq!((&counted["matched"], &counted["would_queue"]), (&1.into(), &1.into()));

    // The daemon's refusals are passed on, and where it is not, that is said.
    let missing = page.get("/api/v1/endpoints/nothing");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("content-type"), Some("application/problem+json"));
    daemon.kill();
    let gone = page.get("/api/v1/status");
    assert_eq!(gone.status, 502);
    assert!(gone.json()["detail"].as_str().is_some_and(|why| why.contains("no daemon")));
}

#[test]
#[ignore = "needs root"]
fn another_user_has_that_users_rights_in_the_page() {
    require(not_root());
    let (home, socket) = open_home();
    let mut daemon = home.start();
    daemon.socket.clone_from(&socket);
    open_source(&daemon, "s");
    quick_endpoint(&daemon, "e", "http://127.0.0.1:9/secret-path", &[]);

    let ctl = home.program(&built("hookboxctl"), "bin/hookboxctl");
    let mut command = program("setpriv");
    command.args(&as_nobody(0)[1..]).arg(ctl).arg("--socket").arg(&socket);
    command.args(["web", "--listen", "127.0.0.1:0", "--no-open"]);
    let page = Page::of(command.spawn().expect("it starts")).entered();

    assert_eq!(page.post("/api/v1/endpoints/e/hold", "").status, 200, "members operate");
    assert_eq!(page.post("/api/v1/sources", "{\"name\":\"mine\"}").status, 403);
    let shown = String::from_utf8_lossy(&page.get("/api/v1/endpoints/e").body).into_owned();
    assert!(!shown.contains("secret-path"), "{shown}");
}

#[test]
fn it_is_for_this_machine_and_ends_with_the_command() {
    let home = Home::new();
    let daemon = home.start();
    for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0", "here"] {
        let done = daemon.ctl().run(&["web", "--listen", address]).expect(64);
        assert!(done.stdout.is_empty(), "{}", done.stdout);
    }

    let mut page = Page::open(&daemon);
    let taken = daemon.ctl().run(&["web", "--listen", &page.addr.to_string()]).expect(1);
    assert!(taken.stderr.contains("127.0.0.1:0"), "{}", taken.stderr);
    signal(page.child.id(), Signal::TERM);
    let ended = until("its end", SOON, || page.child.try_wait().expect("ours"));
    assert_eq!(ended.code(), Some(0));
    assert!(Client::connect(page.addr).is_err(), "nobody listens any more");

    drop(daemon);
    home.ctl().run(&["web", "--listen", "127.0.0.1:0"]).expect(69);
}

#[test]
fn the_browser_gets_no_token_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let daemon = home.start();
    home.write(
        "open",
        "#!/bin/sh\necho \"$1\" > \"$XDG_RUNTIME_DIR/../opened.new\"\n\
                        mv \"$XDG_RUNTIME_DIR/../opened.new\" \"$XDG_RUNTIME_DIR/../opened\"\n",
    );
    home.program(&home.path().join("open").to_string_lossy(), "bin/xdg-open");
    let folder = home.path().join("run");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("ours");

    let mut command = program(&built("hookboxctl"));
    let path = format!("{}:/usr/bin:/bin", home.path().join("bin").display());
    command.env("PATH", path).env("DISPLAY", ":9").env("XDG_RUNTIME_DIR", &folder);
    command.arg("--socket").arg(&daemon.socket).args(["web", "--listen", "127.0.0.1:0"]);
    let mut page = Page::of(command.stderr(Stdio::null()).spawn().expect("it starts"));

    let opened =
        until("the browser", SOON, || std::fs::read_to_string(home.path().join("opened")).ok());
    let file = Path::new(opened.trim()).to_owned();
    assert!(file.starts_with(&folder) && !opened.contains(&page.token), "{opened}");
    assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let leads = std::fs::read_to_string(&file).expect("ours");
    assert!(leads.contains(&format!("url=http://{}/?token={}", page.addr, page.token)), "{leads}");

    signal(page.child.id(), Signal::TERM);
    until("its end", SOON, || page.child.try_wait().expect("ours"));
    assert!(!file.exists(), "it is gone with the command");
}
