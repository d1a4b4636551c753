//! The story: the steps in order. Each says what really came back, and ends the story when that is not what should
//! have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::super::CtlError;
use super::super::lists::now_ms;
use super::receiver::{Receiver, Seen};
use super::sender::{Answer, Burst, Hook, post};
use super::stage::{SOON, Stage, lock};
use crate::model::time::parse_wall;

/// Real payloads; the module's manual says whose.
const PUSH: &[u8] = include_bytes!("push.json");
const STAR: &[u8] = include_bytes!("star.json");
/// Webhooks of the burst, and how many of them are answered when the plug is pulled.
const BURST: usize = 200;
const KILL_AFTER: usize = 100;

/// All of it.
pub(super) fn tell(stage: &mut Stage) -> Result<(), CtlError> {
    let began = now_ms();
    stage.say(&format!(
        "All of this happens in {} and on 127.0.0.1.\nLines with $ are what you would type yourself.",
        stage.folder.display()
    ))?;
    let receiver = stage.runtime.block_on(Receiver::start())?;
    let (at, secret) = set_up(stage)?;
    let push = Hook::new("push", 1, PUSH, &secret);
    let key = app(stage, &receiver)?;
    dead_end(stage, &receiver)?;
    let event = comes_in(stage, at, &push)?;
    forged(stage, at)?;
    fails_and_recovers(stage, &receiver, &event, &key)?;
    dies_and_is_revived(stage, &receiver)?;
    replayed(stage, &receiver, &event)?;
    let ids = plug_pulled(stage, at, &secret)?;
    nothing_is_lost(stage, &receiver, &ids)?;
    ends(stage)?;
    let took = now_ms().saturating_sub(began);
    stage.say(&format!("\nEverything held, in {}.{} s.", took / 1000, took % 1000 / 100))
}

/// Ends the story unless it holds.
fn holds(it: bool, otherwise: impl FnOnce() -> String) -> Result<(), CtlError> {
    if it { Ok(()) } else { Err(CtlError::Refused(otherwise())) }
}

fn field(values: &[Value], name: &str) -> Result<String, CtlError> {
    let value = values.first().and_then(|value| value[name].as_str());
    value.map(str::to_owned).ok_or_else(|| CtlError::Refused(format!("the answer has no '{name}'")))
}

fn set_up(stage: &mut Stage) -> Result<(SocketAddr, String), CtlError> {
    stage.say("\n1. The daemon starts, and GitHub gets a way in")?;
    stage.say("   $ hookboxd --data data --listen 127.0.0.1:0")?;
    let at = stage.start_daemon()?;
    stage.say(&format!("     ready: webhooks come in at http://{at}/in/SOURCE"))?;
    let made = stage.ctl(&["source", "create", "github", "--verify", "github", "--generate-secret"])?;
    Ok((at, field(&made, "secret")?))
}

/// The endpoint that fails twice. Gives its signing secret.
fn app(stage: &mut Stage, receiver: &Receiver) -> Result<String, CtlError> {
    stage.say("\n2. Two ways out: app fails twice and recovers, billing is down")?;
    receiver.fail("/app", 2);
    let url = receiver.url("/app");
    let words = ["endpoint", "create", "app", "--url", &url, "--allow-private", "--retry-base", "300ms"];
    let made = stage.ctl(&words)?;
    field(&made, "secret")
}

/// The endpoint that is down.
fn dead_end(stage: &mut Stage, receiver: &Receiver) -> Result<(), CtlError> {
    receiver.fail("/billing", u32::MAX);
    let url = receiver.url("/billing");
    let words = ["endpoint", "create", "billing", "--url", &url, "--allow-private", "--types", "push"];
    let policy = ["--retry-base", "100ms", "--max-attempts", "3"];
    stage.ctl(&[&words[..], &policy].concat()).map(|_| ())
}

