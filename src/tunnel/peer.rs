//! One peer: its key, where it is, its state machine and when to look at it again.
//!
//! boringtun's timers move only when they are polled, so a peer is polled every second while it is busy and before
//! its first packet after a pause. With a session and nothing to say it is polled now and then, so that the session's
//! keys go when they are old; without one, never.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use serde::{Deserialize, Serialize};

use super::crowd::Heard;
use super::standby::{self, Standby, Step};
use super::{BUSY_TICK, is_initiation, new_tunn};
use crate::base::{PrivateKey, PublicKey, is_virtual};
use crate::packet::TokenBucket;

/// How often a gateway says that it is there, in seconds: under the 30 of the shortest NAT mappings seen.
pub(super) const KEEPALIVE_SECONDS: u16 = 25;
/// A peer is busy for so long after its last packet: longer than every timer of WireGuard's that a packet starts
/// (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT is 15 s).
const BUSY_FOR: Duration = Duration::from_secs(20);
/// How often a peer with a session and nothing to say is looked at.
const IDLE_TICK: Duration = Duration::from_secs(30);
/// A keepalive peer that does not answer is tried again this often.
const RETRY_TICK: Duration = Duration::from_secs(5);
/// An initiation that is older than this was lost rather than crossed by another: few round trips are longer.
const CROSSING: Duration = Duration::from_millis(300);
/// How long an answer through a relay is waited for before another is tried.
const ANSWERED: Duration = Duration::from_secs(1);
/// Addresses tried for one peer.
const CANDIDATES_MAX: usize = 16;

/// This gateway, as its peers' handshakes need it.
pub(super) struct Identity {
    pub(super) private: x25519::StaticSecret,
    pub(super) public: x25519::PublicKey,
    /// boringtun checks a handshake's MAC a second time; the limits were at the door.
    pub(super) unlimited: Arc<RateLimiter>,
}

impl Identity {
    pub(super) fn new(private: &PrivateKey) -> Self {
        let private = x25519::StaticSecret::from(*private.as_bytes());
        let public = x25519::PublicKey::from(&private);
        Self { unlimited: Arc::new(RateLimiter::new(&public, u64::MAX)), private, public }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// A peer's address and our own that it talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// The address of ours to send from; `None`: the system chooses.
    pub local: Option<IpAddr>,
}

/// What is told of a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerStats {
    pub key: PublicKey,
    pub endpoint: Option<SocketAddr>,
    /// Seconds since the session in use was made.
    pub handshake_age: Option<u64>,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_packets: u64,
    pub tx_packets: u64,
}

/// What an authentic message changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Change {
    /// The peer is at another address than before.
    pub(super) moved: bool,
    /// There is a session to send with, and there was none.
    pub(super) up: bool,
    /// It is heard from another place than the one that it was put at.
    pub(super) elsewhere: bool,
}

/// What a peer's timers ask for.
pub(super) struct Tick {
    pub(super) send: Option<(Endpoint, usize)>,
    pub(super) unreachable: bool,
    /// It left a while's packets unanswered.
    pub(super) silent: bool,
    /// It is thought to be somewhere else from now on.
    pub(super) moved: bool,
}

pub(super) struct Peer {
    pub(super) key: PublicKey,
    /// The slot's 24-bit index.
    index: u32,
    /// Made by the first handshake, either way.
    tunn: Option<Box<Tunn>>,
    place: Place,
    /// A gateway that is to be kept reached.
    pub(super) keepalive: bool,
    /// The state machine sampled a wall clock that has jumped since.
    clock_stepped: bool,
    /// Packets that boringtun holds until there is a session.
    pub(super) waiting: u8,
    /// When it is in the queue of wake-ups.
    pub(super) wake: Option<Instant>,
    /// Until when the timers are as fresh as they must be while packets come and go.
    fresh_until: Instant,
    session: SessionState,
    standby: Standby,
    placed: Placed,
    counts: Counts,
    /// In `Crowd`'s running window.
    pub(super) heard: Heard,
}

/// Who says where a peer with a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placed {
    /// The peer itself: it is where it was last heard from.
    Roams,
    /// Somebody else ([`super::Tunnels::place`]). What comes from elsewhere is told and doesn't move it.
    Held,
    /// The same, but it was asked for everywhere: it is where it is heard from next.
    Sought,
}

/// Where a peer is.
#[derive(Debug, Default)]
struct Place {
    /// Where it was last heard from, or where it is tried.
    current: Option<Endpoint>,
    /// From the roster's endpoints, by name or number.
    candidates: Vec<SocketAddr>,
    next: usize,
    /// Where it was last heard from, if not there.
    elsewhere: Option<Endpoint>,
}

