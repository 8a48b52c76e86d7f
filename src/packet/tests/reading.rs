//! What is read of a packet, and what is refused.

use super::*;

#[test]
fn tcp_udp_and_echo_are_read_in_both_families() {
    for craft in crafts() {
        let syn = Packet::parse(&craft.syn(4000, 22)).unwrap();
        assert_eq!((syn.src, syn.dst, syn.protocol), (craft.src, craft.dst, protocol::TCP));
        let Transport::Tcp(tcp) = syn.transport else { panic!("{syn:?}") };
        assert_eq!((tcp.src_port, tcp.dst_port, tcp.seq, tcp.seq_len), (4000, 22, 1000, 1));
        assert!(tcp.flags.opens());

        let data =
            Segment { flags: TcpFlags::FIN_ACK, seq: u32::MAX, ack: 7, data: b"hello", options: &[1; 4] };
        let Transport::Tcp(tcp) = Packet::parse(&craft.tcp(1, 2, data)).unwrap().transport else { panic!() };
        assert_eq!((tcp.seq, tcp.ack, tcp.seq_len), (u32::MAX, 7, 6));

        let udp = Packet::parse(&craft.udp(53, 5353, b"x")).unwrap();
        assert_eq!(udp.transport, Transport::Udp { src_port: 53, dst_port: 5353 });
        let echo = Packet::parse(&craft.echo(false, 77, 1, b"ping")).unwrap();
        assert_eq!(echo.transport, Transport::IcmpEcho { request: false, ident: 77 });
        assert_eq!(Packet::parse(&craft.raw(47, b"gre")).unwrap().transport, Transport::Opaque);
    }
}

#[test]
fn padding_behind_the_packet_is_not_the_packet() {
    for craft in crafts() {
        let mut bytes = craft.udp(1, 2, b"abc");
        let len = bytes.len();
        bytes.extend_from_slice(&[0; 13]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.total_len, packet.transport_offset), (len, len - 11));
    }
}

#[test]
fn a_packet_cut_anywhere_is_malformed() {
    for craft in crafts() {
        for whole in [craft.syn(1, 2), craft.udp(1, 2, b"abc"), craft.echo(true, 1, 1, b"abc")] {
            for len in 0..whole.len() {
                assert_eq!(reason(&whole[..len]), DropReason::Malformed, "{len}");
            }
        }
    }
}

#[test]
fn headers_that_contradict_themselves_are_malformed() {
    let craft = Craft::new(V4.0, V4.1);
    let good = craft.syn(1, 2);
    let broken = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes[..]).set_checksum(0);
        let header_len = (usize::from(bytes[0] & 15) * 4).clamp(20, 40);
        let sum = !smoltcp::wire::checksum::data(&bytes[..header_len]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    assert_eq!(reason(&broken(0, 0x44)), DropReason::Malformed, "a header of 16 octets");
    assert_eq!(reason(&broken(0, 0x55)), DropReason::Malformed, "version 5");
    assert_eq!(reason(&broken(3, 19)), DropReason::Malformed, "a packet shorter than its header");
    assert_eq!(reason(&broken(32, 0x40)), DropReason::Malformed, "a TCP header of 16 octets");
    assert_eq!(reason(&broken(32, 0x60)), DropReason::Malformed, "TCP options outside of the packet");
    for flags in [0x00, 0x03, 0x06, 0x28] {
        assert_eq!(reason(&broken(33, flags)), DropReason::Malformed, "flags {flags:#x}");
    }
    let mut sum = good.clone();
    sum[10] ^= 1;
    assert_eq!(reason(&sum), DropReason::Malformed, "a wrong checksum");

    for craft in crafts() {
        let udp = craft.udp(1, 2, b"abcd");
        for (len, is_good) in [(7, false), (8, true), (12, true), (13, false)] {
            let mut bytes = udp.clone();
            let at = bytes.len() - 12 + 5;
            bytes[at] = len;
            assert_eq!(Packet::parse(&bytes).is_ok(), is_good, "UDP's length {len}");
        }
    }
}

#[test]
fn a_v4_mapped_address_on_the_wire_is_refused() {
    let packet = Craft::new("::ffff:10.88.1.10", V6.1).syn(1, 2);
    assert_eq!(reason(&packet), DropReason::BadSource);
    let packet = Craft::new(V6.0, "::ffff:10.88.1.10").syn(1, 2);
    assert_eq!(reason(&packet), DropReason::BadDestination);
}

