//! Every kind of home router on both sides, and a relay that everybody reaches.
//!
//! ```text
//!   left  ── home router ──┐                ┌── home router ── right
//!   one of each kind       └── internet ────┘      one of each kind
//!                                 │
//!                                hill, a relay of alice's: UDP, and TLS on 443
//! ```
//!
//! One gateway of each kind on each side, each in a room of its own; every left one pings every right one at once. The
//! roster names no endpoint but the relay's. The right ones come last. Printed: which path each pair takes in the end, how
//! long after their start a ping was answered, and how much later both were seen to send to each other directly.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::internet::Place;
use crate::lab::link::{End, join};
use crate::lab::ping::Pinger;
use crate::lab::room::relay;
use crate::lab::{Gateway, Internet, Lab, Namespace, Owner, Room};

/// How a gateway is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A public address; nobody was told of it.
    Open,
    /// Masqueraded: the same port whoever is spoken to, and only who was spoken to is let in.
    Cone,
    /// Masqueraded with ports by chance.
    Chance,
    /// Two routers, one behind the other, that both masquerade.
    Double,
    /// Masqueraded, and no UDP.
    Blocked,
    /// As `Chance` over IPv4, and IPv6 with a stateful firewall.
    Six,
}

const KINDS: [Kind; 6] = [Kind::Open, Kind::Cone, Kind::Chance, Kind::Double, Kind::Blocked, Kind::Six];
/// Everybody who can has a direct path by then; in a second or two, as a rule.
const SOON: Duration = Duration::from_secs(40);
/// Whoever can't is looked at for so long after the others have.
const AFTER: Duration = Duration::from_secs(5);
const BEAT: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Relay,
    Direct4,
    Direct6,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cone => "cone",
            Self::Chance => "chance",
            Self::Double => "double",
            Self::Blocked => "blocked",
            Self::Six => "six",
        }
    }

    /// Who speaks first to an open one is let in, and two whose ports can be known; nobody else over IPv4.
    fn reaches(self, other: Self) -> Way {
        let known = |kind| matches!(kind, Self::Open | Self::Cone | Self::Double);
        match (self, other) {
            (Self::Blocked, _) | (_, Self::Blocked) => Way::Relay,
            (Self::Six, Self::Six) => Way::Direct6,
            (Self::Open, _) | (_, Self::Open) => Way::Direct4,
            (one, other) if known(one) && known(other) => Way::Direct4,
            _ => Way::Relay,
        }
    }

    /// What has to stay for it to be there goes to `held`.
    fn connect(
        self,
        (lab, internet, alice): (&Lab, &Internet, &Owner),
        room: &str,
        v4: &str,
        held: &mut Vec<(Arc<Namespace>, Place)>,
    ) -> Gateway {
        let node = alice.node(&format!("{room}/gw"), v4);
        let gateway = match self {
            Self::Open => Gateway::new(lab, internet, alice, &node),
            Self::Double => {
                let namespace = Namespace::new("gw");
                let (place, between) = behind_two(internet, &namespace);
                held.push(between);
                Gateway::on(lab, namespace, place, alice, &node)
            }
            _ => Gateway::new_behind(lab, internet, 1500, alice, &node),
        };
        match self {
            Self::Open | Self::Double => {}
            Self::Cone => gateway.place.masquerade(),
            Self::Chance | Self::Six => gateway.place.masquerade_by_chance(),
            Self::Blocked => {
                gateway.place.masquerade();
                gateway.place.block_udp();
            }
        }
        if self != Self::Six {
            gateway.namespace.set("ipv6/conf/eth0/disable_ipv6", "1");
        }
        gateway
    }
}

/// Gives a namespace 192.168.77.2 behind a router that is behind another router.
fn behind_two(internet: &Internet, host: &Namespace) -> (Place, (Arc<Namespace>, Place)) {
    let inner = Namespace::new("inner");
    inner.forward();
    let outer = internet.attach_behind(&inner, 1500);
    outer.masquerade();
    join(End { namespace: &inner, interface: "lan" }, End { namespace: host, interface: "eth0" }, 1500);
    inner.ip("address add 192.168.77.1/24 dev lan");
    inner.nft(
        "table inet home {
           chain out { type nat hook postrouting priority 100; meta nfproto ipv4 oifname eth0 masquerade; }
           chain in { type filter hook input priority 0; iifname eth0 meta l4proto udp drop; }
         }",
    );
    host.ip("address add 192.168.77.2/24 dev eth0");
    host.ip("route add default via 192.168.77.1");
    let place = Place::inside(Ipv4Addr::new(192, 168, 77, 2), Ipv6Addr::LOCALHOST, "eth0");
    (place, (inner, outer))
}

