//! Who calls, by SO_PEERCRED, and what they may do.
//!
//! Three permissions, each including the one before: *read* (everything but secrets), *operate*
//! (hold, release, retry, cancel, discard, replay, send and try), *own* (make, change and delete
//! sources and endpoints, and their secrets). Root and the daemon's own user own; whoever else can
//! open the socket is of its group, as its mode is 0660, and operates.

use tokio::net::unix::UCred;

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    Read,
    Operate,
    Own,
}

/// The process at the other end, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    pub pid: Option<i32>,
    pub may: Permission,
}

impl Caller {
    pub fn new(credentials: &UCred, daemon_uid: u32) -> Self {
        let uid = credentials.uid();
        Self {
            uid,
            gid: credentials.gid(),
            pid: credentials.pid(),
            may: permission_of(uid, daemon_uid),
        }
    }

    pub fn may(&self, need: Permission) -> bool {
        self.may >= need
    }
}

/// What the user `uid` may do with a daemon that runs as `daemon_uid`.
pub fn permission_of(uid: u32, daemon_uid: u32) -> Permission {
    if uid == 0 || uid == daemon_uid { Permission::Own } else { Permission::Operate }
}

/// The user that the daemon runs as.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::{Caller, Permission, permission_of};

    #[test]
    fn root_and_the_daemons_user_own_and_others_operate() {
        assert_eq!(permission_of(0, 990), Permission::Own);
        assert_eq!(permission_of(990, 990), Permission::Own);
        assert_eq!(permission_of(1000, 990), Permission::Operate);
        assert_eq!(permission_of(1000, 0), Permission::Operate);
    }

    #[test]
    fn a_permission_includes_the_lesser_ones() {
        let operator = Caller { uid: 1000, gid: 990, pid: None, may: Permission::Operate };
        assert!(operator.may(Permission::Read) && operator.may(Permission::Operate));
        assert!(!operator.may(Permission::Own));
    }
}
