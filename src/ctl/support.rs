//! `support`: a bundle for whoever helps. It says how the daemon is, and nothing of what it
//! delivers: no bodies, no headers, no URLs, no secrets.
//!
//! What a bundle holds is chosen field by field: a part of the daemon that is new is not in it
//! before somebody has put it there.

mod archive_file;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::args::SupportArgs;
use super::client::AdminClient;
use super::error::CtlError;
use super::output::Output;
use crate::api::values::Time;
use crate::api::views::{EndpointActivityView, EndpointView, HistoryView, StatusView};
use crate::config::layers::{EffectiveConfig, SYSTEM_FILE};
use crate::model::{COMMIT, VERSION};

/// Lines of the daemon's log.
const LOG_LINES: &str = "1000";
/// What stands in them before words of others: the reason of a refusal, and what is wrong in files,
/// which may quote settings.
const QUOTES: &[&str] = &[
    "refused:",
    "nothing was applied:",
    "was not reloaded:",
    "error=",
    "\"error\":",
    "reason=",
    "\"reason\":",
];
/// The unit whose lines they are.
const UNIT: &str = "hookboxd.service";

/// What was written.
#[derive(Serialize, Deserialize)]
struct WrittenBundle {
    file: String,
    parts: Vec<String>,
    /// What could not be had, and why.
    left_out: Vec<String>,
}

/// How an endpoint fares, without where it leads.
#[derive(Serialize)]
struct SupportedEndpoint {
    name: String,
    created_at: Time,
    #[serde(flatten)]
    activity: Option<EndpointActivityView>,
}

/// The bundle while it is gathered.
#[derive(Default)]
struct Bundle {
    parts: Vec<(String, Vec<u8>)>,
    left_out: Vec<String>,
}

impl Bundle {
    /// A part that cannot be had is no reason to have none of the others.
    fn add(&mut self, name: &str, part: Result<Vec<u8>, CtlError>) {
        match part {
            Ok(bytes) => self.parts.push((name.to_owned(), bytes)),
            Err(error) => self.left_out.push(format!("{name}: {error}")),
        }
    }
}

/// Writes a bundle.
pub(super) fn support(
    client: &AdminClient,
    out: &mut Output,
    args: &SupportArgs,
) -> Result<(), CtlError> {
    let failed = |error| CtlError::of_new_file(&args.file, error);
    // First of all, so that a busy daemon is not asked for nothing.
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(&args.file).map_err(failed)?;

    let bundle = gather(client, args);
    file.write_all(&archive_file::packed(&bundle.parts)).map_err(failed)?;

    let written = WrittenBundle {
        file: args.file.display().to_string(),
        parts: bundle.parts.into_iter().map(|(name, _)| name).collect(),
        left_out: bundle.left_out,
    };
    out.one(&Answer::of(&written)?, |written: &WrittenBundle| {
        let mut text = format!(
            "Wrote {}: {}. It holds no bodies, URLs or secrets; look at it before you send it: \
             tar -xOf {} | less\n",
            written.file,
            written.parts.join(", "),
            written.file
        );
        written.left_out.iter().for_each(|what| text.push_str(&format!("Without {what}\n")));
        text
    })
}

fn gather(client: &AdminClient, args: &SupportArgs) -> Bundle {
    let mut bundle = Bundle::default();
    bundle.add("version.txt", Ok(versions(client)));
    bundle.add("configuration.toml", configuration(args.config.as_deref()));
    bundle.add("status.json", status(client));
    bundle.add("endpoints.json", endpoints(client));
    bundle.add("history.json", history(client));
    bundle.add("metrics.txt", bytes(client, "/metrics"));
    bundle.add("segments.json", client.get("/v1/log").map(|answer| answer.json().into()));
    bundle.add("verify.json", verified(client));
    bundle.add("log.txt", log_lines());
    bundle
}

/// The versions of both sides and of the system.
fn versions(client: &AdminClient) -> Vec<u8> {
    let daemon = client.get("/v1/status").and_then(|answer| answer.view::<StatusView>());
    let daemon = daemon.map_or_else(|error| error.to_string(), |status| status.version);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let text = format!(
        "hookboxctl {VERSION} commit {COMMIT}\nhookboxd {daemon}\n\
         kernel {}\nsystem {}\narchitecture {}\n",
        kernel.trim(),
        name.unwrap_or("unknown"),
        std::env::consts::ARCH,
    );
    text.into_bytes()
}

/// The effective configuration, without passwords.
fn configuration(file: Option<&Path>) -> Result<Vec<u8>, CtlError> {
    let read = EffectiveConfig::read(file.unwrap_or(Path::new(SYSTEM_FILE)));
    read.map(|read| read.text().into_bytes()).map_err(|error| CtlError::Refused(error.to_string()))
}

/// The status, as far as this program knows its fields.
fn status(client: &AdminClient) -> Result<Vec<u8>, CtlError> {
    let mut status: StatusView = client.get("/v1/status")?.view()?;
    if let Some(applied) = &mut status.applied {
        // It may quote what stands in a file.
        applied.error = applied.error.take().map(|_| "(left out)".to_owned());
    }
    for worst in &mut status.worst {
        leave_words_out(&mut worst.last_error, &mut worst.last_answer);
    }
    Answer::of(&status).map(|answer| answer.json().into())
}

