//! `listen`: shows what comes in, and forwards it to an application on this machine, for as long as
//! it runs. Under the hood it is a consumer of a pull endpoint of its own: nothing is lost between
//! two runs with `--keep`, and what the application refuses is tried again by the endpoint's
//! policy.
//!
//! The daemon dials nobody for this: the URL is dialled here, by whoever named it.

mod forward;
mod sign;
mod tls;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};

use self::forward::{Forwarded, Forwarder};
use super::answer::Answer;
use super::args::ListenArgs;
use super::client::{AdminClient, resource};
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::reconnect::{self, Reconnects};
use super::settings::creation;
use super::ssh::random;
use super::table::{local, text};
use crate::api::text::Line;
use crate::api::values::{Int, Span};
use crate::api::views::{EndpointView, LeaseView, LeasesView};
use crate::api::{EmptyBody, EndpointSpec, LeaseBody, RejectBody};
use crate::model::Target;
use crate::service::signals::StopSignals;
use crate::service::stdio;

/// How long one request waits for events.
const WAIT_MS: u64 = 20_000;
/// Characters of the user's and the machine's part of an endpoint's name, and random or computed
/// bytes behind them.
const NAME_PART: usize = 23;
const NAME_BYTES: usize = 4;
/// How long a forwarded event may take before others could get it.
const LEASE_MS: u64 = 60_000;
/// After this time what nobody took is given up.
const MAX_AGE_MS: u64 = 24 * 60 * 60 * 1_000;

pub(super) fn listen(
    client: &AdminClient,
    out: &mut Output,
    args: &ListenArgs,
) -> Result<(), CtlError> {
    let forwarder = Forwarder::of(args)?;
    let mut interrupts = caught_signals(client)?;
    let name = match (&args.name, args.keep) {
        (Some(name), _) => name.clone(),
        (None, true) => kept_name(&host_name(), args, forwarder.as_ref().map(Forwarder::url))?,
        (None, false) => own_name(&[&HEXLOWER.encode(&random::<NAME_BYTES>()?)]),
    };
    let is_new = prepare(client, args, &name)?;

    announce(args, forwarder.as_ref(), &name);
    let mut listening = Listening { client, out, name: &name, forwarder, seen: 0, max: args.max };
    let ended = listening.run(&mut interrupts);

    if is_new && !args.keep {
        // Also after an error: what is left would fill up.
        let deleted = client.delete(&resource("endpoints", &name, ""));
        ended.and(deleted.map(|_| ()))
    } else {
        ended
    }
}

/// The name of the endpoint that runs with `--keep` on this machine share when they ask for the
/// same. With another name of its own, one that asks for something else takes nothing from it.
fn kept_name(host: &str, args: &ListenArgs, url: Option<&str>) -> Result<String, CtlError> {
    let (mut sources, mut types) = (args.source.clone(), args.types.clone());
    sources.sort_by_key(ToString::to_string);
    types.sort_by_key(ToString::to_string);
    let asked = serde_json::to_vec(&(sources, types, url))
        .map_err(|error| CtlError::Usage(format!("the arguments cannot be written: {error}")))?;
    Ok(own_name(&[host, &HEXLOWER.encode(&Sha256::digest(asked)[..NAME_BYTES])]))
}

/// The name of an endpoint of this user. Others of the same name may use the daemon, too: `what`
/// sets those apart.
fn own_name(what: &[&str]) -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let plain = |text: &str| -> String {
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        text.chars().filter(allowed).take(NAME_PART).collect()
    };
    let parts = [&["listen", &user][..], what].concat();
    let given = parts.into_iter().map(plain).filter(|part| !part.is_empty());
    let given: Vec<String> = given.collect();
    given.join("-")
}

/// The name of this machine, as far as it is known.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

