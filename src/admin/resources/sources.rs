//! Sources (and bins, which are sources that end): list, create, show, update, delete, rotate the
//! secret.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;

use super::names::{missing_source, name};
use super::secrets::{given_secret, replaced, restored, rotated, secret_views};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::page::named_page;
use crate::admin::scan::walk;
use crate::api::source_warnings::open_to_all;
use crate::api::values::{SecretText, Span, Time};
use crate::api::views::{DeletedView, SourceView};
use crate::api::{Patch, SourceSpec};
use crate::ingest::verify::{default_max_body, provider_makes_secret, scheme};
use crate::model::{REDACTED, Source};
use crate::queue::{CreateSource, DeleteSource, OWN_SOURCE, Status, StatusQuery, UpdateSource};

/// Sources, those that were created last first.
pub async fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (limit, after) = (request.params.take("limit"), request.params.take("after"));
    let verify = request.params.take("verify");
    request.params.done()?;
    if let Some(unknown) = verify.as_deref().filter(|verify| scheme(verify).is_none()) {
        let unknown: String = unknown.chars().take(80).collect();
        return Err(Problem::bad(format!(
            "'verify': there is no scheme '{unknown}': see `hookboxctl source schemes`"
        )));
    }

    let directory = admin.handle.directory();
    let mut sources: Vec<Arc<Source>> = directory.sources_by_name.values().cloned().collect();
    sources.sort_by_key(|s| std::cmp::Reverse((s.created_at, s.id)));
    sources.retain(|s| verify.as_ref().is_none_or(|v| *v == s.verify));

    let unusable = unusable(admin, sources.clone()).await?;
    let rows = sources.iter().map(|source| {
        let mut shown = view(admin, source);
        shown.unusable = unusable.get(&source.name).cloned();
        hide_token(source, &mut shown);
        show_refusals(admin, &mut shown);
        (source.name.clone(), shown)
    });
    named_page(rows.collect(), limit, after)
}

pub async fn create(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let mut body = request.object()?;
    let name = name(&mut body)?;
    let patch = Patch::<SourceSpec>::read(body)?;
    let is_bin = patch.given.verify.as_ref().is_some_and(|scheme| scheme.0 == "bin");
    let name = match name {
        Some(name) => name,
        None if is_bin => random_name(admin),
        None => return Err(Problem::bad("'name' is missing: name the source")),
    };

    let mut source = Source::new(name, "none");
    let patch = restored(&source, patch)?;
    let secret = apply(admin, &mut source, SourceSpec::default(), patch)?;
    check(admin, &source)?;
    (admin.adapters.check_recipient)(&source).map_err(Problem::bad)?;
    source.recipient_required = true;

    let made = admin.handle.ask(CreateSource(Box::new(source))).await?;
    let mut shown = with_secret(view(admin, &made), secret);
    shown.warnings.extend(open_to_all(&made));
    Ok(ApiResponse::created(shown))
}

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let source = find(admin, &request.arg)?;
    let mut shown = view(admin, &source);
    shown.unusable = unusable(admin, vec![source.clone()]).await?.remove(&source.name);
    shown.unreadable_bodies = Some(admin.handle.unreadable().of(&source.name));

    show_refusals(admin, &mut shown);
    Ok(ApiResponse::ok(shown))
}

/// Why those of these sources that refuse every request do so, by their names.
async fn unusable(
    admin: &Arc<Admin>,
    sources: Vec<Arc<Source>>,
) -> Result<HashMap<String, String>, Problem> {
    // It may read files.
    let found = walk::value(admin, move |scan| {
        let why = &scan.admin.adapters.why_unusable;
        let unusable = sources.iter().filter_map(|one| Some((one.name.clone(), why(one)?)));
        Ok(unusable.collect())
    });
    found.await
}

/// What the source refused since the start.
fn show_refusals(admin: &Admin, shown: &mut SourceView) {
    if let Some(refused) = (admin.adapters.refused)(&shown.name) {
        let counts = refused.counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count));
        shown.refused = Some(counts.collect());
        shown.last_refusal = Some(refused.last_reason);
        shown.last_refused_at = Some(Time(refused.last_at));
    }
}

/// The requests that a source refused and keeps, the newest first.
pub fn refused(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (limit, after) = (request.params.take("limit"), request.params.take("after"));
    request.params.done()?;
    let source = find(admin, &request.arg)?;
    let kept = (admin.adapters.refused_requests)(source.id);
    named_page(kept.into_iter().map(|one| (one.number.to_string(), one)).collect(), limit, after)
}

