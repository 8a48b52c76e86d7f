//! What the headers of both IP versions come to, for a packet in hand and for one that an ICMP error quotes.

use std::net::IpAddr;

use super::{Fragment, protocol};
use crate::base::DropReason;

/// How much of the packet there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Its beginning, quoted by an ICMP error: lengths may point past the end, and hop limit and checksum are of
    /// another moment.
    Quoted,
}

/// The IP headers, up to the transport.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) protocol: u8,
    pub(super) transport_offset: usize,
    /// For a quoted packet: no more than there is of it.
    pub(super) total_len: usize,
    pub(super) fragment: Option<Fragment>,
    pub(super) hop_limit: u8,
    pub(super) traffic_class: u8,
    pub(super) dont_fragment: bool,
}

impl Header {
    pub(super) fn read(bytes: &[u8], extent: Extent) -> Result<Self, DropReason> {
        match bytes.first().map(|octet| octet >> 4) {
            Some(4) => super::ipv4::read(bytes, extent),
            Some(6) => super::ipv6::read(bytes, extent),
            _ => Err(DropReason::Malformed),
        }
    }

    /// Whether it is a fragment without the transport header.
    pub(super) fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset > 0)
    }
}

/// The largest packet, in octets, that fragments may make.
const REASSEMBLED_MAX: usize = 65_535;
/// A TCP header's least length. No fragment but the first may touch it (RFC 1858, 3; RFC 3128).
const TCP_HEADER_MIN: usize = 20;

/// Checks a fragment: `len` octets of data at `offset`.
pub(super) fn fragment(
    id: u32,
    offset: usize,
    more: bool,
    len: usize,
    proto: u8,
) -> Result<Fragment, DropReason> {
    let end = offset + len;
    let overlaps_tcp = proto == protocol::TCP && offset > 0 && offset < TCP_HEADER_MIN;
    if len == 0 || (more && !len.is_multiple_of(8)) || end > REASSEMBLED_MAX || overlaps_tcp {
        return Err(DropReason::Malformed);
    }
    let octets = |n: usize| u16::try_from(n).map_err(|_| DropReason::Malformed);
    Ok(Fragment { id, offset: octets(offset)?, more, end: octets(end)? })
}
