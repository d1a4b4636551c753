//! Has a plan done: makes secrets, checks, and asks the queue.

use std::path::PathBuf;
use std::sync::Arc;

use crate::admin::apply::boot::{BOOT_SET, BootApply, KnownDrift};
use crate::admin::apply::{
    Configured, ConfiguredNow, MakeSecrets, Obstacle, Plan, PlanOptions, PlannedChange, in_files,
    plan,
};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::resources::endpoints::stranded;
use crate::admin::resources::secrets::SIGNS_NOTHING;
use crate::api::apply::ConfigurationSet;
use crate::api::source_warnings::open_to_all;
use crate::api::values::SecretText;
use crate::api::views::{ApplyView, ChangeView};
use crate::model::{Endpoint, Source};
use crate::queue::{ApplySettings, EndpointsQuery, ExpectedSettings, Refusal, SettingsApplied};

/// How often something is planned anew because something else was configured meanwhile.
const TRIES: usize = 4;
/// Reasons of a refusal that are named.
const REASONS: usize = 8;

/// What is configured now.
///
/// # Errors
/// When the scheduler is busy or stopping.
pub async fn configured_now(admin: &Admin) -> Result<ConfiguredNow, Problem> {
    let snapshots = admin.handle.ask(EndpointsQuery).await?;
    let dead = snapshots.iter().map(|snapshot| (snapshot.endpoint.id, snapshot.dead)).collect();
    let mut endpoints: Vec<(Arc<Endpoint>, u64)> =
        snapshots.into_iter().map(|snapshot| (snapshot.endpoint, snapshot.waiting)).collect();
    endpoints.sort_by_key(|(endpoint, _)| endpoint.id);

    let rest = ConfiguredNow::of(&admin.handle.directory(), admin.wall_ms());
    Ok(ConfiguredNow { endpoints, dead, ..rest })
}

/// Applies a set, or with `dry_run` finds out what that would change.
///
/// # Errors
/// When it is refused; nothing of it was done then.
pub async fn apply(
    admin: &Admin,
    wanted: &ConfigurationSet,
    options: &PlanOptions,
    dry_run: bool,
) -> Result<ApplyView, Problem> {
    for _ in 0..TRIES {
        let now = configured_now(admin).await?;
        let mut planned = plan(&now, wanted, options).map_err(|whys| refused(&whys))?;
        warn_of_dead_letters(&mut planned, &now);
        if planned.is_empty() {
            return Ok(view(&planned, &[], dry_run, 0));
        }

        let secrets = prepare(admin, &mut planned)?;
        let request = request(&planned, &now, options.force, dry_run);
        match admin.handle.apply(request).await? {
            SettingsApplied::Done { cancelled } => {
                return Ok(view(&planned, &secrets, dry_run, cancelled));
            }
            SettingsApplied::Outdated => {}
        }
    }
    let what = "sources or endpoints are being changed by somebody else: try again".to_owned();
    Err(Refusal::Impossible(what).into())
}

/// Applies the files of the system. What is wrong with them does not keep the daemon from serving
/// with what it has.
pub async fn apply_at_start(
    admin: &Admin,
    files: Vec<PathBuf>,
    wanted: Result<ConfigurationSet, String>,
) -> BootApply {
    let applied = match &wanted {
        Err(why) => Err(why.clone()),
        Ok(wanted) if wanted.is_empty() => Ok(0),
        Ok(wanted) => {
            let options = PlanOptions { set: Some(BOOT_SET.to_owned()), ..Default::default() };
            let applied = apply(admin, wanted, &options, false).await;
            applied.iter().for_each(warn_of_secrets);
            applied.map(|view| view.changes.len()).map_err(|problem| {
                // The line of the log says that nothing was applied.
                let why = problem.detail.strip_prefix("nothing was changed: ");
                let why = wanted.located(why.unwrap_or(&problem.detail));
                wanted.without_secrets(&of_start(&why))
            })
        }
    };

    match &applied {
        Err(why) => tracing::error!("apply.d: nothing was applied: {why}"),
        Ok(0) => {}
        Ok(changed) => tracing::info!(changed, files = files.len(), "apply.d was applied"),
    }
    BootApply { files, wanted, at: admin.wall_ms(), applied, known: KnownDrift::default() }
}

/// A start has no options: what asks for one is done by hand.
fn of_start(why: &str) -> String {
    let hint = format!("`hookboxctl apply FILE --set {BOOT_SET} --force` takes it over");
    why.replace("use --force to take it over", &hint)
}

/// Nobody is shown a secret that is generated at the start.
fn warn_of_secrets(applied: &ApplyView) {
    for change in applied.changes.iter().filter(|change| change.secret.is_some()) {
        tracing::warn!(
            name = change.name,
            "apply.d: a secret was generated, and nobody has seen it: `rotate-secret` makes one \
             that is shown, or the file gives it (secret = \"file:/path\")"
        );
    }
}

