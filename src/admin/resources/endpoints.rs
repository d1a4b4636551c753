//! Endpoints: list, create, show, update, delete, rotate the secret, hold, release, test.

use std::sync::Arc;

use serde_json::Value;

use super::endpoint_health::LoggedHealth;
use super::names::{check_endpoint, check_source, missing_endpoint, name};
use super::secrets::{SIGNS_NOTHING, given_secret, replaced, restored, rotated, secret_views};
use super::{endpoint_health, test_endpoint};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::{ApiResponse, line};
use crate::admin::scan::page::cut_to_page;
use crate::api::values::{SecretText, Text, Time};
use crate::api::views::{
    DeletedView, EndpointActivityView, EndpointCondition, EndpointLagView, EndpointView, HoldState,
};
use crate::api::{EmptyBody, EndpointSpec, Patch};
use crate::model::{Endpoint, TimedSecret, WallMs};
use crate::queue::{
    DeleteEndpoint, EndpointSnapshot, EndpointsQuery, HoldEndpoint, ReleaseEndpoint,
};

/// Endpoints, those that were created last first.
pub async fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (limit, after) = (request.params.take("limit"), request.params.take("after"));
    let state = request.params.take("state").map(|text| ListedState::of(&text)).transpose()?;
    request.params.done()?;

    let mut snapshots = snapshots(admin).await?;
    snapshots.sort_by_key(|s| std::cmp::Reverse((s.endpoint.created_at, s.endpoint.id)));
    snapshots.retain(|snapshot| match state {
        None => true,
        Some(ListedState::Troubled) => endpoint_health::is_troubled(snapshot),
        // One that fails or waits for the network is not on hold.
        Some(ListedState::Condition(EndpointCondition::Active)) => snapshot.hold.is_none(),
        Some(ListedState::Condition(state)) => endpoint_health::condition(snapshot) == state,
    });

    cut_to_page(&mut snapshots, |snapshot| &snapshot.endpoint.name, limit, after)?;

    let mut answers = endpoint_health::last_answers(admin, &snapshots).await?;
    let rows = snapshots.iter().map(|snapshot| {
        let mut shown = view(admin, &snapshot.endpoint, Some(snapshot));
        shown.lag = Some(lag(admin, snapshot.flow.oldest_waiting_at));
        if let Some(activity) = &mut shown.activity {
            activity.last_answer = answers.remove(&snapshot.endpoint.id);
        }
        line(&shown)
    });
    Ok(ApiResponse::lines(rows))
}

/// How far an endpoint is behind, by the daemon's wall clock.
fn lag(admin: &Admin, oldest: Option<WallMs>) -> EndpointLagView {
    EndpointLagView {
        oldest_waiting_at: oldest.map(Time),
        lag_ms: oldest.map_or(0, |at| admin.wall_ms().saturating_sub(at)),
    }
}

/// Which endpoints are listed.
#[derive(Clone, Copy, Debug)]
enum ListedState {
    Condition(EndpointCondition),
    /// All with which something is wrong.
    Troubled,
}

impl ListedState {
    fn of(text: &str) -> Result<Self, Problem> {
        if text == "troubled" {
            return Ok(Self::Troubled);
        }
        serde_json::from_value(Value::from(text)).map(Self::Condition).map_err(|_| {
            let words = "active, held, failing, offline, parked, lagging, catching_up, troubled";
            Problem::bad(format!("'state': '{text}' is none of {words}"))
        })
    }
}

pub async fn create(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let mut body = request.object()?;
    let name = name(&mut body)?.ok_or_else(|| Problem::bad("'name' is missing"))?;
    let patch = Patch::<EndpointSpec>::read(body)?;

    let mut endpoint = Endpoint::new(name, "");
    let patch = restored(&endpoint, patch)?;
    let mut shown = given_secret(
        admin,
        &mut endpoint.secrets,
        patch.given.secret.as_ref(),
        patch.given.generate_secret,
    )?;
    EndpointSpec::default().changed(patch).apply(&mut endpoint)?;

    if endpoint.is_leased() && !endpoint.secrets.is_empty() {
        return Err(Problem::bad(SIGNS_NOTHING));
    }

    shown = shown.or(missing_secret(admin, &mut endpoint));
    check(admin, &endpoint, None)?;
    let made = admin.handle.create_endpoint(endpoint).await?;
    Ok(ApiResponse::created(with_secret(view(admin, &made, None), shown)))
}

