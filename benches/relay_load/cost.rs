//! Clocks: wall time, and the CPU time of a process as the kernel tells it.

use std::fs;
use std::io;
use std::time::Instant;

/// The wall clock; a bench may read one.
#[expect(clippy::disallowed_methods, reason = "a bench stands outside the wall and measures time")]
pub fn now() -> Instant {
    Instant::now()
}

/// User and system time of a process with all its threads since it started, in seconds. `/proc/PID/stat` counts it
/// in hundredths (USER_HZ is 100 on every Linux architecture that this runs on).
pub fn cpu_seconds(pid: &str) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold spaces and brackets; utime and stime are the 14th and 15th field.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |index| fields.split_whitespace().nth(index).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) as f64 / 100.0),
        _ => Err(io::Error::other(format!("/proc/{pid}/stat reads differently than proc(5) says"))),
    }
}
