//! Sources (and bins, which are sources that end): list, create, show, update, delete, rotate-secret, check.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::fields::{Fields, boolean, duration_ms, key_text, number, opt, rate, show_rate, text};
use super::http::{Answer, Call, Problem};
use super::walk::unexpected;
use super::{Admin, CapturedRequest, CheckBody};
use crate::model::time::rfc3339;
use crate::model::{Header, Source, TimedSecret, limits, valid_name};
use crate::queue::{Command, OWN_SOURCE, Reply};

const YEAR_MS: u64 = 366 * 86_400_000;

pub(super) fn list(admin: &Admin, mut call: Call) -> Result<Answer, Problem> {
    let (limit, after) = (call.params.take("limit"), call.params.take("after"));
    let verify = call.params.take("verify");
    call.params.done()?;
    let directory = admin.handle.directory();
    let mut sources: Vec<&Arc<Source>> = directory.sources_by_name.values().collect();
    sources.sort_by_key(|s| std::cmp::Reverse((s.created_at, s.id)));
    sources.retain(|s| verify.as_ref().is_none_or(|v| *v == s.verify));
    let rows = sources.into_iter().map(|s| (s.name.clone(), view(admin, s))).collect();
    named_page(rows, limit, after)
}

/// A list that is in memory anyway, cut as the others are; all of it when no limit is given.
pub(super) fn named_page(
    rows: Vec<(String, Value)>,
    limit: Option<String>,
    after: Option<String>,
) -> Result<Answer, Problem> {
    let limit = limit.map_or(Ok(rows.len().max(1)), |text| super::select::limit(Some(text)))?;
    let skip = match after {
        None => 0,
        Some(name) => {
            let at = rows.iter().position(|(n, _)| *n == name);
            1 + at.ok_or_else(|| Problem::bad(format!("'after': there is no '{name}' in this list")))?
        }
    };
    let text: String = rows.iter().skip(skip).take(limit).map(|(_, row)| format!("{row}\n")).collect();
    Ok(Answer::Text("application/x-ndjson", text))
}

pub(super) async fn create(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let mut fields = Fields::new(call.object()?);
    let verify = fields.get("verify", text)?.unwrap_or_else(|| "none".into());
    let name = match fields.get("name", text)? {
        Some(name) => name,
        None if verify == "bin" => random_name(admin),
        None => return Err(Problem::bad("'name' is missing: name the source")),
    };
    if !valid_name(&name) {
        return Err(bad_name(&name));
    }
    let mut source = Source::new(name, verify);
    let secret = apply(admin, &mut source, &mut fields)?;
    fields.done()?;
    check_whole(admin, &source)?;
    let made = send(admin, Command::CreateSource(Box::new(source))).await?;
    Ok(Answer::created(with_secret(view(admin, &made), secret)))
}

pub(super) fn show(admin: &Admin, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let source = find(admin, &call.arg)?;
    let mut shown = view(admin, &source);
    if let Some(refused) = (admin.seams.refused)(&source.name) {
        shown["refused"] = json!(refused.counts);
        shown["last_refusal"] = json!(refused.last_reason);
        shown["last_refused_at"] = json!(rfc3339(refused.last_at));
    }
    Ok(Answer::ok(shown))
}

pub(super) async fn update(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let mut source = Source::clone(&*find(admin, &call.arg)?);
    let mut fields = Fields::new(call.object()?);
    let default = source.verify.clone();
    fields.set("verify", &mut source.verify, default, text)?;
    let secret = apply(admin, &mut source, &mut fields)?;
    fields.done()?;
    check_whole(admin, &source)?;
    let made = send(admin, Command::UpdateSource(Box::new(source))).await?;
    Ok(Answer::ok(with_secret(view(admin, &made), secret)))
}

pub(super) async fn delete(admin: &Admin, mut call: Call) -> Result<Answer, Problem> {
    let verify = call.params.take("verify");
    call.params.done()?;
    let found = find(admin, &call.arg)?;
    if let Some(verify) = verify.filter(|v| *v != found.verify) {
        return Err(Problem::bad(format!("'{}' is not a {verify}: use `hookboxctl source delete`", found.name)));
    }
    admin.handle.command(Command::DeleteSource { name: call.arg.clone() }).await?;
    Ok(Answer::ok(json!({"name": call.arg, "deleted": true})))
}

