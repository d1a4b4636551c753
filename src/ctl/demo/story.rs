//! The story: the steps in order. Each prints what really came back, and ends the story with an
//! error when that is not what it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::environment::{DemoEnvironment, SOON, lock};
use super::receiver::{DemoReceiver, ReceivedRequest};
use super::sender::{Burst, DemoResponse, SignedWebhook, post};
use crate::api::values::SecretText;
use crate::api::views::{
    DeliveryDetailView, DeliveryView, EndpointView, ReplayStartView, RetryView, SourceView,
    StatusView, VerifyView,
};
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::ctl::table::or_dash;

/// Real payloads; the module's documentation says whose.
const PUSH: &[u8] = include_bytes!("push.json");
const STAR: &[u8] = include_bytes!("star.json");
/// Webhooks of the burst, and how many of them are answered when the daemon is killed.
const BURST: usize = 200;
const KILL_AFTER: usize = 100;

/// Runs all steps.
pub(super) fn run(demo: &mut DemoEnvironment) -> Result<(), CtlError> {
    let began = now_ms();
    demo.print(&format!("Everything happens in {} and on 127.0.0.1.", demo.folder.display()))?;
    demo.print("Lines with $ are what you would type yourself.")?;

    let receiver = demo.runtime.block_on(DemoReceiver::start())?;
    let (at, secret) = create_source(demo)?;
    let push = SignedWebhook::new("push", 1, PUSH, &secret);
    let key = create_app(demo, &receiver)?;
    create_billing(demo, &receiver)?;

    let event = receive(demo, at, &push)?;
    refuse_forged(demo, at)?;
    fail_and_recover(demo, &receiver, &event, &key)?;
    retry_dead_letter(demo, &receiver)?;
    replay(demo, &receiver, &event)?;

    let ids = kill_in_burst(demo, at, &secret)?;
    check_nothing_lost(demo, &receiver, &ids)?;
    stop(demo)?;

    let took = now_ms().saturating_sub(began);
    demo.print(&format!("\nAll checks passed, in {}.{} s.", took / 1000, took % 1000 / 100))
}

/// Ends the story unless the condition holds.
fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), CtlError> {
    if holds { Ok(()) } else { Err(CtlError::Refused(otherwise())) }
}

/// The one answer of a command.
fn single<V>(answers: Vec<V>) -> Result<V, CtlError> {
    let answer = answers.into_iter().next();
    answer.ok_or_else(|| CtlError::Refused("the daemon gave no answer".into()))
}

fn generated(secret: Option<SecretText>) -> Result<String, CtlError> {
    let secret = secret.map(|SecretText(secret)| secret.0);
    secret.ok_or_else(|| CtlError::Refused("the answer has no 'secret'".into()))
}

fn create_source(demo: &mut DemoEnvironment) -> Result<(SocketAddr, String), CtlError> {
    demo.print("\n1. The daemon starts, and GitHub gets a source")?;
    demo.print("   $ hookboxd --data data --listen 127.0.0.1:0")?;
    let at = demo.start_daemon()?;
    demo.print(&format!("     ready: post webhooks to http://{at}/in/SOURCE"))?;
    let made: SourceView = single(demo.ctl(&[
        "source",
        "create",
        "github",
        "--verify",
        "github",
        "--generate-secret",
    ])?)?;
    Ok((at, generated(made.settings.secret)?))
}

/// The endpoint that fails twice. Gives its signing secret.
fn create_app(demo: &mut DemoEnvironment, receiver: &DemoReceiver) -> Result<String, CtlError> {
    demo.print("\n2. Two endpoints: app fails twice and recovers, billing is down")?;
    receiver.fail("/app", 2);
    let url = receiver.url("/app");
    let words =
        ["endpoint", "create", "app", "--url", &url, "--allow-private", "--retry-base", "300ms"];
    let made: EndpointView = single(demo.ctl(&words)?)?;
    generated(made.settings.secret)
}

/// The endpoint that is down.
fn create_billing(demo: &mut DemoEnvironment, receiver: &DemoReceiver) -> Result<(), CtlError> {
    receiver.fail("/billing", u32::MAX);
    let url = receiver.url("/billing");
    let words =
        ["endpoint", "create", "billing", "--url", &url, "--allow-private", "--types", "push"];
    let policy = ["--retry-base", "100ms", "--max-attempts", "3"];
    demo.ctl::<EndpointView>(&[&words[..], &policy].concat()).map(|_| ())
}

