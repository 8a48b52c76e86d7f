//! One gateway of the crowd: a UDP socket, a session with the relay, and a leg there.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use vpmesh::base::{PrivateKey, PublicKey, link_address};
use vpmesh::mesh::frame::{FRAME_OVERHEAD, FRAME_TYPE, FrameHeader, FrameKey, write_frame};
use vpmesh::mesh::relaying::{Relaying, Terms};
use vpmesh::mesh::wire::Message;
use vpmesh::packet::link::{self, Link};
use vpmesh::table::PeerId;
use vpmesh::tunnel::{Endpoint, Opened, SEAL_OVERHEAD, Sealed, Tunnels};

use crate::cost;
use crate::socket::{Buffers, Socket};

/// How often what is not answered is said again.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Gateway {
    pub public: PublicKey,
    relay_key: PublicKey,
    relay: PeerId,
    tunnels: Tunnels,
    socket: Socket,
    ours: Terms,
    theirs: Option<Terms>,
    /// To its pair.
    pub channel: Option<u32>,
    asked: Option<Instant>,
    sent: u64,
    /// Frames that came of the length that is waited for.
    pub arrived: u64,
    length: usize,
    train: Vec<u8>,
}

impl Gateway {
    pub fn new(
        private: PrivateKey,
        port: u16,
        relay_at: SocketAddr,
        relay_key: PublicKey,
    ) -> io::Result<Self> {
        let socket = Socket::new(port, relay_at, 1 << 20, None)?;
        let mut tunnels = Tunnels::new(&private, u32::from(port), cost::now());
        let full = || io::Error::other("a gateway has room for one peer");
        let relay = tunnels.upsert_peer(relay_key, false, cost::now()).ok_or_else(full)?;
        let index = tunnels.receiver_index(relay).ok_or_else(full)?;
        Ok(Self {
            public: private.public(),
            relay_key,
            relay,
            tunnels,
            socket,
            ours: Terms { index, key: FrameKey::from_bytes([port as u8; 16]) },
            theirs: None,
            channel: None,
            asked: None,
            sent: 0,
            arrived: 0,
            length: 0,
            train: Vec::new(),
        })
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket.socket
    }

    pub fn is_registered(&self) -> bool {
        self.theirs.is_some()
    }

    /// Counts frames with sealed packets of this size from now on, from zero.
    pub fn expect(&mut self, size: usize) {
        (self.length, self.arrived) = (FRAME_OVERHEAD + SEAL_OVERHEAD + size, 0);
    }

    /// One step towards a session, a leg, and a channel to `other`, if it is one to ask for.
    pub fn step(&mut self, other: Option<PublicKey>, buffers: &mut Buffers) -> io::Result<()> {
        self.receive(buffers)?;
        let now = cost::now();
        if self.asked.is_none_or(|asked| now - asked >= AGAIN) {
            self.asked = Some(now);
            if !self.tunnels.is_connected(self.relay) {
                let to = Endpoint { address: self.socket.to, local: None };
                self.tunnels.try_at(self.relay, to, true, now);
            } else if self.theirs.is_none() {
                self.say(Relaying::Register(self.ours))?;
            } else if let Some(peer) = other.filter(|_| self.channel.is_none()) {
                self.say(Relaying::Open { peer })?;
            }
        }
        let mut buffer = [0; 2_000];
        while let Some((_, Sealed::Send { len, .. })) = self.tunnels.handle_timeout(&mut buffer, now) {
            self.socket.send(&buffer[..len], None)?;
        }
        Ok(())
    }

    fn say(&mut self, said: Relaying) -> io::Result<()> {
        let (mut packet, mut sealed) = ([0; link::LINK_MTU], [0; 2_000]);
        let Some(space) = packet[link::MESSAGE_OFFSET..].first_chunk_mut() else { unreachable!() };
        let len = Message::Relaying(said).write(space);
        let ends = [self.public, self.relay_key].map(|key| link_address(&key));
        let len = link::wrap_message(&mut packet, len, ends[0], ends[1]);
        match self.tunnels.seal(self.relay, &packet[..len], &mut sealed, cost::now()) {
            Sealed::Send { len, .. } => self.socket.send(&sealed[..len], None).map(drop),
            _ => Ok(()),
        }
    }

    /// Sends its pair a train; false when the socket is full.
    pub fn send_train(&mut self, size: usize, count: usize) -> io::Result<bool> {
        let (Some(terms), Some(channel)) = (self.theirs, self.channel) else { return Ok(false) };
        let length = FRAME_OVERHEAD + SEAL_OVERHEAD + size;
        let mut train = std::mem::take(&mut self.train);
        train.resize(length * count, 0);
        for frame in train.chunks_mut(length) {
            // As data of WireGuard's begins.
            frame[FRAME_OVERHEAD..][..4].copy_from_slice(&[4, 0, 0, 0]);
            self.sent += 1;
            write_frame(frame, FrameHeader { index: terms.index, counter: self.sent, channel }, &terms.key);
        }
        let went = self.socket.send(&train, Some(length));
        self.train = train;
        went
    }

    /// Takes everything that waits on the socket.
    pub fn receive(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        while let Some(datagrams) = self.socket.receive(buffers)? {
            for datagram in datagrams {
                self.take(datagram)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, datagram: &[u8]) -> io::Result<()> {
        if datagram.first() == Some(&FRAME_TYPE) {
            self.arrived += u64::from(datagram.len() == self.length);
            return Ok(());
        }
        let mut buffer = [0; 2_000];
        let source = Endpoint { address: self.socket.to, local: None };
        match self.tunnels.open(source, datagram, &mut buffer, cost::now()) {
            Opened::Packet { bytes, .. } => {
                let ends = [self.relay_key, self.public].map(|key| link_address(&key));
                if let Some(Ok(Link::Message(message))) = Link::read(bytes, ends[0], ends[1])
                    && let Ok(Message::Relaying(said)) = Message::parse(message)
                {
                    self.hear(said);
                }
                Ok(())
            }
            Opened::Answer { len, .. } => {
                // What follows a handshake, or a cookie, follows at once.
                self.asked = None;
                self.socket.send(&buffer[..len], None).map(drop)
            }
            Opened::Nothing { .. } | Opened::Drop(_) => Ok(()),
        }
    }

    fn hear(&mut self, said: Relaying) {
        match said {
            Relaying::Registered { terms, .. } => self.theirs = Some(terms),
            Relaying::Opened(introduction) | Relaying::Incoming(introduction) => {
                self.channel = Some(introduction.channel);
            }
            _ => return,
        }
        self.asked = None;
    }
}
