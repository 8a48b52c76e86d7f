//! One table, one truth: the table that says where a packet goes also says who may send from an address.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// A peer's slot in the tunnels. Slots are reused; a flow table entry of a removed peer goes with the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// What carries a packet to or from this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// A WireGuard peer: a station of this room, or the gateway of another.
    Peer(PeerId),
    /// The kernel, through the TUN device: this host, its LAN, the internet.
    Kernel,
}

/// Where addresses are: longest prefix first. Built once for each model.
#[derive(Debug, Default)]
pub struct Routes;

impl Routes {
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// Addresses in `prefix` are at `via`, unless a longer prefix says otherwise. A prefix that is there already is
    /// replaced.
    pub fn insert(&mut self, prefix: IpNetwork, via: Via) {
        let _ = (prefix, via);
    }

    /// As [`Routes::insert`], for one address.
    pub fn insert_address(&mut self, address: IpAddr, via: Via) {
        self.insert(address.into(), via);
    }

    /// Addresses in `prefix` are nowhere, unless a longer prefix says otherwise: an owner's prefix, so that what is no
    /// node of it never goes to the internet.
    pub fn insert_unreachable(&mut self, prefix: IpNetwork) {
        let _ = prefix;
    }

    /// Where an address is. `None`: nowhere.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Option<Via> {
        let _ = address;
        None
    }

    /// Whether `via` may send from this address.
    #[must_use]
    pub fn owns(&self, via: Via, source: IpAddr) -> bool {
        self.lookup(source) == Some(via)
    }
}