/// Requests are always signed: whoever gives no secret gets one. Consumers are sent no requests.
fn missing_secret(admin: &Admin, endpoint: &mut Endpoint) -> Option<String> {
    if endpoint.is_leased() || !endpoint.secrets.is_empty() {
        return None;
    }
    let secret = admin.new_secret();
    endpoint.secrets = vec![TimedSecret::current(secret.clone())];
    Some(secret)
}

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let found = find(admin, &request.arg).await?;
    let LoggedHealth { oldest_at: oldest, last_answer } =
        endpoint_health::logged(admin, &found).await?;

    let mut shown = view(admin, &found.endpoint, Some(&found));
    shown.lag = Some(lag(admin, oldest));
    if let Some(activity) = &mut shown.activity {
        activity.last_answer = last_answer;
    }
    Ok(ApiResponse::ok(shown))
}

pub async fn update(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let found = find(admin, &request.arg).await?;
    let mut endpoint = Endpoint::clone(&found.endpoint);
    let patch = restored(&endpoint, Patch::<EndpointSpec>::read(request.object()?)?)?;

    if patch.resets("secret") {
        endpoint.secrets.clear();
    }
    let secret = given_secret(
        admin,
        &mut endpoint.secrets,
        patch.given.secret.as_ref(),
        patch.given.generate_secret,
    )?;
    let resets_secret = patch.resets("secret");
    let gives_secret = patch.given.secret.is_some() || secret.is_some();
    EndpointSpec::of(&endpoint).changed(patch).apply(&mut endpoint)?;
    if endpoint.is_leased() && gives_secret {
        return Err(Problem::bad(SIGNS_NOTHING));
    }
    // One that signed nothing so far has none yet. What was taken away by hand stays away.
    let begins_to_sign = !endpoint.is_leased() && found.endpoint.is_leased() && !resets_secret;
    let made = begins_to_sign.then(|| missing_secret(admin, &mut endpoint)).flatten();
    let secret = secret.or(made);

    check(admin, &endpoint, Some(&found.endpoint))?;
    let made = admin.handle.update_endpoint(endpoint).await?;
    let mut shown = with_secret(view(admin, &made, Some(&found)), secret);
    shown.warnings.extend(replaced("endpoint", &found.endpoint.secrets, &made.secrets));
    Ok(ApiResponse::ok(shown))
}

pub async fn delete(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    check_endpoint(admin, &request.arg)?;
    let dead = find(admin, &request.arg).await?.dead;
    let command = DeleteEndpoint { name: request.arg.clone() };
    let cancelled = Some(admin.handle.ask(command).await?);

    let warnings = stranded(&request.arg, dead).into_iter().collect();
    Ok(ApiResponse::ok(DeletedView { name: request.arg, deleted: true, cancelled, warnings }))
}

/// What becomes of the dead letters of an endpoint that is deleted.
pub fn stranded(name: &str, dead: u64) -> Option<String> {
    let letters = match dead {
        0 => return None,
        1 => "its dead letter stays and".to_owned(),
        many => format!("its {many} dead letters stay and"),
    };
    Some(format!(
        "{letters} cannot be retried any more: `hookboxctl replay --event ID --to ENDPOINT` sends \
         an event elsewhere, and `hookboxctl dlq discard --endpoint {name}` gives them up"
    ))
}

pub async fn rotate(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let found = find(admin, &request.arg).await?;
    let mut endpoint = Endpoint::clone(&found.endpoint);
    if endpoint.is_leased() {
        return Err(Problem::bad(SIGNS_NOTHING));
    }
    let secret = rotated(admin, &mut endpoint.secrets, request.fields()?)?;

    check(admin, &endpoint, Some(&found.endpoint))?;
    let made = admin.handle.update_endpoint(endpoint).await?;
    Ok(ApiResponse::ok(with_secret(view(admin, &made, Some(&found)), secret)))
}

