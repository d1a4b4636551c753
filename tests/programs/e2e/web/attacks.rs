//! What other pages of the same browser, and other programs, may try against the page.

use super::super::support::{Daemon, Home, Response};
use super::Page;
use super::open_source;

/// Sends a request as it is, and gives the answer.
#[track_caller]
fn raw(page: &Page, text: &str) -> Response {
    let mut client = page.client();
    client.send_raw(text.replace('\n', "\r\n").as_bytes()).expect("sent");
    client.read_response().expect("an answer")
}

fn opened() -> (Home, Daemon, Page) {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "s");
    let page = Page::open(&daemon);
    (home, daemon, page)
}

/// DNS rebinding: a name of the attacker's leads to loopback, so that the browser takes what is
/// there for the attacker's own. The name is in `Host`.
#[test]
fn a_foreign_host_gets_nothing() {
    let (_home, _daemon, page) = opened();
    let (cookie, port, token) = (&page.cookie, page.addr.port(), &page.token);
    for host in [
        format!("evil.example:{port}"),
        "evil.example".to_owned(),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost.:{port}"),
        "0.0.0.0".to_owned(),
        String::new(),
    ] {
        for path in ["/", "/app/app.js", "/api/v1/status", &format!("/?token={token}")] {
            let text = format!("GET {path} HTTP/1.1\nHost: {host}\nCookie: {cookie}\n\n");
            let answer = raw(&page, &text);
            assert_eq!(answer.status, 403, "{host} {path}");
            assert!(answer.header("set-cookie").is_none(), "{host} {path}");
        }
    }

    let two = format!("GET / HTTP/1.1\nHost: 127.0.0.1:{port}\nHost: evil.example\n\n");
    assert_eq!(raw(&page, &two).status, 403);
    let none = format!("GET /api/v1/status HTTP/1.0\nCookie: {cookie}\n\n");
    assert_eq!(raw(&page, &none).status, 403, "no host");
    let whole = format!("GET http://127.0.0.1:{port}/ HTTP/1.1\nHost: 127.0.0.1:{port}\n\n");
    assert_eq!(raw(&page, &whole).status, 403, "it is no proxy");
    // Another port is that of an SSH tunnel.
    let tunnel = format!("GET /api/v1/status HTTP/1.1\nHost: localhost:9999\nCookie: {cookie}\n");
    let with_key = format!("{tunnel}X-Hookbox-Key: {}\n\n", page.key);
    assert_eq!(raw(&page, &with_key).status, 200);
    assert_eq!(raw(&page, &format!("{tunnel}\n")).status, 403, "a cookie alone");
}

