//! A gateway that a roster names and that keeps to no rule: it has sessions, a leg at a relay and channels like any other,
//! made by vpmesh's own parts, and says and sends what a case likes.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vpmesh::base::{PublicKey, VirtualEndpoint, is_virtual, link_address};
use vpmesh::mesh::frame::{FRAME_OVERHEAD, FRAME_TYPE, FrameHeader, FrameKey, read_frame, write_frame};
use vpmesh::mesh::relaying::{Refusal, Relaying, Terms};
use vpmesh::mesh::wire::Message;
use vpmesh::packet::link::{self, Link};
use vpmesh::table::PeerId;
use vpmesh::tunnel::{Endpoint, Opened, Sealed, Tunnels};

use super::flood::Flood;
use super::gateway::PORT;
use super::internet::Place;
use super::wait::wait_for;
use super::{Gateway, Internet, Namespace, Node};

const LIMIT: Duration = Duration::from_secs(20);
/// How long it listens when it has nothing to say.
const PATIENCE: Duration = Duration::from_millis(100);

/// It has a session with the relay, and is registered there.
pub struct Rogue {
    pub node: Node,
    pub place: Place,
    _namespace: Arc<Namespace>,
    pub relay_at: SocketAddr,
    relay: PeerId,
    tunnels: Tunnels,
    socket: UdpSocket,
    /// What the relay's frames have, and what frames to it have.
    ours: Terms,
    theirs: Option<Terms>,
    counter: u64,
    /// Octets that it has sent.
    pub said: u64,
}

impl Rogue {
    /// Joins with the key that the roster has for this node.
    pub fn join(internet: &Internet, node: &Node, relay: &Gateway) -> Self {
        let namespace = Namespace::new("rogue");
        let place = internet.attach(&namespace);
        let socket =
            namespace.inside(|| UdpSocket::bind((place.v4, PORT)).expect("the rogue has the address"));
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
        let now = Instant::now();
        let mut tunnels = Tunnels::new(&node.key, 0x5a_5a5a, now);
        let peer = tunnels.upsert_peer(relay.node.public, false, now).expect("there is room for a peer");
        let index = tunnels.receiver_index(peer).expect("the peer is there");
        let ours = Terms { index, key: FrameKey::from_bytes([7; 16]) };
        let mut rogue = Self {
            node: node.clone(),
            place,
            _namespace: namespace,
            relay_at: relay.endpoint(),
            relay: peer,
            tunnels,
            socket,
            ours,
            theirs: None,
            counter: 0,
            said: 0,
        };
        rogue.connect(peer, rogue.relay_at);
        rogue.register();
        rogue
    }

    /// Registers at the relay.
    pub fn register(&mut self) {
        let terms = self.ask(Relaying::Register(self.ours), |said| match said {
            Relaying::Registered { terms, .. } => Some(terms),
            _ => None,
        });
        self.theirs = Some(terms);
    }

    /// Asks the relay for a channel.
    pub fn open(&mut self, key: PublicKey) -> Result<u32, Refusal> {
        self.ask(Relaying::Open { peer: key }, |said| match said {
            Relaying::Opened(introduction) if introduction.peer == key => Some(Ok(introduction.channel)),
            Relaying::Refused { peer, why } if peer == key => Some(Err(why)),
            _ => None,
        })
    }

    /// Has a session with a gateway, on this channel.
    pub fn meet(&mut self, gateway: &Node, channel: u32) -> PeerId {
        let peer = self.tunnels.upsert_peer(gateway.public, false, Instant::now());
        let peer = peer.expect("there is room for a peer");
        self.connect(peer, VirtualEndpoint::Relay { slot: 0, channel }.address());
        peer
    }

    fn connect(&mut self, peer: PeerId, at: SocketAddr) {
        wait_for("the rogue has a session", LIMIT, || {
            if !self.tunnels.is_connected(peer) {
                self.tunnels.try_at(peer, Endpoint { address: at, local: None }, true, Instant::now());
            }
            self.listen();
            self.tunnels.is_connected(peer).then_some(())
        });
    }

    /// Says something to the relay until the answer comes.
    fn ask<T>(&mut self, said: Relaying, answer: impl Fn(Relaying) -> Option<T>) -> T {
        wait_for("the relay answers the rogue", LIMIT, || {
            self.say(self.relay, &Message::Relaying(said));
            self.listen().into_iter().flatten().find_map(&answer)
        })
    }

