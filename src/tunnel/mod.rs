//! Floor 3: WireGuard peers. The only module that names boringtun.
//!
//! A [`Tunnels`] holds every peer of this gateway behind one port. A data packet finds its peer by the receiver index,
//! which carries the peer's slot; a handshake finds it by the static key inside, and a key that is not listed leaves
//! no trace. A configured peer that has never been heard of costs a few hundred bytes: its state machine is made by
//! its first handshake. Nobody polls idle peers: a peer has a wake-up while it is busy, and none when it is not.

mod crowd;
mod door;
mod identity;
mod peer;
mod placing;
mod slots;
mod standby;
mod steering;
#[cfg(test)]
mod tests;
mod wakes;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::{Packet, Tunn, TunnResult};
use hashbrown::HashMap;

use crate::base::{DropReason, PrivateKey, PublicKey, is_virtual};
use crate::packet::TokenBucket;
use crate::table::PeerId;
use crowd::Crowd;
use door::Door;
use identity::Identity;
use peer::{Change, Peer};
pub use peer::{Endpoint, PeerStats};
use slots::Slots;
pub use steering::{CROWDING_MAX, Crowding, Steering};
use wakes::Owed;

/// What a sealed packet is longer than the packet in it: type, index, counter and tag (WireGuard paper, section
/// 5.4.6), in bytes.
pub const SEAL_OVERHEAD: usize = 32;
/// The longest message of a handshake, in bytes; every buffer given to a tunnel is at least as long.
pub const HANDSHAKE_MAX: usize = 148;
/// Packets that wait for one peer's handshake.
const WAITING_MAX: u8 = 16;
/// The longest packet that waits, in bytes; room for it is needed when it is sealed.
pub const WAITING_BYTES_MAX: usize = 9_216;
/// Handshakes a second, and at once, with gateways that nobody's packets wait for: a node that starts among hundreds asks
/// no more of them than they answer without a cookie, nor do all that start at one instant.
const UNASKED_PER_SECOND: u32 = 25;
const UNASKED_AT_ONCE: u32 = 50;
/// How stale a peer's timers may be while it is busy.
const BUSY_TICK: Duration = Duration::from_secs(1);

/// All WireGuard peers behind one UDP port.
#[derive(Debug)]
pub struct Tunnels {
    /// Whom mesh nodes know; and whom stations know instead, if the room has a key.
    node: Arc<Identity>,
    room: Option<Arc<Identity>>,
    door: Door,
    slots: Slots<Peer>,
    by_key: HashMap<PublicKey, PeerId>,
    wakes: BTreeSet<(Instant, PeerId)>,
    events: Vec<TunnelEvent>,
    /// What timers asked for while a packet was on its way; sent before the turn ends.
    owed: Vec<Owed>,
    crowd: Crowd,
    /// Handshakes with gateways that nobody's packets wait for.
    unasked: TokenBucket,
    /// The bits that all receiver indices have, as they were told last.
    told_bits: Option<(u32, u32)>,
}

/// What a datagram was.
#[derive(Debug)]
pub enum Opened<'a> {
    /// An IP packet of the peer.
    Packet { peer: PeerId, bytes: &'a mut [u8] },
    /// A keepalive, or a handshake message that asks for no answer.
    Nothing { peer: PeerId },
    /// This many bytes at the front of the buffer go back to where the datagram came from.
    Answer { peer: Option<PeerId>, len: usize },
    /// Turned away.
    Drop(DropReason),
}

/// What became of a packet to be sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// This many bytes at the front of the buffer go to the endpoint.
    Send { to: Endpoint, len: usize },
    /// The packet waits for a handshake that is under way.
    Waits,
    /// Turned away.
    Drop(DropReason),
}