pub async fn update(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let found = find(admin, &request.arg)?;
    let mut source = Source::clone(&found);
    let patch = restored(&source, Patch::<SourceSpec>::read(request.object()?)?)?;

    if patch.resets("secret") {
        source.secrets.clear();
    }
    if patch.resets("ttl") {
        keep_for_good(&mut source)?;
    }
    let settings = SourceSpec::of(&source);
    let secret = apply(admin, &mut source, settings, patch)?;
    check(admin, &source)?;
    // A source from before this was asked is changed as it is, but does not lose what it has
    // reached.
    source.recipient_required |= (admin.adapters.check_recipient)(&source).map_err(Problem::bad)?;

    let made = admin.handle.ask(UpdateSource(Box::new(source))).await?;
    let mut shown = with_secret(view(admin, &made), secret);
    shown.warnings.extend(replaced("source", &found.secrets, &made.secrets));
    Ok(ApiResponse::ok(shown))
}

/// Takes the end of its time from a source. A bin always has one: its events are to go.
fn keep_for_good(source: &mut Source) -> Result<(), Problem> {
    if source.verify == "bin" {
        return Err(Problem::bad("'ttl': a bin always has an end: give another 'ttl'"));
    }
    source.expires_at = None;
    Ok(())
}

/// Gives `source` the settings with the changes of `patch`; returns a secret that was generated, to
/// be shown once.
fn apply(
    admin: &Admin,
    source: &mut Source,
    settings: SourceSpec,
    patch: Patch<SourceSpec>,
) -> Result<Option<String>, Problem> {
    let given = &patch.given;
    let secret =
        given_secret(admin, &mut source.secrets, given.secret.as_ref(), given.generate_secret)?;
    let ttl_ms = given.ttl.map(Span::ms);

    // A size that nobody chose is that of the scheme, also of the next one.
    let generates = given.generate_secret == Some(true);
    let settings = settings.changed(patch, default_max_body(&source.verify));
    let wants_token = settings.token == Some(true);
    settings.apply(source, default_max_body)?;
    if generates {
        check_generated(source)?;
    }

    // A token that is there stays: its senders know it.
    let token = source.token.take().filter(|_| wants_token);
    source.token = token.or_else(|| wants_token.then(|| admin.new_token()));
    if let Some(ttl_ms) = ttl_ms {
        source.expires_at = Some(admin.wall_ms().saturating_add(ttl_ms));
    }
    Ok(secret)
}

pub async fn delete(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let verify = request.params.take("verify");
    request.params.done()?;
    if request.arg == OWN_SOURCE {
        let what = format!(
            "'{OWN_SOURCE}' is built in and cannot be deleted: endpoints without \
                            --from {OWN_SOURCE} get none of its events"
        );
        return Err(Problem::new(StatusCode::CONFLICT, what));
    }
    let found = find(admin, &request.arg)?;
    if let Some(verify) = verify.filter(|v| *v != found.verify) {
        let name = &found.name;
        let detail = format!("'{name}' is not a {verify}: use `hookboxctl source delete`");
        return Err(Problem::bad(detail));
    }

    let name = request.arg;
    admin.handle.ask(DeleteSource { name: name.clone() }).await?;
    let warnings = left_behind(admin, &name).await?;
    Ok(ApiResponse::ok(DeletedView { name, deleted: true, cancelled: None, warnings }))
}

/// What a deleted source leaves behind: endpoints that take events of no other one, and events that
/// still wait.
async fn left_behind(admin: &Admin, name: &str) -> Result<Vec<String>, Problem> {
    let mut warnings = Vec::new();
    let directory = admin.handle.directory();
    let is_its_own = |from: &[String]| !from.is_empty() && from.iter().all(|from| from == name);
    for endpoint in directory.endpoints.iter().filter(|endpoint| is_its_own(&endpoint.from)) {
        let endpoint = &endpoint.name;
        warnings.push(format!(
            "endpoint {endpoint} selects only events of {name} (--from) and receives nothing new: \
             see `hookboxctl endpoint update {endpoint}`"
        ));
    }

    let Status { pending, held, .. } = admin.handle.ask(StatusQuery).await?;
    if pending + held > 0 {
        warnings.push(format!(
            "deliveries of its events that still wait, if there are any, are made as before; to \
             cancel them use `hookboxctl delivery cancel`: see `hookboxctl delivery list --source \
             {name} --state pending`"
        ));
    }
    Ok(warnings)
}

