//! What a judge is asked, and the words of its answer.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::packet::{Packet, Ports, Transport, Tuple, protocol};
use crate::roster::NodeId;

/// May a flow of this kind start here and end there?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub from: End,
    pub to: End,
    pub traffic: Traffic,
}

/// One end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub place: Place,
    /// `None`: some address that no CIDR names, but those of length 0.
    pub address: Option<IpAddr>,
}

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Node(NodeId),
    /// Anything that is no node's address.
    Internet,
}

/// The kind of a flow, as its first packet shows it. A port is the destination's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Traffic {
    Tcp(u16),
    Udp(u16),
    /// ICMP in IPv4.
    Icmp,
    /// ICMPv6 in IPv6.
    Icmpv6,
    /// This protocol, with ports (or what ICMP has for them) that can't be known: only `any` and `proto/N` match.
    Opaque(u8),
    /// A protocol that no rule names: only `any` matches.
    Unknown,
}

/// Which way a border is crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Outward.
    Egress,
    /// Inward.
    Ingress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Allow,
    Deny,
}

impl Traffic {
    /// What a packet is to policy, were it the first of its flow.
    #[must_use]
    pub fn of(packet: &Packet) -> Self {
        match packet.transport {
            Transport::Tcp(tcp) => Self::Tcp(tcp.dst_port),
            Transport::Udp { dst_port, .. } => Self::Udp(dst_port),
            Transport::IcmpEcho { .. } | Transport::IcmpError { .. } | Transport::IcmpOther { .. } => {
                if packet.protocol == protocol::ICMP {
                    Self::Icmp
                } else {
                    Self::Icmpv6
                }
            }
            Transport::Opaque => Self::Opaque(packet.protocol),
        }
    }

    /// What the first packet of a live flow was to policy. A flow of ICMP other than echo began as ICMP too.
    #[must_use]
    pub fn of_tuple(tuple: &Tuple) -> Self {
        match (tuple.protocol, tuple.ports) {
            (protocol::TCP, Ports::Known { dst, .. }) => Self::Tcp(dst),
            (protocol::UDP, Ports::Known { dst, .. }) => Self::Udp(dst),
            (number, Ports::None | Ports::Unknown) => Self::Opaque(number),
            (protocol::ICMP, _) => Self::Icmp,
            (protocol::ICMPV6, _) => Self::Icmpv6,
            (number, _) => Self::Opaque(number),
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Icmp | Self::Icmpv6 => f.write_str("icmp"),
            Self::Opaque(number) => write!(f, "proto/{number}"),
            Self::Unknown => f.write_str("any"),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}
