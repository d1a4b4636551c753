//! What the sandbox of the service manager takes from commands, and the directive that gives it
//! back.
//!
//! A command runs in the sandbox of the daemon. What it misses there it says in words of its own:
//! "Read-only file system" does not name `ReadWritePaths=`. So a command that fails is looked at
//! with what the daemon knows of its own sandbox, and where both fit, the error of the attempt ends
//! with the directive and with where to write it. What can be seen before, at `endpoint create`, is
//! refused then. Nothing of this runs where no service manager started the daemon.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{getpriority_process, setpriority_process};

use super::supervise::CommandExit;

/// What systemd mounts over what a unit may not see.
const HIDDEN: &str = "/systemd/inaccessible/";
/// The folders of `ProtectHome=`.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// Signals of a program that was refused memory to run code in (ILL, TRAP, ABRT, BUS, SEGV), and
/// of a forbidden system call.
const CRASHES: [i32; 5] = [4, 5, 6, 7, 11];
const SIGSYS: i32 = 31;
/// A shell gives them with this added.
const BY_SHELL: i32 = 128;
/// What programs say that could not change the user.
const NO_NEW_USER: [&str; 4] = [
    "no new privileges",
    "effective uid is not 0",
    "must be setuid root",
    "su: authentication failure",
];
/// The unit, where its name is not known.
const UNIT: &str = "hookboxd.service";

/// The sandbox around this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// The unit that this process belongs to; `None` when no service manager started it.
    unit: Option<String>,
    /// Folders that cannot be looked into (`ProtectHome=`).
    hidden: Vec<PathBuf>,
    /// System calls are filtered.
    filtered: bool,
    /// `/proc` has processes alone (`ProcSubset=pid`).
    bare_proc: bool,
    /// There are no netlink sockets (`RestrictAddressFamilies=`).
    no_netlink: bool,
    /// Priorities cannot be set (`SystemCallFilter=`).
    no_priority: bool,
}

impl Sandbox {
    /// Looks at this process.
    pub fn of_this_process() -> Self {
        if std::env::var_os("INVOCATION_ID").is_none() {
            return Self::default();
        }
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        // The priority that it has already: allowed to everybody, unless the call itself is not.
        let priority = getpriority_process(None).and_then(|now| setpriority_process(None, now));
        let netlink = socket(AddressFamily::NETLINK, SocketType::RAW, None);

        Self {
            unit: Some(unit_of(&read("/proc/self/cgroup"))),
            hidden: hidden_folders(&read("/proc/self/mountinfo")),
            filtered: is_filtered(&read("/proc/self/status")),
            bare_proc: !Path::new("/proc/meminfo").exists(),
            no_netlink: netlink.is_err_and(|error| error == Errno::AFNOSUPPORT),
            no_priority: priority.is_err_and(|error| error == Errno::PERM),
        }
    }

    /// What to say of a command that may not run, when that is because it cannot be seen.
    pub fn hides(&self, command: &Path) -> Option<String> {
        let folder = self.hidden.iter().find(|folder| command.starts_with(folder))?;
        let why = format!("ProtectHome= hides {}", folder.display());
        self.advice(&why, "ProtectHome=read-only", "or install the command in /usr/local/lib")
    }

    /// What of the sandbox the end of a command and its output point at.
    pub fn explains(&self, end: CommandExit, output: &str) -> Option<String> {
        let output = output.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| output.contains(word));
        let signal = end.signal.or_else(|| Some(end.exit? - BY_SHELL).filter(|at| *at > 0));
        let died_of = |signals: &[i32]| signal.is_some_and(|signal| signals.contains(&signal));
        let denied = has(&["not permitted", "permission denied", "eperm", "eacces"]);

        // Files and privileges.
        if has(&NO_NEW_USER) {
            return self.never("NoNewPrivileges= may be why, if it changes the user");
        }
        if has(&["read-only file system", "erofs"]) {
            let why = "ProtectSystem= may be why";
            return self.advice(why, "ReadWritePaths=/the/folder", "for the folder it writes to");
        }
        if self.hidden.iter().any(|folder| has(&[format!("{}/", folder.display()).as_str()]))
            && denied
        {
            let why = "ProtectHome= hides home folders";
            return self.advice(why, "ProtectHome=read-only", "to read below them");
        }

        // What the kernel does not show or open.
        if self.bare_proc && has(&["/proc/", "procfs"]) {
            let why = "ProcSubset=pid leaves only processes in /proc";
            return self.advice(why, "ProcSubset=all", "with ProtectProc=default to see others'");
        }
        if self.no_netlink && has(&["netlink", "address family not supported", "eafnosupport"]) {
            let why = "RestrictAddressFamilies= allows no such socket";
            return self.advice(
                why,
                "RestrictAddressFamilies=AF_NETLINK",
                "or the family it names",
            );
        }
        if self.no_priority && denied && has(&["nice", "priority", "sched", "affinity"]) {
            let why = "SystemCallFilter= forbids to set priorities";
            return self.advice(why, "SystemCallFilter=@resources", "to allow them");
        }
        if denied && has(&["namespace", "unshare"]) {
            let why = "RestrictNamespaces= may be why";
            return self.advice(why, "RestrictNamespaces=no", "to allow them");
        }

