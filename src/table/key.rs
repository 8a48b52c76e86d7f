//! What names a flow: one key for both of its directions, so that one look-up finds it.

use std::net::{IpAddr, Ipv6Addr};

use super::flow::Direction;
use crate::packet::{Ports, Tuple, protocol};

/// Both ends of a conversation, in an order that does not depend on who sent the packet. 40 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    low: Address,
    high: Address,
    low_port: u16,
    high_port: u16,
    protocol: u8,
    kind: Kind,
}

/// What the two ports of a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// TCP's and UDP's, or none at all: both directions belong together, the lower end is first.
    Both,
    /// An echo's ident: the asking end is first. The other end's own requests are another conversation, else a ping
    /// one way would open the way back.
    Echo,
    /// Each direction for itself: the sender is first.
    OneWay,
    /// As that, of fragments that nobody knows the ports of.
    Unknown,
}

/// An IPv6 address as two numbers, which are compared and hashed as they are; an IPv4 address is v4-mapped, which no
/// IPv6 packet's is (they are refused where packets are parsed).
type Address = [u64; 2];

fn number(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => [0, 0xffff_0000_0000 | u64::from(v4.to_bits())],
        IpAddr::V6(v6) => [(v6.to_bits() >> 64) as u64, v6.to_bits() as u64],
    }
}

fn address([high, low]: Address) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))).to_canonical()
}

impl Key {
    /// The key of a packet's conversation, and whether its sender is the first end of it.
    pub(super) fn new(tuple: &Tuple) -> (Self, Side) {
        let (src, dst) = (number(tuple.src), number(tuple.dst));
        let (kind, src_port, dst_port, side) = match tuple.ports {
            Ports::Known { src: s, dst: d } => (Kind::Both, s, d, Side::low_if((src, s) <= (dst, d))),
            Ports::None => (Kind::Both, 0, 0, Side::low_if(src <= dst)),
            Ports::Echo { request, ident } => (Kind::Echo, ident, ident, Side::low_if(request)),
            Ports::OneWay => (Kind::OneWay, 0, 0, Side::Low),
            Ports::Unknown => (Kind::Unknown, 0, 0, Side::Low),
        };
        let ((low, low_port), (high, high_port)) = match side {
            Side::Low => ((src, src_port), (dst, dst_port)),
            Side::High => ((dst, dst_port), (src, src_port)),
        };
        (Self { low, high, low_port, high_port, protocol: tuple.protocol, kind }, side)
    }

    /// The tuple of a packet that `side` sends.
    pub(super) fn tuple(&self, side: Side) -> Tuple {
        let (low, high) = ((address(self.low), self.low_port), (address(self.high), self.high_port));
        let ((src, src_port), (dst, dst_port)) = match side {
            Side::Low => (low, high),
            Side::High => (high, low),
        };
        let ports = match self.kind {
            Kind::Both if matches!(self.protocol, protocol::TCP | protocol::UDP) => {
                Ports::Known { src: src_port, dst: dst_port }
            }
            Kind::Both => Ports::None,
            Kind::Echo => Ports::Echo { request: side == Side::Low, ident: src_port },
            Kind::OneWay => Ports::OneWay,
            Kind::Unknown => Ports::Unknown,
        };
        Tuple { src, dst, protocol: self.protocol, ports }
    }

    /// A hash that nobody can aim at who does not know the seed: multiply and fold, keyed at every step.
    pub(super) fn hash(&self, seed: &[u64; 4]) -> u64 {
        let ports = u64::from(self.low_port)
            | u64::from(self.high_port) << 16
            | u64::from(self.protocol) << 32
            | (self.kind as u64) << 40;
        let a = fold(self.low[0] ^ seed[0], self.low[1] ^ seed[1]);
        let b = fold(self.high[0] ^ seed[1], self.high[1] ^ seed[2]);
        fold(a ^ seed[3], fold(b ^ seed[2], ports ^ seed[0]) ^ seed[1])
    }
}

/// The two halves of the product, one over the other.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// Which end of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Low,
    High,
}

impl Side {
    fn low_if(low: bool) -> Self {
        if low { Self::Low } else { Self::High }
    }

    /// The direction of what this side sends, if `initiator` began the flow.
    pub(super) fn direction(self, initiator: Self) -> Direction {
        if self == initiator { Direction::Forward } else { Direction::Reply }
    }
}
