//! From the network: datagrams are opened and what is in them forwarded.

use std::time::Instant;

use super::paths::kind_of;
use super::{Datagram, Engine, Line, Now, Outbox};
use crate::base::{DropReason, is_virtual};
use crate::mesh::frame::{FRAME_OVERHEAD, FRAME_TYPE};
use crate::mesh::paths::Kind;
use crate::packet::Ecn;
use crate::table::{PeerId, Via};
use crate::tunnel::{Endpoint, Opened, Sealed, TunnelEvent, WAITING_BYTES_MAX};

impl Engine {
    /// Takes datagrams as the socket gave them. What goes out is in `out`, which the caller sends and clears before
    /// the next batch; an outbox takes a batch of its own size, and what does not fit is dropped and counted.
    pub fn handle_udp(&mut self, datagrams: &mut [Datagram<'_>], now: Now, out: &mut Outbox) {
        for datagram in datagrams {
            if is_virtual(datagram.source.ip()) {
                self.counters.drop(DropReason::VirtualSource);
                continue;
            }
            self.handle_train(datagram, now, out);
        }
        self.settle(now.instant, out);
    }

    /// The same for what came through a passage: each source is a [`crate::base::VirtualEndpoint`].
    pub fn handle_passage(&mut self, datagrams: &mut [Datagram<'_>], now: Now, out: &mut Outbox) {
        for datagram in datagrams {
            self.handle_train(datagram, now, out);
        }
        self.settle(now.instant, out);
    }

    fn handle_train(&mut self, datagram: &mut Datagram<'_>, now: Now, out: &mut Outbox) {
        let source = Endpoint { address: datagram.source, local: datagram.local };
        for segment in datagram.bytes.chunks_mut(datagram.stride.max(1)) {
            self.handle_datagram(source, Ecn::from_bits(datagram.ecn), segment, now.instant, out);
        }
    }

    fn handle_datagram(
        &mut self,
        mut source: Endpoint,
        outer: Ecn,
        mut datagram: &mut [u8],
        now: Instant,
        out: &mut Outbox,
    ) {
        if datagram.first() == Some(&FRAME_TYPE) {
            match self.handle_frame(source, outer, datagram, now, out) {
                Ok(Some(path)) => (source, datagram) = (path, &mut datagram[FRAME_OVERHEAD..]),
                Ok(None) => return,
                Err(reason) => return self.counters.drop(reason),
            }
        }
        // The packet leaves the scratch memory through `forward` while the tunnels are borrowed again.
        let mut scratch = std::mem::take(&mut self.scratch);
        match self.tunnels.open(source, datagram, &mut scratch, now) {
            Opened::Packet { peer, bytes } => {
                self.counters.from_peers.add(bytes.len());
                if let Err(reason) = self.forward(bytes, Via::Peer(peer), outer, now, out) {
                    self.handle_refused(reason, peer, source, outer, bytes, now, out);
                }
                self.flush(peer, now, out);
            }
            Opened::Nothing { peer } => self.flush(peer, now, out),
            Opened::Answer { peer, len } => {
                match out.space(len) {
                    Some(space) => {
                        space[..len].copy_from_slice(&scratch[..len]);
                        self.commit(peer.map_or(Line::Answer, Line::Ahead), source, 0, len, now, out);
                    }
                    None => self.counters.drop(DropReason::QueueFull),
                }
                if let Some(peer) = peer {
                    self.flush(peer, now, out);
                }
            }
            Opened::Drop(reason) => self.counters.drop(reason),
        }
        self.scratch = scratch;
    }

    /// What can't be forwarded may be for the engine itself, or tell that a station is somewhere else than it was.
    #[expect(clippy::too_many_arguments, reason = "all that is known of a packet")]
    #[cold]
    fn handle_refused(
        &mut self,
        reason: DropReason,
        peer: PeerId,
        source: Endpoint,
        outer: Ecn,
        bytes: &mut [u8],
        now: Instant,
        out: &mut Outbox,
    ) {
        let outcome = match reason {
            DropReason::BadSource => self.handle_link(peer, source, bytes, now, out),
            DropReason::Spoofed if self.handle_sender(peer, bytes, now, out) => {
                self.forward(bytes, Via::Peer(peer), outer, now, out)
            }
            DropReason::Elsewhere | DropReason::NotServed => {
                self.tell_where(peer, bytes, now, out);
                Err(reason)
            }
            _ => Err(reason),
        };
        if let Err(reason) = outcome {
            self.counters.drop_of(peer, reason);
        }
    }

    /// Sends what waited for the peer's session.
    #[inline]
    fn flush(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        if self.tunnels.has_waiting(peer) {
            self.flush_waiting(peer, now, out);
        }
    }

    #[cold]
    fn flush_waiting(&mut self, peer: PeerId, now: Instant, out: &mut Outbox) {
        while self.tunnels.has_waiting(peer) {
            let Some(space) = out.space(WAITING_BYTES_MAX) else { return };
            match self.tunnels.seal_waiting(peer, space, now) {
                Some(Sealed::Send { to, len }) => self.commit(Line::Peer(peer), to, 0, len, now, out),
                _ => return,
            }
        }
    }

    /// After every batch: what timers owe, what the tunnels want from outside, and what the paths want of them.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Outbox) {
        self.settle_tunnels(now, out);
        if self.follow_paths(now, out) {
            self.settle_tunnels(now, out);
        }
    }

    fn settle_tunnels(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(space) = out.space(0) {
            match self.tunnels.handle_timeout(space, now) {
                Some((peer, Sealed::Send { to, len })) => {
                    self.commit(Line::Ahead(peer), to, 0, len, now, out);
                }
                Some(_) => {}
                None => break,
            }
        }
        while let Some(event) = self.tunnels.poll_event() {
            match event {
                TunnelEvent::Unreachable(peer) => {
                    self.look_at_gateway(peer, now, out);
                    self.ask_for_addresses(peer, now);
                    self.ask_for_passage(peer, now);
                    self.ask_relays(peer, now, out);
                    self.seek_by_relays(peer, now);
                }
                TunnelEvent::Silent(peer) if self.paths.follows(peer) => self.paths.handle_silent(peer, now),
                TunnelEvent::Silent(peer) => self.ask_for_passage(peer, now),
                TunnelEvent::Elsewhere(peer, source) => {
                    let kind = kind_of(source.address, Kind::Heard);
                    self.paths.handle_elsewhere(peer, source.address, kind, now);
                }
                TunnelEvent::Moved(peer) => {
                    self.relaying.handle_moved(peer, now);
                    self.handle_station_moved(peer, now);
                    self.ask_for_mtu(peer);
                }
                TunnelEvent::Up(peer) => self.handle_peer_up(peer, now, out),
            }
        }
    }
}