impl Place {
    /// The candidates, one after the other and over again.
    fn take_next(&mut self) -> Option<Endpoint> {
        let address = *self.candidates.get(self.next % self.candidates.len().max(1))?;
        self.next = self.next.wrapping_add(1);
        Some(Endpoint { address, local: None })
    }
}

/// What is known of a peer's session without asking boringtun.
#[derive(Debug)]
struct SessionState {
    connected: bool,
    /// Whether somebody was told that there is a session to send with.
    up: bool,
    /// When the last initiation went out, if nothing authentic has come since.
    initiated: Option<Instant>,
    /// The peer answered the last initiation with a cookie: it is there, and worth a second try.
    cookie: bool,
    /// It is to be asked, and others had the turn.
    put_off: bool,
    active: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    rx_bytes: u64,
    tx_bytes: u64,
    rx_packets: u64,
    tx_packets: u64,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("key", &self.key)
            .field("place", &self.place)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Peer {
    pub(super) fn new(key: PublicKey, index: u32, keepalive: bool, now: Instant) -> Self {
        Self {
            key,
            index,
            tunn: None,
            place: Place::default(),
            keepalive,
            clock_stepped: false,
            waiting: 0,
            wake: None,
            fresh_until: now + BUSY_TICK,
            session: SessionState {
                connected: false,
                up: false,
                initiated: None,
                cookie: false,
                put_off: false,
                active: None,
            },
            standby: Standby::default(),
            placed: Placed::Roams,
            counts: Counts::default(),
            heard: Heard::default(),
        }
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        self.place.current
    }

    pub(super) fn is_connected(&self) -> bool {
        self.session.connected
    }

    pub(super) fn may_flush(&self) -> bool {
        self.waiting > 0 && self.session.connected
    }

    pub(super) fn set_candidates(&mut self, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(CANDIDATES_MAX);
        self.place.candidates = addresses;
        self.place.next = 0;
        if self.is_missed() && !self.is_on_passage() {
            self.try_next();
        }
    }

    /// The peer may be here as well, and is to be kept reached. It is tried before what is known by name.
    pub(super) fn add_candidate(&mut self, address: SocketAddr) {
        let candidates = &mut self.place.candidates;
        candidates.retain(|known| *known != address);
        candidates.insert(0, address);
        candidates.truncate(CANDIDATES_MAX);
        self.keepalive = true;
        if self.is_missed() {
            self.place.next = 0;
            self.try_next();
        }
    }

    /// Whether it is looked for: there is no session, or no answer where it was last.
    pub(super) fn is_missed(&self) -> bool {
        !self.session.connected || self.placed == Placed::Roams && self.session.initiated.is_some()
    }

    /// Whether it has a session, and somebody else says where it is.
    fn is_placed(&self) -> bool {
        self.placed != Placed::Roams && self.session.connected
    }

    /// Whether it is to be noticed when it falls silent.
    fn is_watched(&self) -> bool {
        self.keepalive || self.placed != Placed::Roams
    }

    pub(super) fn candidates(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.place.candidates.iter().copied()
    }

    /// From now on somebody else says where it is, while it has a session.
    pub(super) fn hold(&mut self) {
        self.placed = Placed::Held;
        self.place.elsewhere = None;
    }

    /// It is where it is heard from.
    pub(super) fn release(&mut self) {
        self.placed = Placed::Roams;
    }

    /// It is here, as somebody else says.
    pub(super) fn put(&mut self, address: SocketAddr) {
        self.hold();
        self.standby.handle_heard();
        self.place.current = Some(Endpoint { address, local: None });
    }

    /// It is asked for everywhere.
    pub(super) fn seek(&mut self) {
        if self.placed == Placed::Held {
            self.placed = Placed::Sought;
        }
    }

    pub(super) fn is_sought(&self) -> bool {
        self.is_placed() && self.placed == Placed::Sought
    }

    /// Whether what comes from here doesn't move it.
    fn stays(&self, source: Endpoint) -> bool {
        self.session.connected
            && self.placed == Placed::Held
            && self.place.current.is_some_and(|current| current.address != source.address)
    }

    /// It is heard from here, where it isn't said to be; whether that is new.
    fn hear_elsewhere(&mut self, source: Endpoint) -> bool {
        self.place.elsewhere.replace(source) != Some(source)
    }

    /// Whether it was asked a moment ago through something else than UDP. To ask it again elsewhere would be to forget that
    /// question, and several relays that say where it is, one after the other, would have no answer ever be good.
    pub(super) fn waits_on_passage(&self, now: Instant) -> bool {
        self.is_on_passage()
            && self.session.initiated.is_some_and(|at| now.saturating_duration_since(at) < ANSWERED)
    }

    pub(super) fn set_endpoint(&mut self, endpoint: Endpoint) {
        self.place.current = Some(endpoint);
    }

    /// Begins a handshake, whatever became of the last one; the message's length.
    pub(super) fn initiate(&mut self, identity: &Identity, buffer: &mut [u8], now: Instant) -> Option<usize> {
        let TunnResult::WriteToNetwork(bytes) =
            self.tunn(identity, now).format_handshake_initiation(buffer, true)
        else {
            return None;
        };
        let len = bytes.len();
        self.handle_initiation(now);
        self.counts.tx_bytes += len as u64;
        Some(len)
    }

    /// Takes the next candidate, if there is one.
    fn try_next(&mut self) {
        if let Some(next) = self.place.take_next() {
            self.place.current = Some(next);
        }
    }

    /// The state machine, made now if it was not.
    pub(super) fn tunn(&mut self, identity: &Identity, now: Instant) -> &mut Tunn {
        if self.tunn.is_none() {
            self.fresh_until = now + BUSY_TICK;
        }
        self.tunn.get_or_insert_with(|| new_tunn(identity, &self.key, self.keepalive, self.index))
    }

    pub(super) fn tunn_if_made(&mut self) -> Option<&mut Tunn> {
        self.tunn.as_deref_mut()
    }

    /// Whether the timers stood still for longer than they may while packets come and go.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now >= self.fresh_until
    }