/// Makes the endpoint, or goes on with one that is there. Returns whether this run has made it.
fn prepare(client: &AdminClient, args: &ListenArgs, name: &str) -> Result<bool, CtlError> {
    let path = resource("endpoints", name, "");
    if args.name.is_none() && !args.keep {
        create(client, args, name)?;
        return Ok(true);
    }

    match client.get(&path).and_then(|answer| answer.view::<EndpointView>()) {
        Ok(found) => {
            let url = found.settings.url.unwrap_or_default();
            if !url.parse::<Target>().is_ok_and(|target| target.is_leased()) {
                let what = format!("endpoint {name} delivers to {url}: choose another --name");
                return Err(CtlError::Refused(what));
            }
            Ok(false)
        }
        Err(CtlError::Refused(_)) => {
            create(client, args, name)?;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

fn create(client: &AdminClient, args: &ListenArgs, name: &str) -> Result<(), CtlError> {
    let settings = EndpointSpec {
        url: Some("pull:".to_owned()),
        from: Some(args.source.clone()),
        types: Some(args.types.clone()),
        retry_base: Some(Span::from_ms(1_000)),
        retry_max: Some(Span::from_ms(30_000)),
        max_age: Some(Span::from_ms(MAX_AGE_MS)),
        ..EndpointSpec::default()
    };
    client.post("/v1/endpoints", &creation(Some(name), settings)?).map(|_| ())
}

/// Says on stderr what happens from now on.
fn announce(args: &ListenArgs, forwarder: Option<&Forwarder>, name: &str) {
    let of = match args.source.as_slice() {
        [] => "all sources".to_owned(),
        sources => sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    match forwarder {
        None => stdio::note(format_args!("Listening to {of} as {name}. Ctrl-C ends it.")),
        Some(forwarder) => {
            stdio::note(format_args!(
                "Forwarding {of} to {} as {name}. Ctrl-C ends it.",
                forwarder.url()
            ));
            if let Some(secret) = forwarder.new_secret() {
                stdio::note(format_args!("Signing secret of this run: {secret}"));
            }
        }
    }
}

/// What asks this command to end.
fn caught_signals(client: &AdminClient) -> Result<StopSignals, CtlError> {
    let failed = |error| CtlError::Io { what: "cannot wait for signals".into(), error };
    client.wait_for(async { StopSignals::catch_with_hangup() }).map_err(failed)
}

/// One event as it is printed for programs.
#[derive(Debug, Serialize)]
struct ListenedEvent<'a> {
    event: String,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    received_at: crate::api::values::Time,
    attempt: u32,
    size: usize,
    #[serde(flatten)]
    forwarded: Option<&'a Forwarded>,
}

/// A run of the command.
struct Listening<'a> {
    client: &'a AdminClient,
    out: &'a mut Output,
    name: &'a str,
    forwarder: Option<Forwarder>,
    seen: u64,
    max: Option<u64>,
}

impl Listening<'_> {
    fn run(&mut self, interrupts: &mut StopSignals) -> Result<(), CtlError> {
        let mut reconnects = Reconnects::default();
        while self.max.is_none_or(|max| self.seen < max) {
            // Whether a daemon that was away is back is to be known at once.
            let wait_ms = if reconnects.is_away() { 0 } else { WAIT_MS };
            let leased = match self.lease(wait_ms, interrupts) {
                Ok(Some(leased)) => leased,
                Ok(None) => return Ok(()),
                // The daemon is being restarted, ssh has ended, or there is no place for another
                // consumer.
                Err(error) if reconnects.goes_on_after(&error) => {
                    let paused = async { tokio::time::sleep(reconnect::PAUSE).await };
                    if self.client.until(paused, interrupts.next()).is_none() {
                        return Ok(());
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };

            reconnects.answered();
            for lease in leased {
                if !self.one(&lease, interrupts)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The next event; `None` when this command is to end.
    fn lease(
        &self,
        wait_ms: u64,
        interrupts: &mut StopSignals,
    ) -> Result<Option<Vec<LeaseView>>, CtlError> {
        let body = LeaseBody {
            max: Some(Int::from_u32(1)),
            wait: Some(Span::from_ms(wait_ms)),
            lease: Some(Span::from_ms(LEASE_MS)),
        };
        let path = resource("endpoints", self.name, "/lease");
        let asked = self.client.post_later(&path, &body)?;
        let Some(answer) = self.client.until(asked, interrupts.next()) else { return Ok(None) };
        Ok(Some(answer?.view::<LeasesView>()?.leases))
    }

    /// Shows an event and forwards it. Returns whether to go on.
    fn one(&mut self, lease: &LeaseView, interrupts: &mut StopSignals) -> Result<bool, CtlError> {
        let body = forward::body(lease)?;
        self.show_event(lease, body.len())?;
        let forwarded = match &self.forwarder {
            None => None,
            Some(forwarder) => {
                let sent = forwarder.send(lease, &body)?;
                match self.client.until(sent, interrupts.next()) {
                    Some(forwarded) => Some(forwarded),
                    // What was interrupted is due again.
                    None => {
                        self.settle(lease, Some("interrupted"))?;
                        return Ok(false);
                    }
                }
            }
        };

        self.show_result(lease, body.len(), forwarded.as_ref())?;
        let refused = forwarded.as_ref().and_then(Forwarded::refusal);
        self.settle(lease, refused.as_deref())?;
        self.seen += 1;
        Ok(true)
    }

    /// Says to the daemon what became of it. A lease that ran out meanwhile is lent again.
    fn settle(&self, lease: &LeaseView, refused: Option<&str>) -> Result<(), CtlError> {
        let to = |verb: &str| resource("leases", &lease.lease, verb);
        let settled = match refused {
            None => self.client.post(&to("/ack"), &EmptyBody {}),
            Some(why) => {
                let body = RejectBody { after: None, dead: false, reason: Line::of(why) };
                self.client.post(&to("/reject"), &body)
            }
        };
        match settled {
            Err(CtlError::Refused(_) | CtlError::Busy(_) | CtlError::Unreachable(_)) => Ok(()),
            settled => settled.map(|_| ()),
        }
    }

    fn show_event(&mut self, lease: &LeaseView, size: usize) -> Result<(), CtlError> {
        if self.out.json {
            return Ok(());
        }
        let (at, kind, source) = (local(now_ms()), text(&lease.event_type), text(&lease.source));
        let again = match lease.attempt {
            0 | 1 => String::new(),
            number => format!("  attempt {number}"),
        };
        let event = lease.event.to_string();
        self.out
            .line(&format!("{at}  --> {kind} from {source}  [{event}]  {size} bytes{again}"))?;
        self.out.finish()
    }

    fn show_result(
        &mut self,
        lease: &LeaseView,
        size: usize,
        forwarded: Option<&Forwarded>,
    ) -> Result<(), CtlError> {
        if self.out.json {
            let line = ListenedEvent {
                event: lease.event.to_string(),
                source: &lease.source,
                event_type: &lease.event_type,
                received_at: lease.received_at,
                attempt: lease.attempt,
                size,
                forwarded,
            };
            self.out.one(&Answer::of(&line)?, |_: &serde_json::Value| String::new())?;
            return self.out.finish();
        }

        let Some(forwarded) = forwarded else { return Ok(()) };
        let (at, event, ms) = (local(now_ms()), lease.event.to_string(), forwarded.duration_ms);
        let said = match (&forwarded.status, &forwarded.error) {
            (Some(status), _) => format!("[{status}]"),
            (None, error) => format!("failed: {}", text(error.as_deref().unwrap_or("no answer"))),
        };
        let url = self.forwarder.as_ref().map(Forwarder::url).unwrap_or_default();
        self.out.line(&format!("{at}  <-- {said} POST {url}  [{event}]  {ms} ms"))?;
        self.out.finish()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{ListenArgs, host_name, kept_name, own_name};
    use crate::model::limits;

    #[derive(Parser)]
    struct ListenLine {
        #[command(flatten)]
        args: ListenArgs,
    }

    #[test]
    fn an_endpoint_of_a_user_has_a_name_that_nobody_else_has() {
        assert!(own_name(&["box"]).ends_with("-box"));
        assert_ne!(own_name(&["0a"]), own_name(&["0b"]));
        assert!(!own_name(&["a b\n/é"]).contains([' ', '\n', '/']));
        assert!(own_name(&[&"x".repeat(300), "01234567"]).len() <= limits::NAME_LEN);
        assert!(!host_name().is_empty());
    }

    #[test]
    fn an_endpoint_that_stays_belongs_to_what_is_asked_for() {
        let name = |line: &str| {
            let args =
                ListenLine::parse_from(["listen", "--keep"].into_iter().chain(line.split(' ')));
            let args = args.args;
            kept_name("box", &args, args.forward.as_deref()).expect("a name")
        };

        let one = name("--source a --source b --forward http://localhost:1/");
        assert_eq!(one, name("--forward http://localhost:1/ --source b --source a"));
        for other in [
            "--source a --forward http://localhost:1/",
            "--source a --source b --forward http://localhost:2/",
            "--source a --source b",
            "--source a --type b --forward http://localhost:1/",
            "--type a --type b --forward http://localhost:1/",
        ] {
            assert_ne!(one, name(other), "{other}");
        }

        assert!(
            kept_name(&"x".repeat(300), &ListenLine::parse_from(["listen"]).args, None)
                .is_ok_and(|name| name.len() <= limits::NAME_LEN)
        );
    }
}