/// Leaves out what a receiver said, which may be anything, such as a part of an event.
fn leave_words_out(error: &mut Option<String>, answer: &mut Option<String>) {
    *error = error.take().map(|_| "(left out)".to_owned());
    *answer = None;
}

fn endpoints(client: &AdminClient) -> Result<Vec<u8>, CtlError> {
    let mut text = String::new();
    client.list("/v1/endpoints", &mut |row| {
        let EndpointView { name, created_at, mut activity, .. } = row.view()?;
        if let Some(activity) = &mut activity {
            leave_words_out(&mut activity.last_error, &mut activity.last_answer);
        }
        let shown = SupportedEndpoint { name, created_at, activity };
        text.push_str(Answer::of(&shown)?.json());
        text.push('\n');
        Ok(())
    })?;
    Ok(text.into_bytes())
}

/// What the daemon did over the last day, as far as this program knows its fields: numbers alone.
fn history(client: &AdminClient) -> Result<Vec<u8>, CtlError> {
    let history: HistoryView = client.get("/v1/history")?.view()?;
    Answer::of(&history).map(|answer| answer.json().into())
}

fn bytes(client: &AdminClient, path: &str) -> Result<Vec<u8>, CtlError> {
    let mut all = Vec::new();
    client.bytes(path, &mut |part| {
        all.extend_from_slice(part);
        Ok(())
    })?;
    Ok(all)
}

/// The report of the log's check, which comes last.
fn verified(client: &AdminClient) -> Result<Vec<u8>, CtlError> {
    let mut report = Vec::new();
    client.list("/v1/log/verify", &mut |line| {
        report = line.json().into();
        Ok(())
    })?;
    Ok(report)
}

/// The last lines of the daemon's log, where the system keeps them.
fn log_lines() -> Result<Vec<u8>, CtlError> {
    let mut journal = Command::new("journalctl");
    journal.args(["--unit", UNIT, "--lines", LOG_LINES, "--no-pager", "--output", "short-iso"]);
    let done = journal
        .output()
        .map_err(|error| CtlError::Io { what: "journalctl cannot be run".to_owned(), error })?;
    match done.status.success() {
        true => Ok(shareable(&String::from_utf8_lossy(&done.stdout)).into_bytes()),
        false => Err(CtlError::Refused(String::from_utf8_lossy(&done.stderr).trim().to_owned())),
    }
}

/// Lines of the log without what they quote: URLs may hold secrets, the reason of a refusal holds
/// words of the request, and an error those of a receiver.
fn shareable(lines: &str) -> String {
    let mut text = String::with_capacity(lines.len());
    for line in lines.lines() {
        let first = QUOTES.iter().filter_map(|sign| Some(line.find(sign)? + sign.len())).min();
        match first {
            Some(end) => text.push_str(&format!("{} …", without_urls(&line[..end]))),
            None => text.push_str(&without_urls(line)),
        }
        text.push('\n');
    }
    text
}

/// The text with `…` for what follows the `://` of each URL.
fn without_urls(text: &str) -> String {
    const SIGN: &str = "://";
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\');
    let mut pieces = text.split(SIGN);
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(is_end).unwrap_or(piece.len());
        shown.push_str(SIGN);
        shown.push('…');
        shown.push_str(piece.get(end..).unwrap_or_default());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::shareable;

    #[test]
    fn lines_of_the_log_show_no_urls_and_no_words_of_requests() {
        let lines = "T box hookboxd[1]: INFO ready listen=\"http://127.0.0.1:8420\"\n\
                     T WARN refused: the path /in/s3cret?token=x is unknown source=\"a\"\n\
                     T {\"level\":\"WARN\",\"message\":\"refused: s3cret\",\"kind\":\"x\"}\n\
                     T INFO set url=https://u:s3cret@h/p?k=s3cret (https://a/b, https://c)\n\
                     T INFO nested http://a/http://s3cret done\n\
                     T WARN an endpoint fails endpoint=\"a\" error=500: {\"k\":\"s3cret\"}\n\
                     T {\"message\":\"on hold\",\"reason\":\"s3cret\"}\n\
                     T ERROR apply.d: nothing was applied: a.toml:3: endpoint.a: 's3cret'\n\
                     T ERROR the configuration was not reloaded: listen: 's3cret' is\n";

        let shown = shareable(lines);
        assert!(!shown.contains("s3cret"), "{shown}");
        assert_eq!(
            shown,
            "T box hookboxd[1]: INFO ready listen=\"http://…\"\n\
             T WARN refused: …\n\
             T {\"level\":\"WARN\",\"message\":\"refused: …\n\
             T INFO set url=https://… (https://… https://…\n\
             T INFO nested http://…://… done\n\
             T WARN an endpoint fails endpoint=\"a\" error= …\n\
             T {\"message\":\"on hold\",\"reason\": …\n\
             T ERROR apply.d: nothing was applied: …\n\
             T ERROR the configuration was not reloaded: …\n"
        );
    }
}