/// What the tunnels want from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelEvent {
    /// The peer did not answer where it was thought to be: its endpoints' names want resolving.
    Unreachable(PeerId),
    /// The peer is at another address than before.
    Moved(PeerId),
    /// The peer has a session, and had none before.
    Up(PeerId),
    /// The peer left what it was sent unanswered for a while: another way to it may be needed soon.
    Silent(PeerId),
    /// The peer is heard from here, and not where it was put.
    Elsewhere(PeerId, Endpoint),
}

impl Tunnels {
    /// No peers yet. `private` is this gateway's key; `secret`, 24 random bits, hides receiver indices from who never
    /// saw one.
    #[must_use]
    pub fn new(private: &PrivateKey, secret: u32, now: Instant) -> Self {
        Self {
            node: Identity::new(private),
            room: None,
            door: Door::new(now),
            slots: Slots::new(secret),
            by_key: HashMap::new(),
            wakes: BTreeSet::new(),
            events: Vec::new(),
            owed: Vec::new(),
            crowd: Crowd::new(now),
            unasked: TokenBucket::new(UNASKED_PER_SECOND, UNASKED_AT_ONCE, now),
            told_bits: None,
        }
    }

    /// Stations that are put in from now on ([`Tunnels::upsert_station`]) know the room by this key, or with `None` this
    /// gateway by its own.
    pub fn set_room_key(&mut self, key: Option<&PrivateKey>) {
        let public = key.map(|key| *key.public().as_bytes());
        if self.room.as_ref().map(|room| room.public.to_bytes()) != public {
            self.room = key.map(Identity::new);
        }
    }

    /// Whether stations know the room by its own key.
    #[must_use]
    pub fn has_room_key(&self) -> bool {
        self.room.is_some()
    }

    /// Adds the peer, or leaves its sessions as they are. `None` when every slot is taken.
    /// `keepalive`: the peer is a gateway that is to be kept reached.
    pub fn upsert_peer(&mut self, key: PublicKey, keepalive: bool, now: Instant) -> Option<PeerId> {
        let node = Arc::clone(&self.node);
        self.upsert(key, node, keepalive, now)
    }

    /// The same for a station of the room. One that knew somebody else here begins anew, in its old place.
    pub fn upsert_station(&mut self, key: PublicKey, keepalive: bool, now: Instant) -> Option<PeerId> {
        let identity = Arc::clone(self.room.as_ref().unwrap_or(&self.node));
        self.upsert(key, identity, keepalive, now)
    }

    fn upsert(
        &mut self,
        key: PublicKey,
        identity: Arc<Identity>,
        keepalive: bool,
        now: Instant,
    ) -> Option<PeerId> {
        if let Some(&id) = self.by_key.get(&key)
            && let Some(peer) = self.slots.get_mut(id)
        {
            if Arc::ptr_eq(&peer.identity, &identity) {
                peer.keepalive = keepalive;
                return Some(id);
            }
            self.remove_peer(id);
        }
        let id = self.slots.insert(|index| Peer::new(key, identity, index, keepalive, now))?;
        self.by_key.insert(key, id);
        self.crowd.reserve(self.by_key.len());
        Some(id)
    }

    /// Removes the peer with its sessions; what it sends from now on is from an unknown index.
    pub fn remove_peer(&mut self, id: PeerId) {
        if let Some(peer) = self.slots.remove(id) {
            self.by_key.remove(&peer.key);
            self.crowd.handle_change(id, true);
            if let Some(at) = peer.wake {
                self.wakes.remove(&(at, id));
            }
        }
    }

    /// Forgets the peer's sessions, and a handshake that is under way: it is somebody else's now, until it comes again.
    pub fn let_go(&mut self, id: PeerId) {
        if let Some(peer) = self.slots.get_mut(id) {
            peer.let_go();
        }
    }

    /// Asks a peer without a session for one, here, unless others have the turn; whether it was asked.
    pub fn call(&mut self, id: PeerId, address: SocketAddr, now: Instant) -> bool {
        let may = self.unasked.take(now);
        if may {
            self.try_at(id, Endpoint { address, local: None }, true, now);
        }
        may
    }

