//! Rosters that travel between whole engines.

mod net;

use std::fmt::Write as _;
use std::time::Duration;

use net::{Net, signed};

const SECOND: Duration = Duration::from_secs(1);

/// A roster of an owner with so many rooms, each with a gateway; the first is the `first`th node of the net.
fn roster(owner: &str, serial: u64, friends: &[&str], first: usize, rooms: usize, more: &str) -> String {
    let mut text = format!("owner = \"{owner}\"\nserial = {serial}\n{more}\n");
    for friend in friends {
        let _ = writeln!(text, "[[friend]]\nowner = \"{friend}\"\nkey = \"OWNER({friend})\"");
    }
    for room in 0..rooms {
        let endpoint = Net::address(first + room);
        let _ = writeln!(
            text,
            "[[room]]\nname = \"r{room}\"\n[[room.gateway]]\nname = \"gw\"\nkey = \"KEY({owner}/r{room}/gw)\"\n\
             endpoints = [\"{endpoint}\"]"
        );
    }
    text
}

fn gateway(owner: &str, room: usize) -> String {
    format!("{owner}/r{room}/gw")
}

/// Every gateway of one owner, started with the same roster, and with sessions between them.
fn one_owner(rooms: usize) -> Net {
    let mut net = Net::new();
    let first = signed("alice", &roster("alice", 1, &[], 0, rooms, ""));
    for room in 0..rooms {
        net.start(&gateway("alice", room), room, std::slice::from_ref(&first));
        net.pass(Duration::from_millis(50));
    }
    net.pass(5 * SECOND);
    net
}

/// Alice's two gateways and bob's one; each owner accepts the other.
fn two_owners() -> (Net, [String; 3]) {
    let mut net = Net::new();
    let offers = [
        signed("alice", &roster("alice", 1, &["bob"], 0, 2, "")),
        signed("bob", &roster("bob", 1, &["alice"], 2, 1, "")),
    ];
    let paths = [gateway("alice", 0), gateway("alice", 1), gateway("bob", 0)];
    for (i, path) in paths.iter().enumerate() {
        net.start(path, i, &offers);
    }
    net.pass(5 * SECOND);
    (net, paths)
}

#[test]
fn a_new_roster_reaches_every_node_that_accepts_its_owner() {
    let (mut net, paths) = two_owners();
    net.publish(&paths[0], &signed("alice", &roster("alice", 2, &["bob"], 0, 2, ""))).unwrap();
    let took = net.until(10 * SECOND, |net| net.have("alice", 2) == 3).expect("it travels");
    assert!(took < SECOND, "{took:?}");
    net.publish(&paths[2], &signed("bob", &roster("bob", 5, &["alice"], 2, 1, ""))).unwrap();
    net.until(10 * SECOND, |net| net.have("bob", 5) == 3).expect("it travels");
    let now = net.now;
    let status = net.nodes[&paths[1]].engine.status(now);
    assert_eq!(status.owners[1].serial, 5);
    assert!(status.owners[1].from.is_some() && status.owners[1].refused.is_none(), "{:?}", status.owners);
    assert!(net.nodes.values().all(|node| node.refusals.is_empty()));
}

#[test]
fn a_friends_first_roster_comes_from_the_mesh() {
    let mut net = Net::new();
    let alice = signed("alice", &roster("alice", 1, &["bob"], 0, 2, ""));
    let bob = signed("bob", &roster("bob", 1, &["alice"], 2, 1, ""));
    net.start(&gateway("alice", 0), 0, &[alice.clone(), bob.clone()]);
    net.start(&gateway("alice", 1), 1, &[alice]);
    net.until(10 * SECOND, |net| net.have("bob", 1) == 2).expect("it travels");
}

#[test]
fn nobody_is_told_of_owners_whom_it_does_not_accept() {
    let mut net = Net::new();
    let alice = signed("alice", &roster("alice", 1, &["bob", "carol"], 0, 1, ""));
    let bob = signed("bob", &roster("bob", 1, &["alice"], 1, 1, ""));
    let carol = signed("carol", &roster("carol", 1, &["alice"], 2, 1, ""));
    net.start(&gateway("alice", 0), 0, &[alice.clone(), bob.clone(), carol.clone()]);
    net.start(&gateway("bob", 0), 1, &[alice.clone(), bob]);
    net.start(&gateway("carol", 0), 2, &[alice, carol]);
    net.pass(5 * SECOND);
    // Carol's newer roster is alice's business, and none of bob's.
    net.publish(&gateway("carol", 0), &signed("carol", &roster("carol", 2, &["alice"], 2, 1, ""))).unwrap();
    net.until(10 * SECOND, |net| net.serial(&gateway("alice", 0), "carol") == 2).expect("it travels");
    let before = net.nodes[&gateway("bob", 0)].sent;
    net.pass(5 * SECOND);
    assert_eq!(net.serial(&gateway("bob", 0), "carol"), 0);
    assert!(net.nodes[&gateway("bob", 0)].sent.0 - before.0 < 4);
}

