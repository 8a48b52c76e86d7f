//! Any bytes as what a TUN device hands over: refused, or made into packets that fit and are right; and what is joined
//! of those comes apart as it was.

use vpmesh::os::tun::join::Join;
use vpmesh::os::tun::split::Split;
use vpmesh::os::tun::vnet_header::{Gso, VnetHeader};
use vpmesh::packet::craft::is_intact;
use vpmesh::packet::{Packet, protocol};

const MTU: usize = 1420;
/// Segments of one octet would fill the time.
const PACKETS: usize = 2000;

pub fn run(data: &[u8]) {
    let Some((header, packets)) = split(data) else { return };
    for packet in &packets {
        assert!(packet.len() <= MTU);
        let Ok(parsed) = Packet::parse(packet) else { continue };
        let is_segment = header.gso != Gso::None
            && parsed.transport_offset == usize::from(header.checksum_start)
            && parsed.protocol == if header.gso == Gso::Udp { protocol::UDP } else { protocol::TCP };
        assert!(!is_segment || parsed.fragment.is_some() || is_intact(packet));
    }
    let mut again = Vec::new();
    let refused = Join::everything().send(packets.iter().map(Vec::as_slice), |slices| {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        again.extend(split(&bytes).expect("what was joined comes apart").1);
        Ok(())
    });
    assert_eq!(refused, 0);
    assert!(again == packets);
}

fn split(data: &[u8]) -> Option<(VnetHeader, Vec<Vec<u8>>)> {
    let header = VnetHeader::read(data)?;
    let mut packet = data[VnetHeader::LENGTH..].to_vec();
    let mut split = Split::begin(header, &mut packet, MTU).ok()?;
    let mut space = [0; MTU];
    let packets =
        std::iter::from_fn(|| split.next(&packet, &mut space).map(|length| space[..length].to_vec()));
    Some((header, packets.take(PACKETS).collect()))
}
