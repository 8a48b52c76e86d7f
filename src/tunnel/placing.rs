//! Peers that are where somebody else says (`mesh::paths`), rather than where they were last heard from.
//!
//! While such a peer has a session, what comes from elsewhere is an event and moves nothing. What it leaves unanswered
//! for a second is an event too. When it is sought, the same first message of a handshake goes to every place where it
//! may be: it takes one of them, which came the shortest way, and is there.

use std::net::SocketAddr;
use std::time::Instant;

use super::wakes::Owed;
use super::{BUSY_TICK, Endpoint, HANDSHAKE_MAX, Sealed, Tunnels, is_initiation};
use crate::base::DropReason;
use crate::table::PeerId;

impl Tunnels {
    /// From now on [`Tunnels::place`] says where the peer is, while it has a session.
    pub fn hold(&mut self, id: PeerId) {
        if let Some(peer) = self.slots.get_mut(id) {
            peer.hold();
        }
    }

    /// The peer is where it is heard from again.
    pub fn release(&mut self, id: PeerId) {
        if let Some(peer) = self.slots.get_mut(id) {
            peer.release();
        }
    }

    /// The peer is here.
    pub fn place(&mut self, id: PeerId, address: SocketAddr) {
        if let Some(peer) = self.slots.get_mut(id) {
            peer.put(address);
            self.handle_move(id);
        }
    }

    /// The peer answered what was sent to where it is, from wherever. What it leaves unanswered from now on is news again.
    pub fn handle_answered(&mut self, id: PeerId) {
        if let Some(peer) = self.slots.get_mut(id) {
            peer.handle_answered();
        }
    }

    /// Where the peer may be by what names were turned into, and by what is told of it.
    pub fn candidates(&self, id: PeerId) -> impl Iterator<Item = SocketAddr> + '_ {
        self.slots.get(id).into_iter().flat_map(super::Peer::candidates)
    }

    /// Asks the peer, by a handshake, in all these places at once.
    pub fn seek(&mut self, id: PeerId, places: &[SocketAddr], now: Instant) {
        let Some(peer) = self.slots.get_mut(id) else { return };
        let mut bytes = [0; HANDSHAKE_MAX];
        let Some(len) = peer.initiate(&mut bytes, now) else { return };
        peer.seek();
        let owed = places.iter().map(|&address| {
            let to = Endpoint { address, local: None };
            Owed { peer: id, to, bytes, len, since: now }
        });
        self.owed.extend(owed);
        self.schedule(id, now + BUSY_TICK);
    }

    /// Seals an IP packet that goes to another place than where the peer is. Nothing waits for a session, and nothing is
    /// expected to come back. `buffer` is as [`Tunnels::seal`] has it.
    pub fn seal_probe(&mut self, id: PeerId, packet: &[u8], buffer: &mut [u8], now: Instant) -> Sealed {
        let Some(peer) = self.slots.get_mut(id) else { return Sealed::Drop(DropReason::NoSession) };
        if peer.is_stale(now) {
            self.refresh(id, now);
            self.schedule(id, now + BUSY_TICK);
        }
        let Some(peer) = self.slots.get_mut(id) else { return Sealed::Drop(DropReason::NoSession) };
        let Some(to) = peer.endpoint().filter(|_| peer.is_connected()) else {
            return Sealed::Drop(DropReason::NoSession);
        };
        let sealed = peer.tunn_if_made().map(|tunn| tunn.encapsulate(packet, buffer));
        match sealed {
            // A handshake is due, and the probe waits inside for its end, where it is worth nothing.
            Some(boringtun::noise::TunnResult::WriteToNetwork(bytes)) if is_initiation(bytes) => {
                peer.waiting = peer.waiting.saturating_add(1);
                Sealed::Drop(DropReason::NoSession)
            }
            Some(boringtun::noise::TunnResult::WriteToNetwork(bytes)) => {
                let len = bytes.len();
                peer.handle_probe(len, now);
                Sealed::Send { to, len }
            }
            _ => Sealed::Drop(DropReason::NoSession),
        }
    }
}