fn post_and_print(
    demo: &mut DemoEnvironment,
    at: SocketAddr,
    hook: &SignedWebhook,
    whose: &str,
) -> Result<DemoResponse, CtlError> {
    let short = hook.signature.get(..15).unwrap_or_default();
    let bytes = hook.body.len();
    demo.print(&format!(
        "   > POST /in/github, {} of {bytes} bytes, {whose}: {short}…",
        hook.event
    ))?;
    let answer = demo.runtime.block_on(post(at, hook))?;
    demo.print(&format!("   < {} {}", answer.status, answer.body.trim()))?;
    Ok(answer)
}

fn receive(
    demo: &mut DemoEnvironment,
    at: SocketAddr,
    push: &SignedWebhook,
) -> Result<String, CtlError> {
    demo.print("\n3. A real push of GitHub arrives, signed. It is on the disk before the 202")?;
    let first = post_and_print(demo, at, push, "signed")?;
    let id = first.id().filter(|_| first.status == 202);
    let id = id.ok_or_else(|| CtlError::Refused("a signed webhook was not accepted".into()))?;
    demo.print(
        "   GitHub does not get the answer and sends it again (the same X-GitHub-Delivery):",
    )?;
    let again = post_and_print(demo, at, push, "signed")?;
    let same = again.status == 202 && again.is_duplicate() && again.id().as_ref() == Some(&id);
    check(same, || "the second post is not a duplicate of the first".into())?;
    Ok(id)
}

fn refuse_forged(demo: &mut DemoEnvironment, at: SocketAddr) -> Result<(), CtlError> {
    demo.print("\n4. Somebody forges one, with a guessed secret")?;
    let answer =
        post_and_print(demo, at, &SignedWebhook::new("push", 2, PUSH, "guessed"), "forged")?;
    check(answer.status == 401, || "a forged webhook was not refused with 401".into())?;
    let events = demo.ask::<StatusView>("/v1/status")?.events;
    check(events == 1, || format!("{events} events instead of the one that was signed"))?;
    demo.print("     nothing of it is stored: there is 1 event")
}

/// The delivery of `event` to `endpoint` once it has come to `state`.
fn delivery(
    demo: &mut DemoEnvironment,
    event: &str,
    endpoint: &str,
    state: &str,
) -> Result<DeliveryDetailView, CtlError> {
    let list = format!("/v1/deliveries?event={event}&endpoint={endpoint}&state={state}");
    let row: DeliveryView = demo
        .until(&format!("{endpoint} has it: {state}"), |s| Ok(s.rows(&list)?.into_iter().next()))?;
    demo.ask(&format!("/v1/deliveries/{}", row.id))
}

/// A line for each attempt, with the time since the one before.
fn print_attempts(
    demo: &mut DemoEnvironment,
    endpoint: &str,
    delivery: &DeliveryDetailView,
) -> Result<(), CtlError> {
    let mut before: Option<u64> = None;
    for attempt in &delivery.history {
        let at = attempt.started_at.0;
        let since = before
            .map(|b| format!(", {} ms after the one before", at.saturating_sub(b)))
            .unwrap_or_default();
        let (number, status) = (attempt.number, or_dash(attempt.status));
        let came = format!("{status} {}", attempt.outcome);
        demo.print(&format!("     {endpoint}: attempt {number}: {came}{since}"))?;
        before = Some(at);
    }
    Ok(())
}

fn fail_and_recover(
    demo: &mut DemoEnvironment,
    receiver: &DemoReceiver,
    event: &str,
    key: &str,
) -> Result<(), CtlError> {
    demo.print(
        "\n5. app answers 503 twice; the delays double, with some jitter; then it recovers",
    )?;
    let done = delivery(demo, event, "app", "delivered")?;
    print_attempts(demo, "app", &done)?;
    let attempts = done.history.len();
    check(attempts == 3, || format!("{attempts} attempts instead of 3"))?;
    let seen = receiver.seen("/app");
    let last = seen.last().ok_or_else(|| CtlError::Refused("app saw nothing".into()))?;
    let same_id = seen.iter().all(|s| s.header("webhook-id") == event);
    check(same_id, || "the id changed between attempts".into())?;
    check(last.body == PUSH, || "the body is not what GitHub sent".into())?;
    check(last.is_signed_with(key), || "its signature does not verify".into())?;
    demo.print(&format!("     app got the {} bytes unchanged, each time with", last.body.len()))?;
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "x-github-event"] {
        demo.print(&format!("       {name}: {}", last.header(name)))?;
    }
    demo.print("     and the v1 signature verifies with the secret of step 2")
}

