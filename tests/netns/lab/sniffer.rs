//! What arrives at an interface, packet by packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::packet_socket::{Direction, PacketSocket};
use super::worker::Worker;
use super::{Namespace, Station};

/// A packet that came in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// Ports of TCP and UDP; type and code, and identifier or MTU, of ICMP are in `rest`.
    pub source_port: u16,
    pub port: u16,
    /// What follows the IP header.
    pub rest: Vec<u8>,
}

/// Listens until dropped.
#[derive(Debug)]
pub struct Sniffer {
    seen: Arc<Mutex<Vec<Seen>>>,
    _worker: Worker,
}

impl Sniffer {
    /// At a station's end of its tunnel.
    pub fn at(station: &Station) -> Self {
        Self::on(&station.namespace, station.interface())
    }

    pub fn on(namespace: &Namespace, interface: &str) -> Self {
        let socket = PacketSocket::open(namespace, interface, Duration::from_millis(50));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        let worker = Worker::start(move |goes_on| {
            let mut buffer = vec![0; 65536];
            while goes_on() {
                let Some((length, Direction::In)) = socket.receive(&mut buffer) else { continue };
                if let Some(packet) = Seen::parse(&buffer[..length]) {
                    lock(&list).push(packet);
                }
            }
        });
        Self { seen, _worker: worker }
    }

    /// Everything so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// Whether such a packet came.
    pub fn has(&self, is_it: impl FnMut(&Seen) -> bool) -> bool {
        lock(&self.seen).iter().any(is_it)
    }

    pub fn clear(&self) {
        lock(&self.seen).clear();
    }
}

fn lock(seen: &Mutex<Vec<Seen>>) -> MutexGuard<'_, Vec<Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    /// IPv6 extension headers are not walked: `protocol` is the first header's.
    fn parse(packet: &[u8]) -> Option<Self> {
        let (source, destination, protocol, rest): (IpAddr, IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet[0] & 15) * 4;
                let address = |at: usize| packet.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
                let (source, destination) = (Ipv4Addr::from(address(12)?), Ipv4Addr::from(address(16)?));
                (source.into(), destination.into(), packet[9], packet.get(header..)?)
            }
            6 => {
                let address = |at: usize| packet.get(at..at + 16).and_then(|b| <[u8; 16]>::try_from(b).ok());
                let (source, destination) = (Ipv6Addr::from(address(8)?), Ipv6Addr::from(address(24)?));
                (source.into(), destination.into(), packet[6], packet.get(40..)?)
            }
            _ => return None,
        };
        let port = |at: usize| rest.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        let (source_port, port) = if matches!(protocol, 6 | 17) { (port(0), port(2)) } else { (0, 0) };
        Some(Self { source, destination, protocol, source_port, port, rest: rest.to_vec() })
    }
}
