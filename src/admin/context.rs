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
use super::callers::permits::FairPermits;
use super::log_source::LogSource;
use crate::model::{Clock, Now, limits};
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

/// For whom something is done, and the permits for scans of the log that all callers share.
#[derive(Clone, Debug)]
pub struct CallerContext {
    pub(super) caller: Caller,
    /// For scans that send rows as they find them.
    pub(super) lists: Arc<FairPermits>,
    /// For scans that come to one value.
    pub(super) walks: Arc<FairPermits>,
}

impl Default for CallerContext {
    /// The daemon's own user.
    fn default() -> Self {
        let uid = own_uid();
        let permits = |all| FairPermits::new(all, limits::ADMIN_WALKS_KEPT, uid);
        let caller = Caller { uid, gid: 0, pid: None, may: Permission::Own };
        Self { caller, lists: permits(limits::ADMIN_LISTS), walks: permits(limits::ADMIN_WALKS) }
    }
}

type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
type Refusals = Arc<dyn Fn() -> Vec<RefusalCount> + Send + Sync>;

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

    /// A Standard Webhooks secret of 32 random bytes.
    pub(super) fn new_secret(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.random_bytes::<32>()))
    }
}
