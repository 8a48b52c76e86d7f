//! How many new flows a second the judge decides, and how that grows with the mesh.
//!
//! Two owners, each with half of the nodes in rooms of 25, and five rules a node: three at its own border, one at its
//! room's, one at its owner's, so an owner's policy has as many rules as the owner has nodes. First packets of flows
//! from one owner's nodes to the other's cross six borders, and seven in eight pass all of them. What is timed is what
//! a packet without a flow costs: reading it, finding both ends, and the judgement. Prints JSON.

#[path = "../relay_load/cost.rs"]
mod cost;
mod town;

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use serde_json::{Value, json};
use vpmesh::packet::Packet;
use vpmesh::policy::Judge;

use town::Town;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Different flows that are judged in turns: few, whose way through the rules stays in the processor's cache, so that
/// growth is the method's; and many, whose way does not, as on a busy node.
const FEW: usize = 1 << 8;
const MANY: usize = 1 << 16;
/// Of CPU time for each figure; the kernel counts in steps of 10 ms.
const SECONDS: f64 = 1.0;

fn main() -> anyhow::Result<()> {
    let sizes: Vec<_> = SIZES.into_iter().map(judge).collect::<anyhow::Result<_>>()?;
    println!("{}", json!({ "sizes": sizes }));
    Ok(())
}

fn judge(nodes: usize) -> anyhow::Result<Value> {
    let town = Town::new(nodes);
    let model = Arc::new(town.model()?);
    let start = cost::now();
    let judge = Judge::new(model);
    let compiled = start.elapsed().as_secs_f64();
    let flows: Vec<_> = (0..MANY).map(|number| town.first_packet(number)).collect();
    for (bytes, expected) in &flows {
        anyhow::ensure!(
            is_allowed(&judge, bytes) == Some(*expected),
            "{nodes} nodes: a flow was judged wrongly"
        );
    }
    Ok(json!({
        "nodes": nodes,
        "rules": judge.rule_count(),
        "compile_s": compiled,
        "few_per_second": per_second(&judge, &flows[..FEW])?,
        "many_per_second": per_second(&judge, &flows)?,
    }))
}

fn per_second(judge: &Judge, flows: &[(Vec<u8>, bool)]) -> io::Result<f64> {
    let mut judged = 0;
    let start = cost::cpu_seconds("self")?;
    let mut spent = 0.0;
    while spent < SECONDS {
        for _ in 0..MANY / flows.len() {
            for (bytes, _) in flows {
                black_box(is_allowed(judge, black_box(bytes)));
            }
        }
        judged += MANY;
        spent = cost::cpu_seconds("self")? - start;
    }
    Ok(judged as f64 / spent)
}

/// `None` for what is no packet.
fn is_allowed(judge: &Judge, bytes: &[u8]) -> Option<bool> {
    let packet = Packet::parse(bytes).ok()?;
    Some(judge.judge(&judge.question(&packet)).is_allowed())
}
