//! A played station: one UDP socket and one boringtun `Tunn` towards the relaying node.
//!
//! Handshakes are real and so is every byte sealed. What arrives is counted by its receiver index and length, and one
//! packet in many is opened, to be sure that the relaying node sends the real thing; opening all would make the
//! generator slower than what it measures.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

use crate::cost;
use crate::inner;
use crate::plan::StationPlan;
use crate::socket::{Buffers, Socket};

/// What WireGuard adds to an inner packet.
pub const OVERHEAD: usize = 32;
/// What the largest message needs, and more.
const SCRATCH: usize = 65_536;
const SAMPLED: u64 = 512;
/// Sessions older than this are renewed before a cell starts; WireGuard itself renews them after 120 s.
const SESSION_AGE_MAX: Duration = Duration::from_secs(40);
/// WireGuard's own time before a handshake is tried again.
const HANDSHAKE_RETRY: Duration = Duration::from_secs(5);

pub struct Station {
    pub address: Ipv4Addr,
    index: u32,
    socket: Socket,
    tunn: Tunn,
    /// When the newest session was made, and when a handshake was last asked for.
    session: Option<Instant>,
    asked: Option<Instant>,
    scratch: Vec<u8>,
    /// Packets that came of the length that is waited for.
    pub arrived: u64,
    /// Sampled ones that did not open to an inner packet from the relaying node's other side.
    pub spoiled: u64,
    /// The inner size that is counted.
    size: usize,
    /// Numbers of the packets that came, where each is opened.
    pub numbers: Option<Vec<u32>>,
}

impl Station {
    pub fn new(index: u32, plan: &StationPlan, relay: SocketAddr, relay_key: PublicKey) -> io::Result<Self> {
        let private = StaticSecret::from(plan.key.0);
        // A limiter without a limit: the station is not what is tested.
        let limiter = Arc::new(RateLimiter::new(&PublicKey::from(&private), u64::MAX));
        let tunn = Tunn::new(private, relay_key, None, None, index, Some(limiter));
        // With a window in flight nothing is lost here, and losses are counted.
        let socket = Socket::new(plan.port, relay, 4 << 20, Some(4 << 20))?;
        Ok(Self {
            address: plan.address,
            index,
            socket,
            tunn,
            session: None,
            asked: None,
            scratch: vec![0; SCRATCH],
            arrived: 0,
            spoiled: 0,
            size: 0,
            numbers: None,
        })
    }

    /// Counts packets of this inner size from now on, from zero; `open_all` keeps their numbers.
    pub fn expect(&mut self, size: usize, open_all: bool) {
        (self.size, self.arrived, self.spoiled) = (size, 0, 0);
        self.numbers = open_all.then(Vec::new);
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket.socket
    }

    pub fn has_session(&self) -> bool {
        self.session.is_some_and(|made| cost::now() - made < SESSION_AGE_MAX)
    }

    /// Asks for a session unless a young one is there or was just asked for.
    pub fn handshake(&mut self) -> io::Result<()> {
        let now = cost::now();
        if self.has_session() || self.asked.is_some_and(|asked| now - asked < HANDSHAKE_RETRY) {
            return Ok(());
        }
        self.asked = Some(now);
        let mut message = [0; 148];
        match self.tunn.format_handshake_initiation(&mut message, true) {
            TunnResult::WriteToNetwork(bytes) => self.socket.send(bytes, None).map(drop),
            other => Err(io::Error::other(format!("no handshake to send: {other:?}"))),
        }
    }

    /// Sends WireGuard's keepalive: the relaying node learns that this end lives and does not try a handshake.
    pub fn keepalive(&mut self) -> io::Result<()> {
        let mut message = [0; 148];
        match self.tunn.encapsulate(&[], &mut message) {
            TunnResult::WriteToNetwork(bytes) => self.socket.send(bytes, None).map(drop),
            other => Err(io::Error::other(format!("no keepalive to send: {other:?}"))),
        }
    }

    /// Seals one inner packet onto the end of `out`. Its session has to be there.
    pub fn seal(&mut self, inner: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self.tunn.encapsulate(inner, &mut self.scratch) {
            TunnResult::WriteToNetwork(bytes) if bytes.len() == inner.len() + OVERHEAD => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            other => Err(io::Error::other(format!("a packet could not be sealed: {other:?}"))),
        }
    }

    /// Sends sealed packets of `stride` bytes each as one train; false when the socket is full.
    pub fn send_train(&self, sealed: &[u8], stride: usize) -> io::Result<bool> {
        self.socket.send(sealed, Some(stride))
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
        match datagram {
            [4, 0, 0, 0, a, b, c, d, ..] if datagram.len() == self.size + OVERHEAD => {
                // boringtun's indices are the station's number and eight bits of its own.
                if u32::from_le_bytes([*a, *b, *c, *d]) >> 8 != self.index {
                    self.spoiled += 1;
                    return Ok(());
                }
                self.arrived += 1;
                if self.numbers.is_some() || self.arrived % SAMPLED == 1 {
                    self.open(datagram);
                }
                Ok(())
            }
            [1..=3, 0, 0, 0, ..] => self.answer(datagram),
            // Keepalives, and what a mesh node says of its own accord.
            _ => Ok(()),
        }
    }

    fn open(&mut self, datagram: &[u8]) {
        match self.tunn.decapsulate(None, datagram, &mut self.scratch) {
            TunnResult::WriteToTunnelV4(packet, _) if inner::is_for(packet, self.address) => {
                if let (Some(numbers), Some(number)) = (&mut self.numbers, inner::number(packet)) {
                    numbers.push(number);
                }
            }
            _ => self.spoiled += 1,
        }
    }

    /// Does what a handshake message asks for.
    fn answer(&mut self, datagram: &[u8]) -> io::Result<()> {
        match self.tunn.decapsulate(Some(self.socket.to.ip()), datagram, &mut self.scratch) {
            TunnResult::WriteToNetwork(bytes) => {
                if datagram[0] == 2 {
                    self.session = Some(cost::now());
                }
                self.socket.send(bytes, None).map(drop)
            }
            _ => {
                // After a cookie the next try is made at once, and carries it.
                if datagram[0] == 3 {
                    self.asked = None;
                }
                Ok(())
            }
        }
    }
}
