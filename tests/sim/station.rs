//! A station as any stock WireGuard client is one: boringtun by itself, with one peer. It sends a persistent keepalive,
//! says something now and then, as computers do, and looks its gateway's name up again when it hears nothing.

use std::net::SocketAddr;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use vpmesh::base::PublicKey;

use crate::clock::{SECOND, Time};
use crate::desk;
use crate::internet::HostId;

/// How often the timers run.
pub const TICK: Time = SECOND;
const KEEPALIVE_SECONDS: u16 = 25;
/// A client that heard nothing for so long after it said something looks its gateway's name up again.
const DEAF: Time = 15 * SECOND;

/// A datagram, and where it goes.
pub type Outgoing = (SocketAddr, Vec<u8>);

pub struct Station {
    pub host: HostId,
    pub path: String,
    /// Which gateway is its peer.
    pub gateway: usize,
    peer: PublicKey,
    tunn: Box<Tunn>,
    pub endpoint: Option<SocketAddr>,
    buffer: Vec<u8>,
    heard: Time,
    /// When it last sent anything at all, keepalives too.
    spoke: Time,
    /// When it said something that nothing has come for.
    asked: Option<Time>,
}

impl std::fmt::Debug for Station {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

/// What a station does next.
#[derive(Debug)]
pub enum Tick {
    Nothing,
    Send(SocketAddr, Vec<u8>),
    /// It looks for its gateway again.
    LookUp,
}

fn tunn(path: &str, peer: &PublicKey) -> Box<Tunn> {
    let private = x25519::StaticSecret::from(*desk::key(path).as_bytes());
    Box::new(Tunn::new(private, (*peer.as_bytes()).into(), None, Some(KEEPALIVE_SECONDS), 1, None))
}

impl Station {
    /// `known_as`: whose key the gateway has for it.
    pub fn new(host: HostId, path: &str, gateway: usize, known_as: &str) -> Self {
        let peer = desk::key(known_as).public();
        Self {
            host,
            path: path.to_owned(),
            gateway,
            peer,
            tunn: tunn(path, &peer),
            endpoint: None,
            buffer: vec![0; 2_048],
            heard: 0,
            spoke: 0,
            asked: None,
        }
    }

    /// Its tool has it go by another gateway.
    pub fn go_by(&mut self, gateway: usize, known_as: &str) {
        (self.gateway, self.endpoint) = (gateway, None);
        let peer = desk::key(known_as).public();
        if self.peer != peer {
            self.peer = peer;
            self.restart();
        }
    }

    /// Its computer starts again.
    pub fn restart(&mut self) {
        self.tunn = tunn(&self.path, &self.peer);
        self.asked = None;
    }

    pub fn send(&mut self, packet: &[u8], now: Time) -> Option<(SocketAddr, Vec<u8>)> {
        let to = self.endpoint?;
        self.asked.get_or_insert(now);
        self.spoke = now;
        match self.tunn.encapsulate(packet, &mut self.buffer) {
            TunnResult::WriteToNetwork(bytes) => Some((to, bytes.to_vec())),
            _ => None,
        }
    }

    /// A datagram: what it answers, and the packet inside.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Time,
    ) -> (Vec<Outgoing>, Option<Vec<u8>>) {
        let mut out = Vec::new();
        let mut packet = None;
        let mut input = datagram;
        loop {
            match self.tunn.decapsulate(None, input, &mut self.buffer) {
                TunnResult::WriteToNetwork(bytes) => out.push((from, bytes.to_vec())),
                TunnResult::WriteToTunnelV4(bytes, _) | TunnResult::WriteToTunnelV6(bytes, _) => {
                    packet = Some(bytes.to_vec());
                    break;
                }
                TunnResult::Done => break,
                TunnResult::Err(_) => return (out, None),
            }
            input = &[];
        }
        // Whatever was authentic says where the gateway is.
        self.endpoint = Some(from);
        (self.heard, self.asked) = (now, None);
        (out, packet)
    }

    /// Whether it had an answer a moment ago, and none is due, and nothing of its own is under way: what left before it
    /// moved, and comes after what it sent then, has its gateway look for it where it was.
    pub fn is_heard(&self, now: Time) -> bool {
        self.heard > 0
            && now > self.spoke + SECOND / 2
            && now < self.heard + 30 * SECOND
            && self.asked.is_none_or(|at| now < at + SECOND)
    }

    pub fn tick(&mut self, now: Time) -> Tick {
        if self.asked.is_some_and(|at| now >= at + DEAF) {
            self.asked = Some(now);
            return Tick::LookUp;
        }
        match (self.tunn.update_timers(&mut self.buffer), self.endpoint) {
            (TunnResult::WriteToNetwork(bytes), Some(to)) => {
                self.spoke = now;
                Tick::Send(to, bytes.to_vec())
            }
            _ => Tick::Nothing,
        }
    }
}