fn posted(stage: &mut Stage, at: SocketAddr, hook: &Hook, whose: &str) -> Result<Answer, CtlError> {
    let short = hook.signature.get(..15).unwrap_or_default();
    let bytes = hook.body.len();
    stage.say(&format!("   > POST /in/github, {} of {bytes} bytes, {whose}: {short}…", hook.event))?;
    let answer = stage.runtime.block_on(post(at, hook))?;
    stage.say(&format!("   < {} {}", answer.status, answer.body.trim()))?;
    Ok(answer)
}

fn comes_in(stage: &mut Stage, at: SocketAddr, push: &Hook) -> Result<String, CtlError> {
    stage.say("\n3. A real push of GitHub comes in, signed. It is on the disk before the 202")?;
    let first = posted(stage, at, push, "signed")?;
    let id = first.id().filter(|_| first.status == 202);
    let id = id.ok_or_else(|| CtlError::Refused("a signed webhook was not accepted".into()))?;
    stage.say("   GitHub did not see the answer and sends it again (the same X-GitHub-Delivery):")?;
    let again = posted(stage, at, push, "signed")?;
    let same = again.status == 202 && again.is_duplicate() && again.id().as_ref() == Some(&id);
    holds(same, || "the second post is no duplicate of the first".into())?;
    Ok(id)
}

fn forged(stage: &mut Stage, at: SocketAddr) -> Result<(), CtlError> {
    stage.say("\n4. Somebody forges one, with a guessed secret")?;
    let answer = posted(stage, at, &Hook::new("push", 2, PUSH, "guessed"), "forged")?;
    holds(answer.status == 401, || "a forged webhook was not refused with 401".into())?;
    let events = stage.ask("/v1/status")?["events"].as_u64();
    holds(events == Some(1), || format!("{events:?} events instead of the one that was proven"))?;
    stage.say("     nothing of it is kept: there is 1 event")
}

/// The delivery of `event` to `endpoint` once it has come to `state`.
fn delivery(stage: &mut Stage, event: &str, endpoint: &str, state: &str) -> Result<Value, CtlError> {
    let list = format!("/v1/deliveries?event={event}&endpoint={endpoint}&state={state}");
    let row = stage.until(&format!("{endpoint} has it: {state}"), |s| Ok(s.rows(&list)?.into_iter().next()))?;
    stage.ask(&format!("/v1/deliveries/{}", row["id"].as_str().unwrap_or_default()))
}

/// A line for each attempt, with the time since the one before.
fn say_attempts(stage: &mut Stage, endpoint: &str, delivery: &Value) -> Result<(), CtlError> {
    let mut before: Option<u64> = None;
    for attempt in delivery["history"].as_array().into_iter().flatten() {
        let at = attempt["started_at"].as_str().and_then(parse_wall).unwrap_or_default();
        let since = before.map(|b| format!(", {} ms after the one before", at.saturating_sub(b))).unwrap_or_default();
        let came = format!("{} {}", attempt["status"], attempt["outcome"].as_str().unwrap_or_default());
        stage.say(&format!("     {endpoint}: attempt {}: {came}{since}", attempt["number"]))?;
        before = Some(at);
    }
    Ok(())
}

fn attempts(delivery: &Value) -> usize {
    delivery["history"].as_array().map_or(0, Vec::len)
}

fn fails_and_recovers(stage: &mut Stage, receiver: &Receiver, event: &str, key: &str) -> Result<(), CtlError> {
    stage.say("\n5. app answers 503 twice; the delays double, with some jitter; then it recovers")?;
    let done = delivery(stage, event, "app", "delivered")?;
    say_attempts(stage, "app", &done)?;
    holds(attempts(&done) == 3, || format!("{} attempts instead of 3", attempts(&done)))?;
    let seen = receiver.seen("/app");
    let last = seen.last().ok_or_else(|| CtlError::Refused("app saw nothing".into()))?;
    let same_id = seen.iter().all(|s| s.header("webhook-id") == event);
    holds(same_id, || "the id changed between attempts".into())?;
    holds(last.body == PUSH, || "the body is not what GitHub sent".into())?;
    holds(last.is_signed_with(key), || "its signature does not verify".into())?;
    stage.say(&format!("     app got the {} bytes as they came in, each time with", last.body.len()))?;
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "x-github-event"] {
        stage.say(&format!("       {name}: {}", last.header(name)))?;
    }
    stage.say("     and the v1 signature verifies with the secret of step 2")
}

