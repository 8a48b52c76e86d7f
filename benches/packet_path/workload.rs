//! What is fed: packets of one kind and size, each a new flow or one of a few, in trains or alone.

use std::net::SocketAddr;

use crate::rosters::{DENIED, PASSING, STATION, own, receiver, sender};
use crate::town::Town;
use crate::{Went, ip};

/// Packets of one batch: what the event loop takes in one turn when much waits.
const BATCH: usize = 128;
/// Flows that are established before the counting begins.
const FLOWS: usize = 64;

/// Packets to count.
pub struct Workload {
    pub name: &'static str,
    way: Way,
    flows: Flows,
    /// Of the inner packet, in bytes, with its IP header.
    size: usize,
    /// How many datagrams the socket gives as one (UDP GRO).
    train: usize,
    v6: bool,
}

/// Between whom.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    PeerToPeer,
    PeerToKernel,
    KernelToPeer,
}

#[derive(Clone, Copy, PartialEq)]
enum Flows {
    /// Packets of flows that were let pass before.
    Established,
    /// Each packet is judged and begins a flow, in the place of an older one.
    New,
    /// Each packet is judged, and the last of eight borders denies it.
    Denied,
}

/// One call's worth.
pub enum Batch {
    Udp(Vec<Train>),
    Tun(Vec<Vec<u8>>),
}

/// Sealed packets of equal length, one behind the other.
pub struct Train {
    pub source: SocketAddr,
    pub bytes: Vec<u8>,
    pub stride: usize,
}

impl Workload {
    pub const ALL: &[Self] = &[
        Self::new("relay-1392", Way::PeerToPeer, Flows::Established, 1_392, 32),
        Self::new("relay-64", Way::PeerToPeer, Flows::Established, 64, 32),
        Self::new("relay-64-single", Way::PeerToPeer, Flows::Established, 64, 1),
        Self::new("relay-64-ipv6", Way::PeerToPeer, Flows::Established, 64, 32).v6(),
        Self::new("new-64", Way::PeerToPeer, Flows::New, 64, 32),
        Self::new("new-64-ipv6", Way::PeerToPeer, Flows::New, 64, 32).v6(),
        Self::new("denied-64", Way::PeerToPeer, Flows::Denied, 64, 32),
        Self::new("denied-64-ipv6", Way::PeerToPeer, Flows::Denied, 64, 32).v6(),
        Self::new("from-kernel-1392", Way::KernelToPeer, Flows::Established, 1_392, 1),
        Self::new("from-kernel-64", Way::KernelToPeer, Flows::Established, 64, 1),
        Self::new("from-kernel-64-ipv6", Way::KernelToPeer, Flows::Established, 64, 1).v6(),
        Self::new("to-kernel-1392", Way::PeerToKernel, Flows::Established, 1_392, 32),
    ];

    const fn new(name: &'static str, way: Way, flows: Flows, size: usize, train: usize) -> Self {
        Self { name, way, flows, size, train, v6: false }
    }

    const fn v6(mut self) -> Self {
        self.v6 = true;
        self
    }

    /// What has to come before: flows established, and tables as large as they get.
    pub fn warm_up(&self, town: &mut Town) -> Vec<Batch> {
        // A table of 1,000 flows lets a peer begin 250; each more replaces one.
        let count = if self.flows == Flows::Established { FLOWS } else { 500 };
        let packets = (0..count).map(|number| self.packet(town, number)).collect();
        self.sealed(town, packets)
    }

    /// The packets to count.
    pub fn batches(&self, town: &mut Town, packets: usize) -> Vec<Batch> {
        let first = if self.flows == Flows::Established { 0 } else { 500 };
        let packets = (first..first + packets).map(|number| self.packet(town, number)).collect();
        self.sealed(town, packets)
    }

    /// Where so many packets have to go.
    pub fn expected(&self, packets: u64) -> Went {
        let mut went = Went { to_peers: 0, to_kernel: 0, denied: 0 };
        match (self.flows, self.way) {
            (Flows::Denied, _) => went.denied = packets,
            (_, Way::PeerToKernel) => went.to_kernel = packets,
            _ => went.to_peers = packets,
        }
        went
    }

    fn packet(&self, town: &Town, number: usize) -> Vec<u8> {
        let headers = if self.v6 { 48 } else { 28 };
        let flow = if self.flows == Flows::Established { number % FLOWS } else { number };
        let src = match self.way {
            Way::KernelToPeer => own(town, self.v6),
            _ => sender(town, flow, self.v6),
        };
        let dst = match self.way {
            Way::PeerToKernel => own(town, self.v6),
            // Every pair of applications comes up.
            _ => receiver(town, flow / 8 + flow, self.v6),
        };
        let src_port = 1_024 + (flow % 60_000) as u16;
        let dst_port = if self.flows == Flows::Denied { DENIED } else { PASSING };
        ip::udp(src, src_port, dst, dst_port, self.size - headers)
    }

    fn sealed(&self, town: &mut Town, packets: Vec<Vec<u8>>) -> Vec<Batch> {
        let batches = packets.chunks(BATCH);
        if self.way == Way::KernelToPeer {
            return batches.map(|batch| Batch::Tun(batch.to_vec())).collect();
        }
        batches
            .map(|batch| {
                Batch::Udp(batch.chunks(self.train).map(|train| sealed_train(town, train)).collect())
            })
            .collect()
    }
}

fn sealed_train(town: &mut Town, packets: &[Vec<u8>]) -> Train {
    let sealed: Vec<_> = packets.iter().map(|packet| town.sealed(STATION, packet)).collect();
    let (source, stride) = (sealed[0].0, sealed[0].1.len());
    Train { source, stride, bytes: sealed.into_iter().flat_map(|(_, bytes)| bytes).collect() }
}