/// All reasons, as far as they fit.
fn refused(whys: &[Obstacle]) -> Problem {
    let mut detail = whys.iter().take(REASONS).map(Obstacle::why).collect::<Vec<_>>().join("; ");
    if let Some(more) = whys.len().checked_sub(REASONS).filter(|more| *more > 0) {
        detail.push_str(&format!("; and {more} more"));
    }

    let detail = format!("nothing was changed: {detail}");
    match whys.iter().any(|why| matches!(why, Obstacle::Invalid(_))) {
        true => Problem::bad(detail),
        false => Refusal::Impossible(detail).into(),
    }
}

/// Makes secrets and tokens, and checks what other modules know of. Returns the secrets that were
/// made: for each change of a source, then of an endpoint.
fn prepare(admin: &Admin, planned: &mut Plan) -> Result<Vec<Option<String>>, Problem> {
    let make = MakeSecrets { secret: &|| admin.new_secret(), token: &|| admin.new_token() };
    let mut secrets = Vec::new();

    for change in &mut planned.sources {
        let is_new = change.before.is_none();
        secrets.push(change.after.as_mut().and_then(|after| after.fill(&make)));
        let Some(after) = &mut change.after else { continue };
        check_source(admin, after, is_new).map_err(|why| of("source", &after.name, &why))?;
        change.warnings.extend((admin.adapters.warnings)(after));
        change.warnings.extend(open_to_all(after).filter(|_| is_new).map(|why| in_files(&why)));
    }
    for change in &mut planned.endpoints {
        secrets.push(change.after.as_mut().and_then(|after| after.fill(&make)));
        let Some(after) = &change.after else { continue };
        let before = change.before.as_deref();
        let had = before.map_or(&[][..], |before| &before.secrets[..]);
        if after.is_leased() && had != after.secrets {
            return Err(of("endpoint", &after.name, SIGNS_NOTHING));
        }
        let checked = admin.adapters.check_change(after, before);
        checked.map_err(|why| of("endpoint", &after.name, &why))?;
        change.warnings.extend((admin.adapters.computed_secret)(after));
    }
    Ok(secrets)
}

fn check_source(admin: &Admin, source: &mut Source, is_new: bool) -> Result<(), String> {
    (admin.adapters.check_source)(source)?;
    let names_recipient = (admin.adapters.check_recipient)(source)?;
    // A source from before this was asked does not lose what it has reached.
    source.recipient_required |= is_new || names_recipient;
    Ok(())
}

fn of(noun: &str, name: &str, why: &str) -> Problem {
    Problem::bad(format!("nothing was changed: {noun}.{name}: {}", in_files(why)))
}

fn request(planned: &Plan, now: &ConfiguredNow, cancel: bool, dry_run: bool) -> ApplySettings {
    let expected = ExpectedSettings {
        sources: now.sources.clone(),
        endpoints: now.endpoints.iter().map(|(endpoint, _)| endpoint.clone()).collect(),
    };
    ApplySettings {
        expected,
        sources: planned.sources.iter().filter_map(|change| change.after.clone()).collect(),
        endpoints: planned.endpoints.iter().filter_map(|change| change.after.clone()).collect(),
        subscriptions: Vec::new(),
        delete_sources: deleted(&planned.sources, |source| source.id),
        delete_endpoints: deleted(&planned.endpoints, |endpoint| endpoint.id),
        cancel,
        dry_run,
    }
}

/// What an endpoint that is deleted leaves behind.
fn warn_of_dead_letters(planned: &mut Plan, now: &ConfiguredNow) {
    for change in planned.endpoints.iter_mut().filter(|change| change.after.is_none()) {
        let dead = change.before.as_deref().and_then(|before| now.dead.get(&before.id));
        let warning = stranded(change.name(), dead.copied().unwrap_or_default());
        change.warnings.extend(warning);
    }
}

fn deleted<T>(changes: &[PlannedChange<T>], id: impl Fn(&T) -> u32) -> Vec<u32> {
    let gone = changes.iter().filter(|change| change.after.is_none());
    gone.filter_map(|change| change.before.as_deref().map(&id)).collect()
}

fn view(planned: &Plan, secrets: &[Option<String>], dry_run: bool, cancelled: usize) -> ApplyView {
    let sources = planned.sources.iter().map(change);
    let endpoints = planned.endpoints.iter().map(change);
    let mut changes: Vec<ChangeView> = sources.chain(endpoints).collect();
    // What a dry run made is nobody's secret.
    if !dry_run {
        for (change, secret) in changes.iter_mut().zip(secrets) {
            change.secret = secret.clone().map(SecretText::from);
        }
    }
    ApplyView { dry_run, changes, unchanged: planned.unchanged, cancelled }
}

fn change<T: Configured>(change: &PlannedChange<T>) -> ChangeView {
    let mut warnings = change.warnings.clone();
    if change.after.is_none() && change.waiting > 0 {
        warnings.push(match change.waiting {
            1 => "1 of its deliveries is cancelled".to_owned(),
            many => format!("{many} of its deliveries are cancelled"),
        });
    }
    ChangeView {
        kind: T::NOUN.to_owned(),
        name: change.name().to_owned(),
        action: change.action().into(),
        previous_name: change.previous_name().map(str::to_owned),
        fields: change.fields.clone(),
        secret: None,
        warnings,
    }
}
