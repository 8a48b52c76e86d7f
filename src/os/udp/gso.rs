//! Where trains are refused.
//!
//! A path may refuse GSO though the kernel has it: its MTU is smaller than a segment, or its device computes no
//! checksums. Such a path gets its datagrams one by one for a while; all others keep their trains.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many paths are remembered. With more, no path gets trains until they are forgotten.
const PATHS_MAX: usize = 32;
/// How long a refusal is remembered.
const FORGET: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct RefusedPaths {
    paths: Vec<(SocketAddr, Instant)>,
    /// Until when no path gets trains.
    all_until: Option<Instant>,
}

impl RefusedPaths {
    /// Remembers that the path to `destination` refused a train.
    pub(super) fn insert(&mut self, destination: SocketAddr, now: Instant) {
        self.paths.retain(|(path, until)| *path != destination && *until > now);
        if self.paths.len() == PATHS_MAX {
            self.paths.clear();
            self.all_until = Some(now + FORGET);
        } else {
            self.paths.push((destination, now + FORGET));
        }
    }

    /// Whether the path to `destination` refused a train lately.
    pub(super) fn contains(&mut self, destination: SocketAddr, now: Instant) -> bool {
        if self.all_until.is_some_and(|until| until > now) {
            return true;
        }
        self.paths.iter().any(|(path, until)| *path == destination && *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
    fn one_refusal_takes_trains_from_one_path_for_a_while() {
        let now = Instant::now();
        let mut refused = RefusedPaths::default();
        refused.insert(path(1), now);
        assert!(refused.contains(path(1), now) && !refused.contains(path(2), now));
        assert!(!refused.contains(path(1), now + FORGET));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
    fn a_host_where_every_path_refuses_does_without_trains_and_tries_again() {
        let now = Instant::now();
        let mut refused = RefusedPaths::default();
        for port in 0..=PATHS_MAX as u16 {
            refused.insert(path(port), now);
        }
        assert!(refused.contains(path(9999), now));
        assert!(!refused.contains(path(9999), now + FORGET));
    }
}
