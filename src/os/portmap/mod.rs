//! Port mappings: a home router is asked to forward this gateway's UDP port.
//!
//! Three protocols, one question each: PCP (RFC 6887) and NAT-PMP (RFC 6886) through `crab_nat`, UPnP's Internet Gateway
//! Device in `upnp`. Only the default gateway is asked, and only what comes from its address is an answer; what it says
//! is bounded in size and time, and believed no further than that it is worth a probe. When to ask, and whom first, is
//! the daemon's to decide.

mod gateway;
mod nat_pmp;
pub mod upnp;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;
use std::time::Duration;

pub use gateway::{Announcements, Gateway, default_gateway};

/// How long a mapping is asked for. Short, because a router that lost its memory is noticed when it is asked again.
const LIFE: Duration = Duration::from_secs(20 * 60);

/// The protocols in the order in which they are tried.
pub const PROTOCOLS: [Protocol; 3] = [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp];

/// How a router is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Pcp,
    NatPmp,
    Upnp,
}

impl Protocol {
    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcp => "pcp",
            Self::NatPmp => "nat-pmp",
            Self::Upnp => "upnp",
        }
    }
}

/// Why a router gave no mapping.
#[derive(Debug, thiserror::Error)]
pub enum PortmapError {
    #[error("no answer")]
    Silent,
    #[error("refused: {0}")]
    Refused(String),
    #[error("an answer that makes no sense: {0}")]
    Nonsense(&'static str),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A port of the router's that leads here.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// What the router says is its outer side. Worth a probe, no more.
    pub external: SocketAddrV4,
    pub by: Protocol,
    /// How long it lasts from when it was given.
    pub life: Duration,
    port: NonZeroU16,
    gateway: Gateway,
    handle: Handle,
}

/// What giving back and renewing need.
#[derive(Debug, Clone)]
enum Handle {
    Pcp { nonce: crab_nat::pcp::Nonce },
    NatPmp,
    Upnp { service: upnp::Service },
}

impl Mapping {
    /// Whether the internet can reach it: false behind another NAT, the provider's or one's own.
    #[must_use]
    pub fn is_public(&self) -> bool {
        is_public(*self.external.ip())
    }
}

/// Asks a router for a mapping of a UDP port, or to keep one that it gave by the same protocol.
///
/// # Errors
/// [`PortmapError`], after fifteen seconds at most.
pub async fn map(
    gateway: &Gateway,
    port: NonZeroU16,
    by: Protocol,
    old: Option<&Mapping>,
) -> Result<Mapping, PortmapError> {
    let old = old.filter(|old| old.by == by && old.gateway == *gateway && old.port == port);
    match by {
        Protocol::Pcp => nat_pmp::map_pcp(gateway, port, old).await,
        Protocol::NatPmp => nat_pmp::map_nat_pmp(gateway, port, old).await,
        Protocol::Upnp => upnp::map(gateway, port, old).await,
    }
}

/// Gives a mapping back.
///
/// # Errors
/// [`PortmapError`]: it stays until its life is over.
pub async fn unmap(mapping: &Mapping) -> Result<(), PortmapError> {
    match &mapping.handle {
        Handle::Pcp { nonce } => nat_pmp::unmap_pcp(mapping, *nonce).await,
        Handle::NatPmp => nat_pmp::unmap_nat_pmp(mapping).await,
        Handle::Upnp { service } => upnp::unmap(mapping, service).await,
    }
}

/// Whether an address is one that the internet could route (RFC 6890, without the documentation prefixes: nobody has
/// those by accident).
#[must_use]
pub fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a >= 224
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        // Shared by a provider's customers (RFC 6598).
        || (a == 100 && b & 0xc0 == 64)
        || (a, b, c) == (192, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_behind_another_nat_is_told_apart() {
        for address in ["192.168.1.2", "10.0.0.1", "172.31.9.9", "100.64.0.1", "100.127.255.255", "192.0.0.2"]
        {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["0.0.0.0", "127.0.0.1", "169.254.3.4", "224.0.0.1", "255.255.255.255", "240.0.0.1"] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["203.0.113.5", "100.63.255.255", "100.128.0.0", "9.9.9.9", "172.32.0.1", "192.0.1.1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