fn retry_dead_letter(demo: &mut DemoEnvironment, receiver: &DemoReceiver) -> Result<(), CtlError> {
    demo.print("\n6. billing stays down: after 3 attempts the delivery is a dead letter")?;
    demo.until("billing's dead letter", |s| {
        Ok((!s.rows::<DeliveryView>("/v1/dlq")?.is_empty()).then_some(()))
    })?;
    let dead: Vec<DeliveryView> = demo.ctl(&["dlq", "list"])?;
    check(dead.len() == 1, || format!("{} dead letters instead of 1", dead.len()))?;
    let event = single(dead)?.event.to_string();

    demo.print("   billing is repaired, and its dead letters are retried:")?;
    receiver.fail("/billing", 0);
    let done: RetryView = single(demo.ctl(&["dlq", "retry", "--endpoint", "billing"])?)?;
    check(done.queued == 1, || "nothing was queued".into())?;
    let done = delivery(demo, &event, "billing", "delivered")?;
    print_attempts(demo, "billing", &done)?;
    let dead: Vec<DeliveryView> = demo.ctl(&["dlq", "list"])?;
    check(dead.is_empty(), || "the dead letter is still there".into())
}

fn replay(
    demo: &mut DemoEnvironment,
    receiver: &DemoReceiver,
    event: &str,
) -> Result<(), CtlError> {
    demo.print("\n7. A new endpoint gets the event of step 3: replay")?;
    let url = receiver.url("/archive");
    demo.ctl::<EndpointView>(&[
        "endpoint",
        "create",
        "archive",
        "--url",
        &url,
        "--allow-private",
        "--types",
        "push",
    ])?;

    let done: ReplayStartView =
        single(demo.ctl(&["replay", "--event", event, "--to", "archive"])?)?;
    check(done.queued == 1, || "nothing was queued".into())?;
    let done = delivery(demo, event, "archive", "delivered")?;
    print_attempts(demo, "archive", &done)?;
    let same = |seen: &ReceivedRequest| seen.header("webhook-id") == event && seen.body == PUSH;
    check(receiver.seen("/archive").iter().any(same), || "archive got something else".into())?;
    demo.print("     archive got the same body under the same webhook-id")
}

/// Gives the ids of all events of the burst.
fn kill_in_burst(
    demo: &mut DemoEnvironment,
    at: SocketAddr,
    secret: &str,
) -> Result<BTreeSet<String>, CtlError> {
    demo.print(&format!("\n8. A burst of {BURST} stars, and kill -9 in the middle of it"))?;
    let hooks: Vec<(usize, SignedWebhook)> =
        (0..BURST).map(|n| (n, SignedWebhook::new("star", 1000 + n, STAR, secret))).collect();

    let burst = Burst::new(KILL_AFTER);
    let senders = burst.send(&demo.runtime, at, hooks.clone());
    let enough =
        demo.runtime.block_on(async { tokio::time::timeout(SOON, burst.half_way()).await });
    check(enough.is_ok(), || {
        format!("{KILL_AFTER} answers did not come within {} s", SOON.as_secs())
    })?;

    demo.kill_daemon()?;
    finish(demo, senders)?;
    let answers = std::mem::take(&mut *lock(&burst.answers));
    let first = accepted(&answers)?;
    let (answered, unsent) = (first.len(), BURST - answers.len());
    let unanswered = answers.len() - answered;
    demo.print("   $ kill -9 hookboxd")?;
    demo.print(&format!(
        "     {answered} answered with 202, {unanswered} sent and not answered, {unsent} not sent \
         yet"
    ))?;

    let left: Vec<(usize, SignedWebhook)> =
        hooks.into_iter().filter(|(n, _)| !first.contains_key(n)).collect();
    let second = send_again(demo, left)?;
    let ids: BTreeSet<String> = first.into_values().chain(second).collect();
    check(ids.len() == BURST, || format!("{} ids instead of {BURST}", ids.len()))?;
    Ok(ids)
}

