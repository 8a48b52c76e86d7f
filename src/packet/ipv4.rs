//! IPv4's header (RFC 791), its options and its fragments.

use std::net::IpAddr;

use smoltcp::wire::Ipv4Packet;

use super::header::{self, Extent, Header};
use crate::base::DropReason;

const HEADER_MIN: usize = 20;

/// Option types (RFC 791, 3.1).
mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NO_OPERATION: u8 = 1;
    pub(super) const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub(super) const STRICT_SOURCE_ROUTE: u8 = 137;
}

pub(super) fn read(bytes: &[u8], extent: Extent) -> Result<Header, DropReason> {
    if bytes.len() < HEADER_MIN {
        return Err(DropReason::Malformed);
    }
    let packet = Ipv4Packet::new_unchecked(bytes);
    let header_len = usize::from(packet.header_len());
    let claimed_len = usize::from(packet.total_len());
    if header_len < HEADER_MIN || header_len > bytes.len() || header_len > claimed_len {
        return Err(DropReason::Malformed);
    }
    if extent == Extent::Whole {
        if claimed_len > bytes.len() || !packet.verify_checksum() {
            return Err(DropReason::Malformed);
        }
        check_options(&bytes[HEADER_MIN..header_len])?;
    }
    let protocol = u8::from(packet.next_header());
    let offset = usize::from(packet.frag_offset());
    let fragment = if offset > 0 || packet.more_frags() {
        let len = claimed_len - header_len;
        Some(header::fragment(u32::from(packet.ident()), offset, packet.more_frags(), len, protocol)?)
    } else {
        None
    };
    Ok(Header {
        src: IpAddr::V4(packet.src_addr()),
        dst: IpAddr::V4(packet.dst_addr()),
        protocol,
        transport_offset: header_len,
        total_len: claimed_len.min(bytes.len()),
        fragment,
        hop_limit: packet.hop_limit(),
        traffic_class: bytes[1],
        dont_fragment: packet.dont_frag(),
    })
}

/// Refuses source routes (RFC 7126, 4.3 and 4.4) and options that run out of the header.
fn check_options(mut options: &[u8]) -> Result<(), DropReason> {
    while let [kind, rest @ ..] = options {
        options = match *kind {
            option::END => return Ok(()),
            option::NO_OPERATION => rest,
            option::LOOSE_SOURCE_ROUTE | option::STRICT_SOURCE_ROUTE => return Err(DropReason::NotForwarded),
            _ => {
                let len = rest.first().map_or(0, |len| usize::from(*len));
                if len < 2 {
                    return Err(DropReason::Malformed);
                }
                options.get(len..).ok_or(DropReason::Malformed)?
            }
        };
    }
    Ok(())
}