    /// Learns from boringtun whether there is a session.
    fn look(&mut self, expired: bool) -> bool {
        let connected = self.tunn.as_deref().is_some_and(|tunn| tunn.time_since_last_handshake().is_some());
        self.session.connected = connected;
        self.session.up &= connected;
        if expired {
            self.session.initiated = None;
            self.waiting = 0;
        }
        if !connected && self.clock_stepped {
            self.clock_stepped = false;
            self.tunn = None;
            self.waiting = 0;
        }
        expired
    }

    /// Whether the peer was last heard from, or is tried, at this place and through this address of ours.
    pub(super) fn is_at(&self, source: Endpoint) -> bool {
        self.place.current == Some(source)
    }

    /// An authenticated data packet or keepalive came. `here`: [`Peer::is_at`] said that the peer did not move.
    pub(super) fn handle_authenticated(
        &mut self,
        source: Endpoint,
        here: bool,
        len: usize,
        now: Instant,
    ) -> Change {
        self.counts.rx_packets += 1;
        self.counts.rx_bytes += len as u64;
        let stays = !here && self.stays(source);
        self.session.active = Some(now);
        self.session.connected = true;
        self.session.initiated = None;
        let up = !std::mem::replace(&mut self.session.up, true);
        if stays {
            // What is sent is unanswered still where it goes.
            return Change { moved: false, up, elsewhere: self.hear_elsewhere(source) };
        }
        self.standby.handle_heard();
        if here {
            self.standby.handle_heard_here(now);
        } else if self.placed == Placed::Roams
            && !self.is_on_passage()
            && is_virtual(source.address.ip())
            && self.standby.stays(now)
        {
            return Change { up, ..Change::default() };
        }
        Change { moved: !here && self.move_to(source, now), up, elsewhere: false }
    }

    /// A handshake message was good, and answered with `answer` bytes. `last`: it was the last of its handshake, so
    /// that there is a session to send with; who answered an initiation waits for the other side's first packet.
    pub(super) fn handle_handshake(
        &mut self,
        source: Endpoint,
        len: usize,
        answer: usize,
        last: bool,
        now: Instant,
    ) -> Change {
        self.counts.rx_bytes += len as u64;
        self.counts.tx_bytes += answer as u64;
        let stays = self.stays(source);
        self.session.active = Some(now);
        self.session.initiated = None;
        self.look(false);
        let up = last && !std::mem::replace(&mut self.session.up, true);
        if stays {
            return Change { moved: false, up, elsewhere: self.hear_elsewhere(source) };
        }
        self.standby.handle_heard();
        Change { moved: self.move_to(source, now), up, elsewhere: false }
    }

    fn move_to(&mut self, source: Endpoint, now: Instant) -> bool {
        if self.placed == Placed::Sought {
            self.hold();
        }
        if self.place.current == Some(source) {
            return false;
        }
        let moved = self.place.current.is_none_or(|old| old.address != source.address);
        self.standby.handle_move(self.is_on_passage(), is_virtual(source.address.ip()), now);
        self.standby.handle_heard_here(now);
        self.place.current = Some(source);
        moved
    }

