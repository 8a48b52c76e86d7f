//! Any bytes as a packet: it is refused, or its summary holds, and the mutators change what they say and nothing else.

use vpmesh::base::DropReason;
use vpmesh::packet::{self, Ecn, IcmpErrorKind, Packet, Transport, icmp};

pub fn run(data: &[u8]) {
    // Refused packets have answers made of them too, where a gateway quotes before it judges.
    answers(data);
    let Ok(parsed) = Packet::parse(data) else { return };
    assert!(parsed.total_len <= data.len());
    assert!(parsed.transport_offset <= parsed.total_len);
    assert_eq!(parsed.src.is_ipv6(), parsed.dst.is_ipv6());
    assert_eq!(Packet::parse(&data[..parsed.total_len]), Ok(parsed), "padding means nothing");
    for address in [parsed.src, parsed.dst] {
        assert_eq!(vpmesh::base::prefix::canonical(address), address);
    }
    let _ = parsed.tuple();
    hop_limit(data, &parsed);
    congestion(data, &parsed);
    mss(data, &parsed);
}

fn hop_limit(data: &[u8], parsed: &Packet) {
    let mut bytes = data.to_vec();
    let alive = packet::decrement_hop_limit(&mut bytes);
    assert_eq!(alive, parsed.hop_limit > 1);
    if alive {
        let expected = Packet { hop_limit: parsed.hop_limit - 1, ..*parsed };
        assert_eq!(Packet::parse(&bytes), Ok(expected));
    }
}

fn congestion(data: &[u8], parsed: &Packet) {
    for bits in 0..4 {
        let mut bytes = data.to_vec();
        let ecn = Ecn::from_bits(bits);
        if packet::set_ecn(&mut bytes, ecn) {
            let expected = Packet { traffic_class: parsed.traffic_class & !3 | bits, ..*parsed };
            assert_eq!(Packet::parse(&bytes), Ok(expected));
        } else {
            assert_eq!(bytes, data);
        }
    }
}

fn mss(data: &[u8], parsed: &Packet) {
    let mut bytes = data.to_vec();
    if packet::clamp_mss(&mut bytes, parsed, 1220) {
        assert_eq!(Packet::parse(&bytes), Ok(*parsed));
        assert!(!packet::clamp_mss(&mut bytes, parsed, 1220), "clamped once is enough");
    } else {
        assert_eq!(bytes, data);
    }
}

/// ICMP errors about these bytes are packets themselves, and say what they should.
fn answers(data: &[u8]) {
    let four = std::net::IpAddr::from([10, 88, 0, 1]);
    let six = std::net::IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
    for from in [four, six] {
        // Nobody sends with the gateway's own address: that is dropped as spoofed before it is answered.
        if Packet::parse(data).is_ok_and(|parsed| parsed.src == from) {
            continue;
        }
        let mut out = [0; 1280];
        let too_big = icmp::packet_too_big(&mut out, data, from, 1280).map(|len| Packet::parse(&out[..len]));
        check_answer(too_big, |kind| matches!(kind, IcmpErrorKind::TooBig { mtu: 1280 }));
        let exceeded = icmp::time_exceeded(&mut out, data, from).map(|len| Packet::parse(&out[..len]));
        check_answer(exceeded, |kind| kind == IcmpErrorKind::TimeExceeded);
        for room in [0, 20, 60] {
            icmp::time_exceeded(&mut out[..room], data, from);
        }
    }
}

fn check_answer(answer: Option<Result<Packet, DropReason>>, is_kind: impl Fn(IcmpErrorKind) -> bool) {
    match answer {
        None => {}
        Some(Ok(Packet { transport: Transport::IcmpError { kind, .. }, .. })) => assert!(is_kind(kind)),
        Some(other) => panic!("an answer that is not one: {other:?}"),
    }
}
