//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(20);

/// Polls until the condition gives something; what it gave.
///
/// # Panics
/// When the deadline passes, naming what was awaited.
pub fn wait_for<T>(what: &str, limit: Duration, condition: impl FnMut() -> Option<T>) -> T {
    poll_until(limit, condition).unwrap_or_else(|| panic!("waited {limit:?} in vain until {what}"))
}

/// The same, for a condition that may well not come.
pub fn poll_until<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(STEP);
    }
}

/// Checks all the while that a condition holds.
///
/// # Panics
/// When it ceases to.
pub fn holds_for(what: &str, time: Duration, mut condition: impl FnMut() -> bool) {
    if poll_until(time, || (!condition()).then_some(())).is_some() {
        panic!("it is no longer so that {what}");
    }
}
