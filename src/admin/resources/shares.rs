//! The shares that bind, for `status` and metrics.

use crate::admin::context::Admin;
use crate::api::values::Time;
use crate::api::views::ShareView;
use crate::model::share::{FullShare, Share, ShareHolder, ShareTally};

/// Who found which share full in the last minutes: at most `limits::SHARE_HOLDERS` and one for the
/// others of each.
pub fn lately(admin: &Admin, of_queue: &ShareTally) -> Vec<ShareView> {
    let now = (admin.clock)();
    let mut all = [admin.handle.shares().seen().lately(now), of_queue.lately(now)].concat();
    all.sort_by_key(|full| full.share);
    all.iter().map(|full| view(admin, full)).collect()
}

fn view(admin: &Admin, full: &FullShare) -> ShareView {
    ShareView {
        share: full.share.name().to_owned(),
        of: called(admin, &full.of),
        effect: full.share.effect().name().to_owned(),
        count: full.count,
        since: Time(full.since),
        last_at: Time(full.last),
        what: full.share.words().to_owned(),
    }
}

/// Whose it is, by name.
fn called(admin: &Admin, of: &ShareHolder) -> String {
    let directory = admin.handle.directory();
    match of {
        ShareHolder::Source(id) => {
            let found = directory.sources_by_name.values().find(|source| source.id == *id);
            found.map_or_else(|| of.to_string(), |source| format!("source {}", source.name))
        }
        ShareHolder::Endpoint(id) => {
            let found = directory.endpoints.iter().find(|endpoint| endpoint.id == *id);
            found.map_or_else(|| of.to_string(), |endpoint| format!("endpoint {}", endpoint.name))
        }
        other => other.to_string(),
    }
}

/// How often each share was full for somebody since the start.
pub fn totals(admin: &Admin, of_queue: &ShareTally) -> Vec<(Share, u64)> {
    let seen = admin.handle.shares().seen();
    Share::ALL.iter().map(|share| (*share, seen.total(*share) + of_queue.total(*share))).collect()
}
