//! How what a node needs grows with the mesh. Everybody is everybody's friend and can be reached, which is the most that a
//! mesh of so many can cost: each gateway keeps a session with each other one. `make sim-scale` prints the table up to 300
//! gateways of 30 owners.

use crate::build::Uplink;
use crate::clock::{MILLISECOND, SECOND, Time};
use crate::desk::Desk;
use crate::rng::Rng;
use crate::town::Town;

/// Gateways of each owner.
const GATEWAYS: usize = 10;
/// Everybody has what one was brought within this time, however many they are.
const CONVERGED: Time = 10 * SECOND;
/// Octets of UDP that a node says in a minute: to each other one, and besides.
const SAID_EACH: f64 = 360.0;
const SAID: f64 = 3_000.0;
/// Octets that a node has in memory: for each other one, and besides.
const HELD_EACH: f64 = 24_000.0;
const HELD: f64 = 800_000.0;
/// Sessions that are there of those that could be: where hundreds are switched on at the same instant, they are also made
/// anew at the same, and each node begins a bounded number a second.
const SESSIONS: f64 = 0.95;
/// How long it is listened: every session is made anew once.
const MINUTES: u64 = 2;

#[derive(Debug)]
struct Row {
    nodes: usize,
    sessions: f64,
    converged: Time,
    /// Octets, a node and minute.
    said: f64,
    engine: f64,
    rosters: f64,
}

fn town(nodes: usize) -> Town {
    let mut town = Town::empty(nodes as u64);
    town.diagram.quiet = true;
    let mut rng = Rng::new(nodes as u64, 8);
    let owners = nodes / GATEWAYS;
    town.owners = (0..owners).map(|owner| format!("owner{owner}")).collect();
    for owner in 0..owners {
        let friends = (0..owners).filter(|other| *other != owner).collect();
        let desk = Desk::new(&town.owners[owner], owner, friends);
        town.desks.push(desk);
    }
    town.owner_keys = town.desks.iter().map(Desk::public_key).collect();
    for owner in 0..owners {
        for _ in 0..GATEWAYS {
            town.add_room(owner, Uplink::Open, &mut rng);
        }
    }
    town.begin();
    town
}

fn measure(nodes: usize) -> Row {
    let mut town = town(nodes);
    town.run(60 * SECOND);
    let begin = town.now;
    let serial = town.desks[0].serial() + 1;
    town.publish_at(0, Some(0));
    let lags = |town: &Town| town.gateways.iter().any(|gateway| !gateway.holds("owner0", serial));
    while lags(&town) && town.now < begin + 60 * SECOND {
        town.run(town.now + 50 * MILLISECOND);
    }
    let converged = town.now - begin;
    town.run(town.now + 20 * SECOND);
    let before = town.internet.sent_bytes;
    town.run(town.now + MINUTES * 60 * SECOND);
    let said = (town.internet.sent_bytes - before) as f64 / nodes as f64 / MINUTES as f64;
    let connected = |id: usize| {
        let now = town.gateways[id].read_clock(town.now);
        town.gateways[id].engine().map_or(0, |engine| engine.peers(now).iter().filter(|row| row.up).count())
    };
    let sessions = (0..nodes).map(connected).sum::<usize>() as f64 / nodes as f64;
    assert_eq!(town.broken, None);
    let weights: Vec<_> =
        std::mem::take(&mut town.gateways).into_iter().map(|gateway| gateway.weigh()).collect();
    let mean = |part: usize| weights.iter().map(|weight| weight[part] as f64).sum::<f64>() / nodes as f64;
    Row { nodes, sessions, converged, said, engine: mean(0), rosters: mean(1) }
}

fn hold(row: &Row) {
    let others = (row.nodes - 1) as f64;
    assert!(row.sessions >= others * SESSIONS, "{row:?}: too few have a session with each other");
    assert!(row.converged <= CONVERGED, "{row:?}: too late");
    assert!(row.said <= SAID + SAID_EACH * others, "{row:?}: says too much");
    assert!(row.engine + row.rosters <= HELD + HELD_EACH * others, "{row:?}: holds too much");
}

fn table(sizes: &[usize]) {
    println!(
        "{:>6}{:>10}{:>14}{:>18}{:>12}{:>12}{:>12}",
        "nodes", "sessions", "converged, s", "octets/min", "a peer", "engine, KB", "rosters, KB"
    );
    for &nodes in sizes {
        let row = measure(nodes);
        println!(
            "{:>6}{:>10.1}{:>14.2}{:>18.0}{:>12.0}{:>12.0}{:>12.0}",
            row.nodes,
            row.sessions,
            row.converged as f64 / SECOND as f64,
            row.said,
            row.said / (row.nodes - 1) as f64,
            row.engine / 1_000.0,
            row.rosters / 1_000.0
        );
        hold(&row);
    }
}

#[test]
fn what_a_node_needs_grows_no_faster_than_the_mesh() {
    table(&[20, 40]);
}

/// `make sim-scale`
#[test]
#[ignore = "minutes"]
fn what_a_node_needs_among_300() {
    table(&[30, 100, 300]);
}