/// What one pair came to.
struct Cell {
    left: usize,
    right: usize,
    pinger: Pinger,
    reached: Option<Duration>,
    direct: Option<Duration>,
    way: Option<Way>,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        let (reached, later) = (seconds(self.reached), seconds(self.direct) - seconds(self.reached));
        match self.way {
            Some(Way::Relay) => write!(f, "relay {reached:.1}"),
            Some(Way::Direct4) => write!(f, "v4 {reached:.1} +{:.1}", later.max(0.0)),
            Some(Way::Direct6) => write!(f, "v6 {reached:.1} +{:.1}", later.max(0.0)),
            None => write!(f, "-"),
        }
    }
}

/// How a gateway sends what is for another, by its answer to `peers`.
fn way(peers: &Value, other: &Gateway) -> Option<Way> {
    let row = peers.as_array()?.iter().find(|row| row["peer"] == other.node.path.to_string().as_str())?;
    let path = row["paths"]["candidates"].as_array()?.iter().find(|path| path["in_use"] == true)?;
    if path["relay"].is_string() {
        return Some(Way::Relay);
    }
    let address: SocketAddr = path["address"].as_str()?.parse().ok()?;
    Some(if address.is_ipv6() { Way::Direct6 } else { Way::Direct4 })
}

#[test]
fn every_pair_of_home_routers_takes_the_best_path_that_there_is() {
    let lab = Lab::new();
    let internet = Internet::new();
    let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
    let mut hill = Gateway::new(&lab, &internet, &alice, &alice.node("hill", "10.88.0.1"));
    hill.configure("tls_listen = \"[::]:443\"");
    let mut rooms = String::new();
    let mut held = Vec::new();
    let mut side = |side: u8| {
        let mut gateways = Vec::new();
        for (number, kind) in KINDS.into_iter().enumerate() {
            let room = format!("{}{side}", kind.name());
            let v4 = format!("10.88.{}.1", usize::from(side) * 100 + number);
            let gateway = kind.connect((&lab, &internet, &alice), &room, &v4, &mut held);
            rooms += &Room::new(room).gateway_at(&gateway.node, &[]).to_string();
            gateways.push(gateway);
        }
        gateways
    };
    let mut left = side(1);
    let mut right = side(2);
    let roster = alice.sign(&(rooms + &relay(&hill)));
    for gateway in left.iter_mut().chain(&mut right).chain([&mut hill]) {
        gateway.take(&[&roster]);
    }
    for gateway in left.iter_mut().chain([&mut hill]) {
        gateway.start(&lab);
    }
    let mut cells = Vec::new();
    for (l, from) in left.iter().enumerate() {
        for (r, to) in right.iter().enumerate() {
            let pinger = Pinger::start(&lab, &from.namespace, to.node.v4.into(), BEAT);
            let (reached, direct, way) = (None, None, None);
            cells.push(Cell { left: l, right: r, pinger, reached, direct, way });
        }
    }
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for gateway in &mut right {
            scope.spawn(|| gateway.start(&lab));
        }
    });
    let mut done: Option<Instant> = None;
    while begun.elapsed() < SOON && done.is_none_or(|done| done.elapsed() < AFTER) {
        let told = |gateways: &[Gateway]| gateways.iter().map(Gateway::peers).collect::<Vec<_>>();
        let (of_left, of_right) = (told(&left), told(&right));
        for cell in &mut cells {
            let there = way(&of_left[cell.left], &right[cell.right]);
            let back = way(&of_right[cell.right], &left[cell.left]);
            cell.way = there.filter(|_| there == back);
            if cell.reached.is_none() && cell.pinger.answered() > 0 {
                cell.reached = Some(begun.elapsed());
            }
            if cell.direct.is_none() && cell.way.is_some_and(|way| way != Way::Relay) {
                cell.direct = Some(begun.elapsed());
            }
        }
        let is_done = |cell: &Cell| {
            cell.reached.is_some() && cell.way == Some(KINDS[cell.left].reaches(KINDS[cell.right]))
        };
        if done.is_none() && cells.iter().all(is_done) {
            done = Some(Instant::now());
        }
        std::thread::sleep(BEAT);
    }
    println!(
        "seconds from start to first ping, and on to a direct path both ways; {} pairs at once",
        cells.len()
    );
    println!("{:10}{}", "", KINDS.map(|kind| format!("{:14}", kind.name())).concat());
    for (l, kind) in KINDS.into_iter().enumerate() {
        let row: String = cells
            .iter()
            .filter(|cell| cell.left == l)
            .map(|cell| format!("{:14}", cell.to_string()))
            .collect();
        println!("{:10}{row}", kind.name());
    }
    let mut wrong = Vec::new();
    for cell in cells {
        let (one, other) = (KINDS[cell.left], KINDS[cell.right]);
        let wanted = one.reaches(other);
        let name = format!("{} to {}", one.name(), other.name());
        if cell.way != Some(wanted) {
            wrong.push(format!("{name}: {:?} rather than {wanted:?}", cell.way));
        }
        let beats = cell.pinger.stop();
        if beats.answered < 8 {
            wrong.push(format!("{name}: {} pings answered", beats.answered));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
