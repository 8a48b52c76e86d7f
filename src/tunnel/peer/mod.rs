//! One peer: its key, whom it knows here, where it is, and its state machine.

mod timers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::Tunn;
use serde::{Deserialize, Serialize};

use super::crowd::Heard;
use super::identity::Identity;
use super::standby::Standby;
use super::{BUSY_TICK, new_tunn};
use crate::base::{PublicKey, is_virtual};

/// How often a gateway says that it is there, in seconds: under the 30 of the shortest NAT mappings seen.
pub(super) const KEEPALIVE_SECONDS: u16 = 25;
/// An initiation that is older than this was lost rather than crossed by another: few round trips are longer.
const CROSSING: Duration = Duration::from_millis(300);
/// How long an answer through a relay is waited for before another is tried.
const ANSWERED: Duration = Duration::from_secs(1);
/// Addresses tried for one peer.
const CANDIDATES_MAX: usize = 16;

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

pub(super) struct Peer {
    pub(super) key: PublicKey,
    /// Whom of us it knows.
    pub(super) identity: Arc<Identity>,
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
#[derive(Debug, Default)]
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
    pub(super) fn new(
        key: PublicKey,
        identity: Arc<Identity>,
        index: u32,
        keepalive: bool,
        now: Instant,
    ) -> Self {
        Self {
            key,
            identity,
            index,
            tunn: None,
            place: Place::default(),
            keepalive,
            clock_stepped: false,
            waiting: 0,
            wake: None,
            fresh_until: now + BUSY_TICK,
            session: SessionState::default(),
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
    pub(super) fn initiate(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        let len = self.initiation(buffer, now);
        if len == 0 {
            return None;
        }
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
    pub(super) fn tunn(&mut self, now: Instant) -> &mut Tunn {
        if self.tunn.is_none() {
            self.fresh_until = now + BUSY_TICK;
        }
        self.tunn.get_or_insert_with(|| new_tunn(&self.identity, &self.key, self.keepalive, self.index))
    }

    /// Forgets its sessions and a handshake that is under way; it may begin anew.
    pub(super) fn let_go(&mut self) {
        self.tunn = None;
        self.waiting = 0;
        self.session = SessionState::default();
        self.standby = Standby::default();
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
    pub(super) fn goes_first(&self, now: Instant) -> bool {
        let crossed = self.session.initiated.is_some_and(|at| now.saturating_duration_since(at) < CROSSING);
        crossed && self.identity.public.as_bytes() > self.key.as_bytes()
    }

    pub(super) fn handle_clock_step(&mut self) {
        self.clock_stepped = self.tunn.is_some();
        self.look(false);
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
