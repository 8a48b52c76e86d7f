//! The clock, read once a turn, and whether somebody set it.
//!
//! A router without a battery starts in the past and jumps when NTP answers. What sampled the wall clock before has to
//! sample it again (boringtun's `Tunn` does it once, at `new`). A step is a change of more than a second in the wall
//! clock's distance from the time since boot, which counts on in sleep and which nobody sets.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant, SystemTime};

use crate::engine::Now;

/// How old the wall clock's sample may be. In between the monotonic clock carries it on.
const SAMPLE: Duration = Duration::from_millis(250);
/// What slewing never does between two samples.
const STEP: Duration = Duration::from_secs(1);

/// Reads time.
#[derive(Debug)]
pub struct Clock {
    sampled: Instant,
    wall: SystemTime,
    boot: Duration,
    stepped: bool,
}

impl Default for Clock {
    fn default() -> Self {
        let sample = Sample::take();
        Self { sampled: sample.instant, wall: sample.wall, boot: sample.boot, stepped: false }
    }
}

impl Clock {
    /// Reads the clock for a turn.
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn read(&mut self) -> Now {
        let instant = Instant::now();
        let age = instant.saturating_duration_since(self.sampled);
        if age < SAMPLE { Now { instant, wall: self.wall + age } } else { self.take_in(&Sample::take()) }
    }

    /// Whether the wall clock was set since this was last asked.
    pub fn take_step(&mut self) -> bool {
        std::mem::take(&mut self.stepped)
    }

    fn take_in(&mut self, sample: &Sample) -> Now {
        let passed = sample.boot.saturating_sub(self.boot);
        let expected = self.wall + passed;
        let off = match sample.wall.duration_since(expected) {
            Ok(ahead) => ahead,
            Err(behind) => behind.duration(),
        };
        self.stepped |= off > STEP;
        self.sampled = sample.instant;
        self.wall = sample.wall;
        self.boot = sample.boot;
        Now { instant: sample.instant, wall: sample.wall }
    }
}

/// Three clocks at one moment.
struct Sample {
    instant: Instant,
    wall: SystemTime,
    boot: Duration,
}

impl Sample {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    fn take() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now(), boot: since_boot() }
    }
}

/// `CLOCK_BOOTTIME` (clock_gettime(2)): the time since boot, sleep included.
fn since_boot() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is to a timespec that lives through the call; the kernel fills it in or leaves it zeroed,
    // and all zeroes is a timespec.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_BOOTTIME, time.as_mut_ptr());
        time.assume_init()
    };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(clock: &Clock, boot: Duration, wall: Duration) -> Sample {
        Sample { instant: clock.sampled + boot, wall: clock.wall + wall, boot: clock.boot + boot }
    }

    /// Whether the clock takes this for a step.
    fn steps(clock: &mut Clock, sample: &Sample) -> bool {
        clock.take_in(sample);
        clock.take_step()
    }

    #[test]
    fn time_that_passes_is_no_step() {
        let mut clock = Clock::default();
        clock.read();
        assert!(!clock.take_step());
        let hour = Duration::from_secs(3600);
        let sample = later(&clock, hour, hour + Duration::from_millis(900));
        assert!(!steps(&mut clock, &sample));
    }

    #[test]
    fn a_clock_that_was_set_is_a_step_in_both_directions_and_only_once() {
        let mut clock = Clock::default();
        let second = Duration::from_secs(1);
        let ahead = later(&clock, second, second * 1_000_000);
        assert!(steps(&mut clock, &ahead));
        let on = later(&clock, second, second);
        assert!(!steps(&mut clock, &on));
        let mut back = later(&clock, second, second);
        back.wall -= second * 1_000_000;
        assert!(steps(&mut clock, &back));
    }

    #[test]
    fn sleep_is_no_step() {
        let mut clock = Clock::default();
        let night = Duration::from_secs(8 * 3600);
        let mut awake = later(&clock, night, night);
        awake.instant = clock.sampled;
        assert!(!steps(&mut clock, &awake));
    }
}
