//! First packets judged, in the meshes of `benches/judge`: two owners, five rules a node, six borders on the way.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use vpmesh::packet::Packet;
use vpmesh::policy::Judge;

use crate::town::Town;

/// Different flows in turns.
const FLOWS: usize = 1_024;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    group.throughput(Throughput::Elements(1));
    for nodes in [100, 1_000, 10_000] {
        let town = Town::new(nodes);
        let judge = Judge::new(Arc::new(town.model().expect("good rosters")));
        let packets: Vec<_> = (0..FLOWS)
            .map(|number| Packet::parse(&town.first_packet(number).0).expect("a good packet"))
            .collect();
        let mut turn = packets.iter().cycle();
        group.bench_function(format!("{nodes} nodes"), |bencher| {
            bencher.iter(|| {
                let packet = black_box(turn.next().unwrap_or(&packets[0]));
                judge.judge(&judge.question(packet))
            });
        });
    }
    group.finish();
}
