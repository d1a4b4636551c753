//! Endpoints: list, create, show, update, delete, rotate-secret, hold, release, test.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Admin;
use super::fields::{Fields, boolean, duration_ms, globs, number32, opt, real, text, texts};
use super::http::{Answer, Call, Problem};
use super::sources::{bad_name, named_page, rotated, secrets, secrets_view, with_secret};
use super::walk::unexpected;
use super::{fare, pacing, trial, ways};
use crate::model::time::rfc3339;
use crate::model::{Endpoint, HoldReason, RetryPolicy, TimedSecret, limits, valid_name};
use crate::queue::{Command, EndpointView, Query, Reply};

const YEAR_MS: u64 = 366 * 86_400_000;

pub(super) async fn list(admin: &Admin, mut call: Call) -> Result<Answer, Problem> {
    let (limit, after, state) = (call.params.take("limit"), call.params.take("after"), call.params.take("state"));
    call.params.done()?;
    if let Some(state) = state.as_deref().filter(|s| !fare::CONDITIONS.contains(s)) {
        let words = fare::CONDITIONS.join(", ");
        return Err(Problem::bad(format!("'state': '{state}' is none of {words}")));
    }
    let mut views = views(admin).await?;
    views.sort_by_key(|v| std::cmp::Reverse((v.endpoint.created_at, v.endpoint.id)));
    views.retain(|v| match state.as_deref() {
        None => true,
        Some("active") => v.hold.is_none(),
        Some(state) => fare::condition(v) == state,
    });
    let rows = views.iter().map(|v| (v.endpoint.name.clone(), view(admin, &v.endpoint, Some(v)))).collect();
    named_page(rows, limit, after)
}

pub(super) async fn create(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let mut fields = Fields::new(call.object()?);
    let missing = |what: &str| Problem::bad(format!("'{what}' is missing"));
    let name = fields.get("name", text)?.ok_or_else(|| missing("name"))?;
    if !valid_name(&name) {
        return Err(bad_name(&name));
    }
    let url = fields.get("url", url)?.ok_or_else(|| missing("url"))?;
    let mut endpoint = Endpoint::new(name, url);
    let mut secret = apply(admin, &mut endpoint, &mut fields)?;
    fields.done()?;
    if endpoint.secrets.is_empty() {
        let made = admin.new_secret();
        endpoint.secrets = vec![TimedSecret::current(made.clone())];
        secret = Some(made);
    }
    check_whole(admin, &endpoint)?;
    let made = send(admin, Command::CreateEndpoint(Box::new(endpoint))).await?;
    Ok(Answer::created(with_secret(view(admin, &made, None), secret)))
}

pub(super) async fn show(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let found = find(admin, &call.arg).await?;
    let oldest = fare::oldest_at(admin, &found).await?;
    let mut shown = view(admin, &found.endpoint, Some(&found));
    shown["oldest_waiting_at"] = json!(oldest.map(rfc3339));
    shown["lag_ms"] = json!(oldest.map_or(0, |at| admin.wall_ms().saturating_sub(at)));
    Ok(Answer::ok(shown))
}

pub(super) async fn update(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let found = find(admin, &call.arg).await?;
    let mut endpoint = Endpoint::clone(&found.endpoint);
    let mut fields = Fields::new(call.object()?);
    if let Some(url) = fields.get("url", url)? {
        endpoint.url = url;
    }
    let secret = apply(admin, &mut endpoint, &mut fields)?;
    fields.done()?;
    check_whole(admin, &endpoint)?;
    let made = send(admin, Command::UpdateEndpoint(Box::new(endpoint))).await?;
    Ok(Answer::ok(with_secret(view(admin, &made, Some(&found)), secret)))
}

pub(super) async fn delete(admin: &Admin, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    match admin.handle.command(Command::DeleteEndpoint { name: call.arg.clone() }).await? {
        Reply::Done { count } => Ok(Answer::ok(json!({"name": call.arg, "deleted": true, "cancelled": count}))),
        _ => Ok(Answer::ok(json!({"name": call.arg, "deleted": true}))),
    }
}

