//! A crowd of gateways, all registered at one relay, of which pairs send each other sealed datagrams through it.
//!
//! One process plays them all with vpmesh's own parts: each has a session with the relay, a leg, and each pair a channel.
//! What is in the frames is as long as a sealed packet and of no session, for a relay can't tell. `benches/relay` starts it
//! in a namespace of its own with a plan in JSON on standard input. It says `cell N` when a cell begins, sends in a closed
//! loop for the plan's seconds, and then says in JSON what was sent and what came.

#[path = "../relay_load/cost.rs"]
#[expect(dead_code, reason = "the clock alone is wanted")]
mod cost;
mod gateway;
#[path = "../relay_load/socket.rs"]
mod socket;
#[path = "../relay_load/wait.rs"]
mod wait;

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use vpmesh::base::{PrivateKey, PublicKey};

use gateway::Gateway;
use socket::Buffers;

/// Between two looks at what came.
const BURST: usize = 16;
/// What is in flight when nothing has come for so long is lost.
const STALL: Duration = Duration::from_millis(100);
/// How long everybody may take to register: the relay takes twenty handshakes a second from one address.
const REGISTERED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    relay: Relay,
    /// Private keys. The first and the second are a pair, and so on.
    gateways: Vec<String>,
    /// The UDP port of the first; the next ones have the next ones.
    port: u16,
    cells: Vec<Cell>,
    /// How long each cell sends.
    seconds: f64,
    /// The most datagrams in flight.
    window: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Relay {
    endpoint: SocketAddrV4,
    key: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cell {
    /// Octets of a packet before it is sealed.
    size: usize,
    /// Datagrams of one train.
    train: usize,
}

fn main() -> anyhow::Result<()> {
    let plan: Plan = serde_json::from_reader(io::stdin().lock()).context("the plan on standard input")?;
    let relay_key: PublicKey = plan.relay.key.parse().context("the relay's key")?;
    let mut crowd = Vec::new();
    for (number, key) in plan.gateways.iter().enumerate() {
        let key: PrivateKey = key.parse().context("a gateway's key")?;
        let port = plan.port + u16::try_from(number)?;
        crowd.push(Gateway::new(key, port, plan.relay.endpoint.into(), relay_key)?);
    }
    let mut buffers = Buffers::new();
    register(&mut crowd, &mut buffers)?;
    for (number, &cell) in plan.cells.iter().enumerate() {
        println!("cell {number}");
        let (sent, arrived) = run(&plan, cell, &mut crowd, &mut buffers)?;
        let lost = (sent - arrived.min(sent)) as f64 / sent as f64 * 100.0;
        println!("{}", serde_json::json!({ "sent": sent, "arrived": arrived, "lost_percent": lost }));
    }
    Ok(())
}

/// Everybody has a leg, and every pair a channel.
fn register(crowd: &mut [Gateway], buffers: &mut Buffers) -> anyhow::Result<()> {
    let end = cost::now() + REGISTERED_WITHIN;
    loop {
        let keys: Vec<_> = crowd.iter().map(|gateway| (gateway.is_registered(), gateway.public)).collect();
        for (at, gateway) in crowd.iter_mut().enumerate() {
            let other = keys.get(at + 1).filter(|(registered, _)| at % 2 == 0 && *registered);
            gateway.step(other.map(|(_, key)| *key), buffers)?;
        }
        let missing = crowd.iter().step_by(2).filter(|gateway| gateway.channel.is_none()).count();
        if missing == 0 {
            return Ok(());
        }
        if cost::now() > end {
            bail!("{missing} pairs of {} have no channel", crowd.len() / 2);
        }
        wait::for_any(crowd.iter().map(Gateway::socket), Duration::from_millis(20))?;
    }
}

/// What was sent, and what came.
fn run(plan: &Plan, cell: Cell, crowd: &mut [Gateway], buffers: &mut Buffers) -> anyhow::Result<(u64, u64)> {
    crowd.iter_mut().for_each(|gateway| gateway.expect(cell.size));
    let (mut sent, mut written_off, mut before, mut next) = (0, 0, 0, 0);
    let (begun, mut came) = (cost::now(), cost::now());
    while (cost::now() - begun).as_secs_f64() < plan.seconds {
        let mut receivers = Vec::with_capacity(BURST);
        for _ in 0..BURST {
            if sent + cell.train as u64 > before + written_off + plan.window {
                break;
            }
            if crowd[next].send_train(cell.size, cell.train)? {
                sent += cell.train as u64;
            }
            receivers.push(next + 1);
            next = (next + 2) % (crowd.len() & !1);
        }
        if receivers.is_empty() {
            wait::for_any(crowd.iter().map(Gateway::socket), Duration::from_millis(10))?;
        }
        for gateway in crowd.iter_mut().skip(1).step_by(2) {
            gateway.receive(buffers)?;
        }
        let arrived = crowd.iter().map(|gateway| gateway.arrived).sum();
        if arrived > before {
            (before, came) = (arrived, cost::now());
        } else if cost::now() - came > STALL {
            (written_off, came) = (sent.saturating_sub(arrived), cost::now());
        }
    }
    let end = cost::now() + STALL * 3;
    while cost::now() < end {
        wait::for_any(crowd.iter().map(Gateway::socket), STALL)?;
        crowd.iter_mut().try_for_each(|gateway| gateway.receive(buffers))?;
    }
    Ok((sent, crowd.iter().map(|gateway| gateway.arrived).sum()))
}
