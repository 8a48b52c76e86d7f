//! Chance, for jitter and for whom to tell: nothing secret depends on it, and a test repeats it by its seed.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood, 2014).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`, which is not zero.
    pub(super) fn below(&mut self, end: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is less than `end`")]
        let number = (self.next() % end as u64) as usize;
        number
    }

    /// Up to `most`.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        let millis = self.below(usize::try_from(most.as_millis()).unwrap_or(usize::MAX).saturating_add(1));
        Duration::from_millis(millis as u64)
    }

    /// Takes some of a list, at most `count`, each as likely as any.
    pub(super) fn some_of<T: Copy>(&mut self, list: &mut [T], count: usize) -> usize {
        let count = count.min(list.len());
        for at in 0..count {
            let other = at + self.below(list.len() - at);
            list.swap(at, other);
        }
        count
    }
}