#[test]
fn ipv4_options_pass_but_source_routes_do_not() {
    let with = |options: &[u8]| {
        let mut packet = Craft::new(V4.0, V4.1).udp(1, 2, b"");
        packet.splice(20..20, options.iter().copied());
        packet[0] = 0x40 | (5 + u8::try_from(options.len() / 4).unwrap());
        packet[3] += u8::try_from(options.len()).unwrap();
        smoltcp::wire::Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
        Packet::parse(&packet).map(|packet| packet.transport)
    };
    let udp = Ok(Transport::Udp { src_port: 1, dst_port: 2 });
    assert_eq!(with(&[1, 1, 1, 0]), udp);
    assert_eq!(with(&[148, 4, 0, 0]), udp);
    assert_eq!(with(&[0, 131, 3, 4]), udp, "nothing behind the end is an option");
    assert_eq!(with(&[1, 131, 3, 4]), Err(DropReason::NotForwarded));
    assert_eq!(with(&[137, 3, 4, 0]), Err(DropReason::NotForwarded));
    assert_eq!(with(&[7, 5, 4, 0]), Err(DropReason::Malformed));
    assert_eq!(with(&[7, 1, 4, 0]), Err(DropReason::Malformed));
    assert_eq!(with(&[1, 1, 1, 7]), Err(DropReason::Malformed));
}

/// An IPv6 packet with these extension headers before its UDP: `(number, header)`; the next-header octets are linked.
fn chain(headers: &[(u8, Vec<u8>)]) -> Result<Packet, DropReason> {
    let udp = Craft::new(V6.0, V6.1).udp(1, 2, b"abc");
    let mut payload = Vec::new();
    for (i, (_, header)) in headers.iter().enumerate() {
        let mut header = header.clone();
        header[0] = headers.get(i + 1).map_or(protocol::UDP, |next| next.0);
        payload.extend(header);
    }
    payload.extend(&udp[40..]);
    Packet::parse(&Craft::new(V6.0, V6.1).raw(headers[0].0, &payload))
}

#[test]
fn extension_headers_are_walked() {
    let options = || vec![0, 0, 1, 4, 0, 0, 0, 0];
    let routing = |kind, left| vec![0, 0, kind, left, 0, 0, 0, 0];
    let udp = Transport::Udp { src_port: 1, dst_port: 2 };
    let long = [vec![0, 1], vec![0; 14]].concat();
    let authentication = [vec![0, 4], vec![0; 22]].concat();
    let packet =
        chain(&[(0, options()), (60, long), (43, routing(2, 0)), (51, authentication), (60, options())])
            .unwrap();
    assert_eq!((packet.transport, packet.transport_offset), (udp, 40 + 8 + 16 + 8 + 24 + 8));

    assert_eq!(chain(&[(60, options()), (0, options())]), Err(DropReason::Malformed));
    assert_eq!(chain(&[(43, routing(0, 0))]), Err(DropReason::NotForwarded));
    assert_eq!(chain(&[(43, routing(4, 1))]), Err(DropReason::NotForwarded));
    let many = |n| vec![(60, options()); n];
    assert_eq!(chain(&many(8)).map(|p| p.transport), Ok(udp));
    assert_eq!(chain(&many(9)), Err(DropReason::Malformed));
    assert_eq!(chain(&[(60, vec![0, 200, 0, 0, 0, 0, 0, 0])]), Err(DropReason::Malformed));
    // ESP, no next header and the unknown end the walk
    for number in [50, 59, 135, 253] {
        let packet = chain(&[(0, options()), (number, options())]).unwrap();
        assert_eq!((packet.protocol, packet.transport), (number, Transport::Opaque));
    }
    // an atomic fragment is a whole packet
    let packet = chain(&[(44, vec![0; 8])]).unwrap();
    assert_eq!((packet.fragment, packet.transport), (None, udp));
    assert_eq!(chain(&[(44, vec![0; 8]), (44, vec![0; 8])]), Err(DropReason::Malformed));
}

