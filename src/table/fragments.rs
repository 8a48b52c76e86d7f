//! Later fragments follow their first: only the first has ports (RFC 791, section 3.2; RFC 8200, section 4.5).
//!
//! A peer has a ring of its own: one that sends first fragments and nothing else forgets its own, not another's.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::key::{Key, Side};
use super::routes::Via;
use crate::packet::Packet;

/// Fragmented packets on their way at once, for one peer.
const RING: usize = 16;
/// Seconds that the rest of a packet may take: half of RFC 8200's 60, as other firewalls do.
const LIFETIME: u32 = 30;

#[derive(Debug, Clone, Copy)]
struct First {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    protocol: u8,
    key: Key,
    side: Side,
    /// Where its data ends.
    end: u16,
    until: u32,
}

#[derive(Debug, Default)]
struct Ring {
    next: usize,
    firsts: Vec<First>,
}

/// First fragments seen lately.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    rings: HashMap<Via, Ring>,
}

impl Fragments {
    /// Remembers where a first fragment went.
    pub(super) fn remember(&mut self, packet: &Packet, from: Via, key: Key, side: Side, second: u32) {
        let Some(fragment) = packet.fragment.filter(|fragment| fragment.offset == 0 && fragment.more) else {
            return;
        };
        let first = First {
            src: packet.src,
            dst: packet.dst,
            id: fragment.id,
            protocol: packet.protocol,
            key,
            side,
            end: fragment.end,
            until: second + LIFETIME,
        };
        let ring = self.rings.entry(from).or_default();
        if ring.firsts.len() < RING {
            ring.firsts.push(first);
        } else {
            ring.firsts[ring.next] = first;
        }
        ring.next = (ring.next + 1) % RING;
    }

    /// The flow that a later fragment belongs to, and whether it would overwrite the first one, whose ports were judged
    /// (RFC 5722).
    pub(super) fn find(&self, packet: &Packet, from: Via, second: u32) -> Option<(Key, Side, bool)> {
        let fragment = packet.fragment.filter(|fragment| fragment.offset > 0)?;
        let firsts = &self.rings.get(&from)?.firsts;
        let is_first = |first: &&First| {
            first.id == fragment.id
                && first.src == packet.src
                && first.dst == packet.dst
                && first.protocol == packet.protocol
                && first.until >= second
        };
        firsts.iter().find(is_first).map(|first| (first.key, first.side, fragment.offset < first.end))
    }

    pub(super) fn remove_peer(&mut self, via: Via) {
        self.rings.remove(&via);
    }
}
