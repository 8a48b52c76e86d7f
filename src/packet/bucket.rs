//! A limit on how often something may be said.

use std::time::{Duration, Instant};

/// A token bucket: `burst` at once, `rate` a second on the average.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    /// Time that one token takes to come back.
    every: Duration,
    /// Time that a whole bucket takes to fill.
    full: Duration,
    /// When the bucket will be full again, if nothing is taken (the generic cell rate algorithm: one instant is the
    /// whole state).
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket. `rate` is tokens a second, at least 1; `burst` is how many it holds, at least 1.
    #[must_use]
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        let every = Duration::from_secs(1) / rate.max(1);
        Self { every, full: every * burst.max(1), full_at: now }
    }

    /// Takes one token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.every;
        let allowed = full_at.saturating_duration_since(now) <= self.full;
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 5, start);
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 5);
        assert!(!bucket.take(start + Duration::from_millis(99)));
        assert!(bucket.take(start + Duration::from_millis(100)));
        let later = start + Duration::from_secs(1000);
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 5);
        let taken = (0..10_000u64).filter(|ms| bucket.take(later + Duration::from_millis(*ms))).count();
        assert!((99..=101).contains(&taken), "{taken}");
    }
}