    /// The peer with this key.
    #[must_use]
    pub fn peer_by_key(&self, key: &PublicKey) -> Option<PeerId> {
        self.by_key.get(key).copied()
    }

    /// Every peer.
    pub fn ids(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.slots.ids()
    }

    /// What `peers` and `status` tell of it.
    #[must_use]
    pub fn stats(&self, id: PeerId) -> Option<PeerStats> {
        self.slots.get(id).map(Peer::stats)
    }

    /// Whether the peer has a session.
    #[must_use]
    pub fn is_connected(&self, id: PeerId) -> bool {
        self.slots.get(id).is_some_and(Peer::is_connected)
    }

    /// Where the peer is, as far as known.
    #[must_use]
    pub fn endpoint(&self, id: PeerId) -> Option<Endpoint> {
        self.slots.get(id).and_then(Peer::endpoint)
    }

    /// Where the peer may be reached, in the order in which to try; replaces what was known by name. The peer stays
    /// where it is while it answers there.
    pub fn set_candidates(&mut self, id: PeerId, addresses: Vec<SocketAddr>, now: Instant) {
        let Some(peer) = self.slots.get_mut(id) else { return };
        peer.set_candidates(addresses);
        if peer.keepalive && peer.endpoint().is_some() && !peer.is_connected() {
            self.schedule(id, now);
        }
    }

    /// The peer may be reached here as well, and is to be kept reached from now on.
    pub fn add_candidate(&mut self, id: PeerId, address: SocketAddr, now: Instant) {
        let Some(peer) = self.slots.get_mut(id) else { return };
        peer.add_candidate(address);
        if !peer.is_connected() {
            self.schedule(id, now);
        }
    }

    /// There is another way to the peer, to be used where UDP fails, and left when UDP works again.
    pub fn set_passage(&mut self, id: PeerId, passage: Endpoint, now: Instant) {
        let Some(peer) = self.slots.get_mut(id) else { return };
        peer.set_passage(passage);
        self.schedule(id, now);
    }

    /// This way to whatever peer is no more.
    pub fn forget_passage(&mut self, passage: Endpoint, now: Instant) {
        for id in self.slots.ids().collect::<Vec<_>>() {
            if self.slots.get_mut(id).is_some_and(|peer| peer.forget_passage(passage, now)) {
                self.schedule(id, now);
            }
        }
    }

    /// The wall clock jumped: state machines that sampled the old one are made anew (boringtun samples it once, for
    /// the handshakes' TAI64N stamps), each as soon as it holds no live session.
    pub fn handle_clock_step(&mut self) {
        for id in self.slots.ids().collect::<Vec<_>>() {
            if let Some(peer) = self.slots.get_mut(id) {
                peer.handle_clock_step();
            }
        }
    }

    /// The receiver index, less its low eight bits, that messages of this peer have.
    #[must_use]
    pub fn receiver_index(&self, id: PeerId) -> Option<u32> {
        self.slots.get(id).map(|peer| peer.index() << 8)
    }

    /// Whose receiver index this is. What comes under it counts for the peer, like data.
    pub fn find_index(&mut self, index: u32, source: Endpoint, len: usize) -> Option<PeerId> {
        let (id, peer) = self.slots.by_index_mut(index)?;
        let elsewhere = peer.endpoint().is_none_or(|home| home.address != source.address);
        self.crowd.note(id, &mut peer.heard, elsewhere, len);
        Some(id)
    }

    /// The peer may be here. While it has no session, or does not answer, it is looked for here; with `begin` at once.
    pub fn try_at(&mut self, id: PeerId, endpoint: Endpoint, begin: bool, now: Instant) {
        let Some(peer) = self.slots.get_mut(id) else { return };
        if begin && peer.is_sought() {
            self.seek(id, &[endpoint.address], now);
            return;
        }
        if !peer.is_missed() || peer.waits_on_passage(now) {
            return;
        }
        peer.set_endpoint(endpoint);
        self.events.push(TunnelEvent::Moved(id));
        let mut bytes = [0; HANDSHAKE_MAX];
        if begin && let Some(len) = peer.initiate(&mut bytes, now) {
            self.owed.push(Owed { peer: id, to: endpoint, bytes, len, since: now });
            self.schedule(id, now + BUSY_TICK);
        }
    }