#[test]
fn a_first_fragment_has_its_whole_header_and_a_later_one_has_no_ports() {
    for craft in crafts() {
        let offset = if craft.src.is_ipv6() { 40 } else { 20 };
        let udp = craft.udp(1, 2, &[7; 60])[offset..].to_vec();
        let fragments = craft.fragments(protocol::UDP, &udp, 24);
        let packets: Vec<_> = fragments.iter().map(|bytes| Packet::parse(bytes).unwrap()).collect();
        assert_eq!(packets.len(), 3);
        assert_eq!(packets[0].transport, Transport::Udp { src_port: 1, dst_port: 2 });
        assert_eq!(packets[0].fragment, Some(Fragment { id: 1, offset: 0, more: true, end: 24 }));
        assert_eq!(packets[2].transport, Transport::Opaque);
        assert_eq!(packets[2].fragment, Some(Fragment { id: 1, offset: 48, more: false, end: 68 }));
        assert_eq!(packets[2].tuple().ports, Ports::Unknown);

        let tcp = craft.syn(1, 2)[offset..].to_vec();
        let refused = |bytes: Vec<u8>| assert_eq!(reason(&bytes), DropReason::Malformed);
        refused(craft.fragment(protocol::TCP, 0, true, &tcp[..16]));
        refused(craft.fragment(protocol::TCP, 8, false, &[0; 16]));
        refused(craft.fragment(protocol::TCP, 16, true, &[0; 16]));
        assert!(Packet::parse(&craft.fragment(protocol::TCP, 24, false, &[0; 16])).is_ok());
        refused(craft.fragment(protocol::UDP, 0, true, &[0, 1, 0, 2, 0, 30, 0, 0, 1]));
        refused(craft.fragment(protocol::UDP, 65_528, false, &[0; 16]));
        refused(craft.fragment(protocol::UDP, 64, false, &[]));
    }
}

#[test]
fn an_icmp_error_tells_whose_it_is() {
    for craft in crafts() {
        let router = if craft.src.is_ipv6() { "fd09::1" } else { "192.0.2.1" };
        let back = Craft::between(router.parse().unwrap(), craft.src);
        let (kind, code) = if craft.src.is_ipv6() { (1, 4) } else { (3, 3) };
        let quote =
            |original: &[u8]| Packet::parse(&back.icmp(kind, code, [0; 4], original)).map(|p| p.transport);
        let known = Ports::Known { src: 4000, dst: 53 };
        let tuple = |protocol, ports| Tuple { src: craft.src, dst: craft.dst, protocol, ports };
        let header = if craft.src.is_ipv6() { 40 } else { 20 };
        let original = craft.udp(4000, 53, &[0; 100]);
        let expected = Transport::IcmpError {
            kind: IcmpErrorKind::Unreachable { code },
            embedded: tuple(protocol::UDP, known),
        };
        assert_eq!(quote(&original), Ok(expected));
        assert_eq!(quote(&original[..header + 8]), Ok(expected), "eight octets are enough");
        assert_eq!(quote(&original[..header + 7]), Err(DropReason::Malformed));
        assert_eq!(quote(&original[..header - 1]), Err(DropReason::Malformed));
        assert_eq!(quote(&[]), Err(DropReason::Malformed));

        let ports = |original: &[u8]| match quote(original) {
            Ok(Transport::IcmpError { embedded, .. }) => embedded.ports,
            other => panic!("{other:?}"),
        };
        assert_eq!(ports(&craft.echo(true, 9, 1, b"")), Ports::Echo { request: true, ident: 9 });
        assert_eq!(ports(&craft.raw(47, b"")), Ports::None);
        assert_eq!(ports(&craft.fragment(protocol::UDP, 64, false, &[0; 8])), Ports::Unknown);
    }
    let v6_in_v4 = Craft::new("192.0.2.1", V4.0).icmp(3, 3, [0; 4], &Craft::new(V6.0, V6.1).udp(1, 2, b""));
    assert_eq!(reason(&v6_in_v4), DropReason::Malformed);
    let mapped = Craft::new("::ffff:10.88.1.10", "::ffff:10.89.2.20").udp(1, 2, b"");
    let mapped = Craft::new("fd09::1", V6.0).icmp(1, 0, [0; 4], &mapped);
    assert_eq!(reason(&mapped), DropReason::Malformed);
}

#[test]
fn icmp_for_one_link_is_never_forwarded() {
    let [v4, v6] = crafts();
    for kind in [4, 5, 9, 10] {
        assert_eq!(reason(&v4.icmp(kind, 0, [0; 4], &[0; 40])), DropReason::NotForwarded, "{kind}");
    }
    for kind in [0, 5, 127, 130, 131, 132, 133, 134, 135, 136, 137, 143, 155] {
        assert_eq!(reason(&v6.icmp(kind, 0, [0; 4], &[0; 40])), DropReason::NotForwarded, "{kind}");
    }
    let other = Packet::parse(&v4.icmp(13, 0, [0; 4], &[0; 12])).unwrap();
    assert_eq!(other.transport, Transport::IcmpOther { kind: 13, code: 0 });
    // ICMP of the other family is a protocol like any other
    assert_eq!(Packet::parse(&v4.raw(protocol::ICMPV6, &[128; 8])).unwrap().transport, Transport::Opaque);
    assert_eq!(Packet::parse(&v6.raw(protocol::ICMP, &[8; 8])).unwrap().transport, Transport::Opaque);
}
