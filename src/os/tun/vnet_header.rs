//! `struct virtio_net_hdr` (`linux/virtio_net.h`), which lies before each packet of a device with `IFF_VNET_HDR`. Its
//! words are little-endian, as the device is asked for where that is not the host's own order.

/// The checksum from `checksum_start` to the end is not made yet: its field holds that of the pseudo-header.
const NEEDS_CHECKSUM: u8 = 1;
/// A bit beside the kind: some segment has CWR.
const GSO_ECN: u8 = 0x80;

/// What a packet is, as the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gso {
    /// One packet.
    #[default]
    None,
    TcpV4,
    TcpV6,
    /// Datagrams of UDP, in either family.
    Udp,
}

/// The header. Nothing of what the kernel wrote into one has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VnetHeader {
    pub needs_checksum: bool,
    pub gso: Gso,
    /// Octets of all headers of a super packet.
    pub header_len: u16,
    /// Octets of payload in each segment but the last.
    pub gso_size: u16,
    /// Where the checksum begins.
    pub checksum_start: u16,
    /// Where it is kept, counted from there.
    pub checksum_offset: u16,
}

impl VnetHeader {
    /// Octets of the header.
    pub const LENGTH: usize = 10;

    /// Reads a header; `None` when it is cut short, or of a kind that nobody asked for.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ Self::LENGTH }>()?;
        let gso = match bytes[1] & !GSO_ECN {
            0 => Gso::None,
            1 => Gso::TcpV4,
            4 => Gso::TcpV6,
            5 => Gso::Udp,
            _ => return None,
        };
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Some(Self {
            needs_checksum: bytes[0] & NEEDS_CHECKSUM != 0,
            gso,
            header_len: word(2),
            gso_size: word(4),
            checksum_start: word(6),
            checksum_offset: word(8),
        })
    }

    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[0] = if self.needs_checksum { NEEDS_CHECKSUM } else { 0 };
        bytes[1] = match self.gso {
            Gso::None => 0,
            Gso::TcpV4 => 1,
            Gso::TcpV6 => 4,
            Gso::Udp => 5,
        };
        let words = [self.header_len, self.gso_size, self.checksum_start, self.checksum_offset];
        for (space, word) in bytes[2..].as_chunks_mut::<2>().0.iter_mut().zip(words) {
            *space = word.to_le_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for gso in [Gso::None, Gso::TcpV4, Gso::TcpV6, Gso::Udp] {
            let header = VnetHeader {
                needs_checksum: true,
                gso,
                header_len: 52,
                gso_size: 1368,
                checksum_start: 20,
                checksum_offset: 16,
            };
            assert_eq!(VnetHeader::read(&header.to_bytes()), Some(header));
        }
        assert_eq!(VnetHeader::read(&[0; 10]), Some(VnetHeader::default()));
    }

    #[test]
    fn an_ecn_mark_is_no_kind_of_its_own_and_what_is_unknown_is_refused() {
        let mut bytes = VnetHeader { gso: Gso::TcpV6, ..VnetHeader::default() }.to_bytes();
        bytes[1] |= 0x80;
        assert_eq!(VnetHeader::read(&bytes).map(|header| header.gso), Some(Gso::TcpV6));
        // UFO (3) was never asked for.
        for kind in [2, 3, 6, 0x7f] {
            bytes[1] = kind;
            assert_eq!(VnetHeader::read(&bytes), None);
        }
        assert_eq!(VnetHeader::read(&[0; 9]), None);
    }
}
