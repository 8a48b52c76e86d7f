//! What is changed in place, and what is answered.

use super::*;

#[test]
fn the_hop_limit_and_the_mark_change_with_their_checksum() {
    for craft in crafts() {
        let mut packet = craft.udp(1, 2, b"abc");
        for left in (1..64).rev() {
            assert!(decrement_hop_limit(&mut packet));
            assert_eq!(Packet::parse(&packet).unwrap().hop_limit, left);
        }
        assert!(!decrement_hop_limit(&mut packet));
        assert_eq!(Packet::parse(&packet).unwrap().hop_limit, 1);
        let class = Craft { traffic_class: 0b1011_1001, ..craft };
        let mut packet = class.udp(1, 2, b"abc");
        for mark in [Ecn::Congested, Ecn::NotCapable, Ecn::Capable0, Ecn::Capable1] {
            assert!(set_ecn(&mut packet, mark));
            let read = Packet::parse(&packet).unwrap();
            assert_eq!((read.ecn(), read.traffic_class >> 2), (mark, 0b10_1110));
        }
        assert!(is_intact(&packet));
    }
    for no_packet in [&mut [][..], &mut [0x45; 19], &mut [0x60; 39], &mut [0; 60]] {
        assert!(!decrement_hop_limit(no_packet) && !set_ecn(no_packet, Ecn::Congested));
    }
}

#[test]
fn the_mss_of_a_syn_is_lowered_and_never_raised() {
    for craft in crafts() {
        for (options, at) in [
            (&[2, 4, 0x05, 0xb4][..], 2),
            (&[1, 2, 4, 0x05, 0xb4, 1, 1, 0], 3),
            (&[4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 2, 4, 0x05, 0xb4], 14),
        ] {
            let segment = Segment { flags: TcpFlags::SYN_ACK, options, data: b"odd", ..Segment::default() };
            let original = craft.tcp(1, 2, segment);
            let summary = Packet::parse(&original).unwrap();
            let mut packet = original.clone();
            assert!(!clamp_mss(&mut packet, &summary, 1460) && packet == original);
            assert!(clamp_mss(&mut packet, &summary, 1199));
            assert!(is_intact(&packet));
            let at = summary.transport_offset + 20 + at;
            assert_eq!(packet[at..at + 2], 1199_u16.to_be_bytes());
            assert!(!clamp_mss(&mut packet, &summary, 1300), "never raised");
        }
        let data = Segment { flags: TcpFlags::ACK, options: &[2, 4, 5, 180], ..Segment::default() };
        let mut packet = craft.tcp(1, 2, data);
        let summary = Packet::parse(&packet).unwrap();
        assert!(!clamp_mss(&mut packet, &summary, 500), "no SYN");
    }
}

#[test]
fn answers_are_whole_quote_what_they_answer_and_never_answer_errors() {
    for craft in crafts() {
        let from = if craft.src.is_ipv6() { "fd09::1" } else { "192.0.2.1" }.parse().unwrap();
        let original = craft.udp(4000, 53, &[9; 1400]);
        let mut out = [0; icmp::ANSWER_MAX];
        let len = icmp::packet_too_big(&mut out, &original, from, 1300).unwrap();
        assert_eq!(len, if craft.src.is_ipv6() { 1280 } else { 576 });
        let answer = out[..len].to_vec();
        assert!(is_intact(&answer));
        let read = Packet::parse(&answer).unwrap();
        assert_eq!((read.src, read.dst), (from, craft.src));
        let embedded = Packet::parse(&original).unwrap().tuple();
        let kind = IcmpErrorKind::TooBig { mtu: 1300 };
        assert_eq!(read.transport, Transport::IcmpError { kind, embedded });

        let short = craft.udp(4000, 53, b"");
        let len = icmp::time_exceeded(&mut out, &short, from).unwrap();
        assert!(is_intact(&out[..len]));
        let kind = IcmpErrorKind::TimeExceeded;
        assert_eq!(Packet::parse(&out[..len]).unwrap().transport, Transport::IcmpError { kind, embedded });
        assert_eq!(icmp::time_exceeded(&mut [0; 30], &short, from), None, "no room");
        for (orig, why) in [
            (&answer[..], "an error"),
            (&craft.fragment(17, 64, true, &[0; 8]), "a later fragment"),
            (&short[..8], "no packet"),
        ] {
            assert_eq!(icmp::time_exceeded(&mut out, orig, from), None, "{why}");
        }
        let other = if craft.src.is_ipv6() { "192.0.2.1" } else { "fd09::1" }.parse().unwrap();
        assert_eq!(icmp::time_exceeded(&mut out, &short, other), None, "from the other family");
    }
}