#[test]
fn what_is_signed_twice_is_refused_and_told_by_both_who_see_it() {
    let (mut net, paths) = two_owners();
    let second = |note: &str| signed("bob", &roster("bob", 2, &["alice"], 2, 1, note));
    net.cut(&[paths[1].clone()]);
    net.publish(&paths[0], &second("# one")).unwrap();
    net.publish(&paths[1], &second("# other")).unwrap();
    net.until(10 * SECOND, |net| net.have("bob", 2) == 3).expect("each has one of them");
    net.cut(&[]);
    let told =
        |net: &Net, path: &str| net.nodes[path].refusals.iter().any(|(_, why)| why.contains("a second time"));
    net.until(90 * SECOND, |net| paths.iter().all(|path| told(net, path))).expect("everybody sees it");
    let count = |net: &Net| net.nodes.values().map(|node| node.refusals.len()).sum::<usize>();
    let before = count(&net);
    net.pass(120 * SECOND);
    assert_eq!(count(&net), before, "once");
    // A higher serial ends it.
    net.publish(&paths[2], &signed("bob", &roster("bob", 3, &["alice"], 2, 1, ""))).unwrap();
    net.until(30 * SECOND, |net| net.have("bob", 3) == 3).expect("it travels");
}

#[test]
fn a_node_never_goes_back() {
    let (mut net, paths) = two_owners();
    net.publish(&paths[0], &signed("alice", &roster("alice", 3, &["bob"], 0, 2, ""))).unwrap();
    net.until(10 * SECOND, |net| net.have("alice", 3) == 3).expect("it travels");
    let old = signed("alice", &roster("alice", 2, &["bob"], 0, 2, ""));
    let why = net.publish(&paths[2], &old).unwrap_err();
    assert!(why.contains("has serial 2, and 3 was accepted before"), "{why}");
    net.pass(60 * SECOND);
    assert_eq!(net.have("alice", 3), 3);
}

#[test]
fn a_node_that_was_away_catches_up() {
    let (mut net, paths) = two_owners();
    net.cut(&[paths[2].clone()]);
    net.publish(&paths[0], &signed("alice", &roster("alice", 2, &["bob"], 0, 2, ""))).unwrap();
    net.pass(40 * SECOND);
    assert_eq!(net.have("alice", 2), 2);
    net.cut(&[]);
    net.until(60 * SECOND, |net| net.have("alice", 2) == 3).expect("it catches up");
}

#[test]
fn a_large_roster_travels_too() {
    let (mut net, paths) = two_owners();
    let filling = "# filling, as long as a line may be\n".repeat(30_000);
    net.publish(&paths[0], &signed("alice", &roster("alice", 2, &["bob"], 0, 2, &filling))).unwrap();
    net.until(30 * SECOND, |net| net.have("alice", 2) == 3).expect("it travels");
}

#[test]
fn twenty_nodes_converge_within_seconds_and_the_half_that_was_cut_off_catches_up() {
    converge(20);
}

#[test]
fn a_hundred_nodes_converge_within_seconds_and_the_half_that_was_cut_off_catches_up() {
    converge(100);
}

fn converge(count: usize) {
    let mut net = one_owner(count);
    let sent = |net: &Net| net.nodes.values().map(|node| node.sent.1).sum::<u64>();
    let before = sent(&net);
    net.publish(&gateway("alice", 0), &signed("alice", &roster("alice", 2, &[], 0, count, ""))).unwrap();
    let took = net.until(30 * SECOND, |net| net.have("alice", 2) == count).expect("they converge");
    println!("{count} nodes: {took:?}, {} bytes sent by each", (sent(&net) - before) / count as u64);
    assert!(took < 5 * SECOND, "{took:?}");
    let far: Vec<_> = (count / 2..count).map(|room| gateway("alice", room)).collect();
    net.cut(&far);
    net.publish(&gateway("alice", 0), &signed("alice", &roster("alice", 3, &[], 0, count, ""))).unwrap();
    net.until(30 * SECOND, |net| net.have("alice", 3) == count / 2).expect("this half converges");
    net.pass(10 * SECOND);
    assert_eq!(net.have("alice", 3), count / 2);
    net.cut(&[]);
    let took =
        net.until(90 * SECOND, |net| net.have("alice", 3) == count).expect("the other half catches up");
    println!("{count} nodes: the other half after {took:?}");
}
