//! The program as a process, out of `/proc`.

use std::fs;

/// What the kernel says of this process. What it does not say is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub cpu_ms: u64,
    /// In Unix time.
    pub started_ms: u64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub open_fds: u64,
    pub max_fds: u64,
    pub threads: u64,
}

impl Process {
    /// Reads it. It takes a moment, on a thread that may block.
    #[must_use]
    pub fn read() -> Self {
        let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let ticks = rustix::param::clock_ticks_per_second();
        let page = rustix::param::page_size() as u64;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Self {
            open_fds: fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64),
            max_fds: limit.current.unwrap_or(0),
            ..Self::of(&text("/proc/self/stat"), &text("/proc/stat"), ticks, page)
        }
    }

    /// Out of `/proc/self/stat` and `/proc/stat` (proc_pid_stat(5), proc_stat(5)).
    fn of(own: &str, system: &str, ticks: u64, page: u64) -> Self {
        // The name in parentheses may have anything in it, spaces and parentheses as well.
        let fields = own.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let fields: Vec<u64> =
            fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // The third field of the manual is the first behind the name.
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
        let ms = |count: u64| count.saturating_mul(1000) / ticks.max(1);

        let booted = system.lines().find_map(|line| line.strip_prefix("btime "));
        let booted: u64 = booted.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Self {
            cpu_ms: ms(field(14) + field(15)),
            threads: field(20),
            started_ms: booted.saturating_mul(1000).saturating_add(ms(field(22))),
            virtual_bytes: field(23),
            resident_bytes: field(24).saturating_mul(page),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn the_fields_are_those_of_the_manual() {
        let own = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 300 4096000 25 1";
        let read = Process::of(own, "cpu 1 2\nbtime 1000\n", 100, 4096);
        let expected = Process {
            cpu_ms: 2_000,
            started_ms: 1_003_000,
            resident_bytes: 25 * 4096,
            virtual_bytes: 4_096_000,
            threads: 9,
            ..Process::default()
        };
        assert_eq!(read, expected);
        assert_eq!(Process::of("", "", 0, 0), Process::default());
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let process = Process::read();
        assert!(process.resident_bytes > 0 && process.open_fds > 2, "{process:?}");
        assert!(process.started_ms > 1_600_000_000_000, "{process:?}");
    }
}
