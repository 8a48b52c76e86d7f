//! What one owner's gateways have of the relay, and may have: nobody's flood takes what is another owner's.

use std::time::Instant;

/// What one owner's gateways may have of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub legs: u32,
    pub channels: u32,
    /// Octets a second, and at once.
    pub octets_per_second: u64,
    pub octets_at_once: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { legs: 1_024, channels: 8_192, octets_per_second: 125_000_000, octets_at_once: 16_000_000 }
    }
}

/// What an owner has in use.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) legs: u32,
    pub(super) channels: u32,
    /// Octets that may go at this instant.
    octets: u64,
    at: Instant,
}

impl Share {
    pub(super) fn new(quota: Quota, now: Instant) -> Self {
        Self { legs: 0, channels: 0, octets: quota.octets_at_once, at: now }
    }

    pub(super) fn spend(&mut self, octets: u64, quota: Quota, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let earned = micros.saturating_mul(quota.octets_per_second / 1_000) / 1_000;
        self.octets = self.octets.saturating_add(earned).min(quota.octets_at_once);
        let may = self.octets >= octets;
        if may {
            self.octets -= octets;
        }
        may
    }
}
