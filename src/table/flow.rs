//! One flow, as the table holds it and as it is told.

use std::time::Duration;

use super::key::{Key, Side};
use super::lists::Link;
use super::routes::Via;
use super::state::{Seen, State};
use crate::packet::Tuple;

/// Which way a packet of a flow goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Direction {
    /// As the first packet went.
    Forward = 0,
    Reply = 1,
}

/// A flow in the slab.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) initiator: Side,
    pub(super) state: State,
    pub(super) seen: Seen,
    /// Who carries the side that began, and the other.
    pub(super) from: Via,
    pub(super) to: Via,
    /// Seconds of the table's time.
    pub(super) opened: u32,
    pub(super) last: u32,
    pub(super) packets: [u64; 2],
    pub(super) bytes: [u64; 2],
    /// In the list of all flows of this state.
    pub(super) by_state: Link,
    /// In the list of the share of `from` and this state.
    pub(super) by_share: Link,
}

/// What is told of a flow.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// As the first packet had it.
    pub tuple: Tuple,
    /// Who carries the side that began, and the other.
    pub from: Via,
    pub to: Via,
    pub state: State,
    /// Forward, reply.
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    /// To the second.
    pub age: Duration,
    pub idle: Duration,
}

impl Entry {
    pub(super) fn tell(&self, second: u32) -> Flow {
        Flow {
            tuple: self.key.tuple(self.initiator),
            from: self.from,
            to: self.to,
            state: self.state,
            packets: self.packets,
            bytes: self.bytes,
            age: Duration::from_secs(u64::from(second.saturating_sub(self.opened))),
            idle: Duration::from_secs(u64::from(second.saturating_sub(self.last))),
        }
    }
}