pub(super) async fn rotate(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let mut source = Source::clone(&*find(admin, &call.arg)?);
    let mut fields = Fields::new(call.object()?);
    let shown = rotated(admin, &mut source.secrets, &mut fields)?;
    fields.done()?;
    check_whole(admin, &source)?;
    let made = send(admin, Command::UpdateSource(Box::new(source))).await?;
    Ok(Answer::ok(with_secret(view(admin, &made), shown)))
}

pub(super) async fn check(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let source = find(admin, &call.arg)?;
    let body: CheckBody = call.json()?;
    let bytes = STANDARD
        .decode(&body.body_base64)
        .map_err(|e| Problem::bad(format!("'body_base64' is not base64 (RFC 4648 section 4, padded): {e}")))?;
    let mut headers = Vec::with_capacity(body.headers.len());
    for (name, value) in body.headers {
        for one in value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice) {
            let one = one.as_str().ok_or_else(|| Problem::bad(format!("the header '{name}' is not text")))?;
            headers.push(Header::new(name.to_ascii_lowercase(), one.to_owned()));
        }
    }
    let request = CapturedRequest { method: body.method, url: body.url, headers, body: bytes };
    let at = body.at.unwrap_or_else(|| i64::try_from(admin.wall_ms() / 1000).unwrap_or(i64::MAX));
    let check = admin.seams.check.clone();
    // Public-key schemes take a while: not on a thread that serves others.
    let checked = tokio::task::spawn_blocking(move || check(&source, request, at)).await;
    let broke = |_| Problem::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "checking the request broke off");
    Ok(Answer::ok(checked.map_err(broke)?))
}

/// The source of that name, as it is configured now.
pub(super) fn find(admin: &Admin, name: &str) -> Result<Arc<Source>, Problem> {
    let found = admin.handle.directory().sources_by_name.get(name).cloned();
    found.ok_or_else(|| match name {
        OWN_SOURCE => Problem::new(
            hyper::StatusCode::NOT_FOUND,
            format!(
                "'{name}' is built in and has no settings: endpoints with --from {name} are told of the daemon itself"
            ),
        ),
        _ => Problem::missing("source", name),
    })
}

