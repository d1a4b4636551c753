//! File descriptors: as many as the system allows, and a part of them that connections never take,
//! so that a flood of connections does not keep the log from rolling.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::model::limits;

/// How many connections may be open at a time, of `wanted`.
pub fn for_connections(wanted: usize) -> usize {
    let given = raise();
    let connections = share(wanted, given);
    if connections < wanted {
        tracing::warn!(
            files = given,
            connections,
            "the system lets hookboxd open few files, so it accepts fewer connections than \
             configured: raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
    connections
}

fn share(wanted: usize, given: u64) -> usize {
    let kept = limits::FILES_RESERVED.min(given / 4 * 3);
    wanted.min(usize::try_from(given - kept).unwrap_or(usize::MAX)).max(1)
}

/// Raises the limit as far as it goes; gives how many files may be open.
fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn connections_leave_descriptors_for_the_log() {
        assert_eq!(share(8192, 1 << 20), 8192);
        assert_eq!(share(8192, 1024), 320);
        assert_eq!(share(100, 1024), 100);
        assert_eq!(share(8192, 64), 16);
        assert_eq!(share(8192, u64::MAX), 8192);
        assert_eq!(share(8192, 0), 1);
    }
}
