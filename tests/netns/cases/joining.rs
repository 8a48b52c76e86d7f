//! A new node that is told one line learns all else by itself.
//!
//! ```text
//!   laptop ──wg── gw ═══════════ wg ═══════════ new ──wg── phone
//!   room attic    (has the roster)   room cellar (has the line)
//! ```

use std::time::Duration;

use crate::lab::ping::wait_until_reached;
use crate::lab::wait::wait_for;
use crate::lab::{Gateway, Internet, Lab, Owner, Room, Station};

/// A handshake is tried every five seconds.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_node_that_has_one_line_gets_its_roster_and_serves_its_room() {
    let lab = Lab::new();
    let internet = Internet::new();
    let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
    let laptop = alice.node("attic/laptop", "10.88.1.10");
    let phone = alice.node("cellar/phone", "10.88.3.10");
    let mut gw = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.1.1"));
    let mut new = Gateway::new(&lab, &internet, &alice, &alice.node("cellar/new", "10.88.3.1"));

    let attic = Room::new("attic").gateway(&gw).station(&laptop);
    let first = alice.sign(&attic);
    gw.start_with(&lab, &[&first]);

    let line = gw.tool(&["invite", first.toml.to_str().unwrap(), "--node", "alice/cellar/new"]);
    assert!(line.is_success(), "{line:?}");
    let entry = new.join(line.stdout.trim());
    new.start(&lab);
    assert!(new.status()["owners"].as_array().unwrap().is_empty(), "it knows no roster yet");
    gw.wait_for_drops("unknown_key", 1);

    let second = alice.sign(&format_args!("{attic}{}", Room::new("cellar").lines(entry).station(&phone)));
    gw.reload(&[&second]);
    wait_for("the new node has its owner's roster", SOON, || {
        let owners = new.status()["owners"].clone();
        (owners[0]["owner"] == "alice" && owners[0]["serial"] == 2).then_some(())
    });

    let laptop = Station::join(&lab, &internet, &laptop, &gw.uplink(&[&alice]));
    let phone = Station::join(&lab, &internet, &phone, &new.uplink(&[&alice]));
    wait_until_reached(&phone.namespace, laptop.node.v4.into(), SOON);

    // What it was told it has on disk: it serves its room with everybody else down.
    gw.kill();
    new.stop();
    new.start(&lab);
    assert_eq!(new.status()["owners"][0]["serial"], 2);
}