fn dies_and_is_revived(stage: &mut Stage, receiver: &Receiver) -> Result<(), CtlError> {
    stage.say("\n6. billing stays down: after 3 attempts the delivery is a dead letter")?;
    stage.until("billing's dead letter", |s| Ok((!s.rows("/v1/dlq")?.is_empty()).then_some(())))?;
    let dead = stage.ctl(&["dlq", "list"])?;
    holds(dead.len() == 1, || format!("{} dead letters instead of 1", dead.len()))?;
    let event = field(&dead, "event")?;
    stage.say("   billing is repaired, and its dead letters are attempted again:")?;
    receiver.fail("/billing", 0);
    let done = stage.ctl(&["dlq", "retry", "--endpoint", "billing"])?;
    holds(done.first().is_some_and(|d| d["queued"] == 1), || "nothing was queued".into())?;
    let done = delivery(stage, &event, "billing", "delivered")?;
    say_attempts(stage, "billing", &done)?;
    stage.ctl(&["dlq", "list"]).and_then(|dead| holds(dead.is_empty(), || "the dead letter is still there".into()))
}

fn replayed(stage: &mut Stage, receiver: &Receiver, event: &str) -> Result<(), CtlError> {
    stage.say("\n7. A new endpoint wants the event of step 3: replay")?;
    let url = receiver.url("/archive");
    stage.ctl(&["endpoint", "create", "archive", "--url", &url, "--allow-private", "--types", "push"])?;
    let done = stage.ctl(&["replay", "--event", event, "--to", "archive"])?;
    holds(done.first().is_some_and(|d| d["queued"] == 1), || "nothing was queued".into())?;
    let done = delivery(stage, event, "archive", "delivered")?;
    say_attempts(stage, "archive", &done)?;
    let same = |seen: &Seen| seen.header("webhook-id") == event && seen.body == PUSH;
    holds(receiver.seen("/archive").iter().any(same), || "archive got something else".into())?;
    stage.say("     archive got the same body under the same webhook-id")
}

/// Gives the ids of all events of the burst.
fn plug_pulled(stage: &mut Stage, at: SocketAddr, secret: &str) -> Result<BTreeSet<String>, CtlError> {
    stage.say(&format!("\n8. A burst of {BURST} stars, and kill -9 in the middle of it"))?;
    let hooks: Vec<(usize, Hook)> = (0..BURST).map(|n| (n, Hook::new("star", 1000 + n, STAR, secret))).collect();
    let burst = Burst::new(KILL_AFTER);
    let senders = burst.send(&stage.runtime, at, hooks.clone());
    let enough = stage.runtime.block_on(async { tokio::time::timeout(SOON, burst.half_way()).await });
    holds(enough.is_ok(), || format!("{KILL_AFTER} answers did not come within {} s", SOON.as_secs()))?;
    stage.kill_daemon()?;
    finish(stage, senders)?;
    let answers = std::mem::take(&mut *lock(&burst.answers));
    let first = accepted(&answers)?;
    let in_doubt = answers.len() - first.len();
    stage.say(&format!(
        "   $ kill -9 hookboxd\n     {} answered with 202, {in_doubt} sent and not answered, {} not sent yet",
        first.len(),
        BURST - answers.len()
    ))?;
    let left: Vec<(usize, Hook)> = hooks.into_iter().filter(|(n, _)| !first.contains_key(n)).collect();
    let second = sent_again(stage, left)?;
    let ids: BTreeSet<String> = first.into_values().chain(second).collect();
    holds(ids.len() == BURST, || format!("{} ids instead of {BURST}", ids.len()))?;
    Ok(ids)
}

