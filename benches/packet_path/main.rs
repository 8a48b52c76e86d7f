//! The packet path alone, for counting its instructions: `packet_path WORKLOAD PACKETS`.
//!
//! A gateway's engine with a real policy, real sessions and packets sealed in advance; no sockets, no clock, and the
//! same numbers every time. Tools count inside [`counted`]: callgrind here (`counts.py`), qemu for a router
//! (`router.py`). A run ends with an error unless every packet went where its workload says.

#[expect(dead_code, reason = "shared with the engine's cases")]
#[path = "../../tests/engine/ip.rs"]
mod ip;
mod rosters;
#[expect(dead_code, reason = "shared with the engine's cases")]
#[path = "../../tests/engine/town/mod.rs"]
mod town;
mod workload;

use vpmesh::engine::{Datagram, Engine, Now, Outbox};

use rosters::GATEWAY;
use workload::{Batch, Workload};

const USAGE: &str = "packet_path WORKLOAD PACKETS; `packet_path list` names the workloads";
/// Hash tables are seeded with addresses of the stack, and how many entries a look-up compares is chance: gateways
/// made one after the other have other seeds, and packets are shared out among them.
const TOWNS: usize = 32;

fn main() -> Result<(), String> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (name, packets) = match arguments.as_slice() {
        [list] if list == "list" => {
            Workload::ALL.iter().for_each(|workload| println!("{}", workload.name));
            return Ok(());
        }
        [name, packets] => (name, packets.parse::<usize>().map_err(|error| format!("{packets}: {error}"))?),
        _ => return Err(USAGE.to_owned()),
    };
    let workload = Workload::ALL.iter().find(|workload| workload.name == name);
    run(workload.ok_or_else(|| format!("{name}: no such workload; {USAGE}"))?, packets)
}

fn run(workload: &Workload, packets: usize) -> Result<(), String> {
    if !packets.is_multiple_of(TOWNS) {
        return Err(format!("{packets}: not a multiple of {TOWNS}"));
    }
    (0..TOWNS).try_for_each(|_| run_town(workload, packets / TOWNS))
}

fn run_town(workload: &Workload, packets: usize) -> Result<(), String> {
    let mut town = rosters::town();
    let mut out = Outbox::with_capacity(1 << 20, 1 << 20);
    for mut batch in workload.warm_up(&mut town) {
        feed(&mut batch, &mut town, &mut out, handle);
    }
    let mut batches = workload.batches(&mut town, packets);
    let before = Went::of(&mut town);
    for batch in &mut batches {
        feed(batch, &mut town, &mut out, counted);
    }
    let went = Went::of(&mut town).since(before);
    let expected = workload.expected(packets as u64);
    if went == expected { Ok(()) } else { Err(format!("{}: {went:?}, not {expected:?}", workload.name)) }
}

/// Where packets went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Went {
    pub to_peers: u64,
    pub to_kernel: u64,
    pub denied: u64,
}

impl Went {
    fn of(town: &mut town::Town) -> Self {
        let now = town.now;
        let status = town.gateway(GATEWAY).engine.status(now);
        let denied = status.drops.get("denied").copied().unwrap_or(0);
        Self { to_peers: status.to_peers.packets, to_kernel: status.to_kernel.packets, denied }
    }

    fn since(self, before: Self) -> Self {
        Self {
            to_peers: self.to_peers - before.to_peers,
            to_kernel: self.to_kernel - before.to_kernel,
            denied: self.denied - before.denied,
        }
    }
}

type Handle = fn(&mut Engine, Given<'_, '_>, Now, &mut Outbox);

/// Gives the engine one batch, as the event loop would.
fn feed(batch: &mut Batch, town: &mut town::Town, out: &mut Outbox, handle: Handle) {
    let now = town.now;
    let engine = &mut town.gateway(GATEWAY).engine;
    match batch {
        Batch::Udp(trains) => {
            let mut datagrams: Vec<_> = trains
                .iter_mut()
                .map(|train| Datagram {
                    source: train.source,
                    local: None,
                    ecn: 0,
                    bytes: &mut train.bytes,
                    stride: train.stride,
                })
                .collect();
            handle(engine, Given::Udp(&mut datagrams), now, out);
        }
        Batch::Tun(packets) => {
            let mut packets: Vec<_> = packets.iter_mut().map(Vec::as_mut_slice).collect();
            handle(engine, Given::Tun(&mut packets), now, out);
        }
    }
    out.clear();
}

enum Given<'a, 'b> {
    Udp(&'a mut [Datagram<'b>]),
    Tun(&'a mut [&'b mut [u8]]),
}

/// What is counted. A function of its own, without closures, for tools find it by its name.
#[inline(never)]
fn counted(engine: &mut Engine, given: Given<'_, '_>, now: Now, out: &mut Outbox) {
    handle(engine, given, now, out);
}

#[inline]
fn handle(engine: &mut Engine, given: Given<'_, '_>, now: Now, out: &mut Outbox) {
    match given {
        Given::Udp(datagrams) => {
            engine.handle_udp(datagrams, now, out);
            engine.handle_batch(false, now);
        }
        Given::Tun(packets) => engine.handle_tun(packets, now, out),
    }
}
