//! What is said of the certificate that the daemon's listeners show.

use serde_json::json;

use super::screens::{running, shown};
use crate::api::views::StatusView;
use crate::ctl::status;
use crate::ctl::terminal::Terminal;

#[test]
fn a_certificate_that_is_over_needs_somebody_and_one_that_soon_is_is_shown() {
    let mut running = running();
    running["log"]["level"] = json!("open");
    running["certificate"] = json!({"expires_at": "2026-12-09T00:00:00.000Z", "valid": true,
        "warning": "tls.cert: it expires in 7 days"});
    let verdict = |status: &serde_json::Value| {
        status::verdict(&serde_json::from_value::<StatusView>(status.clone()).expect("a status"))
    };
    let screen = |status: &serde_json::Value| {
        shown(status, |status| status::screen(status, Terminal::default()))
    };
    assert!(verdict(&running).ok);
    assert!(screen(&running).contains("\ntls        tls.cert: it expires in 7 days\n"));

    running["certificate"]["valid"] = json!(false);
    running["certificate"]["warning"] = json!("tls.cert: it expired");
    assert_eq!(verdict(&running).reason, "ATTENTION: tls.cert: it expired");
    assert!(screen(&running).contains("\nTLS        tls.cert: it expired\n"));

    running["certificate"] = json!(null);
    assert!(verdict(&running).ok && !screen(&running).contains("tls"));
}
