//! Copies of flows. The gateways of a room tell each other which flows their stations have, so that a station's flows go
//! on where it comes next. A copy is a flow of the table whose station's side nobody carries ([`Via::AWAY`]): no packet
//! belongs to it until the station is here and the flow is bound anew.
//!
//! What nobody answered is not told, so a station that scans fills nobody else's table; and a copy never takes the place
//! of anything.

use std::time::Instant;

use super::flow::{Entry, Flow};
use super::flows::{FlowTable, SHARE};
use super::key::Key;
use super::lists::Link;
use super::routes::Via;
use super::state::{Seen, State};
use crate::base::DropReason;
use crate::packet::Tuple;

/// Flows that wait to be told of; what is more is told of when everything is.
const CHANGED_MAX: usize = 4_096;

/// Flows whose state has changed since somebody asked.
#[derive(Debug, Default)]
pub(super) struct Changed {
    wanted: bool,
    slots: Vec<u32>,
}

impl Changed {
    pub(super) fn note(&mut self, slot: u32) {
        if self.wanted && self.slots.len() < CHANGED_MAX {
            self.slots.push(slot);
        }
    }
}

impl FlowTable {
    /// Whether it is noted which flows change their state.
    pub fn note_changes(&mut self, wanted: bool) {
        self.changed = Changed { wanted, slots: Vec::new() };
    }

    /// Whether [`FlowTable::poll_changed`] has something.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        !self.changed.slots.is_empty()
    }

    /// A flow whose state has changed. `None`: no more.
    pub fn poll_changed(&mut self, now: Instant) -> Option<Flow> {
        while let Some(slot) = self.changed.slots.pop() {
            if let Some(flow) = self.flow_at(slot as usize, now) {
                return Some(flow);
            }
        }
        None
    }

    /// Places of the table, of which each has a flow or none.
    #[must_use]
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// The flow at this place.
    #[must_use]
    pub fn flow_at(&self, place: usize, now: Instant) -> Option<Flow> {
        let entry = self.entries.get(place)?;
        (self.find(&entry.key)? as usize == place).then(|| entry.tell(self.second(now)))
    }

    /// Takes the copy of a flow that somebody else carries, or news of one; of a flow that goes on here, none.
    ///
    /// # Errors
    /// [`DropReason::FlowsFull`] when there is no room.
    pub fn take_copy(
        &mut self,
        tuple: &Tuple,
        state: State,
        from: Via,
        to: Via,
        now: Instant,
    ) -> Result<(), DropReason> {
        let (key, initiator) = Key::new(tuple);
        let second = self.second(now);
        if let Some(slot) = self.find(&key) {
            let known = &self.entries[slot as usize];
            if known.state == State::Cut || ![known.from, known.to].contains(&Via::AWAY) {
                return Ok(());
            }
            if (known.initiator, known.from, known.to) == (initiator, from, to) {
                self.touch(slot, state, second);
                return Ok(());
            }
            self.remove(slot);
        }
        if state == State::Closed {
            return Ok(());
        }
        if self.count_of(from) >= self.max / SHARE || self.index.len() >= self.max {
            return Err(DropReason::FlowsFull);
        }
        self.insert(Entry {
            key,
            initiator,
            state,
            seen: Seen::answered(),
            from,
            to,
            opened: second,
            last: second,
            packets: [0; 2],
            bytes: [0; 2],
            by_state: Link::UNLINKED,
            by_share: Link::UNLINKED,
        })
    }
}
