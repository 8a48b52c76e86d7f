//! The sealed-packet generator: loads one relaying node alone, where stock stations are too slow to.
//!
//! It plays the stations on both sides, with real handshakes, seals packets in advance and sends them through the
//! relaying node in a closed loop; what it prints is what the node spent, delivered and lost, beside the bound: the
//! cost of opening and sealing the same packets with ring alone, measured in the same minute. `benches/relay` starts
//! it in a namespace of its own with a plan in JSON on standard input; its answer is JSON on standard output. It is
//! bounded in packets and in time, and needs no network but the one to the relaying node.

mod bound;
mod cell;
mod cost;
mod inner;
mod plan;
mod probe;
mod socket;
mod stage;
mod station;
mod wait;

use std::io;

use anyhow::Context;

use plan::Plan;
use stage::Stage;

fn main() -> anyhow::Result<()> {
    let plan: Plan = serde_json::from_reader(io::stdin().lock()).context("the plan on standard input")?;
    plan.check()?;
    let mut stage = Stage::new(&plan)?;
    let everyone: Vec<usize> = (0..plan.stations.len()).collect();
    stage.connect(&everyone)?;
    let run = |cell| cell::run(&plan, cell, &mut stage).with_context(|| format!("{cell:?}"));
    let cells: Vec<_> = plan.cells.iter().copied().map(run).collect::<anyhow::Result<_>>()?;
    println!("{}", serde_json::json!({ "cells": cells }));
    Ok(())
}
