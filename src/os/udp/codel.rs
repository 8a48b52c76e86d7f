//! When a queue that does not get shorter is to say so (CoDel, RFC 8289).
//!
//! A queue is there for bursts. Where datagrams wait longer than [`TARGET`] for all of an [`INTERVAL`], their senders
//! are too fast, and one after another is marked, ever faster until the queue is short again.

use std::time::{Duration, Instant};

/// How long a datagram may wait without anybody being told.
const TARGET: Duration = Duration::from_millis(5);
/// How long it takes a sender to hear of a mark: a long round trip.
const INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Codel {
    /// When datagrams will have waited too long for an interval.
    above_at: Option<Instant>,
    marking: bool,
    /// When the next mark is due, or the last was.
    next: Option<Instant>,
    /// Marks since the queue was last short, or a little less than the last time when it is soon long again.
    count: u32,
}

impl Codel {
    /// Whether what is read now, after having waited for so long, is to be marked.
    pub(super) fn marks(&mut self, waited: Duration, now: Instant) -> bool {
        if !self.is_above(waited, now) {
            self.marking = false;
            return false;
        }
        let since = self.next.map(|next| now.saturating_duration_since(next));
        match self.next {
            Some(next) if self.marking => {
                if now < next {
                    return false;
                }
                self.count += 1;
                self.next = Some(next + spacing(self.count));
            }
            _ => {
                self.marking = true;
                let lately = since.is_some_and(|since| since < 8 * INTERVAL);
                self.count = if lately && self.count > 2 { self.count - 2 } else { 1 };
                self.next = Some(now + spacing(self.count));
            }
        }
        true
    }

    fn is_above(&mut self, waited: Duration, now: Instant) -> bool {
        if waited < TARGET {
            self.above_at = None;
            return false;
        }
        now >= *self.above_at.get_or_insert(now + INTERVAL)
    }
}

fn spacing(count: u32) -> Duration {
    INTERVAL.div_f64(f64::from(count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
    fn start() -> Instant {
        Instant::now()
    }

    /// The milliseconds at which something was marked.
    fn marked(waited: impl Fn(u64) -> u64, until: u64) -> Vec<u64> {
        let (start, mut codel) = (start(), Codel::default());
        let at = |ms| start + Duration::from_millis(ms);
        (0..until).filter(|&ms| codel.marks(Duration::from_millis(waited(ms)), at(ms))).collect()
    }

    #[test]
    fn a_burst_is_not_marked() {
        assert!(marked(|ms| if ms % 90 < 80 { 50 } else { 1 }, 2_000).is_empty());
    }

    #[test]
    fn a_standing_queue_is_marked_ever_faster() {
        let marks = marked(|_| 6, 1_000);
        assert_eq!(marks[..4], [100, 200, 271, 329]);
        let gaps: Vec<_> = marks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.is_sorted_by(|a, b| a + 1 >= *b), "{gaps:?}");
        assert!(gaps.last() < Some(&35), "{gaps:?}");
    }

    #[test]
    fn marks_end_with_the_queue_and_begin_again_where_they_were() {
        let marks = marked(|ms| if (1_000..1_010).contains(&ms) { 1 } else { 6 }, 1_300);
        let again = marks.iter().position(|&ms| ms > 1_000).unwrap();
        assert_eq!(marks[again], 1_110);
        assert!(marks[again + 1] - marks[again] < 40, "{marks:?}");
    }
}
