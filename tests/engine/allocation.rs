//! The packet path allocates nothing: counted, for packets of established flows and of new ones, with trains in and
//! out, and through the TUN device's super packets. A binary of its own, for it has an allocator that counts.

#[expect(dead_code, reason = "shared with the engine's cases")]
mod ip;
#[expect(dead_code, reason = "shared with the engine's cases")]
mod town;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use vpmesh::engine::{Datagram, Outbox};

struct Counting;

thread_local! {
    /// Of each test for itself.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const GW: &str = "alice/attic/gw";
const A: &str = "alice/attic/a";
const B: &str = "alice/attic/b";

#[test]
fn no_packet_allocates() {
    let alice = town::roster::Roster::of("alice").room("attic");
    let alice =
        alice.lines(r#"ingress = [{ allow = "any", note = "something to judge" }]"#).gateway("gw").at(1);
    let alice = alice.station("a").station("b").lines(r#"ingress = [{ allow = "udp/7000-7999" }]"#);
    let mut town = town::Town::new(&[("alice", &alice.text())], &[GW], &[(A, GW), (B, GW)]);
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
        let allocations = ALLOCATIONS.get();
        engine.handle_udp(&mut batch, now, &mut out);
        let allocations = ALLOCATIONS.get() - allocations;
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

#[cfg(feature = "os")]
#[test]
fn no_super_packet_allocates() {
    use vpmesh::os::tun::join::Join;
    use vpmesh::os::tun::split::Split;
    use vpmesh::os::tun::vnet_header::VnetHeader;
    use vpmesh::packet::craft::Craft;

    let craft = |id| Craft { id, ..Craft::new("10.88.1.10", "10.88.2.10") };
    let flow = |port| (0..100).map(move |id| craft(id).udp(port, 80, &[7; 1300]));
    let packets: Vec<_> = flow(1).zip(flow(2)).flat_map(|(one, other)| [one, other]).collect();
    let (mut join, mut space, mut read) = (Join::everything(), [0; 1420], vec![0; 1 << 17]);
    let (mut writes, mut segments) = (0, 0);
    let before = ALLOCATIONS.get();
    let refused = join.send(packets.iter().map(Vec::as_slice), |slices| {
        writes += 1;
        let mut length = 0;
        for slice in slices {
            read[length..][..slice.len()].copy_from_slice(slice);
            length += slice.len();
        }
        let (header, packet) = read[..length].split_at_mut(VnetHeader::LENGTH);
        let mut split = Split::begin(VnetHeader::read(header).unwrap(), packet, space.len()).unwrap();
        while split.next(packet, &mut space).is_some() {
            segments += 1;
        }
        Ok(())
    });
    assert_eq!((ALLOCATIONS.get() - before, refused, segments), (0, 0, 200));
    assert_eq!(writes, 4, "50 of these fill a super packet");
}
