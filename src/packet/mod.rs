//! Floor 1: what a packet says about itself.
//!
//! [`Packet::parse`] reads a packet once and refuses what must never be forwarded; everything after it trusts the
//! summary. Ports are known or they are not: a [`Tuple`] never guesses them. The mutators change a forwarded packet
//! where it lies and mend its checksums as they go; [`icmp`] writes answers into the caller's buffer. Nothing in here
//! allocates, panics on input, or reads past the packet.

mod address;
mod bucket;
mod checksum;
#[doc(hidden)]
pub mod craft;
mod ecn;
mod header;
mod hop_limit;
pub mod icmp;
mod ipv4;
mod ipv6;
pub mod link;
mod mss;
mod transport;

use std::net::IpAddr;

use crate::base::DropReason;
use header::{Extent, Header};

pub use bucket::TokenBucket;
pub use checksum::Sum;
pub use ecn::{Ecn, set_ecn};
pub use hop_limit::decrement_hop_limit;
pub use mss::clamp_mss;

/// IP protocol numbers (IANA) that this project tells apart.
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
}

/// The summary of one whole IP packet. Both addresses are of one family, that of the packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Where it is from: unicast, and never v4-mapped.
    pub src: IpAddr,
    /// Where it goes: unicast, and never v4-mapped.
    pub dst: IpAddr,
    /// The protocol at the end of the chain of headers.
    pub protocol: u8,
    pub transport: Transport,
    /// `None` for a whole packet (also an IPv6 atomic fragment, RFC 6946).
    pub fragment: Option<Fragment>,
    /// TTL or hop limit, as it arrived.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// IPv4's DF bit; always true in IPv6, where no router fragments.
    pub dont_fragment: bool,
    /// Octets of the packet, its header included. What follows in the buffer is padding.
    pub total_len: usize,
    /// Where the transport header, or a later fragment's data, begins.
    pub transport_offset: usize,
}

/// What follows the IP headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp(Tcp),
    Udp {
        src_port: u16,
        dst_port: u16,
    },
    /// An ICMP echo request or reply of the packet's own family.
    IcmpEcho {
        request: bool,
        ident: u16,
    },
    /// An ICMP error about a packet that went the other way.
    IcmpError {
        kind: IcmpErrorKind,
        embedded: Tuple,
    },
    /// Any other ICMP that may be forwarded.
    IcmpOther {
        kind: u8,
        code: u8,
    },
    /// Ports can't be known: another protocol, or a later fragment.
    Opaque,
}

/// What the flow table reads of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    pub src_port: u16,
    pub dst_port: u16,
    pub flags: TcpFlags,
    pub seq: u32,
    pub ack: u32,
    /// What the segment takes of the sequence space: its data, and one each for SYN and FIN. Of a first fragment, what
    /// the fragment carries.
    pub seq_len: u32,
}

/// The flags of a TCP header that say how a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags(u8);

impl TcpFlags {
    pub const FIN: Self = Self(0x01);
    pub const SYN: Self = Self(0x02);
    pub const RST: Self = Self(0x04);
    pub const ACK: Self = Self(0x10);
    pub const SYN_ACK: Self = Self(0x12);
    pub const FIN_ACK: Self = Self(0x11);

    /// From the header's 14th octet; other flags are left out.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0x17)
    }

    /// Whether all of `flags` are set.
    #[must_use]
    pub fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// SYN without ACK: the first packet of a connection.
    #[must_use]
    pub fn opens(self) -> bool {
        self.0 & (Self::SYN.0 | Self::ACK.0) == Self::SYN.0
    }
}

/// What an ICMP error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpErrorKind {
    Unreachable {
        code: u8,
    },
    /// "Fragmentation needed" (RFC 1191) or "packet too big" (RFC 8201).
    TooBig {
        mtu: u32,
    },
    TimeExceeded,
    ParameterProblem,
}

/// Where a fragment belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    pub id: u32,
    /// In octets of the fragmentable part.
    pub offset: u16,
    /// More follow.
    pub more: bool,
    /// Where its data ends, in octets of the fragmentable part.
    pub end: u16,
}

/// Which conversation a packet is of, in the direction that it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub ports: Ports,
}

/// What tells conversations of the same two hosts and protocol apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// TCP and UDP.
    Known { src: u16, dst: u16 },
    /// An ICMP echo; requests and replies of one ident belong together.
    Echo { request: bool, ident: u16 },
    /// A protocol whose ports nobody reads: both directions belong together.
    None,
    /// ICMP that is neither echo nor error: each direction for itself.
    OneWay,
    /// Later fragments with no first, whatever they are of: each direction for itself.
    Unknown,
}

impl Packet {
    /// Reads the packet at the start of `bytes`; they may be longer than the packet (WireGuard pads).
    ///
    /// A v4-mapped address (RFC 4291, 2.5.5.2) in an IPv6 header never names a node and is refused as
    /// [`DropReason::BadSource`] or [`DropReason::BadDestination`]; so there is one form of each address from here on.
    ///
    /// # Errors
    /// Why the packet must not be forwarded.
    pub fn parse(bytes: &[u8]) -> Result<Self, DropReason> {
        let header = Header::read(bytes, Extent::Whole)?;
        address::check(header.src, header.dst)?;
        let transport = transport::read(&bytes[..header.total_len], &header)?;
        Ok(Self {
            src: header.src,
            dst: header.dst,
            protocol: header.protocol,
            transport,
            fragment: header.fragment,
            hop_limit: header.hop_limit,
            traffic_class: header.traffic_class,
            dont_fragment: header.dont_fragment,
            total_len: header.total_len,
            transport_offset: header.transport_offset,
        })
    }

    /// The mark of congestion that it carries.
    #[must_use]
    pub fn ecn(&self) -> Ecn {
        Ecn::from_bits(self.traffic_class)
    }

    /// Its conversation. An ICMP error has none of its own: look at the one that it quotes.
    #[must_use]
    pub fn tuple(&self) -> Tuple {
        let ports = match self.transport {
            Transport::Tcp(tcp) => Ports::Known { src: tcp.src_port, dst: tcp.dst_port },
            Transport::Udp { src_port, dst_port } => Ports::Known { src: src_port, dst: dst_port },
            Transport::IcmpEcho { request, ident } => Ports::Echo { request, ident },
            Transport::IcmpError { .. } | Transport::IcmpOther { .. } => Ports::OneWay,
            Transport::Opaque if self.fragment.is_some_and(|f| f.offset > 0) => Ports::Unknown,
            Transport::Opaque => Ports::None,
        };
        Tuple { src: self.src, dst: self.dst, protocol: self.protocol, ports }
    }
}

#[cfg(test)]
mod tests;