pub async fn hold(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.fields::<EmptyBody>()?;
    check_endpoint(admin, &request.arg)?;
    admin.handle.ask(HoldEndpoint { name: request.arg.clone() }).await?;
    show(admin, request).await
}

pub async fn release(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.fields::<EmptyBody>()?;
    check_endpoint(admin, &request.arg)?;
    admin.handle.ask(ReleaseEndpoint { name: request.arg.clone() }).await?;
    show(admin, request).await
}

pub async fn test(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let found = find(admin, &request.arg).await?;
    test_endpoint::test(admin, found.endpoint, request).await
}

async fn snapshots(admin: &Admin) -> Result<Vec<EndpointSnapshot>, Problem> {
    Ok(admin.handle.ask(EndpointsQuery).await?)
}

pub async fn find(admin: &Admin, name: &str) -> Result<EndpointSnapshot, Problem> {
    let found = snapshots(admin).await?.into_iter().find(|s| s.endpoint.name == name);
    found.ok_or_else(|| missing_endpoint(admin, name))
}

/// Asks outbound whether it can send to this endpoint, which was another one before.
fn check(admin: &Admin, after: &Endpoint, before: Option<&Endpoint>) -> Result<(), Problem> {
    after.from.iter().try_for_each(|from| check_source(admin, from))?;
    admin.adapters.check_change(after, before).map_err(Problem::bad)
}

fn with_secret(mut view: EndpointView, secret: Option<String>) -> EndpointView {
    view.settings.secret = secret.map(SecretText::from);
    view
}

fn view(admin: &Admin, endpoint: &Endpoint, snapshot: Option<&EndpointSnapshot>) -> EndpointView {
    let hold = snapshot.and_then(|snapshot| snapshot.hold.as_ref());
    let state = if hold.is_some() { HoldState::Held } else { HoldState::Active };
    EndpointView {
        name: endpoint.name.clone(),
        settings: EndpointSpec::shown(endpoint, admin.shows_secrets()),
        state: state.into(),
        held_reason: hold.map(|(reason, _)| reason.clone().into()),
        held_at: hold.map(|(_, at)| Time(*at)),
        secrets: secret_views(&endpoint.secrets, admin.wall_ms()),
        created_at: Time(endpoint.created_at),
        applied_set: endpoint.applied_set.clone(),
        warnings: [&admin.adapters.computed_secret, &admin.adapters.weak_secret]
            .into_iter()
            .filter_map(|warning| warning(endpoint))
            .collect(),
        activity: snapshot.map(activity),
        lag: None,
    }
}

fn activity(snapshot: &EndpointSnapshot) -> EndpointActivityView {
    let flow = &snapshot.flow;
    EndpointActivityView {
        waiting: snapshot.waiting,
        in_flight: snapshot.in_flight,
        retrying: snapshot.retrying,
        delivered: snapshot.delivered,
        dead: snapshot.dead,
        last_error: snapshot.last_error.clone(),
        last_answer: None,
        last_success_at: snapshot.last_success_at.map(Time),
        filter_too_expensive: snapshot.undecided,
        filter_too_expensive_event: snapshot.undecided_last.map(Text),

        condition: endpoint_health::condition(snapshot).into(),
        window: flow.width,
        failures_in_row: flow.failures_in_row,
        failing_ms: flow.failing_ms,
        troubled_since: snapshot.troubled_since.map(Time),
        breaker_opened_at: flow.breaker.map(|(since, _)| Time(since)),
        next_probe_at: flow.breaker.map(|(_, probe_at)| Time(probe_at)),
        offline: flow.away,
        lagging_since: snapshot.lagging_since.map(Time),
        paused_until: flow.paused_until.map(Time),
        rate_next_at: flow.next_token_at.map(Time),
        lanes: flow.lanes,
        parked_lanes: flow.parked,
        batches_waiting: flow.batches,
        catching_up: flow.catching_up.map(Into::into),

        requests_succeeded: flow.succeeded,
        requests_failed: flow.failed,
        success_ratio: endpoint_health::success_ratio(flow.succeeded, flow.failed),
    }
}
