//! Who began how many flows, and which of them would go first.

use hashbrown::HashMap;

use super::lists::List;
use super::routes::Via;
use super::state::State;

/// The flows that one peer (or the kernel) began, by state, the longest silent first.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(super) count: usize,
    pub(super) lists: [List; State::ALL.len()],
}

/// Everybody's share.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Via, Share>);

impl Shares {
    pub(super) fn get(&self, via: Via) -> Option<&Share> {
        self.0.get(&via)
    }

    pub(super) fn get_mut(&mut self, via: Via) -> &mut Share {
        self.0.entry(via).or_default()
    }

    /// Forgets a share that is empty.
    pub(super) fn shrink(&mut self, via: Via) {
        if self.0.get(&via).is_some_and(|share| share.count == 0) {
            self.0.remove(&via);
        }
    }

    /// Who has the most. Linear in the peers that have flows; asked only when the table is full.
    pub(super) fn largest(&self) -> Option<(Via, usize)> {
        self.0.iter().map(|(&via, share)| (via, share.count)).max_by_key(|&(via, count)| (count, via))
    }
}