async fn send(admin: &Admin, command: Command) -> Result<Arc<Source>, Problem> {
    match admin.handle.command(command).await? {
        Reply::Source(source) => Ok(source),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn bad_name(name: &str) -> Problem {
    let shown: String = name.chars().take(80).collect();
    Problem::bad(format!(
        "'{shown}' cannot be a name: use 1 to {} of a-z A-Z 0-9 . _ -, beginning with a letter or a digit",
        limits::NAME_LEN
    ))
}

fn check_whole(admin: &Admin, source: &Source) -> Result<(), Problem> {
    (admin.seams.check_source)(source).map_err(Problem::bad)
}

/// Puts the given fields into `source`; gives a secret that was generated, to be shown once.
fn apply(admin: &Admin, source: &mut Source, fields: &mut Fields) -> Result<Option<String>, Problem> {
    let plain = Source::new("", "");
    let shown = secrets(admin, &mut source.secrets, fields)?;
    fields.set("public_key", &mut source.public_key, None, opt(key_text))?;
    fields.set("public_url", &mut source.public_url, None, opt(public_url))?;
    if let Some((nets, lists)) = fields.get_or("allow", (Vec::new(), Vec::new()), networks)? {
        (source.allow, source.allow_lists) = (nets, lists);
    }
    fields.set("rate", &mut source.rate, None, opt(rate))?;
    fields.set("max_body", &mut source.max_body, plain.max_body, number(1, limits::MAX_BODY))?;
    let window = duration_ms(0, YEAR_MS);
    fields.set("dedupe_window_ms", &mut source.dedupe_window_ms, plain.dedupe_window_ms, window)?;
    fields.set("type_header", &mut source.type_header, None, opt(header_name))?;
    fields.set("type_field", &mut source.type_field, None, opt(pointer))?;
    fields.set("id_header", &mut source.id_header, None, opt(header_name))?;
    fields.set("id_field", &mut source.id_field, None, opt(pointer))?;
    fields.set("split", &mut source.split, false, boolean)?;
    if let Some(wanted) = fields.get("token", boolean)? {
        source.token = match source.token.take() {
            held @ Some(_) if wanted => held,
            _ => wanted.then(|| random_token(admin)),
        };
    }
    if let Some(ttl_ms) = fields.get("ttl_ms", duration_ms(1000, YEAR_MS))? {
        source.expires_at = Some(admin.wall_ms().saturating_add(ttl_ms));
    }
    match fields.take("params") {
        None => {}
        Some(Value::Null) => source.params.clear(),
        Some(Value::Object(params)) => set_params(source, params)?,
        Some(_) => return Err(Problem::bad("'params' is an object of settings, such as {\"in\": \"header\"}")),
    }
    Ok(shown)
}

/// Each key is set on its own; `null` takes it away.
fn set_params(source: &mut Source, params: Map<String, Value>) -> Result<(), Problem> {
    for (key, value) in params {
        if key.is_empty() || key.len() > limits::NAME_LEN {
            return Err(Problem::bad(format!("'params': a key has 1 to {} characters", limits::NAME_LEN)));
        }
        match value {
            Value::Null => source.params.remove(&key),
            value => source.params.insert(key, value),
        };
    }
    if source.params.len() > 64 {
        return Err(Problem::bad("'params': at most 64 settings"));
    }
    Ok(())
}

/// `secret` takes the place of those there were; `generate_secret` makes one, which is given back.
pub(super) fn secrets(
    admin: &Admin,
    secrets: &mut Vec<TimedSecret>,
    fields: &mut Fields,
) -> Result<Option<String>, Problem> {
    let given = fields.take("secret");
    let generate = fields.get("generate_secret", boolean)?.unwrap_or(false);
    match given {
        Some(Value::Null) => secrets.clear(),
        Some(_) if generate => return Err(Problem::bad("give 'secret' or 'generate_secret', not both")),
        Some(value) => {
            let secret = key_text(&value).map_err(|why| Problem::bad(format!("'secret': {why}")))?;
            *secrets = vec![TimedSecret::current(secret)];
        }
        None => {}
    }
    if !generate {
        return Ok(None);
    }
    let secret = admin.new_secret();
    *secrets = vec![TimedSecret::current(secret.clone())];
    Ok(Some(secret))
}

/// A new secret comes first; the old ones go on for `limits::ROTATION_MS`, or end at once with `now`.
pub(super) fn rotated(
    admin: &Admin,
    secrets: &mut Vec<TimedSecret>,
    fields: &mut Fields,
) -> Result<Option<String>, Problem> {
    let given = fields.get("secret", key_text)?;
    let generate = fields.get("generate_secret", boolean)?.unwrap_or(given.is_none());
    let at_once = fields.get("now", boolean)?.unwrap_or(false);
    let (secret, shown) = match (given, generate) {
        (Some(_), true) => return Err(Problem::bad("give 'secret' or 'generate_secret', not both")),
        (Some(secret), false) => (secret, None),
        (None, _) => {
            let secret = admin.new_secret();
            (secret.clone(), Some(secret))
        }
    };
    let wall_ms = admin.wall_ms();
    let end = wall_ms.saturating_add(limits::ROTATION_MS);
    secrets.retain(|s| !at_once && s.is_live(wall_ms));
    secrets.iter_mut().for_each(|s| s.expires_at = Some(s.expires_at.map_or(end, |e| e.min(end))));
    secrets.insert(0, TimedSecret::current(secret));
    if secrets.len() > limits::SECRETS {
        return Err(Problem::bad(format!(
            "there are {} secrets in rotation already: wait until one expires, or end the old ones with --now",
            limits::SECRETS
        )));
    }
    Ok(shown)
}

pub(super) fn with_secret(mut view: Value, secret: Option<String>) -> Value {
    if let Some(secret) = secret {
        view["secret"] = Value::String(secret);
    }
    view
}

fn view(admin: &Admin, source: &Source) -> Value {
    let path = source.path();
    let url = source.public_url.clone().unwrap_or_else(|| format!("{}{path}", base_url(&admin.info.listen)));
    json!({
        "name": source.name,
        "path": path,
        "url": url,
        "verify": source.verify,
        "secrets": secrets_view(&source.secrets, admin.wall_ms()),
        "public_key": source.public_key,
        "params": params_view(source),
        "public_url": source.public_url,
        "allow": allow_view(source),
        "rate": source.rate.map(show_rate),
        "max_body": source.max_body,
        "dedupe_window_ms": source.dedupe_window_ms,
        "type_header": source.type_header,
        "type_field": source.type_field,
        "id_header": source.id_header,
        "id_field": source.id_field,
        "split": source.split,
        "expires_at": source.expires_at.map(rfc3339),
        "created_at": rfc3339(source.created_at),
    })
}

/// How many there are and when they end; never what they are.
pub(super) fn secrets_view(secrets: &[TimedSecret], wall_ms: u64) -> Value {
    let live = secrets.iter().filter(|s| s.is_live(wall_ms));
    live.map(|s| json!({"expires_at": s.expires_at.map(rfc3339)})).collect()
}

/// Networks, then named lists.
fn allow_view(source: &Source) -> Vec<String> {
    let lists = source.allow_lists.iter().map(|name| format!("@{name}"));
    source.allow.iter().map(ToString::to_string).chain(lists).collect()
}

/// Settings that are secrets by their name are not shown.
fn params_view(source: &Source) -> Value {
    let hidden = |key: &str| ["secret", "password", "token", "credential"].iter().any(|end| key.ends_with(end));
    let show = |(key, value): (&String, &Value)| {
        (key.clone(), if hidden(key) { Value::String("(hidden)".into()) } else { value.clone() })
    };
    Value::Object(source.params.iter().map(show).collect())
}

/// Where the ingress is reached from this machine.
fn base_url(listen: &[String]) -> String {
    let Some(first) = listen.iter().find(|l| !l.starts_with("unix:")).or(listen.first()) else {
        return "http://127.0.0.1:8420".into();
    };
    if first.contains("://") || first.starts_with("unix:") {
        return first.trim_end_matches('/').to_owned();
    }
    format!("http://{}", first.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:"))
}

fn random_token(admin: &Admin) -> String {
    data_encoding::BASE32_NOPAD.encode(&admin.random_bytes::<20>()).to_ascii_lowercase()
}

fn random_name(admin: &Admin) -> String {
    let short = data_encoding::BASE32_NOPAD.encode(&admin.random_bytes::<5>());
    format!("bin-{}", short.to_ascii_lowercase())
}

/// Networks, and the names of lists (`@github`).
fn networks(value: &Value) -> Result<(Vec<ipnet::IpNet>, Vec<String>), String> {
    let (mut nets, mut lists) = (Vec::new(), Vec::new());
    for text in super::fields::texts(value)? {
        if let Some(name) = text.strip_prefix('@').filter(|name| valid_name(name)) {
            lists.push(name.to_owned());
            continue;
        }
        let single = text.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from);
        nets.push(single.or_else(|| text.parse().ok()).ok_or_else(|| {
            format!("'{text}' is not a network: write it as 192.0.2.0/24, 2001:db8::/32, 192.0.2.7, or @github")
        })?);
    }
    Ok((nets, lists))
}

fn public_url(value: &Value) -> Result<String, String> {
    let url = text(value)?;
    let uri = url.parse::<hyper::Uri>().ok();
    match uri.as_ref().and_then(hyper::Uri::scheme_str) {
        Some("http" | "https") => Ok(url),
        _ => Err(format!("'{url}' is not a URL: write it as https://example.com/in/name")),
    }
}

fn header_name(value: &Value) -> Result<String, String> {
    let name = text(value)?.to_ascii_lowercase();
    match hyper::header::HeaderName::from_bytes(name.as_bytes()) {
        Ok(_) => Ok(name),
        Err(_) => Err(format!("'{name}' cannot be a header's name")),
    }
}

fn pointer(value: &Value) -> Result<String, String> {
    let pointer = text(value)?;
    if pointer.starts_with('/') {
        return Ok(pointer);
    }
    Err(format!("'{pointer}' is not a JSON Pointer (RFC 6901): write it as /data/type"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{base_url, header_name, networks, pointer, public_url};

    #[test]
    fn urls_are_told_as_one_would_type_them() {
        let url = |listen: &[&str]| base_url(&listen.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(url(&["unix:/run/in.sock", "0.0.0.0:80"]), "http://127.0.0.1:80");
        assert_eq!(url(&["https://0.0.0.0:443/"]), "https://0.0.0.0:443");
        assert_eq!(url(&["[::]:8420"]), "http://[::1]:8420");
        assert_eq!(url(&[]), "http://127.0.0.1:8420");
    }

    #[test]
    fn malformed_settings_are_refused_with_an_example() {
        assert!(networks(&json!(["10.0.0.0/99"])).expect_err("prefix").contains("192.0.2.0/24"));
        assert_eq!(networks(&json!(["192.0.2.7"])).expect("one address").0[0].to_string(), "192.0.2.7/32");
        assert_eq!(networks(&json!(["@github"])).expect("a list").1, ["github"]);
        assert!(networks(&json!(["@../x"])).is_err());
        assert!(public_url(&json!("ftp://x/")).is_err() && public_url(&json!("nonsense")).is_err());
        assert!(header_name(&json!("x y")).is_err());
        assert_eq!(header_name(&json!("X-Event")).as_deref(), Ok("x-event"));
        assert!(pointer(&json!("type")).is_err() && pointer(&json!("/type")).is_ok());
    }
}
