//! The conditions that an endpoint must fulfil to be created or changed. Each refusal says what to
//! write instead.

use crate::model::host::Host;
use crate::model::time::format_duration_ms;
use crate::model::{
    ConnectSettings, Endpoint, ExecSettings, HttpTarget, PullSettings, RetryPolicy, Target,
    check_name, limits,
};

use super::exec::program::Program;
use super::guard::allowed_port;
use super::http::proxy::is_local;
use super::own_address;
use super::sign::SigningKey;
use super::template::compiled::EndpointTemplates;
use super::template::literal_names::computes_a_name;

/// Checks everything about an endpoint that attempts rely on.
///
/// # Errors
/// One line that says what is wrong and what to write instead.
pub fn check_endpoint(endpoint: &Endpoint) -> Result<(), String> {
    check_name(&endpoint.name)?;
    check_target(endpoint)?;
    check_templates(endpoint)?;

    if endpoint.secrets.len() > limits::SECRETS {
        return Err(format!("an endpoint has at most {} secrets at a time", limits::SECRETS));
    }
    for secret in &endpoint.secrets {
        SigningKey::new(secret)?;
    }

    if !(1..=limits::TIMEOUT_MS).contains(&endpoint.timeout_ms) {
        return Err(format!(
            "--timeout is between 1ms and {}",
            format_duration_ms(limits::TIMEOUT_MS)
        ));
    }
    if !(1..=limits::CONCURRENCY).contains(&endpoint.concurrency) {
        return Err(format!("--concurrency is between 1 and {}", limits::CONCURRENCY));
    }
    if endpoint.rate.is_some_and(|r| r.count == 0 || r.per_ms == 0 || r.per_ms > limits::SETTING_MS)
    {
        return Err("--rate is a number above zero in a time above zero, such as 10/s".to_owned());
    }
    check_retry(&endpoint.retry)
}

/// The URL, and settings that belong to another kind of target.
fn check_target(endpoint: &Endpoint) -> Result<(), String> {
    let target = endpoint.url.target().map_err(ToString::to_string)?;
    if !target.runs_command() && endpoint.exec != ExecSettings::default() {
        return Err("--arg and --user are for commands: use --url exec:/path/to/command".to_owned());
    }

    if !target.is_leased() && endpoint.pull != PullSettings::default() {
        return Err(
            "--lease is for consumers: use it with --url pull:, or --reset lease".to_owned()
        );
    }

    if target.is_leased() && endpoint.timeout_ms != limits::DEFAULT_TIMEOUT_MS {
        return Err(
            "--timeout is for requests and commands: consumers of pull: have --lease; leave it \
             out, or use --reset timeout"
                .to_owned(),
        );
    }

    if !target.speaks_http() {
        check_no_http_settings(endpoint)?;
    }
    if let Target::Http(http) = target {
        check_address(http, endpoint.allow_private)?;
    }
    if let Target::Exec(path) = target {
        Program::new(path, &endpoint.exec)?;
    }
    Ok(())
}

fn check_no_http_settings(endpoint: &Endpoint) -> Result<(), String> {
    let template = &endpoint.template;
    if template.method.is_some() || template.path.is_some() || !template.headers.is_empty() {
        return Err(
            "--method, --path and --header are for HTTP: a command gets a body and HOOKBOX_…"
                .to_owned(),
        );
    }
    if endpoint.via != ConnectSettings::default() {
        return Err(
            "--proxy, --bind, --client-cert, --client-key and --ca are for http:// and https://"
                .to_owned(),
        );
    }
    Ok(())
}

/// Whether the address and the port that a URL names outright may be dialled: better refused now
/// than in a dead letter.
fn check_address(http: &HttpTarget, allow_private: bool) -> Result<(), String> {
    const ADVICE: &str = "add --allow-private if the endpoint is really meant to reach it";
    if allow_private {
        return Ok(());
    }

    let refused = match &http.host {
        Host::Address(ip) => own_address::allowed(*ip).err().map(|kind| format!("{ip} is {kind}")),
        Host::Name(name) => is_local(name).then(|| format!("{name} is a loopback address")),
    };
    if let Some(refused) = refused {
        return Err(format!("{refused}: {ADVICE}"));
    }

    let port = http.port;
    allowed_port(port).map_err(|service| format!("port {port} belongs to {service}: {ADVICE}"))
}

/// Whether templates compile, and the endpoint can use them.
fn check_templates(endpoint: &Endpoint) -> Result<(), String> {
    if endpoint.template.is_plain() {
        return Ok(());
    }
    if endpoint.is_leased() {
        return Err(
            "templates are for what is sent: a pull: endpoint's consumers take events as they came"
                .to_owned(),
        );
    }
    if endpoint.batch.is_some() {
        return Err("a template is for one event, a batch has many: leave out the templates or \
             --batch-max-events"
            .to_owned());
    }

    endpoint.template.headers.iter().try_for_each(|(name, value)| check_header(name, value))?;
    EndpointTemplates::new(&endpoint.template, None).map(|_| ())
}

/// The option whose template looks up a secret that the event names, and what to write instead: a
/// sender could choose among the files and variables of the daemon.
#[must_use]
pub fn computed_secret(endpoint: &Endpoint) -> Option<String> {
    let template = &endpoint.template;
    let given = [("--path", &template.path), ("--body", &template.body)];
    let given =
        given.into_iter().filter_map(|(name, source)| Some((name.to_owned(), source.as_ref()?)));
    let headers = template.headers.iter().map(|(name, value)| (format!("--header {name}"), value));
    let (name, _) = given.chain(headers).find(|(_, source)| computes_a_name(source))?;
    Some(format!(
        "{name}: the name of a secret has to stand in the template, as in secret('env:TOKEN'): \
         whoever sends an event could choose another one; for one of several write {{% if … %}} \
         around each"
    ))
}

/// Whether a header's constant value can be sent. What a template makes is known once it is
/// rendered.
fn check_header(name: &str, value: &str) -> Result<(), String> {
    let is_template = ["{{", "{%", "{#"].iter().any(|mark| value.contains(mark));
    if !is_template && value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!(
            "--header {name}: the value contains a line break or another control character, \
             which no header can have: leave it out"
        ));
    }
    Ok(())
}

fn check_retry(retry: &RetryPolicy) -> Result<(), String> {
    for (option, ms) in [
        ("--retry-base", retry.base_ms),
        ("--retry-max", retry.max_ms),
        ("--max-age", retry.max_age_ms),
    ] {
        if !(1..=limits::SETTING_MS).contains(&ms) {
            let longest = format_duration_ms(limits::SETTING_MS);
            return Err(format!("{option} is between 1ms and {longest}"));
        }
    }

    retry.check_delays().map_err(|why| format!("--retry-max: {why}"))?;
    // Written so that NaN is refused too.
    if !(1.0..=f64::from(limits::RETRY_FACTOR)).contains(&retry.factor) {
        return Err(format!("--retry-factor is between 1 and {}", limits::RETRY_FACTOR));
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        return Err("--jitter is between 0 and 1".to_owned());
    }
    if retry.max_attempts == Some(0) {
        return Err("--max-attempts is at least 1, or left out for no limit".to_owned());
    }
    Ok(())
}
