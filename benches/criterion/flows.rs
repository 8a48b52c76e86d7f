//! The flow table with few flows and with many.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

use criterion::Criterion;
use vpmesh::packet::Packet;
use vpmesh::packet::craft::Craft;
use vpmesh::table::{FlowTable, Found, PeerId, Via};

const FROM: Via = Via::Peer(PeerId(0));
const TO: Via = Via::Peer(PeerId(1));

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flows");
    let now = now();
    for count in [1_000, 50_000] {
        let packets: Vec<_> = (0..3 * count).map(packet).collect();
        // A peer may begin a quarter of the table's.
        let mut table = FlowTable::new(4 * count, [3; 32], now);
        for packet in &packets[..count] {
            table.open(packet, FROM, TO, now).expect("there is room");
        }
        // A prime visits flows in no order.
        let turns = |first: usize| (0..).map(move |turn: usize| first + turn * 7_919 % count);
        let mut known = turns(0);
        let mut unknown = turns(count);
        let mut lookup = |packet: usize| table.lookup(black_box(&packets[packet]), FROM, now);
        assert!(matches!(lookup(0), Found::Hit { .. }) && lookup(count) == Found::New);
        group.bench_function(format!("hit among {count}"), |bencher| {
            bencher.iter(|| lookup(known.next().unwrap_or_default()))
        });
        group.bench_function(format!("miss among {count}"), |bencher| {
            bencher.iter(|| lookup(unknown.next().unwrap_or_default()))
        });
        // The peer is at its share: each takes the place of its oldest.
        let mut new = (0..3 * count).cycle().skip(count);
        group.bench_function(format!("open among {count}"), |bencher| {
            bencher.iter(|| table.open(black_box(&packets[new.next().unwrap_or_default()]), FROM, TO, now));
        });
        assert_eq!(table.len(), count);
    }
    group.finish();
}

fn packet(number: usize) -> Packet {
    let host = Ipv4Addr::from_bits(0x0a58_0001 + number as u32 / 100);
    let bytes = Craft::between(host.into(), Ipv4Addr::new(10, 89, 1, 1).into()).udp(
        1_024 + (number % 100) as u16,
        5201,
        &[0x5a; 36],
    );
    Packet::parse(&bytes).expect("a good packet")
}

#[expect(clippy::disallowed_methods, reason = "a start to count from")]
fn now() -> Instant {
    Instant::now()
}