    /// Says something to the relay, whatever comes of it.
    pub fn tell(&mut self, said: Relaying) {
        self.say(self.relay, &Message::Relaying(said));
    }

    /// Says something in a session.
    pub fn say(&mut self, peer: PeerId, message: &Message<'_>) {
        let theirs = self.link_of(peer);
        let mut packet = [0; link::LINK_MTU];
        let space = packet[link::MESSAGE_OFFSET..].first_chunk_mut().expect("a packet holds a message");
        let len = message.write(space);
        let len = link::wrap_message(&mut packet, len, link_address(&self.node.public), theirs);
        let mut sealed = [0; 2_000];
        let sent = self.tunnels.seal(peer, &packet[..len], &mut sealed, Instant::now());
        if let Sealed::Send { to, len } = sent {
            self.send(to.address, &sealed[..len]);
        }
    }

    fn link_of(&self, peer: PeerId) -> Ipv6Addr {
        link_address(&self.tunnels.stats(peer).expect("the peer is there").key)
    }

    /// Hears what comes, until nothing does; what relays said of it, and `None` for the rest.
    pub fn listen(&mut self) -> Vec<Option<Relaying>> {
        let (mut buffer, mut datagram) = ([0; 2_000], [0; 2_000]);
        while let Some((_, sent)) = self.tunnels.handle_timeout(&mut buffer, Instant::now()) {
            if let Sealed::Send { to, len } = sent {
                self.send(to.address, &buffer[..len]);
            }
        }
        let mut heard = Vec::new();
        while let Ok((len, from)) = self.socket.recv_from(&mut datagram) {
            heard.push(self.hear(from, &datagram[..len]));
            if heard.len() >= 10_000 {
                break;
            }
        }
        heard
    }

    fn hear(&mut self, mut from: SocketAddr, mut datagram: &[u8]) -> Option<Relaying> {
        if datagram.first() == Some(&FRAME_TYPE) {
            let header = read_frame(datagram, &self.ours.key)?;
            from = VirtualEndpoint::Relay { slot: 0, channel: header.channel }.address();
            datagram = &datagram[FRAME_OVERHEAD..];
        }
        let mut buffer = [0; 2_000];
        let source = Endpoint { address: from, local: None };
        match self.tunnels.open(source, datagram, &mut buffer, Instant::now()) {
            Opened::Packet { peer, bytes } => {
                let bytes = bytes.to_vec();
                let ends = (self.link_of(peer), link_address(&self.node.public));
                let Some(Ok(Link::Message(message))) = Link::read(&bytes, ends.0, ends.1) else {
                    return None;
                };
                if let Ok(Message::Relaying(said)) = Message::parse(message) {
                    return Some(said);
                }
            }
            Opened::Answer { len, .. } => self.send(from, &buffer[..len]),
            Opened::Nothing { .. } | Opened::Drop(_) => {}
        }
        None
    }

    fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        let (to, bytes) = match VirtualEndpoint::of(to) {
            Some(VirtualEndpoint::Relay { channel, .. }) => (self.relay_at, self.frame(channel, bytes)),
            _ => (to, bytes.to_vec()),
        };
        assert!(!is_virtual(to.ip()), "the rogue has UDP alone");
        self.said += bytes.len() as u64;
        self.socket.send_to(&bytes, to).expect("the rogue sends");
    }

    /// A good frame to the relay.
    pub fn frame(&mut self, channel: u32, payload: &[u8]) -> Vec<u8> {
        self.counter += 1;
        framed(self.terms(), self.counter, channel, payload)
    }

    /// What frames to the relay have.
    pub fn terms(&self) -> Terms {
        self.theirs.expect("the rogue is registered")
    }

    /// Sends the relay what `make` makes of each number, as fast as it can.
    pub fn flood(&mut self, make: impl Fn(u64) -> Vec<u8> + Send + 'static) -> Flood {
        // Numbers that no frame had.
        self.counter += 1 << 32;
        let first = self.counter;
        self.counter += 1 << 32;
        let socket = self.socket.try_clone().expect("a socket can be had twice");
        Flood::start(socket, self.relay_at, move |number| make(first + number))
    }
}

/// A frame with these terms.
pub fn framed(terms: Terms, counter: u64, channel: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&[0; FRAME_OVERHEAD], payload].concat();
    write_frame(&mut frame, FrameHeader { index: terms.index, counter, channel }, &terms.key);
    frame
}
