//! Peers by slot. A receiver index is `slot | generation`, with room for boringtun's own eight bits below: an index of
//! a removed peer never finds the slot's next one. All of it is masked by a secret, so that who never saw an index of
//! ours can't guess one, and the kernel can tell most of what is guessed.

use crate::table::PeerId;

/// Bits of an index that name the slot; the most peers there are is 2^16.
const SLOT_BITS: u32 = 16;
const GENERATION_MASK: u32 = 0xff;
/// Bits of an index above boringtun's.
const INDEX_MASK: u32 = (1 << 24) - 1;
/// Slots are counted as this many at least, so that few peers more change nothing for the kernel.
const SLOTS_MIN: usize = 64;

/// A slab with generations.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    secret: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// No peers. `secret`: 24 random bits.
    pub(super) fn new(secret: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), secret: secret & INDEX_MASK }
    }

    /// What all 32-bit receiver indices that can find a peer have in common: `index & mask == bits`.
    pub(super) fn common_bits(&self) -> (u32, u32) {
        let slots = self.slots.len().max(SLOTS_MIN).next_power_of_two() as u32;
        let mask = ((1 << SLOT_BITS) - slots) << 8;
        (mask, self.secret << 8 & mask)
    }

    /// Puts in what `make` gives for the slot's 24-bit index. `None` when all slots are taken.
    pub(super) fn insert(&mut self, make: impl FnOnce(u32) -> T) -> Option<PeerId> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < 1 << SLOT_BITS => {
                let slot = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot { generation: 0, value: None });
                slot
            }
            None => return None,
        };
        let entry = &mut self.slots[slot as usize];
        entry.value = Some(make((slot | entry.generation << SLOT_BITS) ^ self.secret));
        Some(PeerId(slot))
    }

    pub(super) fn remove(&mut self, id: PeerId) -> Option<T> {
        let entry = self.slots.get_mut(id.0 as usize)?;
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) & GENERATION_MASK;
        self.free.push(id.0);
        Some(value)
    }

    pub(super) fn get(&self, id: PeerId) -> Option<&T> {
        self.slots.get(id.0 as usize)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: PeerId) -> Option<&mut T> {
        self.slots.get_mut(id.0 as usize)?.value.as_mut()
    }

    /// By the 32-bit receiver index of a message.
    pub(super) fn by_index(&self, index: u32) -> Option<(PeerId, &T)> {
        let index = index >> 8 ^ self.secret;
        let slot = index & ((1 << SLOT_BITS) - 1);
        let entry = self.slots.get(slot as usize)?;
        let value = entry.value.as_ref().filter(|_| entry.generation == index >> SLOT_BITS)?;
        Some((PeerId(slot), value))
    }

    pub(super) fn by_index_mut(&mut self, index: u32) -> Option<(PeerId, &mut T)> {
        let index = index >> 8 ^ self.secret;
        let slot = index & ((1 << SLOT_BITS) - 1);
        let entry = self.slots.get_mut(slot as usize)?;
        if entry.generation != index >> SLOT_BITS {
            return None;
        }
        entry.value.as_mut().map(|value| (PeerId(slot), value))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = PeerId> + '_ {
        (0..).zip(&self.slots).filter(|(_, entry)| entry.value.is_some()).map(|(slot, _)| PeerId(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_a_removed_peer_does_not_find_the_next_one_in_its_slot() {
        let mut slots = Slots::new(0xabcdef);
        let mut first = 0;
        let id = slots.insert(|index| first = index).unwrap();
        assert!(slots.by_index_mut(first << 8).is_some());
        slots.remove(id);
        let mut second = 0;
        assert_eq!(slots.insert(|index| second = index), Some(id));
        assert!(slots.by_index_mut(first << 8).is_none());
        assert!(slots.by_index_mut(second << 8 | 3).is_some());
    }

    #[test]
    fn every_index_has_the_common_bits_and_few_guesses_have() {
        let mut slots = Slots::new(0x12_3456);
        for peers in [1, 64, 65, 1_000] {
            while slots.ids().count() < peers {
                slots.insert(|index| index).unwrap();
            }
            let (mask, bits) = slots.common_bits();
            for id in slots.ids().collect::<Vec<_>>() {
                let index = slots.get(id).unwrap() << 8 | 5;
                assert_eq!(index & mask, bits);
                assert_eq!(slots.by_index_mut(index).unwrap().0, id);
            }
            let guessed = (0..=u32::MAX).step_by(4_093).filter(|guess| guess & mask == bits).count();
            let expected = (u32::MAX / 4_093) as usize * peers.max(64).next_power_of_two() / 65_536;
            assert!(guessed.abs_diff(expected) <= expected / 8 + 8, "{peers}: {guessed}, {expected}");
        }
    }
}
