//! What was read of the device last, and is given on packet by packet.

use std::fs::File;
use std::io::{self, Read};

use super::split::{Refusal, Split};
use super::vnet_header::VnetHeader;

/// The most that the kernel hands over at once (`GSO_LEGACY_MAX_SIZE`).
const SUPER_MAX: usize = 65_536;

pub(super) struct Intake {
    memory: Vec<u8>,
    /// Octets of it that were read last: a header, where there are headers, and the packet that `split` gives.
    length: usize,
    split: Split,
    is_framed: bool,
    mtu: usize,
    /// Packets that were refused.
    pub(super) oversized: u64,
    pub(super) malformed: u64,
}

impl Intake {
    pub(super) fn new(is_framed: bool, mtu: u16) -> Self {
        // One octet more than the most, so that a packet that was cut is seen to be too large.
        let room = if is_framed { VnetHeader::LENGTH + SUPER_MAX } else { usize::from(mtu) } + 1;
        let mtu = usize::from(mtu);
        Self {
            memory: vec![0; room],
            length: 0,
            split: Split::default(),
            is_framed,
            mtu,
            oversized: 0,
            malformed: 0,
        }
    }

    fn header_length(&self) -> usize {
        if self.is_framed { VnetHeader::LENGTH } else { 0 }
    }

    /// Reads once. All that was read before has been given.
    pub(super) fn read(&mut self, mut device: &File) -> io::Result<()> {
        let length = device.read(&mut self.memory)?;
        let begun = self.begin(length);
        self.length = length;
        self.split = match begun {
            Ok(split) => split,
            Err(refusal) => {
                match refusal {
                    // Somebody changed the interface's MTU; `netlink` sets it back.
                    Refusal::Oversized(packets) => self.oversized += packets,
                    Refusal::Malformed => self.malformed += 1,
                }
                Split::default()
            }
        };
        Ok(())
    }

    fn begin(&mut self, length: usize) -> Result<Split, Refusal> {
        let at = self.header_length();
        let (header, packet) = self.memory[..length].split_at_mut_checked(at).ok_or(Refusal::Malformed)?;
        let header = match header {
            [] => VnetHeader::default(),
            bytes => VnetHeader::read(bytes).ok_or(Refusal::Malformed)?,
        };
        if packet.len() > SUPER_MAX {
            return Err(Refusal::Malformed);
        }
        Split::begin(header, packet, self.mtu)
    }

    /// Writes the next packet into `space`; its length, or `None` when the device has to be read.
    pub(super) fn next(&mut self, space: &mut [u8]) -> Option<usize> {
        self.split.next(self.memory.get(self.header_length()..self.length)?, space)
    }
}
