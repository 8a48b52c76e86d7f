//! The flows that were let pass.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::routes::{PeerId, Via};
use crate::base::DropReason;
use crate::packet::{Packet, Ports};

/// The bounds of a flow table.
#[derive(Debug, Clone, Copy)]
pub struct FlowLimits {
    /// Flows in all.
    pub flows: u32,
    /// Flows that one peer may have opened.
    pub per_peer: u32,
    /// Peers whose fragmented packets are followed at one time.
    pub fragmenting_peers: u32,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self { flows: 20_000, per_peer: 10_000, fragmenting_peers: 256 }
    }
}

/// A flow's number. Numbers are reused, but never give another flow: a stale one finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowId {
    slot: u32,
    generation: u32,
}

/// Which way a packet of a flow goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From where the flow started.
    Forth,
    /// A reply.
    Back,
}

/// What a flow table says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It belongs to a flow; it was counted and, unless an ICMP error, keeps the flow alive.
    Hit(Hit),
    /// It would start a flow: ask the judge.
    New,
    /// It belongs to no flow that it could, or to one that another peer carries.
    Refused(DropReason),
}

/// The flow of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    pub id: FlowId,
    pub way: Way,
    /// Where the packet goes.
    pub to: Via,
    pub note: Note,
}

/// What the caller wants to know about a flow later: two words of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Note {
    /// The number of the rule that let it pass.
    pub rule: u32,
    pub log: bool,
}

/// How far a flow has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// No reply yet (for TCP: no handshake yet).
    Opening,
    /// Replied.
    Established,
    /// One side has closed.
    Closing,
    /// Both sides have closed, or one has reset.
    Closed,
}

/// A flow, as `vpmesh flows` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowView {
    pub id: FlowId,
    /// Where it started.
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    /// From the starter's side.
    pub ports: Ports,
    pub state: State,
    /// Who carries it on the starter's side, and on the other.
    pub from: Via,
    pub to: Via,
    pub note: Note,
    pub packets_forth: u64,
    pub packets_back: u64,
    pub bytes_forth: u64,
    pub bytes_back: u64,
    pub age: Duration,
    pub idle: Duration,
}

/// What becomes of a flow when rosters change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It goes on, carried by these.
    As { from: Via, to: Via, note: Note },
    /// It ends now.
    Cut,
}

/// The flows that were let pass.
#[derive(Debug)]
pub struct FlowTable {
    limits: FlowLimits,
}

impl FlowTable {
    /// An empty table; memory comes as flows do. `seed` must be random: it keys the hash. `base` is any instant not
    /// later than those to come.
    #[must_use]
    pub fn new(limits: FlowLimits, seed: [u64; 2], base: Instant) -> Self {
        let _ = (seed, base);
        Self { limits }
    }

    /// Finds the flow of a packet that came by `from`, counts the packet and keeps the flow alive.
    pub fn lookup(&mut self, packet: &Packet, from: Via, now: Instant) -> Found {
        let _ = (packet, from, now);
        Found::New
    }

    /// Starts the flow of a packet that [`FlowTable::lookup`] called new and that may pass.
    ///
    /// # Errors
    /// [`DropReason::FlowsFull`] when the peer has its share of flows, all of them alive.
    pub fn open(
        &mut self,
        packet: &Packet,
        from: Via,
        to: Via,
        note: Note,
        now: Instant,
    ) -> Result<FlowId, DropReason> {
        let _ = (packet, from, to, note, now);
        Err(DropReason::FlowsFull)
    }

    /// Forgets flows that have been idle too long: bounded work a call. Returns how many went.
    pub fn expire(&mut self, now: Instant) -> usize {
        let _ = now;
        0
    }

    /// When [`FlowTable::expire`] has something to do.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        None
    }

    /// Asks about every flow whether it goes on. Returns how many were cut.
    pub fn retain(&mut self, now: Instant, judge: impl FnMut(&FlowView) -> Keep) -> usize {
        let _ = (now, judge);
        0
    }

    /// Cuts every flow that the peer carries on either side. Returns how many.
    pub fn remove_peer(&mut self, peer: PeerId) -> usize {
        let _ = peer;
        0
    }

    /// Cuts one flow.
    pub fn remove(&mut self, id: FlowId) -> bool {
        let _ = id;
        false
    }

    /// All flows, in no order.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = FlowView> {
        let _ = now;
        std::iter::empty()
    }

    /// How many flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn limits(&self) -> FlowLimits {
        self.limits
    }

    /// How many flows a peer has opened.
    #[must_use]
    pub fn count_of(&self, via: Via) -> u32 {
        let _ = via;
        0
    }

    /// How many flows were given up before their time to make room, since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        0
    }
}
