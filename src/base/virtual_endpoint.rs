//! Endpoints that are no place on the underlay: a path inside of something else, written as an address all the same.
//!
//! They are in 100::/64, which routers discard (RFC 6666), so tunnels, roaming and the choice of paths need no second
//! kind of address. The interface identifier is the kind and a number of that kind. What really comes from such an
//! address is dropped at the door, so only this node itself can speak from one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What the identifier of a path through a relay begins with.
const RELAY: u16 = 1;
/// What the identifier of a path inside TLS begins with.
const TLS: u16 = 2;
/// What a virtual endpoint's port reads.
const PORT: u16 = 443;

/// A path inside of something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VirtualEndpoint {
    /// Through the relay in this slot of the tunnels, on this channel of its.
    Relay { slot: u16, channel: u32 },
    /// Inside the TLS connection of this number, which no other connection of the daemon's run has.
    Tls { connection: u32 },
}

impl VirtualEndpoint {
    /// As tunnels have it.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        match self {
            Self::Relay { slot, channel } => address(RELAY, slot, channel),
            Self::Tls { connection } => address(TLS, 0, connection),
        }
    }

    /// The path that this address stands for.
    #[must_use]
    pub fn of(address: SocketAddr) -> Option<Self> {
        let IpAddr::V6(v6) = address.ip() else { return None };
        match v6.segments() {
            [0x100, 0, 0, 0, RELAY, slot, high, low] if address.port() == PORT => {
                Some(Self::Relay { slot, channel: number(high, low) })
            }
            [0x100, 0, 0, 0, TLS, 0, high, low] if address.port() == PORT => {
                Some(Self::Tls { connection: number(high, low) })
            }
            _ => None,
        }
    }
}

fn address(kind: u16, slot: u16, number: u32) -> SocketAddr {
    let [a, b, c, d] = number.to_be_bytes();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    (Ipv6Addr::new(0x100, 0, 0, 0, kind, slot, high, low), PORT).into()
}

fn number(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

/// Whether an address is in 100::/64.
#[must_use]
#[inline]
pub fn is_virtual(address: IpAddr) -> bool {
    match address {
        IpAddr::V6(v6) => v6.octets()[..8] == [1, 0, 0, 0, 0, 0, 0, 0],
        IpAddr::V4(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_the_path_that_it_stands_for() {
        for connection in [0, 1, 0xffff, 0x1_0000, u32::MAX] {
            let tls = VirtualEndpoint::Tls { connection };
            assert_eq!(VirtualEndpoint::of(tls.address()), Some(tls));
            assert!(is_virtual(tls.address().ip()));
        }
        for (slot, channel) in [(0, 0), (1, 0xffff), (7, 0x1_0000), (u16::MAX, u32::MAX)] {
            let relay = VirtualEndpoint::Relay { slot, channel };
            assert_eq!(VirtualEndpoint::of(relay.address()), Some(relay));
            assert!(is_virtual(relay.address().ip()));
        }
        for other in ["[100::2:0:0:1]:444", "[100::3:0:0:1]:443", "[100:0:0:1:2::1]:443", "1.0.0.0:443"] {
            assert_eq!(VirtualEndpoint::of(other.parse().unwrap()), None, "{other}");
        }
        assert!(!is_virtual("100:0:0:1::".parse().unwrap()));
        assert!(is_virtual("100::".parse().unwrap()));
    }
}