    /// Next thing that the tunnels want from outside.
    pub fn poll_event(&mut self) -> Option<TunnelEvent> {
        self.events.pop()
    }

    /// After every batch from the socket: whether it has more.
    pub fn handle_batch(&mut self, more: bool, now: Instant) {
        self.crowd.handle_batch(more, &mut self.slots, now);
    }

    /// What the kernel is to know from now on, when that has changed.
    pub fn poll_steering(&mut self, now: Instant) -> Option<Steering> {
        let common = self.slots.common_bits();
        if !self.crowd.take_change(now) && self.told_bits == Some(common) {
            return None;
        }
        self.told_bits = Some(common);
        let (mask, bits) = common;
        Some(Steering { mask, bits, crowding: self.crowd.list(&self.slots) })
    }

    /// Opens a datagram. `buffer` must hold the datagram or [`HANDSHAKE_MAX`] bytes, whichever is more.
    pub fn open<'b>(
        &mut self,
        source: Endpoint,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Opened<'b> {
        // The common case first; the checks are WireGuard's: type 4, three zero bytes, header and tag.
        if let [4, 0, 0, 0, a, b, c, d, ..] = *datagram
            && datagram.len() >= SEAL_OVERHEAD
        {
            return self.open_data(source, u32::from_le_bytes([a, b, c, d]), datagram, buffer, now);
        }
        self.open_handshake(source, datagram, buffer, now)
    }

    fn open_data<'b>(
        &mut self,
        source: Endpoint,
        index: u32,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Opened<'b> {
        let Some((id, peer)) = self.slots.by_index_mut(index) else {
            return Opened::Drop(DropReason::UnknownIndex);
        };
        if peer.is_stale(now) {
            self.refresh(id, now);
            self.schedule(id, now + BUSY_TICK);
        }
        let Some(peer) = self.slots.get_mut(id) else { return Opened::Drop(DropReason::UnknownIndex) };
        let here = peer.is_at(source);
        let elsewhere = !here && peer.endpoint().is_none_or(|home| home.address != source.address);
        self.crowd.note(id, &mut peer.heard, elsewhere, datagram.len());
        let Some(tunn) = peer.tunn_if_made() else { return Opened::Drop(DropReason::UnknownIndex) };
        match tunn.decapsulate(None, datagram, buffer) {
            TunnResult::WriteToTunnelV4(bytes, _) | TunnResult::WriteToTunnelV6(bytes, _) => {
                let change = peer.handle_authenticated(source, here, datagram.len(), now);
                if change != Change::default() {
                    self.changed(id, change, source);
                }
                Opened::Packet { peer: id, bytes }
            }
            TunnResult::Done | TunnResult::WriteToNetwork(_) => {
                let change = peer.handle_authenticated(source, here, datagram.len(), now);
                if change != Change::default() {
                    self.changed(id, change, source);
                }
                Opened::Nothing { peer: id }
            }
            TunnResult::Err(error) => Opened::Drop(reason_of(&error)),
        }
    }

    fn open_handshake<'b>(
        &mut self,
        source: Endpoint,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Opened<'b> {
        // An answer is to whom the peer knows.
        let asked = match *datagram {
            [2, 0, 0, 0, _, _, _, _, a, b, c, d, ..] => {
                self.slots.by_index(u32::from_le_bytes([a, b, c, d])).map(|(_, peer)| &peer.identity)
            }
            _ => None,
        };
        let identities = match asked {
            Some(identity) => [Some(identity), None],
            None => [Some(&self.node), self.room.as_ref()],
        };
        let (packet, identity) = match self.door.admit(identities, source.address.ip(), datagram, buffer, now)
        {
            Ok(admitted) => admitted,
            Err(door::Refusal::Cookie(len)) => return Opened::Answer { peer: None, len },
            Err(door::Refusal::Drop(reason)) => return Opened::Drop(reason),
        };
        let id = match &packet {
            Packet::HandshakeInit(init) => {
                if !self.door.spend(source.address.ip()) {
                    return Opened::Drop(DropReason::HandshakeLimited);
                }
                match parse_handshake_anon(&identity.private, &identity.public, init) {
                    Ok(half) => match PublicKey::from_bytes(half.peer_static_public) {
                        Ok(key) => {
                            let id = self.by_key.get(&key).copied();
                            let knows = |id: &PeerId| {
                                self.slots.get(*id).is_some_and(|peer| Arc::ptr_eq(&peer.identity, identity))
                            };
                            id.filter(knows).ok_or(DropReason::UnknownKey)
                        }
                        Err(_) => Err(DropReason::UnknownKey),
                    },
                    Err(_) => Err(DropReason::HandshakeFailed),
                }
            }
            Packet::HandshakeResponse(response) => self.id_by_index(response.receiver_idx),
            Packet::PacketCookieReply(reply) => self.id_by_index(reply.receiver_idx),
            Packet::PacketData(_) => Err(DropReason::NotWireguard),
        };
        match id {
            Ok(id) => self.open_admitted(id, source, datagram, buffer, now),
            Err(reason) => Opened::Drop(reason),
        }
    }

    fn changed(&mut self, id: PeerId, change: Change, source: Endpoint) {
        if change.moved {
            self.handle_move(id);
        }
        if change.elsewhere {
            self.events.push(TunnelEvent::Elsewhere(id, source));
        }
        if change.up {
            self.events.push(TunnelEvent::Up(id));
        }
    }

    fn handle_move(&mut self, id: PeerId) {
        self.crowd.handle_change(id, false);
        self.events.push(TunnelEvent::Moved(id));
    }

    fn id_by_index(&self, index: u32) -> Result<PeerId, DropReason> {
        self.slots.by_index(index).map(|(id, _)| id).ok_or(DropReason::UnknownIndex)
    }

    fn open_admitted<'b>(
        &mut self,
        id: PeerId,
        source: Endpoint,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Opened<'b> {
        let Some(peer) = self.slots.get_mut(id) else { return Opened::Drop(DropReason::UnknownIndex) };
        // Timers that stood still while the peer was idle would date the new session back.
        if peer.is_stale(now) {
            self.refresh(id, now);
            self.schedule(id, now + BUSY_TICK);
        }
        let Some(peer) = self.slots.get_mut(id) else { return Opened::Drop(DropReason::UnknownIndex) };
        if datagram[0] == 1 && peer.goes_first(now) {
            return Opened::Drop(DropReason::HandshakeCrossed);
        }
        let tunn = match datagram[0] {
            1 => peer.tunn(now),
            _ => match peer.tunn_if_made() {
                Some(tunn) => tunn,
                None => return Opened::Drop(DropReason::UnknownIndex),
            },
        };
        let len = match tunn.decapsulate(None, datagram, buffer) {
            TunnResult::WriteToNetwork(answer) => answer.len(),
            TunnResult::Err(error) => return Opened::Drop(handshake_reason_of(&error)),
            _ => 0,
        };
        // A cookie reply is authenticated by what we sent, but says nothing of where the peer is.
        if datagram[0] == 3 {
            peer.handle_cookie();
        } else {
            let change = peer.handle_handshake(source, datagram.len(), len, datagram[0] == 2, now);
            self.changed(id, change, source);
        }
        self.schedule(id, now + BUSY_TICK);
        if len == 0 { Opened::Nothing { peer: id } } else { Opened::Answer { peer: Some(id), len } }
    }

    /// Whether packets wait for this peer's session, which it may have now.
    #[must_use]
    pub fn has_waiting(&self, id: PeerId) -> bool {
        self.slots.get(id).is_some_and(Peer::may_flush)
    }

    /// Seals the next packet that waited for the peer's session. Call until `None`. `buffer` must hold
    /// [`WAITING_BYTES_MAX`] and [`SEAL_OVERHEAD`].
    pub fn seal_waiting(&mut self, id: PeerId, buffer: &mut [u8], now: Instant) -> Option<Sealed> {
        let peer = self.slots.get_mut(id)?;
        let to = peer.endpoint()?;
        if !peer.may_flush() {
            return None;
        }
        peer.waiting -= 1;
        match peer.tunn_if_made()?.decapsulate(None, &[], buffer) {
            TunnResult::WriteToNetwork(bytes) => {
                let len = bytes.len();
                peer.handle_sent(len, now);
                Some(Sealed::Send { to, len })
            }
            _ => {
                peer.waiting = 0;
                None
            }
        }
    }

    /// Seals an IP packet for the peer. `buffer` must hold the packet and [`SEAL_OVERHEAD`], and [`HANDSHAKE_MAX`].
    pub fn seal(&mut self, id: PeerId, packet: &[u8], buffer: &mut [u8], now: Instant) -> Sealed {
        let Some(peer) = self.slots.get_mut(id) else { return Sealed::Drop(DropReason::NoSession) };
        let Some(to) = peer.endpoint() else { return Sealed::Drop(DropReason::NoSession) };
        if peer.is_stale(now) {
            self.refresh(id, now);
            self.schedule(id, now + BUSY_TICK);
        }
        let Some(peer) = self.slots.get_mut(id) else { return Sealed::Drop(DropReason::NoSession) };
        let connected = peer.is_connected();
        if !connected {
            if packet.len() > WAITING_BYTES_MAX {
                return Sealed::Drop(DropReason::NoSession);
            }
            if peer.waiting >= WAITING_MAX {
                return Sealed::Drop(DropReason::QueueFull);
            }
            peer.waiting += 1;
        }
        match peer.tunn(now).encapsulate(packet, buffer) {
            TunnResult::WriteToNetwork(bytes) => {
                let len = bytes.len();
                if !connected && is_initiation(bytes) {
                    peer.handle_initiation(now);
                }
                peer.handle_sent(len, now);
                Sealed::Send { to, len }
            }
            TunnResult::Err(_) => Sealed::Drop(DropReason::NoSession),
            _ => Sealed::Waits,
        }
    }
}

