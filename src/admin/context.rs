//! What every handler works with: the scheduler's handle, the log, the clock, and for whom it
//! works.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::BASE32_NOPAD;

use super::adapters::{Adapters, RefusalCount};
use super::apply::boot::BootApply;
use super::callers::peer::{Caller, Permission, own_uid};
use super::log_source::LogSource;
use crate::model::{Clock, Now, limits};
use crate::permits::FairPermits;
use crate::scheduler::Handle;

/// What the daemon is, for `status`.
#[derive(Clone, Debug, Default)]
pub struct AdminInfo {
    pub version: String,
    pub started: Now,
    pub data: PathBuf,
    /// Where the ingress listens: `http://127.0.0.1:8420`, `127.0.0.1:8420` or `unix:/path`.
    pub listen: Vec<String>,
    /// Those of them that can be posted to without a proxy, if there are any.
    pub direct: Vec<String>,
    /// The files that were applied at the start.
    pub applied: Option<Arc<BootApply>>,
}

/// For whom something is done, and the permits that all callers share.
#[derive(Clone, Debug)]
pub struct CallerContext {
    pub(super) caller: Caller,
    /// For scans that send rows as they find them.
    pub(super) lists: Arc<FairPermits<u32>>,
    /// For scans that come to one value.
    pub(super) walks: Arc<FairPermits<u32>>,
    /// For large bodies in memory, of other users than root and the daemon's own.
    pub(super) bodies: Arc<FairPermits<u32>>,
    /// For events on their way to the thread that decides.
    pub(super) sends: Arc<FairPermits<u32>>,
    /// For checks that take a thread for a while.
    pub(super) checks: Arc<FairPermits<u32>>,
    /// For consumers that wait.
    pub(super) consumers: Arc<FairPermits<u32>>,
}

impl Default for CallerContext {
    /// The daemon's own user.
    fn default() -> Self {
        let uid = own_uid();
        let permits = |all, kept| FairPermits::new(all, kept, &[0, uid]);
        let caller = Caller { uid, gid: 0, pid: None, may: Permission::Own };
        Self {
            caller,
            lists: permits(limits::ADMIN_LISTS, limits::ADMIN_WALKS_RESERVED),
            walks: permits(limits::ADMIN_WALKS, limits::ADMIN_WALKS_RESERVED),
            bodies: permits(limits::ADMIN_BODIES, 0),
            sends: permits(limits::ADMIN_SENDS, limits::ADMIN_RESERVED),
            checks: permits(limits::ADMIN_CHECKS, limits::ADMIN_CHECKS_RESERVED),
            consumers: permits(limits::CONSUMERS, limits::CONSUMERS_RESERVED),
        }
    }
}

type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
type Refusals = Arc<dyn Fn() -> Vec<RefusalCount> + Send + Sync>;

/// How often a secret is drawn again until it is plain. It is enough but for once in 10^31 times.
const SECRET_DRAWS: usize = 256;

/// The admin API.
#[derive(Clone)]
pub struct Admin {
    pub handle: Handle,
    pub log: Arc<dyn LogSource>,
    pub clock: Clock,
    /// Fills a buffer for secrets, tokens and names.
    pub random: Random,
    pub refusals: Refusals,
    pub info: AdminInfo,
    pub adapters: Adapters,
    pub context: CallerContext,
}

impl Admin {
    /// The same, for one caller.
    pub(super) fn for_caller(&self, caller: Caller) -> Arc<Self> {
        let mut admin = self.clone();
        admin.context.caller = caller;
        Arc::new(admin)
    }

    /// Whether its caller may know what is secret in settings.
    pub(super) fn shows_secrets(&self) -> bool {
        self.context.caller.may(Permission::Own)
    }

    pub(super) fn wall_ms(&self) -> u64 {
        (self.clock)().wall_ms
    }

    pub(super) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// An unguessable token for the path of a source.
    pub(super) fn new_token(&self) -> String {
        BASE32_NOPAD.encode(&self.random_bytes::<20>()).to_ascii_lowercase()
    }

    /// A Standard Webhooks secret of 32 random bytes, which are drawn again until it is plain: in
    /// the query of a URL a `+` would be a space, and a `/` is easily lost.
    pub(super) fn new_secret(&self) -> String {
        secret_of(|| self.random_bytes())
    }
}

fn secret_of(mut random: impl FnMut() -> [u8; 32]) -> String {
    let mut secret = STANDARD.encode(random());
    // One of four is plain.
    for _ in 0..SECRET_DRAWS {
        if !secret.contains(['+', '/']) {
            break;
        }
        secret = STANDARD.encode(random());
    }
    format!("whsec_{secret}")
}

#[cfg(test)]
mod tests {
    use super::{CallerContext, secret_of};

    /// Pasted into a URL, a `+` is a space.
    #[test]
    fn a_generated_secret_is_the_same_in_a_url() {
        let mut rng = 1_u64;
        let mut draw = || {
            std::array::from_fn(|_| {
                rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (rng >> 56) as u8
            })
        };
        for _ in 0..100 {
            let secret = secret_of(&mut draw);
            assert!(secret.len() == 50 && !secret.contains(['+', '/']), "{secret}");
        }
        assert!(secret_of(|| [0xff; 32]).starts_with("whsec_"), "whatever is drawn");
    }

    #[test]
    fn a_member_with_a_large_body_under_way_leaves_a_turn_for_another() {
        let bodies = CallerContext::default().bodies;
        let slow = bodies.take(1000).expect("a turn");
        assert!(bodies.take(1000).is_none(), "one at a time");
        let other = bodies.take(1001).expect("a turn of its own");
        drop((slow, other));
        assert!(bodies.take(1000).is_some());
    }
}
