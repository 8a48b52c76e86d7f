//! One table, one truth: the table that says where a packet goes also says who may send from an address.

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

/// Where addresses are: longest prefix first.
#[derive(Debug, Default)]
pub struct Routes;