/// A browser sends the cookie to a server on any port of the same name. Whoever runs one has it,
/// and can send every header that the page sends but one.
#[test]
fn the_cookie_alone_opens_nothing() {
    let (_home, daemon, mut page) = opened();
    let (key, own) = (std::mem::take(&mut page.key), format!("http://{}", page.addr));
    let from_page = [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    for wrong in ["", "guessed", &page.token, &key[..key.len() - 1]] {
        let headers = [&from_page[..], &[("X-Hookbox-Key", wrong)]].concat();
        let made = page.ask("POST", "/api/v1/sources", &headers, b"{\"name\":\"theirs\"}");
        assert_eq!(made.status, 403, "{wrong}");
        let follows = [&headers[..], &[("Accept", "text/event-stream")]].concat();
        for path in ["/api/v1/status", "/api/v1/tail", "/api/metrics"] {
            assert_eq!(page.ask("GET", path, &follows, b"").status, 403, "{wrong} {path}");
        }
    }
    assert_eq!(daemon.lines(&["source", "list"]).len(), 1, "none was made");
}

#[test]
fn no_service_worker_is_installed() {
    let (_home, _daemon, page) = opened();
    let headers = [("Service-Worker", "script"), ("Sec-Fetch-Site", "same-origin")];
    for path in ["/", "/app/app.js", "/api/v1/status"] {
        assert_eq!(page.ask("GET", path, &headers, b"").status, 403, "{path}");
    }
}

#[test]
fn other_pages_change_nothing_and_follow_nothing() {
    let (_home, daemon, page) = opened();
    let own = format!("http://{}", page.addr);
    let make = |headers: &[(&str, &str)]| {
        page.ask("POST", "/api/v1/sources", headers, b"{\"name\":\"theirs\"}").status
    };
    let other_port = format!("http://127.0.0.1:{}", page.addr.port().wrapping_add(1));
    for origin in ["http://evil.example", "null", "https://127.0.0.1", &other_port] {
        assert_eq!(make(&[("Origin", origin)]), 403, "{origin}");
    }
    assert_eq!(make(&[]), 403, "no origin");
    for site in ["cross-site", "same-site"] {
        assert_eq!(make(&[("Origin", &own), ("Sec-Fetch-Site", site)]), 403, "{site}");
    }
    assert_eq!(daemon.lines(&["source", "list"]).len(), 1, "none was made");

    // An EventSource, an image and a script of another page, whose browser sent the cookie.
    for (site, accept) in [("cross-site", "text/event-stream"), ("same-site", "*/*")] {
        let headers = [("Sec-Fetch-Site", site), ("Accept", accept)];
        for path in ["/api/v1/tail", "/api/v1/status", "/app/app.js"] {
            assert_eq!(page.ask("GET", path, &headers, b"").status, 403, "{site} {path}");
        }
    }
    let foreign = [("Origin", "http://evil.example"), ("Accept", "text/event-stream")];
    assert_eq!(page.ask("GET", "/api/v1/tail", &foreign, b"").status, 403);

    // What asks before it writes is given no leave.
    let asked = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")];
    let preflight = page.ask("OPTIONS", "/api/v1/sources", &asked, b"");
    assert_eq!(preflight.status, 403);
    assert!(preflight.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
    assert_eq!(make(&[("Origin", &own), ("Sec-Fetch-Site", "same-origin")]), 201, "the page may");
}

#[test]
fn paths_lead_to_the_page_and_to_the_api_alone() {
    let (_home, _daemon, page) = opened();
    for path in [
        "/../../../etc/passwd",
        "/app/../../../../etc/passwd",
        "/app/%2e%2e/%2e%2e/etc/passwd",
        "/app/..%2f..%2fCargo.toml",
        "/app//app.js",
        "/app/",
        "/app/views",
        "/v1/status",
        "//api/v1/status",
        "/api/../v1/status",
        "/api/v1/../../metrics",
        "/api/v1/%2e%2e/metrics",
        "/api/v1/sources/..%2fstatus",
        "/api/v2/status",
        "/api",
        "/index.html",
        "/.git/config",
    ] {
        assert_eq!(page.get(path).status, 404, "{path}");
    }

    for path in ["/", "/app/app.js", "/app/style.css", "/app/views/events.js"] {
        assert_eq!(page.get(path).status, 200, "{path}");
    }
}

#[test]
fn nothing_that_is_sent_comes_back_as_a_header() {
    let (_home, _daemon, page) = opened();
    for path in [
        "/api/v1/events?source=s%0d%0aSet-Cookie:%20x=1",
        "/api/v1/sources/a%0d%0aSet-Cookie:%20x=1",
        "/?token=x%0d%0aSet-Cookie:%20x=1",
        "/app/%0d%0aSet-Cookie:%20x=1",
    ] {
        let answer = page.get(path);
        assert!(answer.status < 500, "{path}: {}", answer.status);
        assert!(answer.header("set-cookie").is_none(), "{path}");
    }

    let text = format!(
        "GET /api/v1/status HTTP/1.1\nHost: {}\nCookie: {}\nX-Hookbox-Key: {}\nX: a\n\
         \tSet-Cookie: x=1\nAccept: text/html\nContent-Type: text/html\n\
         X-Forwarded-Host: evil.example\n\n",
        page.addr, page.cookie, page.key
    );
    let mut client = page.client();
    client.send_raw(text.replace('\n', "\r\n").as_bytes()).expect("sent");
    if let Ok(answer) = client.read_response() {
        assert!(answer.header("set-cookie").is_none());
        assert_ne!(answer.header("content-type"), Some("text/html"));
    }
}

/// The body of a webhook is an attack as well: it is what a stranger sent.
#[test]
fn a_body_with_a_script_is_nothing_but_data() {
    let (_home, daemon, page) = opened();
    let html = b"<!doctype html><script>alert(document.cookie)</script>";
    let id = daemon.accept("/in/s", &[("Content-Type", "text/html")], html);
    let shown = page.get(&format!("/api/v1/events/{id}"));
    assert_eq!(shown.header("content-type"), Some("application/json"));
    assert!(!String::from_utf8_lossy(&shown.body).contains("<script"), "it is base64");
}

#[test]
fn every_answer_says_what_a_browser_may_do_with_it() {
    let (_home, _daemon, page) = opened();
    for path in [
        "/",
        "/app/app.js",
        "/nothing",
        "/?token=x",
        "/api/v1/status",
        "/api/v1/nothing",
        "/api/v1/log/head",
        "/api/nothing",
    ] {
        let answer = page.get(path);
        let header = |name: &str| answer.header(name).unwrap_or_default();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");

        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        for word in ["unsafe", "*", "http:", "data:"] {
            assert!(!policy.contains(word), "{path}: {policy}");
        }
        assert!(header("content-type") != "text/html" || path == "/", "{path}");
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
    }
}

#[test]
fn requests_have_a_size_and_known_methods() {
    let (_home, _daemon, page) = opened();
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(page.post("/api/v1/sources", &large).status, 413);
    let padding = "x".repeat(512 << 10);
    let mut client = page.client();
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {padding}\r\n\r\n", page.addr);
    let answer = client.send_raw(text.as_bytes()).and_then(|()| client.read_response());
    // It may be closed before all of it was sent.
    assert!(answer.map_or(true, |answer| answer.status == 431), "a head that is too large");
    let many: String = (0..80).map(|n| format!("X-{n}: 1\n")).collect();
    let fields = raw(&page, &format!("GET / HTTP/1.1\nHost: {}\n{many}\n", page.addr));
    assert_eq!(fields.status, 431);

    for method in ["PUT", "TRACE", "CONNECT", "BREW"] {
        let text = format!(
            "{method} /api/v1/status HTTP/1.1\nHost: {a}\nOrigin: http://{a}\nCookie: {}\n\
             Content-Length: 0\n\n",
            page.cookie,
            a = page.addr
        );
        let status = raw(&page, &text).status;
        assert!([400, 403, 404, 405].contains(&status), "{method}: {status}");
    }
}
