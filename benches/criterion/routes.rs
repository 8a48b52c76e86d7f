//! Where an address is: two owners' prefixes and 10,000 nodes.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::Criterion;
use vpmesh::table::{PeerId, Routes, Via};

const NODES: u32 = 10_000;
/// Looked up in turns, so that no single address' place in a hash table is what is timed.
const PROBES: u32 = 1_024;

pub fn bench(criterion: &mut Criterion) {
    let routes = routes();
    let mut group = criterion.benchmark_group("routes");
    // A prime visits nodes in no order.
    let nodes = |address: fn(u32) -> IpAddr| move |number: u32| address(number * 7_919 % NODES);
    let mut case = |name: &str, found: Option<Via>, address: &dyn Fn(u32) -> IpAddr| {
        let probes: Vec<_> = (0..PROBES).map(address).collect();
        let is_as_said = |&probe: &IpAddr| match found {
            Some(Via::Peer(_)) => matches!(routes.lookup(probe), Some(Via::Peer(_))),
            other => routes.lookup(probe) == other,
        };
        assert!(probes.iter().all(is_as_said), "{name}");
        let mut turn = probes.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| routes.lookup(*black_box(turn.next().unwrap_or(&probes[0]))))
        });
    };
    let peer = Some(Via::Peer(PeerId(0)));
    case("v4 host", peer, &nodes(v4));
    case("v6 host", peer, &nodes(v6));
    case("v4 prefix, nobody there", None, &|number| v4(NODES + number));
    case("v6 prefix, nobody there", None, &|number| v6(NODES + number));
    case("v4 internet", Some(Via::Kernel), &|number| Ipv4Addr::from_bits(0xc000_0200 + number).into());
    case("v6 internet", Some(Via::Kernel), &|number| {
        Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number)).into()
    });
    group.finish();
}

fn routes() -> Routes {
    let mut routes = Routes::default();
    routes.insert_default(Via::Kernel);
    for prefix in ["10.88.0.0/16", "10.89.0.0/16", "fd00:88::/48", "fd00:89::/48"] {
        routes.insert_unreachable(prefix.parse().expect("a prefix"));
    }
    for number in 0..NODES {
        let via = Via::Peer(PeerId(number / 25));
        routes.insert(v4(number).into(), via);
        routes.insert(v6(number).into(), via);
    }
    routes
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a58_0001 + number).into()
}

fn v6(number: u32) -> IpAddr {
    Ipv6Addr::from_bits(0xfd00_0088 << 96 | u128::from(number + 1)).into()
}