/// A new start, and the sender sends what was not answered; gives the ids.
fn send_again(
    demo: &mut DemoEnvironment,
    left: Vec<(usize, SignedWebhook)>,
) -> Result<Vec<String>, CtlError> {
    demo.print("   $ hookboxd --data data --listen 127.0.0.1:0")?;
    let at = demo.start_daemon()?;
    demo.print(&format!("     ready again: http://{at}/in/SOURCE"))?;

    let sent_again = left.len();
    let burst = Burst::new(usize::MAX);
    let senders = burst.send(&demo.runtime, at, left);
    finish(demo, senders)?;
    let answers = std::mem::take(&mut *lock(&burst.answers));
    let second = accepted(&answers)?;
    check(second.len() == sent_again, || {
        format!("{} of {sent_again} were accepted", second.len())
    })?;

    let known = answers.values().flatten().filter(|answer| answer.is_duplicate()).count();
    let were = if known == 1 { "was" } else { "were" };
    demo.print(&format!(
        "     the sender sends the other {sent_again}: {sent_again} answered with 202, {known} of \
         them {were} stored already"
    ))?;
    Ok(second.into_values().collect())
}

/// Waits for the senders, whose connections may break.
fn finish(demo: &DemoEnvironment, senders: tokio::task::JoinSet<()>) -> Result<(), CtlError> {
    let all = senders.join_all();
    let ended =
        demo.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), all).await });
    check(ended.is_ok(), || "the senders of the burst did not end".into())
}

/// The ids by the hooks' numbers; every answer must be a 202.
fn accepted(
    answers: &BTreeMap<usize, Option<DemoResponse>>,
) -> Result<BTreeMap<usize, String>, CtlError> {
    let mut ids = BTreeMap::new();
    for (number, answer) in answers.iter().filter_map(|(n, a)| Some((*n, a.as_ref()?))) {
        let id = answer.id().filter(|_| answer.status == 202);
        let id = id.ok_or_else(|| {
            CtlError::Refused(format!("{} {}", answer.status, answer.body.trim()))
        })?;
        ids.insert(number, id);
    }
    Ok(ids)
}

fn check_nothing_lost(
    demo: &mut DemoEnvironment,
    receiver: &DemoReceiver,
    ids: &BTreeSet<String>,
) -> Result<(), CtlError> {
    demo.print("\n9. Nothing is lost")?;
    demo.until("everything is delivered", |s| {
        let counts = s.ask::<StatusView>("/v1/status")?.deliveries;
        Ok((counts.pending == 0 && counts.in_flight == 0).then_some(()))
    })?;

    let (requests, arrived) = receiver.arrived("/app", ids);
    check(arrived.len() == ids.len(), || {
        let lost: Vec<&String> = ids.difference(&arrived).take(3).collect();
        format!("{} of {} never arrived, e.g. {lost:?}", ids.len() - arrived.len(), ids.len())
    })?;
    demo.print(&format!(
        "     {} of {} acknowledged events arrived at app, {} of them twice",
        arrived.len(),
        ids.len(),
        requests - arrived.len()
    ))?;
    demo.print(
        "     (in flight when the daemon was killed: delivered at least once, under the same \
         webhook-id)",
    )?;

    demo.ctl::<VerifyView>(&["log", "verify"])?;
    demo.ctl::<StatusView>(&["status"])?;
    let status: StatusView = demo.ask("/v1/status")?;
    let events = status.events;
    check(events == 1 + BURST as u64, || format!("{events} events instead of {}", 1 + BURST))?;
    check(status.deliveries.dead == 0, || "there are dead letters".into())
}

fn stop(demo: &mut DemoEnvironment) -> Result<(), CtlError> {
    demo.print("\n10. The daemon stops\n   $ kill -TERM hookboxd")?;
    let status = demo.stop_daemon()?;
    check(status.success(), || format!("hookboxd ended with {status}"))?;
    demo.print("     exit 0: what was in flight is finished, everything is stored")
}
