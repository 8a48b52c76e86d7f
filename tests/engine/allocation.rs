//! The packet path allocates nothing: counted, for packets of established flows and of new ones, with trains in and
//! out. A binary of its own, for its allocator counts for everybody in the process.

#[expect(dead_code, reason = "shared with the engine's cases")]
mod ip;
#[expect(dead_code, reason = "shared with the engine's cases")]
mod town;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use vpmesh::engine::{Datagram, Outbox};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ALICE: &str = r#"
owner = "alice"
serial = 1
[[room]]
name = "attic"
ingress = [{ allow = "any", note = "something to judge" }]
[[room.gateway]]
name = "gw"
key = "KEY(alice/attic/gw)"
endpoints = ["203.0.113.1:51888"]
[[room.station]]
name = "a"
key = "KEY(alice/attic/a)"
[[room.station]]
name = "b"
key = "KEY(alice/attic/b)"
ingress = [{ allow = "udp/7000-7999" }]
"#;

const GW: &str = "alice/attic/gw";
const A: &str = "alice/attic/a";
const B: &str = "alice/attic/b";

#[test]
fn no_packet_allocates() {
    let mut town = town::Town::new(&[("alice", ALICE)], &[GW], &[(A, GW), (B, GW)]);
    let (a, b) = (town.v6(A), town.v6(B));
    let mut out = Outbox::with_capacity(1 << 20, 1 << 16);
    let mut count = |town: &mut town::Town, label: &str, packets: Vec<Vec<u8>>, expected: u64| {
        let mut trains: Vec<_> = packets
            .chunks(8)
            .map(|chunk| {
                let sealed: Vec<_> = chunk.iter().map(|packet| town.sealed(A, packet)).collect();
                let stride = sealed[0].1.len();
                (sealed[0].0, stride, sealed.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>())
            })
            .collect();
        let mut batch: Vec<_> = trains
            .iter_mut()
            .map(|(source, stride, bytes)| Datagram {
                source: *source,
                local: None,
                ecn: 0,
                bytes,
                stride: *stride,
            })
            .collect();
        let now = town.now;
        let engine = &mut town.gateway(GW).engine;
        let before = engine.status(now).to_peers.packets;
        let allocations = ALLOCATIONS.load(Ordering::Relaxed);
        engine.handle_udp(&mut batch, now, &mut out);
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - allocations;
        out.clear();
        assert_eq!(engine.status(now).to_peers.packets - before, expected, "{label}");
        println!("{label}: {allocations} allocations for {} packets", packets.len());
        allocations
    };
    let flow = |port, len| ip::udp(a, 5000, b, port, len);
    // The first packets fill tables that grow: flows, lists.
    count(&mut town, "warming up", (0..512).map(|i| flow(7000 + i, 20)).collect(), 512);
    count(&mut town, "one denied", vec![flow(8000, 20)], 0);
    assert_eq!(count(&mut town, "an established flow", (0..512).map(|_| flow(7000, 1300)).collect(), 512), 0);
    assert_eq!(count(&mut town, "denied", (0..512).map(|i| flow(8000 + i, 20)).collect(), 0), 0);
    // A table of 1,000 flows lets a peer begin 250, so each of these replaces one.
    assert_eq!(count(&mut town, "new flows", (0..512).map(|i| flow(7200 + i, 20)).collect(), 512), 0);
}
