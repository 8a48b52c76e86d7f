//! What a process uses, from `/proc`.

use std::time::Duration;

/// Memory and CPU of one process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Resident memory now and at most so far, in KiB.
    pub resident: u64,
    pub resident_max: u64,
    /// CPU time so far, user and system.
    pub cpu: Duration,
}

impl Usage {
    /// # Panics
    /// When there is no such process.
    pub fn of(pid: u32) -> Self {
        let status = read(pid, "status");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let stat = read(pid, "stat");
        // The name in parentheses may have blanks; utime and stime are the 14th and 15th fields (proc(5)).
        let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        Self {
            resident: field("VmRSS:"),
            resident_max: field("VmHWM:"),
            cpu: Duration::from_millis(ticks * 10),
        }
    }
}

fn read(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}"))
        .unwrap_or_else(|e| panic!("process {pid} is gone: {e}"))
}