        // The system calls themselves, which say the least.
        if self.filtered && (died_of(&CRASHES) || has(&["executable memory", "mprotect"])) {
            let why = "MemoryDenyWriteExecute= forbids code that is made while it runs, as Node, \
                       Java and PyPy make it";
            return self.advice(why, "MemoryDenyWriteExecute=no", "if it is such a program");
        }
        if self.filtered && (died_of(&[SIGSYS]) || has(&["bad system call", "not permitted"])) {
            let why = "SystemCallFilter= or a missing capability may be why";
            return self.advice(why, "SystemCallFilter=@the-group", "for the calls that it makes");
        }
        None
    }

    /// The directive, and where to write it.
    fn advice(&self, why: &str, directive: &str, purpose: &str) -> Option<String> {
        let unit = self.unit.as_deref()?;
        Some(format!(
            "in the sandbox of {unit} {why}: write [Service] {directive} into \
             /etc/systemd/system/{unit}.d/exec.conf ({purpose}; \
             /usr/share/doc/hookbox/examples/exec.conf is an example), then systemctl \
             daemon-reload and restart it"
        ))
    }

    /// What no drop-in gives back.
    fn never(&self, why: &str) -> Option<String> {
        let unit = self.unit.as_deref()?;
        Some(format!(
            "in the sandbox of {unit} {why}: no drop-in gives that back; run the command with \
             hookbox-consume@.service, as the user that it needs"
        ))
    }
}

/// The unit in the control group of a process.
fn unit_of(cgroup: &str) -> String {
    let parts = cgroup.lines().flat_map(|line| line.rsplit(['/', ':']));
    let unit = parts.into_iter().find(|part| part.ends_with(".service"));
    unit.unwrap_or(UNIT).to_owned()
}

/// The folders of [`HOMES`] that something is mounted over which nobody can look into.
fn hidden_folders(mounts: &str) -> Vec<PathBuf> {
    let hidden = mounts.lines().filter_map(|line| {
        // Number, parent, device, root of the mount, mount point.
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (root.contains(HIDDEN) && HOMES.contains(&point)).then(|| PathBuf::from(point))
    });
    hidden.collect()
}

/// Whether a status of /proc says that system calls are filtered.
fn is_filtered(status: &str) -> bool {
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Sandbox, hidden_folders, is_filtered, unit_of};
    use crate::outbound::exec::supervise::CommandExit;

    /// As hookboxd.service of the package has it.
    fn packaged() -> Sandbox {
        Sandbox {
            unit: Some("hookboxd.service".to_owned()),
            hidden: vec![PathBuf::from("/home"), PathBuf::from("/root")],
            filtered: true,
            bare_proc: true,
            no_netlink: true,
            no_priority: true,
        }
    }

    fn exit(code: i32) -> CommandExit {
        CommandExit { exit: Some(code), ..CommandExit::default() }
    }

    #[test]
    fn what_a_command_says_leads_to_the_directive() {
        let sandbox = packaged();
        for (end, output, directive) in [
            (exit(2), "sh: 1: cannot create /srv/x: Read-only file system", "ReadWritePaths="),
            (exit(1), "cat: /home/a/key: Permission denied", "ProtectHome=read-only"),
            (exit(1), "free: cannot open /proc/meminfo: No such file", "ProcSubset=all"),
            (
                exit(1),
                "Cannot open netlink socket: Address family not supported by protocol",
                "AF_NETLINK",
            ),
            (exit(1), "nice: cannot set niceness: Operation not permitted", "@resources"),
            (exit(1), "unshare: unshare failed: Operation not permitted", "RestrictNamespaces=no"),
            (exit(133), "Trace/breakpoint trap", "MemoryDenyWriteExecute=no"),
            (
                CommandExit { signal: Some(5), ..CommandExit::default() },
                "",
                "MemoryDenyWriteExecute=no",
            ),
            (CommandExit { signal: Some(31), ..CommandExit::default() }, "", "SystemCallFilter="),
            (exit(1), "chown: changing ownership: Operation not permitted", "SystemCallFilter="),
            (exit(1), "sudo: The \"no new privileges\" flag is set", "hookbox-consume@.service"),
            (exit(1), "Password: su: Authentication failure", "hookbox-consume@.service"),
        ] {
            let advice = sandbox.explains(end, output).expect(output);
            assert!(advice.contains(directive), "{output}: {advice}");
            assert!(advice.contains("hookboxd.service"), "{advice}");
            if !advice.contains("consume@") {
                assert!(advice.contains("/etc/systemd/system/hookboxd.service.d/exec.conf"));
            }
            assert_eq!(Sandbox::default().explains(end, output), None, "there is no sandbox");
        }

        for (end, output) in [(exit(1), "no such order"), (exit(75), "busy"), (exit(1), "")] {
            assert_eq!(sandbox.explains(end, output), None, "{output}");
        }
    }

    #[test]
    fn a_command_in_a_hidden_folder_is_distinct_from_a_missing_one() {
        let advice = packaged().hides(Path::new("/home/a/hook")).expect("hidden");
        assert!(advice.contains("ProtectHome=read-only"), "{advice}");
        assert_eq!(packaged().hides(Path::new("/usr/lib/hook")), None);
        assert_eq!(packaged().hides(Path::new("/homes/hook")), None);
    }

    #[test]
    fn the_sandbox_is_read_from_proc() {
        let mounts = "31 1 254:0 / / ro,relatime - ext4 /dev/vda ro\n\
                      54 31 0:24 /systemd/inaccessible/dir /home ro,nosuid - tmpfs tmpfs rw\n\
                      55 31 0:24 /systemd/inaccessible/dir /mnt ro,nosuid - tmpfs tmpfs rw\n\
                      56 31 254:1 / /root rw - ext4 /dev/vdb rw\n";
        assert_eq!(hidden_folders(mounts), [PathBuf::from("/home")]);
        assert_eq!(unit_of("0::/system.slice/box.service\n"), "box.service");
        assert_eq!(unit_of("1:name=systemd:/\n"), "hookboxd.service");
        assert!(is_filtered("Name:\tx\nSeccomp:\t2\n") && !is_filtered("Seccomp:\t0\n"));
    }
}
