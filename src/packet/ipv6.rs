//! IPv6's header and the chain of extension headers behind it (RFC 8200).

use std::net::IpAddr;

use smoltcp::wire::{Ipv6FragmentHeader, Ipv6Packet};

use super::header::{self, Extent, Header};
use crate::base::DropReason;

const HEADER_LEN: usize = 40;
/// The most extension headers that are walked. RFC 8200, 4.1, has use for seven.
const EXTENSIONS_MAX: usize = 8;

/// Next-header numbers (IANA) that have another header behind them.
mod next {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION: u8 = 60;
}

pub(super) fn read(bytes: &[u8], extent: Extent) -> Result<Header, DropReason> {
    if bytes.len() < HEADER_LEN {
        return Err(DropReason::Malformed);
    }
    let packet = Ipv6Packet::new_unchecked(bytes);
    let claimed_len = packet.total_len();
    if extent == Extent::Whole && claimed_len > bytes.len() {
        return Err(DropReason::Malformed);
    }
    let mut header = Header {
        src: IpAddr::V6(packet.src_addr()),
        dst: IpAddr::V6(packet.dst_addr()),
        protocol: u8::from(packet.next_header()),
        transport_offset: HEADER_LEN,
        total_len: claimed_len.min(bytes.len()),
        fragment: None,
        hop_limit: packet.hop_limit(),
        traffic_class: packet.traffic_class(),
        dont_fragment: true,
    };
    walk(&bytes[..header.total_len], claimed_len, &mut header)?;
    Ok(header)
}

/// Follows the chain to the transport, or to a later fragment's data.
fn walk(bytes: &[u8], claimed_len: usize, header: &mut Header) -> Result<(), DropReason> {
    let mut fragmented = false;
    for i in 0..=EXTENSIONS_MAX {
        let at = header.transport_offset;
        let rest = &bytes[at..];
        let len = match header.protocol {
            next::HOP_BY_HOP if i > 0 => return Err(DropReason::Malformed),
            next::HOP_BY_HOP | next::DESTINATION => eights(rest)?,
            next::ROUTING => {
                check_routing(rest)?;
                eights(rest)?
            }
            next::FRAGMENT if fragmented => return Err(DropReason::Malformed),
            next::FRAGMENT => {
                fragmented = true;
                header.fragment = read_fragment(rest, claimed_len - at)?;
                8
            }
            // in units of four octets, less two (RFC 4302, 2.2)
            next::AUTHENTICATION => (usize::from(octet(rest, 1)?) + 2) * 4,
            _ => return Ok(()),
        };
        header.protocol = octet(rest, 0)?;
        header.transport_offset = at + len;
        if header.transport_offset > bytes.len() {
            return Err(DropReason::Malformed);
        }
        if header.is_later_fragment() {
            return Ok(());
        }
    }
    Err(DropReason::Malformed)
}

/// The length of a header that counts it in units of eight octets, less one (RFC 8200, 4.3).
fn eights(bytes: &[u8]) -> Result<usize, DropReason> {
    Ok((usize::from(octet(bytes, 1)?) + 1) * 8)
}

fn octet(bytes: &[u8], at: usize) -> Result<u8, DropReason> {
    bytes.get(at).copied().ok_or(DropReason::Malformed)
}

/// A routing header of type 0 is refused always (RFC 5095), any other while it has segments left: then the packet's
/// destination is not where it goes, and policy would judge the wrong one.
fn check_routing(bytes: &[u8]) -> Result<(), DropReason> {
    let (kind, segments_left) = (octet(bytes, 2)?, octet(bytes, 3)?);
    if kind == 0 || segments_left > 0 { Err(DropReason::NotForwarded) } else { Ok(()) }
}

/// `None` for an atomic fragment, which is a whole packet (RFC 6946). `len` is what the header and the data behind it
/// have in octets.
fn read_fragment(bytes: &[u8], len: usize) -> Result<Option<super::Fragment>, DropReason> {
    let header = Ipv6FragmentHeader::new_checked(bytes.get(2..8).ok_or(DropReason::Malformed)?)
        .map_err(|_| DropReason::Malformed)?;
    let offset = usize::from(header.frag_offset()) * 8;
    let more = header.more_frags();
    if offset == 0 && !more {
        return Ok(None);
    }
    header::fragment(header.ident(), offset, more, len.saturating_sub(8), octet(bytes, 0)?).map(Some)
}