    /// Whether it is reached through something else than UDP.
    fn is_on_passage(&self) -> bool {
        self.place.current.is_some_and(|current| is_virtual(current.address.ip()))
    }

    /// There is another way to the peer, to be used where this one fails.
    pub(super) fn set_passage(&mut self, passage: Endpoint) {
        self.standby.set_passage(passage);
    }

    /// The passage is no more; whether the peer has anything to do with it.
    pub(super) fn forget_passage(&mut self, passage: Endpoint, now: Instant) -> bool {
        let known = self.standby.forget(passage);
        let here = self.is_at(passage);
        if here {
            self.place.current = None;
            self.try_next();
            self.standby.handle_move(true, false, now);
            self.standby.handle_sent(now);
        }
        known || here
    }

    pub(super) fn handle_sent(&mut self, len: usize, now: Instant) {
        self.counts.tx_packets += 1;
        self.counts.tx_bytes += len as u64;
        self.session.active = Some(now);
        if self.is_watched() {
            self.standby.handle_sent(now);
        }
    }

    pub(super) fn handle_answered(&mut self) {
        self.standby.handle_heard();
    }

    /// The same, to a place where it needn't be.
    pub(super) fn handle_probe(&mut self, len: usize, now: Instant) {
        self.counts.tx_packets += 1;
        self.counts.tx_bytes += len as u64;
        self.session.active = Some(now);
    }

    /// A cookie is good for one address: to try another one next would be to be asked for another cookie.
    pub(super) fn handle_cookie(&mut self) {
        self.session.cookie = true;
    }

    pub(super) fn handle_initiation(&mut self, now: Instant) {
        self.session.cookie = false;
        self.session.initiated = Some(now);
    }

    /// Whether an initiation of the peer's crossed one of ours on the way, and ours is the one that goes on. boringtun,
    /// as the kernel, forgets its own when it takes another's: if both sides did, neither would have a session.
    pub(super) fn goes_first(&self, own: &[u8; 32], now: Instant) -> bool {
        let crossed = self.session.initiated.is_some_and(|at| now.saturating_duration_since(at) < CROSSING);
        crossed && own > self.key.as_bytes()
    }

    pub(super) fn handle_clock_step(&mut self) {
        self.clock_stepped = self.tunn.is_some();
        self.look(false);
    }

    /// Runs the timers; what they ask for is written into `buffer`.
    /// Who is kept reached and has nothing to wait for is asked as `unasked` allows.
    pub(super) fn handle_timeout(
        &mut self,
        identity: &Identity,
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
            len = self.initiation(identity, buffer, now);
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
            self.step(&mut tick, identity, buffer, now);
        }
        if let Some((_, len)) = tick.send {
            self.counts.tx_bytes += len as u64;
        }
        tick
    }

    /// What a silence asks for.
    fn step(&mut self, tick: &mut Tick, identity: &Identity, buffer: &mut [u8], now: Instant) {
        let first = self.session.initiated.filter(|_| !self.session.connected);
        match self.standby.step(self.is_on_passage(), first, now) {
            Step::Nothing => {}
            Step::Ask => {
                tick.silent = true;
                // A first handshake is under way.
                if first.is_none() {
                    let len = self.initiation(identity, buffer, now);
                    self.handle_initiation(now);
                    tick.send = self.place.current.map(|to| (to, len));
                }
            }
            Step::Switch(passage) => {
                tick.moved = self.move_to(passage, now);
                let len = self.initiation(identity, buffer, now);
                self.handle_initiation(now);
                tick.send = Some((passage, len));
            }
            Step::TryUdp => {
                if let Some(to) = self.place.take_next() {
                    // Without a note of it: the passage needn't answer what goes elsewhere.
                    tick.send = Some((to, self.initiation(identity, buffer, now)));
                }
            }
        }
        tick.send = tick.send.filter(|&(_, len)| len > 0);
    }

    /// A handshake's first message, whatever is under way; its length.
    fn initiation(&mut self, identity: &Identity, buffer: &mut [u8], now: Instant) -> usize {
        match self.tunn(identity, now).format_handshake_initiation(buffer, true) {
            TunnResult::WriteToNetwork(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// When to run the timers again.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
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

    pub(super) fn stats(&self) -> PeerStats {
        let age = self.tunn.as_deref().and_then(Tunn::time_since_last_handshake);
        PeerStats {
            key: self.key,
            endpoint: self.place.current.map(|endpoint| endpoint.address),
            handshake_age: age.map(|age| age.as_secs()),
            rx_bytes: self.counts.rx_bytes,
            tx_bytes: self.counts.tx_bytes,
            rx_packets: self.counts.rx_packets,
            tx_packets: self.counts.tx_packets,
        }
    }
}
