//! What an endpoint must fulfil to be created or changed, each refusal with its mend.

use crate::model::time::format_duration_ms;
use crate::model::{Endpoint, Exec, RetryPolicy, Via, limits, valid_name};

use super::exec::Program;
use super::guard;
use super::shape::Shaper;
use super::sign::Key;
use super::url::{Place, allowed_port, parse};
use super::via::is_local;

/// Longest time of any setting: ten years.
const LONGEST_MS: u64 = 3650 * 86_400_000;
/// Largest growth of the delay between two retries.
const FACTOR: f64 = 100.0;

/// Checks everything about an endpoint that this room relies on.
///
/// # Errors
/// One line that says what is wrong and what to write instead.
pub fn check_endpoint(endpoint: &Endpoint) -> Result<(), String> {
    if !valid_name(&endpoint.name) {
        return Err(format!(
            "an endpoint's name has 1 to {} of a-z A-Z 0-9 . _ - and begins with a letter or a digit",
            limits::NAME_LEN
        ));
    }
    check_way(endpoint)?;
    check_shape(endpoint)?;
    if endpoint.secrets.len() > limits::SECRETS {
        return Err(format!("an endpoint has at most {} secrets at a time", limits::SECRETS));
    }
    for secret in &endpoint.secrets {
        Key::new(secret)?;
    }
    if !(1..=limits::TIMEOUT_MS).contains(&endpoint.timeout_ms) {
        return Err(format!("--timeout is between 1ms and {}", format_duration_ms(limits::TIMEOUT_MS)));
    }
    if !(1..=limits::CONCURRENCY).contains(&endpoint.concurrency) {
        return Err(format!("--concurrency is between 1 and {}", limits::CONCURRENCY));
    }
    if endpoint.rate.is_some_and(|r| r.count == 0 || r.per_ms == 0 || r.per_ms > LONGEST_MS) {
        return Err("--rate is a number above zero in a time above zero, such as 10/s".to_owned());
    }
    check_retry(&endpoint.retry)
}

/// Settings that belong to another kind of endpoint; then the URL.
fn check_way(endpoint: &Endpoint) -> Result<(), String> {
    if !endpoint.is_exec() && endpoint.exec != Exec::default() {
        return Err("--arg and --user are for commands: use --url exec:/path/to/command".to_owned());
    }
    if endpoint.is_exec() || endpoint.is_pull() {
        let shape = &endpoint.shape;
        if shape.method.is_some() || shape.path.is_some() || !shape.headers.is_empty() {
            return Err("--method, --path and --header are for HTTP: a command gets a body and HOOKBOX_…".to_owned());
        }
        if endpoint.via != Via::default() {
            return Err("--proxy, --bind, --client-cert, --client-key and --ca are for http:// and https://".to_owned());
        }
    }
    match endpoint.url.split_once(':') {
        Some(("exec", _)) => Program::new(endpoint).map(|_| ()),
        Some(("pull", _)) => Ok(()),
        _ => check_url(endpoint),
    }
}

/// The URL, and whether what it names outright may be dialled at all: better said now than in a dead letter.
fn check_url(endpoint: &Endpoint) -> Result<(), String> {
    let target = parse(&endpoint.url)?;
    let (what, port) = match &target.place {
        _ if endpoint.allow_private => return Ok(()),
        Place::Socket(_) => return Ok(()),
        Place::Literal { ip, port } => (guard::allowed(*ip).err().map(|why| format!("{ip} is {why}")), *port),
        Place::Name { name, port } => (is_local(name).then(|| format!("{name} is a loopback address")), *port),
    };
    if let Some(what) = what {
        return Err(format!("{what}: add --allow-private if the endpoint is really meant to reach it"));
    }
    allowed_port(port).map_err(|service| {
        format!("port {port} belongs to {service}: add --allow-private if the endpoint is really meant to reach it")
    })
}

/// Templates that compile, and stand where they can be obeyed.
fn check_shape(endpoint: &Endpoint) -> Result<(), String> {
    if endpoint.shape.is_plain() {
        return Ok(());
    }
    if endpoint.is_pull() {
        return Err("templates are for what is sent: a pull: endpoint's consumers take events as they came".to_owned());
    }
    if endpoint.batch.is_some() {
        return Err(
            "templates shape one event, a batch has many: leave out the templates or --batch-max-events".to_owned()
        );
    }
    Shaper::new(&endpoint.shape, None).map(|_| ())
}

fn check_retry(retry: &RetryPolicy) -> Result<(), String> {
    for (option, ms) in
        [("--retry-base", retry.base_ms), ("--retry-max", retry.max_ms), ("--max-age", retry.max_age_ms)]
    {
        if !(1..=LONGEST_MS).contains(&ms) {
            return Err(format!("{option} is between 1ms and 3650d"));
        }
    }
    if retry.max_ms < retry.base_ms {
        return Err("--retry-max is not smaller than --retry-base".to_owned());
    }
    // Written so that NaN is refused too.
    if !(1.0..=FACTOR).contains(&retry.factor) {
        return Err(format!("--retry-factor is between 1 and {FACTOR}"));
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        return Err("--jitter is between 0 and 1".to_owned());
    }
    if retry.max_attempts == Some(0) {
        return Err("--max-attempts is at least 1, or left out for no limit".to_owned());
    }
    Ok(())
}