pub async fn rotate(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let mut source = Source::clone(&*find(admin, &request.arg)?);
    let secret = rotated(admin, &mut source.secrets, request.fields()?)?;
    if secret.is_some() {
        check_generated(&source)?;
    }

    check(admin, &source)?;
    let made = admin.handle.ask(UpdateSource(Box::new(source))).await?;
    Ok(ApiResponse::ok(with_secret(view(admin, &made), secret)))
}

/// The source of that name, as it is configured now.
pub fn find(admin: &Admin, name: &str) -> Result<Arc<Source>, Problem> {
    let found = admin.handle.directory().sources_by_name.get(name).cloned();
    found.ok_or_else(|| match name {
        OWN_SOURCE => Problem::new(
            StatusCode::NOT_FOUND,
            format!(
                "'{name}' is built in and has no settings: endpoints with --from {name} get \
                 notices about the daemon itself"
            ),
        ),
        _ => missing_source(admin, name),
    })
}

/// Asks ingest whether it can verify with these settings.
fn check(admin: &Admin, source: &Source) -> Result<(), Problem> {
    (admin.adapters.check_source)(source).map_err(Problem::bad)
}

/// Refuses a secret that was generated here where the provider makes it.
fn check_generated(source: &Source) -> Result<(), Problem> {
    if !provider_makes_secret(&source.verify) {
        return Ok(());
    }
    let scheme = &source.verify;
    Err(Problem::bad(format!(
        "the provider of {scheme} creates the secret: copy it from there and give it with \
         --secret-file"
    )))
}

fn with_secret(mut view: SourceView, secret: Option<String>) -> SourceView {
    view.settings.secret = secret.map(SecretText::from);
    view
}

fn view(admin: &Admin, source: &Source) -> SourceView {
    // Whoever knows a token may post: it is for those who may create one.
    let path = match source.token {
        Some(_) if !admin.shows_secrets() => format!("/in/{REDACTED}"),
        _ => source.path(),
    };
    let settings = SourceSpec::shown(source, admin.shows_secrets());
    let base = base_url(&admin.info.direct);
    let url = settings.public_url.clone().unwrap_or_else(|| url_at(&base, &path));

    SourceView {
        name: source.name.clone(),
        path,
        url,
        unusable: None,
        settings,
        secrets: secret_views(&source.secrets, admin.wall_ms()),
        expires_at: source.expires_at.map(Time),
        created_at: Time(source.created_at),
        applied_set: source.applied_set.clone(),
        warnings: (admin.adapters.warnings)(source),
        unreadable_bodies: None,
        refused: None,
        last_refusal: None,
        last_refused_at: None,
    }
}

/// Lists show no secrets, and whoever knows a token may post.
fn hide_token(source: &Source, shown: &mut SourceView) {
    if source.token.is_some() {
        let path = source.path();
        let hidden = format!("/in/{REDACTED}");
        shown.url = shown.url.replace(&path, &hidden);
        shown.path = hidden;
    }
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

/// The URL of a path. Over a Unix socket it is written as that of an endpoint.
fn url_at(base: &str, path: &str) -> String {
    let between = if base.starts_with("unix:") { ":" } else { "" };
    format!("{base}{between}{path}")
}

fn random_name(admin: &Admin) -> String {
    let short = data_encoding::BASE32_NOPAD.encode(&admin.random_bytes::<5>());
    format!("bin-{}", short.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{base_url, url_at};

    #[test]
    fn urls_are_shown_as_one_would_type_them() {
        let url =
            |listen: &[&str]| base_url(&listen.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(url(&["unix:/run/in.sock", "0.0.0.0:80"]), "http://127.0.0.1:80");
        assert_eq!(url(&["https://0.0.0.0:443/"]), "https://0.0.0.0:443");
        assert_eq!(url(&["[::]:8420"]), "http://[::1]:8420");
        assert_eq!(url(&[]), "http://127.0.0.1:8420");

        assert_eq!(url_at(&url(&["unix:/run/in.sock"]), "/in/a"), "unix:/run/in.sock:/in/a");
        assert_eq!(url_at(&url(&[]), "/in/a"), "http://127.0.0.1:8420/in/a");
    }
}
