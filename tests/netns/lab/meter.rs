//! When a counter last moved.

use std::time::{Duration, Instant};

use super::wait::poll_until;

/// Waits until a counter has stood still for `quiet`; when it last moved. `None` when it never stands still.
pub fn last_movement(quiet: Duration, limit: Duration, mut counter: impl FnMut() -> u64) -> Option<Instant> {
    let (mut value, mut moved) = (counter(), Instant::now());
    poll_until(limit, || {
        let now = counter();
        if now != value {
            (value, moved) = (now, Instant::now());
        }
        (moved.elapsed() >= quiet).then_some(moved)
    })
}