/// A new start, and the sender sends what was not answered; gives the ids.
fn sent_again(stage: &mut Stage, left: Vec<(usize, Hook)>) -> Result<Vec<String>, CtlError> {
    stage.say("   $ hookboxd --data data --listen 127.0.0.1:0")?;
    let at = stage.start_daemon()?;
    stage.say(&format!("     ready again: http://{at}/in/SOURCE"))?;
    let sent_again = left.len();
    let burst = Burst::new(usize::MAX);
    let senders = burst.send(&stage.runtime, at, left);
    finish(stage, senders)?;
    let answers = std::mem::take(&mut *lock(&burst.answers));
    let second = accepted(&answers)?;
    holds(second.len() == sent_again, || format!("{} of {sent_again} were accepted", second.len()))?;
    let known = answers.values().flatten().filter(|answer| answer.is_duplicate()).count();
    stage.say(&format!(
        "     the sender sends the other {sent_again}: {sent_again} answered with 202, {known} of them known already"
    ))?;
    Ok(second.into_values().collect())
}

/// Waits for the senders, whose connections may break.
fn finish(stage: &Stage, senders: tokio::task::JoinSet<()>) -> Result<(), CtlError> {
    let all = senders.join_all();
    let ended = stage.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), all).await });
    holds(ended.is_ok(), || "the senders of the burst did not end".into())
}

/// The ids by the hooks' numbers; every answer must be a 202.
fn accepted(answers: &BTreeMap<usize, Option<Answer>>) -> Result<BTreeMap<usize, String>, CtlError> {
    let mut ids = BTreeMap::new();
    for (number, answer) in answers.iter().filter_map(|(n, a)| Some((*n, a.as_ref()?))) {
        let id = answer.id().filter(|_| answer.status == 202);
        let id = id.ok_or_else(|| CtlError::Refused(format!("{} {}", answer.status, answer.body.trim())))?;
        ids.insert(number, id);
    }
    Ok(ids)
}

fn nothing_is_lost(stage: &mut Stage, receiver: &Receiver, ids: &BTreeSet<String>) -> Result<(), CtlError> {
    stage.say("\n9. Nothing is lost")?;
    stage.until("everything is delivered", |s| {
        let status = s.ask("/v1/status")?;
        let open = ["pending", "in_flight"].map(|state| status["deliveries"][state].as_u64());
        Ok((open == [Some(0), Some(0)]).then_some(()))
    })?;
    let (requests, arrived) = receiver.arrived("/app", ids);
    holds(arrived.len() == ids.len(), || {
        let lost: Vec<&String> = ids.difference(&arrived).take(3).collect();
        format!("{} of {} never arrived, e.g. {lost:?}", ids.len() - arrived.len(), ids.len())
    })?;
    stage.say(&format!(
        "     {} of {} acknowledged events arrived at app, {} of them twice",
        arrived.len(),
        ids.len(),
        requests - arrived.len()
    ))?;
    stage.say("     (in flight when the plug was pulled: at least once, under the same webhook-id)")?;
    stage.ctl(&["log", "verify"])?;
    stage.ctl(&["status"])?;
    let status = stage.ask("/v1/status")?;
    let events = status["events"].as_u64();
    holds(events == Some(1 + BURST as u64), || format!("{events:?} events instead of {}", 1 + BURST))?;
    holds(status["deliveries"]["dead"] == 0, || "there are dead letters".into())
}

fn ends(stage: &mut Stage) -> Result<(), CtlError> {
    stage.say("\n10. The end\n   $ kill -TERM hookboxd")?;
    let status = stage.stop_daemon()?;
    holds(status.success(), || format!("hookboxd ended with {status}"))?;
    stage.say("     exit 0: what was in flight is finished, everything is remembered")
}
