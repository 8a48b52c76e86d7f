//! Reading a packet: both families, and what makes it longer.

use std::hint::black_box;

use criterion::Criterion;
use vpmesh::packet::craft::{Craft, Segment};
use vpmesh::packet::{Packet, TcpFlags, protocol};

const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packet");
    for (name, bytes) in packets() {
        assert!(Packet::parse(&bytes).is_ok(), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| Packet::parse(black_box(&bytes))));
    }
    group.finish();
}

fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = Craft::new("10.88.1.1", "10.89.1.1");
    let v6 = Craft::new("fd00:88::1", "fd00:89::1");
    let data = [0x5a; 1_200];
    let segment = Segment { flags: TcpFlags::ACK, seq: 1, ack: 1, data: &data, ..Segment::default() };
    // Each of eight octets: the next header, no more octets, and six of padding (PadN, RFC 8200, section 4.2).
    let mut extended = vec![DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0, protocol::UDP, 0, 1, 4, 0, 0, 0, 0];
    extended.extend(&v6.udp(5000, 5201, &data)[40..]);
    vec![
        ("v4 tcp", v4.tcp(5000, 5201, segment)),
        ("v4 udp", v4.udp(5000, 5201, &data)),
        ("v4 later fragment", v4.fragment(protocol::UDP, 1_200, false, &data)),
        ("v6 tcp", v6.tcp(5000, 5201, segment)),
        ("v6 udp", v6.udp(5000, 5201, &data)),
        ("v6 two extension headers", v6.raw(HOP_BY_HOP, &extended)),
        ("v6 later fragment", v6.fragment(protocol::UDP, 1_200, false, &data)),
    ]
}
