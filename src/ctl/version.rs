//! `version`: what this program and the daemon are.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::client::AdminClient;
use super::error::CtlError;
use super::output::Output;
use super::table::text;
use crate::api::views::{StatusView, VersionView};
use crate::archive::LOG_FORMAT;
use crate::model::{COMMIT, VERSION};

/// Both programs.
#[derive(Serialize, Deserialize)]
struct BothVersions {
    hookboxctl: VersionView,
    /// Null when it cannot be reached.
    hookboxd: Option<VersionView>,
    /// Why not.
    error: Option<String>,
}

/// Shows what both programs are. A daemon that cannot be reached is not a failure.
pub(super) fn version(client: &AdminClient, out: &mut Output) -> Result<(), CtlError> {
    let hookboxctl = VersionView {
        version: VERSION.to_owned(),
        commit: COMMIT.to_owned(),
        log_format: Some(LOG_FORMAT),
    };
    let (hookboxd, error) = match daemon(client) {
        Ok(view) => (Some(view), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let both = Answer::of(&BothVersions { hookboxctl, hookboxd, error })?;
    out.one(&both, screen)
}

/// A daemon from before it was asked for this says its version in its status.
fn daemon(client: &AdminClient) -> Result<VersionView, CtlError> {
    match client.get("/v1/version") {
        Ok(answer) => answer.view(),
        Err(CtlError::Refused(_)) => {
            let StatusView { version, .. } = client.get("/v1/status")?.view()?;
            Ok(VersionView { version, commit: "unknown".to_owned(), log_format: None })
        }
        Err(error) => Err(error),
    }
}

fn screen(both: &BothVersions) -> String {
    let mut screen = String::new();
    let mut line = |program: &str, view: &VersionView| {
        let format = view.log_format.map_or("unknown".to_owned(), |format| format.to_string());
        let (version, commit) = (text(&view.version), text(&view.commit));
        let _ = writeln!(screen, "{program:<10}  {version}  commit {commit}  log format {format}");
    };
    line("hookboxctl", &both.hookboxctl);
    if let Some(daemon) = &both.hookboxd {
        line("hookboxd", daemon);
    }
    if let Some(error) = &both.error {
        let _ = writeln!(screen, "hookboxd    not reached: {}", text(error));
    }
    screen
}
