//! Why a packet was turned away: one enum from where it is decided to the counter and to `status`.

/// Declares [`DropReason`] with its names and sentences in one place.
macro_rules! reasons {
    ($($variant:ident, $name:literal, $sentence:literal;)*) => {
        /// Why a packet was turned away.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason { $(#[doc = $sentence] $variant,)* }

        impl DropReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in counters, metrics and `--json`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for people.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

reasons! {
    // the outside of a tunnel
    NotWireguard, "not_wireguard", "the datagram is no WireGuard message";
    UnknownIndex, "unknown_index", "no session has this receiver index";
    UnknownKey, "unknown_key", "the handshake is from a key that no accepted roster lists";
    BadMac, "bad_mac", "the handshake's MAC is not for this gateway's key";
    HandshakeFailed, "handshake_failed", "the handshake or cookie does not verify, or is a replay";
    HandshakeLimited, "handshake_limited", "too many handshakes; those with a cookie go first";
    HandshakeCrossed, "handshake_crossed", "both sides began a handshake at once; the other one goes on";
    BadPacket, "bad_packet", "the datagram does not decrypt";
    Replayed, "replayed", "the datagram's counter was seen before or is too old";
    NoSession, "no_session", "the peer has no session and no known endpoint";
    QueueFull, "queue_full", "too many packets wait for the peer's handshake or for the socket";
    BadBeacon, "bad_beacon", "what came as a beacon is none, is of nobody known, or is one too many";
    VirtualSource, "virtual_source", "the datagram says that it comes from an address that no host has (100::/64)";
    // frames of relays
    BadFrame, "bad_frame", "the relay frame is cut short, or its tag is not of the leg that it names";
    NoLeg, "no_leg", "the relay frame is of a gateway that has not registered, or goes to one";
    NoChannel, "no_channel", "the relay frame's channel is not open, or not between these two gateways";
    RelayQuota, "relay_quota", "the owner has its share of the relay's bandwidth in use";
    SendFailed, "send_failed", "the system refused to send the datagram";
    // the packet itself
    Malformed, "malformed", "the packet is cut short or contradicts itself";
    BadSource, "bad_source", "the source is a multicast, loopback, link-local, v4-mapped or unspecified address";
    BadDestination, "bad_destination", "the destination is a multicast, loopback, link-local, v4-mapped or unspecified address";
    NotForwarded, "not_forwarded", "a source route, a redirect or a message for one link is never forwarded";
    Spoofed, "spoofed", "the peer does not own the packet's source address";
    HopLimit, "hop_limit", "the packet's hop limit ran out";
    TooBig, "too_big", "the packet is larger than the next tunnel carries; ICMP says so to its sender";
    Congested, "congested", "the network marked the datagram as congested, and the packet inside can't be told";
    // what mesh nodes say to each other
    NotControl, "not_control", "it is for the mesh itself, and says nothing that this version understands";
    ControlLimited, "control_limited", "it is for the mesh itself, and the peer says more than its share";
    ForeignClaim, "foreign_claim", "a gateway says of a station what only the gateways of its room may say";
    // policy and flows
    Denied, "denied", "a border's policy denies it";
    NoFlow, "no_flow", "the reply or ICMP error belongs to no flow";
    OtherPeer, "other_peer", "the flow is carried by another peer";
    FlowsFull, "flows_full", "the peer has its share of the flow table in use";
    // routes
    NoRoute, "no_route", "no node has the destination address";
    NotServed, "not_served", "another gateway sends it, and its destination is not in the room served here";
    Elsewhere, "elsewhere", "the station is at another gateway of its room, or at none";
    Leak, "leak", "the packet is for the mesh, and would leave by another interface than the mesh's";
    Loop, "loop", "the packet would go back where it came from";
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::COUNT);
        assert!(DropReason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
    }
}
