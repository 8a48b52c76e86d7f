//! Where every packet is checked, judged and sent on, whichever way it came.
//!
//! In this order: what it says of itself; who may send from its source (before any state is looked at); the flow that
//! it belongs to, or a judgement of the first packet; the way out; what the way out carries.

use std::net::IpAddr;
use std::time::Instant;

use super::{Engine, Line, Outbox};
use crate::base::DropReason;
use crate::packet::{self, Ecn, Packet, TcpFlags, Transport, icmp};
use crate::table::{Found, Via};
use crate::tunnel::Sealed;

/// Gateways without an IPv4 address of their own make ICMP errors from here: the dummy address of RFC 7600,
/// section 4.8.
const DUMMY_V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 0, 8));
/// IPv6's smallest MTU (RFC 8200, section 5).
const MTU_MIN: u16 = 1_280;

impl Engine {
    /// Sends an IP packet on, or says why not.
    pub(super) fn forward(
        &mut self,
        bytes: &mut [u8],
        from: Via,
        outer: Ecn,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let packet = Packet::parse(bytes)?;
        let bytes = &mut bytes[..packet.total_len];
        let world = self.world.as_ref().ok_or(DropReason::NoRoute)?;
        if world.routes.lookup(packet.src) != Some(from) {
            return Err(DropReason::Spoofed);
        }
        let to = match self.flows.lookup(&packet, from, now) {
            Found::Hit { to, .. } => to,
            Found::New => self.admit(&packet, from, now)?,
            Found::OtherPeer => return Err(DropReason::OtherPeer),
            Found::Stray => return Err(DropReason::NoFlow),
        };
        if let (Via::Peer(_), Via::Peer(_)) = (from, to)
            && !packet::decrement_hop_limit(bytes)
        {
            self.answer(bytes, from, now, out, |orig, own, buffer| icmp::time_exceeded(buffer, orig, own));
            return Err(DropReason::HopLimit);
        }
        self.fit(bytes, &packet, from, to, now, out)?;
        let mark = carry_mark(bytes, &packet, outer)?;
        if to == Via::Kernel && self.brings(&packet, from) {
            return self.handle_link_tcp(from, bytes, now, out);
        }
        self.send(bytes, to, mark, now, out)
    }

    /// Judges the first packet of a flow; where the flow goes.
    fn admit(&mut self, packet: &Packet, from: Via, now: Instant) -> Result<Via, DropReason> {
        let world = self.world.as_mut().ok_or(DropReason::NoRoute)?;
        let to = world.routes.lookup(packet.dst).ok_or(DropReason::NoRoute)?;
        if to == from {
            return Err(DropReason::Loop);
        }
        if to == Via::AWAY {
            return Err(DropReason::Elsewhere);
        }
        let question = world.judge.question(packet);
        let (source, destination) = (question.from.place, question.to.place);
        // Another gateway speaks for its own nodes with ours, and with nobody else through us; and only our own
        // nodes go through other gateways.
        if (world.is_gateway(from) && !world.serves(destination))
            || (world.is_gateway(to) && !world.serves(source))
        {
            return Err(DropReason::NotServed);
        }
        let judgement = world.judge.judge(&question);
        for &rule in judgement.matched() {
            world.count_rule(rule);
        }
        if judgement.log {
            world.log_first(packet, judgement.is_allowed(), now);
        }
        if !judgement.is_allowed() {
            return Err(DropReason::Denied);
        }
        self.flows.open(packet, from, to, now)?;
        Ok(to)
    }

    /// Makes the packet fit what both ways carry: TCP is told by its MSS, others by ICMP.
    fn fit(
        &mut self,
        bytes: &mut [u8],
        packet: &Packet,
        from: Via,
        to: Via,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let mtu = self.mtu_via(to);
        if opens_tcp(packet) {
            let headers = if packet.src.is_ipv4() { 40 } else { 60 };
            packet::clamp_mss(bytes, packet, mtu.min(self.mtu_via(from)) - headers);
        }
        let limit = if packet.src.is_ipv4() { mtu } else { mtu.max(MTU_MIN) };
        if bytes.len() > usize::from(limit) && packet.dont_fragment && matches!(to, Via::Peer(_)) {
            self.answer(bytes, from, now, out, |orig, own, buffer| {
                icmp::packet_too_big(buffer, orig, own, limit)
            });
            return Err(DropReason::TooBig);
        }
        Ok(())
    }

    fn mtu_via(&self, via: Via) -> u16 {
        match via {
            Via::Peer(peer) => self.mtu_of(peer),
            Via::Kernel => self.config.mtu,
        }
    }

    /// Sends a packet that may go.
    fn send(
        &mut self,
        bytes: &[u8],
        to: Via,
        mark: Ecn,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let peer = match to {
            Via::Peer(peer) => peer,
            Via::Kernel => {
                self.counters.to_kernel.add(bytes.len());
                return if out.push_packet(bytes) { Ok(()) } else { Err(DropReason::QueueFull) };
            }
        };
        let space = out.space(bytes.len()).ok_or(DropReason::QueueFull)?;
        match self.tunnels.seal(peer, bytes, space, now) {
            Sealed::Send { to, len } => {
                self.commit(Line::Peer(peer), to, mark as u8, len, now, out);
                self.counters.to_peers.add(bytes.len());
                Ok(())
            }
            Sealed::Waits => Ok(()),
            Sealed::Drop(_) if to == Via::AWAY => Err(DropReason::Elsewhere),
            Sealed::Drop(reason) => {
                if reason == DropReason::NoSession {
                    self.ask_relays(peer, now, out);
                }
                Err(reason)
            }
        }
    }

    /// Answers a packet with an ICMP error, to where it came from, at a bounded rate.
    fn answer(
        &mut self,
        original: &[u8],
        to: Via,
        now: Instant,
        out: &mut Outbox,
        make: impl FnOnce(&[u8], IpAddr, &mut [u8]) -> Option<usize>,
    ) {
        let Some(world) = &self.world else { return };
        if !self.icmp.take(now) {
            return;
        }
        let me = world.model.node(world.me);
        let own = match original.first().map(|first| first >> 4) {
            Some(4) => me.ipv4.map_or(DUMMY_V4, IpAddr::V4),
            _ => match me.ipv6 {
                Some(own) => IpAddr::V6(own),
                None => return,
            },
        };
        let mut buffer = [0; icmp::ANSWER_MAX];
        if let Some(len) = make(original, own, &mut buffer)
            && let Err(reason) = self.send(&buffer[..len], to, Ecn::NotCapable, now, out)
        {
            self.counters.drop(reason);
        }
    }
}

/// What the network marked on the datagram is told inside; the mark that the next datagram has (RFC 6040, sections 4.1
/// and 4.2: it is copied going in, and a congestion that the packet can't be told of costs the packet).
fn carry_mark(bytes: &mut [u8], packet: &Packet, outer: Ecn) -> Result<Ecn, DropReason> {
    match (outer, packet.ecn()) {
        (Ecn::Congested, Ecn::NotCapable) => Err(DropReason::Congested),
        (Ecn::Congested, Ecn::Capable0 | Ecn::Capable1) => {
            packet::set_ecn(bytes, Ecn::Congested);
            Ok(Ecn::Congested)
        }
        (_, inner) => Ok(inner),
    }
}

/// Whether it is a SYN of TCP's, first or answer: what carries an MSS.
fn opens_tcp(packet: &Packet) -> bool {
    matches!(packet.transport, Transport::Tcp(tcp) if tcp.flags.has(TcpFlags::SYN))
}
