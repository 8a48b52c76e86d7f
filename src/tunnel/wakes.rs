//! When peers are looked at again, and what their timers ask for.
//!
//! A peer is in the queue while it is busy or to be kept reached, and in no queue otherwise. What a timer asks for while
//! a packet is on its way is owed, and goes out before the turn ends.

use std::time::Instant;

use super::{Endpoint, HANDSHAKE_MAX, Sealed, TunnelEvent, Tunnels};
use crate::table::PeerId;

/// A handshake message or keepalive that is to go out.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) peer: PeerId,
    pub(super) to: Endpoint,
    pub(super) bytes: [u8; HANDSHAKE_MAX],
    pub(super) len: usize,
    pub(super) since: Instant,
}

impl Tunnels {
    /// When [`Tunnels::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        // What an outbox had no room for is due already.
        let owed = self.owed.first().map(|owed| owed.since);
        owed.or_else(|| self.wakes.first().map(|&(at, _)| at))
    }

    /// Runs the timers that are due and hands out what is owed, one message a call. Call until `None`, after every
    /// batch and at every timeout.
    pub fn handle_timeout(&mut self, buffer: &mut [u8], now: Instant) -> Option<(PeerId, Sealed)> {
        while let Some(&(at, id)) = self.wakes.first()
            && at <= now
            && self.owed.is_empty()
        {
            self.wakes.remove(&(at, id));
            if let Some(peer) = self.slots.get_mut(id) {
                peer.wake = None;
                self.refresh(id, now);
            }
        }
        let owed = self.owed.pop()?;
        buffer[..owed.len].copy_from_slice(&owed.bytes[..owed.len]);
        Some((owed.peer, Sealed::Send { to: owed.to, len: owed.len }))
    }

    /// Brings a peer's timers up to date; what they ask for is owed.
    pub(super) fn refresh(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.slots.get_mut(id) else { return };
        let mut bytes = [0; HANDSHAKE_MAX];
        let tick = peer.handle_timeout(&mut self.unasked, &mut bytes, now);
        if let Some((to, len)) = tick.send {
            self.owed.push(Owed { peer: id, to, bytes, len, since: now });
        }
        if tick.unreachable {
            self.events.push(TunnelEvent::Unreachable(id));
        }
        if tick.silent {
            self.events.push(TunnelEvent::Silent(id));
        }
        let wake = peer.next_wake(now);
        if tick.moved {
            self.handle_move(id);
        }
        if let Some(at) = wake {
            self.schedule(id, at);
        }
    }

    /// Wakes the peer at `at`, or earlier if it is to be woken earlier already.
    pub(super) fn schedule(&mut self, id: PeerId, at: Instant) {
        let Some(peer) = self.slots.get_mut(id) else { return };
        if let Some(old) = peer.wake {
            if old <= at {
                return;
            }
            self.wakes.remove(&(old, id));
        }
        peer.wake = Some(at);
        self.wakes.insert((at, id));
    }
}
