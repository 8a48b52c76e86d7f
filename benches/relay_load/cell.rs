//! One cell: packets of one size, sealed in advance, sent in a closed loop, counted where they come out.
//!
//! Sealing and sending alternate in chunks, and only sending counts as time; the relaying node rests while the next
//! chunk is sealed. At most `window` packets are in flight. What is in flight when nothing has come for a while is
//! written off, else a loss would shrink the window for good; what is lost shows at the end, by counting.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bound;
use crate::cost;
use crate::inner;
use crate::plan::{CellPlan, Plan};
use crate::probe::Probe;
use crate::stage::Stage;
use crate::station::OVERHEAD;

/// Packets sealed before a chunk is sent; 47 MB of the larger ones.
const CHUNK: usize = 32_768;
/// No cell sends more than this, however fast the relaying node is.
const PACKETS_MAX: u64 = 20_000_000;
/// A cell takes at most this many times as long as it is to send; sealing takes part of it.
const PATIENCE: u32 = 8;
/// Trains between two looks at what came.
const BURST: usize = 64;
/// Longer than a busy machine lets the relaying node wait for a core.
const STALL: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_millis(300);
const PROBES_ALONE: usize = 200;

/// A train that is sealed and waits.
struct Train {
    from: usize,
    sealed: Vec<u8>,
}

#[derive(Default)]
struct Tally {
    sent: u64,
    arrived: u64,
    written_off: u64,
    /// Between the first packet sent and the last that came, over all chunks.
    busy: Duration,
}

impl Tally {
    fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.arrived + self.written_off)
    }
}

pub fn run(plan: &Plan, cell: CellPlan, stage: &mut Stage) -> io::Result<Value> {
    let both = |&(from, to): &(usize, usize)| [from, to];
    let who: Vec<usize> = plan.flows.iter().chain(&plan.probe).flat_map(both).collect();
    stage.connect(&who)?;
    for &(_, to) in &plan.flows {
        stage.stations[to].expect(cell.size, false);
    }
    first_packet(plan, cell, stage)?;

    let mut found = json!({ "size": cell.size, "train": cell.train });
    if let Some(pair) = plan.probe {
        let mut alone = Probe::new(stage, pair);
        alone.run_alone(stage, PROBES_ALONE)?;
        found["probe_idle"] = alone.finish(stage)?;
    }
    let mut probe = plan.probe.map(|pair| Probe::new(stage, pair));

    for &(_, to) in &plan.flows {
        stage.stations[to].expect(cell.size, false);
    }
    let pid = plan.relay.pid.to_string();
    let bound = bound::open_and_seal(cell.size)?;
    let before = cost::cpu_seconds(&pid)?;
    let mut tally = Tally::default();
    let end = cost::now() + Duration::from_secs_f64(plan.seconds) * PATIENCE;
    while tally.busy.as_secs_f64() < plan.seconds && tally.sent < PACKETS_MAX && cost::now() < end {
        let trains = seal_chunk(plan, cell, stage)?;
        send_chunk(plan, cell, stage, &trains, &mut tally, probe.as_mut())?;
        // One session each way stays young enough: renewing takes a round trip, and only when it is due.
        stage.connect(&who)?;
    }
    let cpu = cost::cpu_seconds(&pid)? - before;
    if let Some(probe) = probe {
        found["probe_load"] = probe.finish(stage)?;
    }
    summarise(&mut found, cell, stage, plan, (&tally, cpu, bound))?;
    Ok(found)
}

/// Sends one packet of each flow again and again until one has come out: the way is open, and it is the right one.
fn first_packet(plan: &Plan, cell: CellPlan, stage: &mut Stage) -> io::Result<()> {
    for &(from, to) in &plan.flows {
        let end = cost::now() + Duration::from_secs(10);
        while stage.stations[to].arrived == 0 {
            if cost::now() > end {
                return Err(io::Error::other(format!("nothing comes through from station {from} to {to}")));
            }
            let (sealed, stride) = seal_train(stage, (from, to), CellPlan { train: 1, ..cell }, 0)?;
            stage.stations[from].send_train(&sealed, stride)?;
            stage.receive(&[from, to], AGAIN)?;
        }
        // Others of these may be on their way, and would be counted as the load's.
        (0..10).try_for_each(|_| stage.receive(&[to], Duration::from_millis(5)))?;
        if stage.stations[to].spoiled > 0 {
            return Err(io::Error::other("what comes out cannot be opened, or is for another station"));
        }
    }
    Ok(())
}

