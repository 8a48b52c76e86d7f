//! What the kernel hands over, made into packets that can stand alone: super packets are cut into segments, and
//! checksums that were left to us are made.
//!
//! Nothing here trusts the header or the packet, and nothing allocates.

use super::layout::{Layout, Transport};
use super::vnet_header::{Gso, VnetHeader};

/// TCP's flags that the last segment alone has, and the one of the first (RFC 3168, 6.1.2).
const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// What is still to be given of one packet or super packet.
#[derive(Debug, Default)]
pub struct Split {
    plan: Plan,
    /// Segments that were given, and octets of payload in them.
    segments: u16,
    given: usize,
}

#[derive(Debug, Default, Clone, Copy)]
enum Plan {
    #[default]
    Nothing,
    Whole,
    Segments {
        layout: Layout,
        size: usize,
    },
}

/// Why there is nothing to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The header or the packet's own contradict the packet.
    Malformed,
    /// So many packets are larger than the MTU.
    Oversized(u64),
}

impl Split {
    /// Looks at what was read, and makes the checksum of a single packet. No packet will be longer than `mtu`.
    ///
    /// # Errors
    /// [`Refusal`]: there is nothing to give.
    pub fn begin(header: VnetHeader, packet: &mut [u8], mtu: usize) -> Result<Self, Refusal> {
        let plan = if header.gso == Gso::None {
            if packet.len() > mtu {
                return Err(Refusal::Oversized(1));
            }
            if header.needs_checksum {
                make_checksum(header, packet).ok_or(Refusal::Malformed)?;
            }
            Plan::Whole
        } else {
            let layout = layout(header, packet).ok_or(Refusal::Malformed)?;
            let (size, payload) = (usize::from(header.gso_size), packet.len() - layout.payload);
            if size == 0 || payload == 0 {
                return Err(Refusal::Malformed);
            }
            if layout.payload + size.min(payload) > mtu {
                return Err(Refusal::Oversized(payload.div_ceil(size) as u64));
            }
            Plan::Segments { layout, size }
        };
        Ok(Self { plan, segments: 0, given: 0 })
    }

    /// Writes the next packet into `space`, which has room for the MTU; its length, or `None` after the last. `packet`
    /// is what [`Split::begin`] left.
    pub fn next(&mut self, packet: &[u8], space: &mut [u8]) -> Option<usize> {
        match self.plan {
            Plan::Nothing => None,
            Plan::Whole => {
                self.plan = Plan::Nothing;
                space.get_mut(..packet.len())?.copy_from_slice(packet);
                Some(packet.len())
            }
            Plan::Segments { layout, size } => self.segment(layout, size, packet, space),
        }
    }

    fn segment(&mut self, layout: Layout, size: usize, packet: &[u8], space: &mut [u8]) -> Option<usize> {
        let rest = packet.get(layout.payload + self.given..)?;
        let payload = &rest[..size.min(rest.len())];
        let (number, offset) = (self.segments, self.given);
        self.segments = number.wrapping_add(1);
        self.given += payload.len();
        let is_last = payload.len() == rest.len();
        if is_last {
            self.plan = Plan::Nothing;
        }
        let length = layout.payload + payload.len();
        let space = space.get_mut(..length)?;
        space[..layout.payload].copy_from_slice(&packet[..layout.payload]);
        space[layout.payload..].copy_from_slice(payload);
        if !layout.is_v6 {
            let id = u16::from_be_bytes([space[4], space[5]]).wrapping_add(number);
            space[4..6].copy_from_slice(&id.to_be_bytes());
        }
        if layout.transport == Transport::Tcp {
            let [flags, sequence] = [layout.start + 13, layout.start + 4];
            let octets = space[sequence..].first_chunk_mut()?;
            #[expect(clippy::cast_possible_truncation, reason = "no super packet has more than 64 KiB")]
            let next = u32::from_be_bytes(*octets).wrapping_add(offset as u32);
            *octets = next.to_be_bytes();
            space[flags] &= if is_last { !0 } else { !FIN_PSH };
            space[flags] &= if number == 0 { !0 } else { !CWR };
        }
        layout.set_length(space, length);
        let field = layout.start + layout.checksum_offset();
        space[field..field + 2].fill(0);
        let sum = layout.pseudo_header(space, length).with(&space[layout.start..]);
        let checksum = match layout.transport {
            Transport::Tcp => sum.checksum(),
            Transport::Udp => never_zero(sum.checksum()),
        };
        space[field..field + 2].copy_from_slice(&checksum);
        Some(length)
    }
}

/// The headers of a super packet, as far as the packet bears out what its header says.
fn layout(header: VnetHeader, packet: &[u8]) -> Option<Layout> {
    let (version, start) = (packet.first()? >> 4, usize::from(header.checksum_start));
    let transport = match (header.gso, version) {
        (Gso::TcpV4, 4) | (Gso::TcpV6, 6) => Transport::Tcp,
        (Gso::Udp, 4 | 6) => Transport::Udp,
        _ => return None,
    };
    let is_start = match version {
        4 => start >= 20 && start == usize::from(packet[0] & 15) * 4,
        // What extension headers lie between is for who judges the segments.
        _ => start >= 40,
    };
    let layout = Layout::at(packet, version == 6, transport, start)?;
    let is_field = layout.checksum_offset() == usize::from(header.checksum_offset);
    (header.needs_checksum && is_start && is_field).then_some(layout)
}

fn make_checksum(header: VnetHeader, packet: &mut [u8]) -> Option<()> {
    let covered = packet.get_mut(usize::from(header.checksum_start)..)?;
    let sum = crate::packet::Sum::default().with(covered);
    let field = covered.get_mut(usize::from(header.checksum_offset)..)?.first_chunk_mut()?;
    *field = never_zero(sum.checksum());
    Some(())
}

/// UDP's zero says that there is no checksum (RFC 768); the other zero is right for all.
fn never_zero(checksum: [u8; 2]) -> [u8; 2] {
    if checksum == [0; 2] { [0xff; 2] } else { checksum }
}