fn is_initiation(bytes: &[u8]) -> bool {
    bytes.len() == HANDSHAKE_MAX && bytes[0] == 1
}

fn reason_of(error: &WireGuardError) -> DropReason {
    match error {
        WireGuardError::DuplicateCounter | WireGuardError::InvalidCounter => DropReason::Replayed,
        WireGuardError::NoCurrentSession | WireGuardError::WrongIndex => DropReason::UnknownIndex,
        WireGuardError::InvalidPacket => DropReason::Malformed,
        _ => DropReason::BadPacket,
    }
}

fn handshake_reason_of(error: &WireGuardError) -> DropReason {
    match error {
        WireGuardError::NoCurrentSession | WireGuardError::WrongIndex => DropReason::UnknownIndex,
        _ => DropReason::HandshakeFailed,
    }
}

/// The IP address of an underlay peer as limits see it: IPv6 by /64, which is what one host has.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        // Each is a host of its own, for they were counted where they came from.
        address if is_virtual(address) => address,
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::V6(octets.into())
        }
        v4 => v4,
    }
}

/// Made here so that nothing else names boringtun.
fn new_tunn(identity: &Identity, key: &PublicKey, keepalive: bool, index: u32) -> Box<Tunn> {
    let keepalive = keepalive.then_some(peer::KEEPALIVE_SECONDS);
    Box::new(Tunn::new(
        identity.private.clone(),
        (*key.as_bytes()).into(),
        None,
        keepalive,
        index,
        Some(identity.unlimited.clone()),
    ))
}