pub(super) async fn rotate(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let found = find(admin, &call.arg).await?;
    let mut endpoint = Endpoint::clone(&found.endpoint);
    let mut fields = Fields::new(call.object()?);
    let secret = rotated(admin, &mut endpoint.secrets, &mut fields)?;
    fields.done()?;
    check_whole(admin, &endpoint)?;
    let made = send(admin, Command::UpdateEndpoint(Box::new(endpoint))).await?;
    Ok(Answer::ok(with_secret(view(admin, &made, Some(&found)), secret)))
}

pub(super) async fn hold(admin: &Arc<Admin>, call: Call) -> Result<Answer, Problem> {
    admin.handle.command(Command::HoldEndpoint { name: call.arg.clone() }).await?;
    show(admin, call).await
}

pub(super) async fn release(admin: &Arc<Admin>, call: Call) -> Result<Answer, Problem> {
    admin.handle.command(Command::ReleaseEndpoint { name: call.arg.clone() }).await?;
    show(admin, call).await
}

pub(super) async fn test(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let found = find(admin, &call.arg).await?;
    trial::test(admin, found.endpoint, call).await
}

async fn views(admin: &Admin) -> Result<Vec<EndpointView>, Problem> {
    match admin.handle.ask(Query::Endpoints).await? {
        Reply::Endpoints(views) => Ok(views),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn find(admin: &Admin, name: &str) -> Result<EndpointView, Problem> {
    let found = views(admin).await?.into_iter().find(|v| v.endpoint.name == name);
    found.ok_or_else(|| Problem::missing("endpoint", name))
}

async fn send(admin: &Admin, command: Command) -> Result<Arc<Endpoint>, Problem> {
    match admin.handle.command(command).await? {
        Reply::Endpoint(endpoint) => Ok(endpoint),
        other => Err(unexpected(&other)),
    }
}

fn check_whole(admin: &Admin, endpoint: &Endpoint) -> Result<(), Problem> {
    (admin.seams.check_endpoint)(endpoint).map_err(Problem::bad)
}

/// Puts the given fields into `endpoint`; gives a secret that was generated, to be shown once.
fn apply(admin: &Admin, endpoint: &mut Endpoint, fields: &mut Fields) -> Result<Option<String>, Problem> {
    let plain = Endpoint::new("", "");
    let shown = secrets(admin, &mut endpoint.secrets, fields)?;
    fields.set("from", &mut endpoint.from, Vec::new(), names)?;
    fields.set("types", &mut endpoint.types, Vec::new(), globs)?;
    fields.set("where", &mut endpoint.filter, None, opt(text))?;
    retry(&mut endpoint.retry, fields)?;
    let timeout = duration_ms(1, limits::TIMEOUT_MS);
    fields.set("timeout_ms", &mut endpoint.timeout_ms, plain.timeout_ms, timeout)?;
    let concurrency = number32(1, limits::CONCURRENCY);
    fields.set("concurrency", &mut endpoint.concurrency, plain.concurrency, concurrency)?;
    fields.set("allow_private", &mut endpoint.allow_private, false, boolean)?;
    fields.set("forward_headers", &mut endpoint.forward_headers, None, opt(boolean))?;
    pacing::apply(endpoint, fields)?;
    ways::apply(endpoint, fields)?;
    Ok(shown)
}

fn retry(retry: &mut RetryPolicy, fields: &mut Fields) -> Result<(), Problem> {
    let plain = RetryPolicy::default();
    fields.set("retry_base_ms", &mut retry.base_ms, plain.base_ms, duration_ms(1, YEAR_MS))?;
    fields.set("retry_factor", &mut retry.factor, plain.factor, real(1.0, 100.0))?;
    fields.set("retry_max_ms", &mut retry.max_ms, plain.max_ms, duration_ms(1, YEAR_MS))?;
    fields.set("jitter", &mut retry.jitter, plain.jitter, real(0.0, 1.0))?;
    fields.set("max_age_ms", &mut retry.max_age_ms, plain.max_age_ms, duration_ms(1, YEAR_MS))?;
    fields.set("max_attempts", &mut retry.max_attempts, None, opt(number32(1, u32::MAX)))?;
    if retry.max_ms < retry.base_ms {
        return Err(Problem::bad(format!(
            "'retry_max_ms' ({}) is less than 'retry_base_ms' ({}): the longest delay is at least the first",
            retry.max_ms, retry.base_ms
        )));
    }
    Ok(())
}

/// Names of sources, which need not exist yet.
fn names(value: &Value) -> Result<Vec<String>, String> {
    let names = texts(value)?;
    match names.iter().find(|n| !valid_name(n)) {
        Some(bad) => Err(format!("'{bad}' cannot be a source's name")),
        None => Ok(names),
    }
}

fn url(value: &Value) -> Result<String, String> {
    let url = text(value)?;
    if url == "pull:" {
        return Ok(url);
    }
    if let Some(command) = url.strip_prefix("exec:") {
        return if command.starts_with('/') {
            Ok(url)
        } else {
            Err(format!("'{url}' needs the whole path of a command: write it as exec:/usr/local/bin/alert"))
        };
    }
    if let Some(rest) = url.strip_prefix("unix:") {
        return if rest.starts_with('/') {
            Ok(url)
        } else {
            Err(format!("'{url}': write it as unix:/run/app.sock:/path"))
        };
    }
    let uri = url.parse::<hyper::Uri>().ok();
    let scheme = uri.as_ref().and_then(hyper::Uri::scheme_str);
    let host = uri.as_ref().and_then(hyper::Uri::host).is_some_and(|h| !h.is_empty());
    match scheme {
        Some("http" | "https") if host => Ok(url),
        _ => Err(format!(
            "'{url}' is not a URL: write it as https://example.com/hook, unix:/run/app.sock:/path, exec:/path/to/command or pull:"
        )),
    }
}

fn view(admin: &Admin, endpoint: &Endpoint, stats: Option<&EndpointView>) -> Value {
    let hold = stats.and_then(|s| s.hold.as_ref());
    let retry = &endpoint.retry;
    let mut row = json!({
        "name": endpoint.name,
        "url": endpoint.url,
        "from": endpoint.from,
        "types": endpoint.types,
        "where": endpoint.filter,
        "state": if hold.is_some() { "held" } else { "active" },
        "held_reason": hold.map(|(reason, _)| hold_name(reason)),
        "held_at": hold.map(|(_, at)| rfc3339(*at)),
        "secrets": secrets_view(&endpoint.secrets, admin.wall_ms()),
        "retry_base_ms": retry.base_ms,
        "retry_factor": retry.factor,
        "retry_max_ms": retry.max_ms,
        "jitter": retry.jitter,
        "max_age_ms": retry.max_age_ms,
        "max_attempts": retry.max_attempts,
        "timeout_ms": endpoint.timeout_ms,
        "concurrency": endpoint.concurrency,
        "allow_private": endpoint.allow_private,
        "forward_headers": endpoint.forward_headers,
        "created_at": rfc3339(endpoint.created_at),
    });
    if let Some(row) = row.as_object_mut() {
        pacing::show(endpoint, row);
        ways::show(endpoint, row);
    }
    if let Some(stats) = stats {
        row["waiting"] = json!(stats.waiting);
        row["in_flight"] = json!(stats.in_flight);
        row["retrying"] = json!(stats.retrying);
        row["delivered"] = json!(stats.delivered);
        row["dead"] = json!(stats.dead);
        row["last_error"] = json!(stats.last_error);
        row["last_success_at"] = json!(stats.last_success_at.map(rfc3339));
        if let Some(row) = row.as_object_mut() {
            fare::show(stats, row);
        }
    }
    row
}

pub(super) fn hold_name(reason: &HoldReason) -> &'static str {
    match reason {
        HoldReason::Operator => "operator",
        HoldReason::Gone => "gone",
        HoldReason::Failing => "failing",
        HoldReason::Receiver => "receiver",
        HoldReason::Parked => "parked",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::url;

    #[test]
    fn urls_are_http_or_unix() {
        for good in ["http://a/", "exec:/bin/true", "pull:", "https://a.example:444/x?y", "unix:/run/app.sock:/hook"] {
            assert!(url(&json!(good)).is_ok(), "{good}");
        }
        for bad in ["a", "exec:alert", "/x", "ftp://a/", "http://", "unix:app.sock", "http://a/\r\nx", "http:///x"] {
            assert!(url(&json!(bad)).is_err(), "{bad}");
        }
    }
}
