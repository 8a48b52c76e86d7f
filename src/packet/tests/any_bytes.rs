//! Whatever arrives, nothing panics.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0..3u8, mss: u16) {
        if let Some(first) = bytes.first_mut() {
            *first = match version { 0 => 0x45, 1 => 0x60, _ => *first };
        }
        if version == 0 && bytes.len() >= 20 {
            let len = u16::try_from(bytes.len()).unwrap();
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes[..]).fill_checksum();
        }
        if version == 1 && bytes.len() >= 40 {
            let len = u16::try_from(bytes.len() - 40).unwrap();
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
        }
        let mut out = [0; icmp::ANSWER_MAX];
        let from = if version == 0 { "192.0.2.1" } else { "fd09::1" }.parse().unwrap();
        if let Some(len) = icmp::time_exceeded(&mut out, &bytes, from) {
            prop_assert!(is_intact(&out[..len]));
        }
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert!(packet.transport_offset <= packet.total_len && packet.total_len <= bytes.len());
            clamp_mss(&mut bytes, &packet, mss);
        }
        let _ = decrement_hop_limit(&mut bytes);
        set_ecn(&mut bytes, Ecn::Congested);
    }

    #[test]
    fn a_changed_byte_never_makes_it_panic(at in 0..160usize, value: u8, cut in 0..160usize, which in 0..6usize) {
        let craft = crafts()[which % 2];
        let header = if craft.src.is_ipv6() { 40 } else { 20 };
        let inner = craft.udp(1, 2, &[0; 40]);
        let mut bytes = match which / 2 {
            0 => craft.icmp(if header == 40 { 1 } else { 3 }, 0, [0; 4], &inner),
            1 => craft.fragment(17, 0, true, &inner[header..]),
            _ => craft.tcp(1, 2, Segment { flags: TcpFlags::SYN, options: &[2, 4, 5, 180], ..Segment::default() }),
        };
        bytes.truncate(cut.max(1));
        let at = at % bytes.len();
        bytes[at] = value;
        if header == 20 && bytes.len() >= 20 {
            bytes[0] = bytes[0] & 0xf0 | 5;
            smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes[..]).fill_checksum();
        }
        if let Ok(packet) = Packet::parse(&bytes) {
            clamp_mss(&mut bytes, &packet, 100);
            let _ = packet.tuple();
        }
    }
}
