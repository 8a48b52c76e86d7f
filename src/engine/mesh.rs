//! What mesh nodes say to each other inside of their tunnels.
//!
//! Gateways and relays have link-local addresses that follow from their keys. What comes between the peer's and ours is
//! for the engine itself, and is looked at only where an ordinary packet would be refused for its source. It is never
//! forwarded, never reaches the kernel and needs no rule. Messages go out sealed in the peer's tunnel, like packets.

use std::net::Ipv6Addr;
use std::time::Instant;

use super::{Engine, Line, Outbox};
use crate::base::{DropReason, link_address};
use crate::mesh::wire::{Message, WireError};
use crate::packet::link::{self, Link};
use crate::table::{PeerId, Via};
use crate::tunnel::{Endpoint, Sealed};

impl Engine {
    /// Takes a packet that a peer sent from a link-local address.
    pub(super) fn handle_link(
        &mut self,
        peer: PeerId,
        source: Endpoint,
        bytes: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let theirs = self.link_of(peer).ok_or(DropReason::BadSource)?;
        match Link::read(bytes, theirs, self.own_link).ok_or(DropReason::BadSource)?? {
            Link::Message(message) => self.handle_message(peer, source, message, now, out),
            Link::Tcp(packet) => self.handle_link_tcp(Via::Peer(peer), packet, now, out),
        }
    }

    fn handle_message(
        &mut self,
        peer: PeerId,
        source: Endpoint,
        message: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        match Message::parse(message) {
            Ok(Message::Digest(digest)) => self.handle_digest(peer, digest, now, out),
            Ok(Message::Relaying(message)) => self.handle_relaying(peer, &message, now, out),
            Ok(Message::Probing(message)) => self.handle_probing(peer, source, &message, now, out),
            Ok(Message::Attached(entries)) => self.handle_attached(peer, entries, now, out),
            Ok(Message::Flows(entries)) => self.handle_flows(peer, entries, now),
            Err(WireError::Malformed | WireError::Version(_) | WireError::UnknownKind(_)) => {
                Err(DropReason::NotControl)
            }
        }
    }

    /// The peer has a session that it had not before.
    pub(super) fn handle_peer_up(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        if self.link_of(peer).is_some() {
            self.register_with(peer, now, out);
            self.begin_paths(peer, now);
            self.travel.sync.handle_up(peer);
            self.travel(now, out);
        }
        self.handle_up_sharing(peer, now, out);
    }

    /// Sends a mesh node a message in its tunnel.
    ///
    /// # Errors
    /// Why it did not go out. A message to a peer without a session waits for one like any packet.
    pub(super) fn send_control(
        &mut self,
        peer: PeerId,
        message: &Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let mut packet = [0; link::LINK_MTU];
        let len = self.wrap_control(peer, message, &mut packet)?;
        self.send_link(Line::Ahead(peer), &packet[..len], now, out)
    }

    /// Writes a message as the packet that a mesh node is sent; its length.
    pub(super) fn wrap_control(
        &self,
        peer: PeerId,
        message: &Message<'_>,
        packet: &mut [u8; link::LINK_MTU],
    ) -> Result<usize, DropReason> {
        let theirs = self.link_of(peer).ok_or(DropReason::NoRoute)?;
        let Some(space) = packet[link::MESSAGE_OFFSET..].first_chunk_mut() else { unreachable!() };
        let len = message.write(space);
        Ok(link::wrap_message(packet, len, self.own_link, theirs))
    }

    /// Sends a mesh node a packet between its link-local address and ours.
    pub(super) fn send_link(
        &mut self,
        line: Line,
        packet: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let peer = line.peer().ok_or(DropReason::NoRoute)?;
        let space = out.space(packet.len()).ok_or(DropReason::QueueFull)?;
        match self.tunnels.seal(peer, packet, space, now) {
            Sealed::Send { to, len } => {
                self.commit(line, to, 0, len, now, out);
                Ok(())
            }
            Sealed::Waits => Ok(()),
            Sealed::Drop(reason) => Err(reason),
        }
    }

    /// Where a mesh node is inside of its tunnel; `None`: the peer is none.
    pub(super) fn link_of(&self, peer: PeerId) -> Option<Ipv6Addr> {
        match &self.world {
            Some(world) => world.roles.get(&peer)?.link,
            None if self.introducers.contains_key(&peer) => {
                self.tunnels.stats(peer).map(|stats| link_address(&stats.key))
            }
            None => None,
        }
    }
}