fn seal_chunk(plan: &Plan, cell: CellPlan, stage: &mut Stage) -> io::Result<Vec<Train>> {
    let flows = plan.flows.iter().cycle().take(CHUNK / cell.train).enumerate();
    let seal = |(number, &(from, to))| {
        let port = (number / plan.flows.len() % usize::from(cell.ports)) as u16;
        Ok(Train { from, sealed: seal_train(stage, (from, to), cell, port)?.0 })
    };
    flows.map(seal).collect()
}

/// The sealed train, and the bytes of each packet in it.
fn seal_train(
    stage: &mut Stage,
    (from, to): (usize, usize),
    cell: CellPlan,
    port: u16,
) -> io::Result<(Vec<u8>, usize)> {
    let (source, target) = (stage.stations[from].address, stage.stations[to].address);
    let stride = cell.size + OVERHEAD;
    let mut sealed = Vec::with_capacity(stride * cell.train);
    let packet = inner::packet(source, target, cell.size, 0, port);
    for _ in 0..cell.train {
        stage.stations[from].seal(&packet, &mut sealed)?;
    }
    Ok((sealed, stride))
}

fn send_chunk(
    plan: &Plan,
    cell: CellPlan,
    stage: &mut Stage,
    trains: &[Train],
    tally: &mut Tally,
    mut probe: Option<&mut Probe>,
) -> io::Result<()> {
    let who: Vec<usize> = plan.flows.iter().chain(&plan.probe).map(|&(_, to)| to).collect();
    let start = cost::now();
    let mut last_arrival = start;
    let mut waiting = trains.iter().peekable();
    while waiting.peek().is_some() || tally.in_flight() > 0 {
        let mut sent = 0;
        while sent < BURST && tally.in_flight() + cell.train as u64 <= plan.window.max(cell.train as u64) {
            let Some(train) = waiting.peek() else { break };
            if !stage.stations[train.from].send_train(&train.sealed, cell.size + OVERHEAD)? {
                break;
            }
            tally.sent += cell.train as u64;
            sent += 1;
            waiting.next();
        }
        if let Some(probe) = &mut probe {
            probe.send(stage)?;
        }
        let time = if sent == BURST { Duration::ZERO } else { Duration::from_millis(1) };
        stage.receive(&who, time)?;
        if let Some(probe) = &mut probe {
            probe.collect(stage);
        }
        note_arrivals(plan, stage, tally, &mut last_arrival, waiting.peek().is_none());
    }
    tally.busy += last_arrival - start;
    Ok(())
}

/// Counts what came, and writes off what has been in flight for too long.
fn note_arrivals(plan: &Plan, stage: &Stage, tally: &mut Tally, last_arrival: &mut Instant, all_sent: bool) {
    let arrived = plan.flows.iter().map(|&(_, to)| stage.stations[to].arrived).sum();
    let now = cost::now();
    if arrived > tally.arrived {
        *last_arrival = now;
        tally.arrived = arrived;
        // Some that were written off came late.
        tally.written_off = tally.written_off.min(tally.sent.saturating_sub(arrived));
    } else if now - *last_arrival > if all_sent { QUIET } else { STALL } {
        tally.written_off += tally.in_flight();
    }
}

fn summarise(
    found: &mut Value,
    cell: CellPlan,
    stage: &Stage,
    plan: &Plan,
    (tally, cpu, bound): (&Tally, f64, f64),
) -> io::Result<()> {
    let spoiled: u64 = plan.flows.iter().map(|&(_, to)| stage.stations[to].spoiled).sum();
    if spoiled > 0 {
        return Err(io::Error::other(format!("{spoiled} of the packets looked into were not what was sent")));
    }
    if tally.arrived == 0 {
        return Err(io::Error::other("no packet came out"));
    }
    let (arrived, size) = (tally.arrived as f64, cell.size as f64);
    found["sent"] = json!(tally.sent);
    found["arrived"] = json!(tally.arrived);
    found["seconds"] = json!(tally.busy.as_secs_f64());
    found["cpu_seconds"] = json!(cpu);
    found["lost_percent"] = json!(100.0 * (1.0 - arrived / tally.sent as f64));
    found["kpps"] = json!(arrived / tally.busy.as_secs_f64() / 1e3);
    found["cpu_us_per_packet"] = json!(cpu / arrived * 1e6);
    found["cpu_s_per_gb"] = json!(cpu / (arrived * size) * 1e9);
    found["ring_us_per_packet"] = json!(bound * 1e6);
    found["ring_s_per_gb"] = json!(bound / size * 1e9);
    Ok(())
}
