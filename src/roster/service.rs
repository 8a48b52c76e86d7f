//! Services: what a rule allows or denies, by protocol and destination port.

use std::fmt;

use crate::base::Name;

/// The name of a list in `[services]`.
pub type ServiceName = Name;

/// One service. A port is always the destination's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Any,
    /// ICMP of the flow's own family: protocol 1 in IPv4, 58 in IPv6.
    Icmp,
    /// `first <= last`; one port is a range of one.
    Tcp {
        first: u16,
        last: u16,
    },
    Udp {
        first: u16,
        last: u16,
    },
    /// An IP protocol number, whatever its ports.
    Proto(u8),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = |f: &mut fmt::Formatter<'_>, protocol: &str, first: u16, last: u16| {
            if first == last {
                write!(f, "{protocol}/{first}")
            } else {
                write!(f, "{protocol}/{first}-{last}")
            }
        };
        match *self {
            Self::Any => f.write_str("any"),
            Self::Icmp => f.write_str("icmp"),
            Self::Tcp { first, last } => ports(f, "tcp", first, last),
            Self::Udp { first, last } => ports(f, "udp", first, last),
            Self::Proto(number) => write!(f, "proto/{number}"),
        }
    }
}
