//! A gateway with a thousand configured stations, measured.
//!
//! ```text
//!   laptop ──wg──┐               ┌──wg── phone
//!                gw (vpmesh) ────┘       and 998 stations that are not there
//!                room attic, owner alice
//! ```
//!
//! What is measured goes to standard error, also when the test passes. The limits are for a machine that does other
//! things too; they only catch what is wrong by a factor.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::lab::ping::wait_until_reached;
use crate::lab::wait::holds_for;
use crate::lab::{Gateway, Internet, Lab, Owner, Room, Station};

const STATIONS: usize = 1000;
const IDLE: Duration = Duration::from_secs(10);

#[test]
fn a_thousand_stations_cost_little_memory_and_no_idle_time() {
    let lab = Lab::alone();
    let internet = Internet::new();
    let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
    let nodes: Vec<_> = (0..STATIONS)
        .map(|n| alice.node(&format!("attic/s{n}"), &format!("10.88.{}.{}", 1 + n / 200, 10 + n % 200)))
        .collect();
    let mut gateway = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.0.1"));
    let sign = |service: &str| {
        let policy = format!("ingress = [{{ allow = [\"icmp\", \"{service}\"], from = \"alice/attic\" }}]");
        let begun = Room::new("attic").gateway(&gateway);
        alice.sign(&nodes.iter().fold(begun, |room, node| room.station(node).lines(&policy)))
    };
    let (first, second) = (sign("tcp/22"), sign("tcp/443"));
    gateway.take(&[&first]);

    let begin = Instant::now();
    gateway.start(&lab);
    let start_up = begin.elapsed();
    let fresh = gateway.usage();

    let uplink = gateway.uplink(&[&alice]);
    let [laptop, phone] = [0, STATIONS - 1].map(|n| Station::join(&lab, &internet, &nodes[n], &uplink));
    wait_until_reached(&laptop.namespace, phone.node.v4.into(), Duration::from_secs(10));

    let begin = Instant::now();
    gateway.reload(&[&second]);
    let reload = begin.elapsed();
    assert!(laptop.reaches(phone.node.v6));

    let before = gateway.usage();
    holds_for("the laptop's client runs", IDLE, || laptop.tunnel.last_handshake().is_some());
    let after = gateway.usage();
    let idle = (after.cpu - before.cpu).as_secs_f64() / IDLE.as_secs_f64();

    let table = format!(
        "\n| a gateway with {STATIONS} configured stations | |\n|---|---|\n\
         | start-up, until `status` answers | {start_up:.2?} |\n\
         | reload, all rules changed | {reload:.2?} |\n\
         | CPU, idle (two stations with keepalives) | {:.1} % |\n\
         | resident memory after start-up | {:.1} MiB |\n\
         | resident memory, then | {:.1} MiB |\n\
         | resident memory at most | {:.1} MiB |\n",
        idle * 100.0,
        mebibytes(fresh.resident),
        mebibytes(after.resident),
        mebibytes(after.resident_max),
    );
    // Past the test harness, which keeps what a passing test prints.
    let _ = std::io::stderr().write_all(table.as_bytes());

    assert!(start_up < Duration::from_secs(10), "{table}");
    assert!(reload < Duration::from_secs(5), "{table}");
    assert!(idle < 0.05, "{table}");
    assert!(after.resident_max < 96 * 1024, "{table}");
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
