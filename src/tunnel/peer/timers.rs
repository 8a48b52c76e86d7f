//! A peer's timers: when it is looked at again, and what becomes of it then.
//!
//! boringtun's timers move only when they are polled, so a peer is polled every second while it is busy and before
//! its first packet after a pause. With a session and nothing to say it is polled now and then, so that the session's
//! keys go when they are old; without one, never.

use std::time::{Duration, Instant};

use boringtun::noise::TunnResult;
use boringtun::noise::errors::WireGuardError;

use super::super::standby::{self, Step};
use super::super::{BUSY_TICK, is_initiation};
use super::{Endpoint, Peer};
use crate::packet::TokenBucket;

/// A peer is busy for so long after its last packet: longer than every timer of WireGuard's that a packet starts
/// (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT is 15 s).
const BUSY_FOR: Duration = Duration::from_secs(20);
/// How often a peer with a session and nothing to say is looked at.
const IDLE_TICK: Duration = Duration::from_secs(30);
/// A keepalive peer that does not answer is tried again this often.
const RETRY_TICK: Duration = Duration::from_secs(5);

/// What a peer's timers ask for.
pub(in crate::tunnel) struct Tick {
    pub(in crate::tunnel) send: Option<(Endpoint, usize)>,
    pub(in crate::tunnel) unreachable: bool,
    /// It left a while's packets unanswered.
    pub(in crate::tunnel) silent: bool,
    /// It is thought to be somewhere else from now on.
    pub(in crate::tunnel) moved: bool,
}

impl Peer {
    /// Runs the timers; what they ask for is written into `buffer`.
    /// Who is kept reached and has nothing to wait for is asked as `unasked` allows.
    pub(in crate::tunnel) fn handle_timeout(
        &mut self,
        unasked: &mut TokenBucket,
        buffer: &mut [u8],
        now: Instant,
    ) -> Tick {
        self.fresh_until = now + BUSY_TICK;
        let mut tick = Tick { send: None, unreachable: false, silent: false, moved: false };
        let mut len = 0;
        if let Some(tunn) = self.tunn.as_deref_mut() {
            let mut expired = false;
            match tunn.update_timers(buffer) {
                TunnResult::WriteToNetwork(bytes) => len = bytes.len(),
                TunnResult::Err(WireGuardError::ConnectionExpired) => expired = true,
                _ => {}
            }
            tick.unreachable = self.look(expired);
        }
        // Nothing authentic has come since the last one went out, whether there is an old session or not.
        let unanswered = self.session.initiated.is_some();
        let asks = len == 0
            && self.keepalive
            && !self.session.connected
            && !unanswered
            && self.place.current.is_some();
        self.session.put_off = asks && self.waiting == 0 && !unasked.take(now);
        if asks && !self.session.put_off {
            len = self.initiation(buffer, now);
        }
        if len > 0 {
            if is_initiation(&buffer[..len]) {
                if unanswered && !self.session.cookie {
                    // The last one was missed: somewhere else, and ask the names again.
                    tick.unreachable = true;
                    if self.is_placed() {
                        self.seek();
                    } else {
                        if let Some(passage) = self.place.current.filter(|_| self.is_on_passage()) {
                            self.standby.forget(passage);
                            self.standby.handle_move(true, false, now);
                        }
                        self.try_next();
                    }
                }
                self.handle_initiation(now);
            }
            tick.send = self.place.current.map(|to| (to, len));
        } else if self.is_placed() {
            tick.silent = self.standby.is_silent_now(now);
        } else if self.keepalive && self.place.current.is_some() {
            self.step(&mut tick, buffer, now);
        }
        if let Some((_, len)) = tick.send {
            self.counts.tx_bytes += len as u64;
        }
        tick
    }

    /// What a silence asks for.
    fn step(&mut self, tick: &mut Tick, buffer: &mut [u8], now: Instant) {
        let first = self.session.initiated.filter(|_| !self.session.connected);
        match self.standby.step(self.is_on_passage(), first, now) {
            Step::Nothing => {}
            Step::Ask => {
                tick.silent = true;
                // A first handshake is under way.
                if first.is_none() {
                    let len = self.initiation(buffer, now);
                    self.handle_initiation(now);
                    tick.send = self.place.current.map(|to| (to, len));
                }
            }
            Step::Switch(passage) => {
                tick.moved = self.move_to(passage, now);
                let len = self.initiation(buffer, now);
                self.handle_initiation(now);
                tick.send = Some((passage, len));
            }
            Step::TryUdp => {
                if let Some(to) = self.place.take_next() {
                    // Without a note of it: the passage needn't answer what goes elsewhere.
                    tick.send = Some((to, self.initiation(buffer, now)));
                }
            }
        }
        tick.send = tick.send.filter(|&(_, len)| len > 0);
    }

    /// A handshake's first message, whatever is under way; its length.
    pub(super) fn initiation(&mut self, buffer: &mut [u8], now: Instant) -> usize {
        match self.tunn(now).format_handshake_initiation(buffer, true) {
            TunnResult::WriteToNetwork(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// When to run the timers again.
    pub(in crate::tunnel) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let busy = self.session.active.is_some_and(|at| now.saturating_duration_since(at) < BUSY_FOR);
        let first = !self.session.connected && self.session.initiated.is_some();
        let reachable = self.is_watched() && self.place.current.is_some();
        if reachable && self.standby.is_urgent(self.is_on_passage(), first) {
            Some(now + standby::TICK)
        } else if self.session.initiated.is_some() || busy || self.session.put_off {
            Some(now + BUSY_TICK)
        } else if self.keepalive && (self.place.current.is_some() || self.session.connected) {
            Some(now + RETRY_TICK)
        } else if self.session.connected || self.clock_stepped {
            Some(now + IDLE_TICK)
        } else {
            None
        }
    }
}
