//! Secrets of sources and endpoints: given, generated, rotated. One that was generated is shown
//! once.

use crate::admin::apply::Configured;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::api::values::{SecretText, Span, Time};
use crate::api::views::SecretView;
use crate::api::{Patch, RotateBody, SecretChoice};
use crate::model::time::format_duration_ms;
use crate::model::{TimedSecret, limits};

/// Why a pull endpoint is given no secret.
pub const SIGNS_NOTHING: &str = "'secret': a pull endpoint does not sign, because it sends no \
                                 requests: leave the secret out";

/// Changes of a source or an endpoint, with what a screen struck out of its settings put back.
pub fn restored<T: Configured>(
    there: &T,
    mut patch: Patch<T::Settings>,
) -> Result<Patch<T::Settings>, Problem> {
    patch.given = there.restore(patch.given).map_err(Problem::bad)?;
    Ok(patch)
}

/// Puts a secret that is given or generated in the place of those there were; returns one that was
/// generated.
pub fn given_secret(
    admin: &Admin,
    secrets: &mut Vec<TimedSecret>,
    given: Option<&SecretText>,
    generate: Option<bool>,
) -> Result<Option<String>, Problem> {
    match SecretChoice::of(given, generate == Some(true)).map_err(Problem::bad)? {
        SecretChoice::Given(secret) => {
            *secrets = vec![TimedSecret::current(secret.0.0.clone())];
            Ok(None)
        }
        SecretChoice::Generated => {
            let secret = admin.new_secret();
            *secrets = vec![TimedSecret::current(secret.clone())];
            Ok(Some(secret))
        }
        SecretChoice::Unchanged => Ok(None),
    }
}

/// What to know when an update has put another secret in the place of one that was live.
pub fn replaced(noun: &str, old: &[TimedSecret], new: &[TimedSecret]) -> Option<String> {
    let is_replaced = !old.is_empty() && !new.is_empty() && old != new;
    is_replaced.then(|| {
        let kept = format_duration_ms(limits::ROTATION_MS);
        format!(
            "the old secret is not valid any more: `hookboxctl {noun} rotate-secret` would have \
             kept it for {kept}"
        )
    })
}

/// A new secret comes first; the old ones are valid for as long as is asked for, or another
/// `limits::ROTATION_MS`, or end at once with `now`.
pub fn rotated(
    admin: &Admin,
    secrets: &mut Vec<TimedSecret>,
    body: RotateBody,
) -> Result<Option<String>, Problem> {
    let generate = body.generate_secret.unwrap_or(body.secret.is_none());
    let choice = SecretChoice::of(body.secret.as_ref(), generate).map_err(Problem::bad)?;
    let (secret, shown) = match choice {
        SecretChoice::Given(secret) => (secret.0.0.clone(), None),
        SecretChoice::Generated | SecretChoice::Unchanged => {
            let secret = admin.new_secret();
            (secret.clone(), Some(secret))
        }
    };

    let overlap_ms = match (body.now, body.overlap) {
        (true, Some(_)) => return Err(Problem::bad("give 'now' or 'overlap', not both")),
        (true, None) => 0,
        (false, overlap) => overlap.map_or(limits::ROTATION_MS, Span::ms),
    };

    let wall_ms = admin.wall_ms();
    let end = wall_ms.saturating_add(overlap_ms);
    // One that is given again is listed once, as the newest.
    secrets.retain(|old| overlap_ms > 0 && old.is_live(wall_ms) && old.secret.0 != secret);
    secrets
        .iter_mut()
        .for_each(|old| old.expires_at = Some(old.expires_at.map_or(end, |e| e.min(end))));
    secrets.insert(0, TimedSecret::current(secret));

    if secrets.len() > limits::SECRETS {
        return Err(Problem::bad(format!(
            "there are {} secrets in rotation already: wait until one expires, or end the old \
             ones with --now",
            limits::SECRETS
        )));
    }
    Ok(shown)
}

/// How many live secrets there are and when they end; never what they are.
pub fn secret_views(secrets: &[TimedSecret], wall_ms: u64) -> Vec<SecretView> {
    let live = secrets.iter().filter(|secret| secret.is_live(wall_ms));
    live.map(|secret| SecretView { expires_at: secret.expires_at.map(Time) }).collect()
}
