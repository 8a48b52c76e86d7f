//! `explain` tells the truth.
//!
//! ```text
//!   s0 (s0a, s0b) ──wg──┐             ┌──wg── s2 (s2a, s2b)
//!   s1 (s1a, s1b) ──wg──gw (vpmesh) ──┴──wg── s3 (s3a, s3b)
//!                       room attic, owner alice
//! ```
//!
//! Policies are drawn at random, from all kinds of selectors and services. `explain` is asked about thousands of
//! flows; then the first packet of each is sent, and must arrive where, and only where, it said so.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::lab::command::{LIMIT, run};
use crate::lab::explanation::Explanation;
use crate::lab::forge::{Forge, ICMP, ICMPV6, TCP, UDP};
use crate::lab::gateway::VPMESH;
use crate::lab::injector::Injector;
use crate::lab::owner::Signed;
use crate::lab::random::Random;
use crate::lab::sniffer::{Seen, Sniffer};
use crate::lab::wait::poll_until;
use crate::lab::{Gateway, Internet, Lab, Node, Owner, Station};

const STATIONS: usize = 4;
const FLOWS: usize = 3000;
const BATCH: usize = 100;
/// Each flow has a number that its packet carries: source port, ICMP identifier, or the payload's first bytes.
const FIRST_NUMBER: u16 = 10_000;

const SELECTORS: [&str; 14] = [
    "any",
    "alice",
    "alice/attic",
    "alice/attic/s0",
    "alice/attic/s1/s1a",
    "alice/*/s2",
    "alice/attic/*/s3b",
    "tag:blue",
    "alice#tag:red",
    "kind:station",
    "kind:application",
    "10.88.1.0/28",
    "10.88.1.33/32",
    "internet",
];
const SERVICES: [&str; 9] =
    ["any", "icmp", "tcp/22", "tcp/1-1023", "udp/53", "udp/5000-5010", "proto/47", "tcp/443", "web"];

/// What a flow asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    Icmp,
    Tcp(u16),
    Udp(u16),
    Proto(u8),
}

const ASKED: [Service; 13] = [
    Service::Icmp,
    Service::Tcp(22),
    Service::Tcp(80),
    Service::Tcp(443),
    Service::Tcp(1023),
    Service::Tcp(1024),
    Service::Tcp(8080),
    Service::Udp(53),
    Service::Udp(4999),
    Service::Udp(5000),
    Service::Udp(5010),
    Service::Proto(47),
    Service::Proto(50),
];

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Icmp => f.write_str("icmp"),
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Proto(number) => write!(f, "proto/{number}"),
        }
    }
}

/// One question.
#[derive(Debug, Clone)]
struct Flow {
    number: u16,
    from: IpAddr,
    to: IpAddr,
    /// Which station each end is in.
    at: [usize; 2],
    service: Service,
    is_allowed: bool,
}

impl Flow {
    fn first_packet(&self) -> Vec<u8> {
        let forge = Forge::new(self.from, self.to);
        match self.service {
            Service::Icmp => forge.ping(self.number, 1),
            Service::Tcp(port) => forge.tcp_syn(self.number, port),
            Service::Udp(port) => forge.udp(self.number, port, b"flow"),
            // GRE's first bytes are flags; the number stands where a key or an SPI may.
            Service::Proto(number) => {
                let mut payload = vec![0; 16];
                payload[8..10].copy_from_slice(&self.number.to_be_bytes());
                forge.packet(number, &payload)
            }
        }
    }
}

/// The number of the flow that a packet begins, if it begins one.
fn number_of(seen: &Seen) -> Option<u16> {
    let at = |at: usize| seen.rest.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    match seen.protocol {
        TCP if seen.rest.get(13)? & 0x12 == 0x02 => Some(seen.source_port),
        UDP => Some(seen.source_port),
        ICMP if seen.rest.first() == Some(&8) => at(4),
        ICMPV6 if seen.rest.first() == Some(&128) => at(4),
        47 | 50 => at(8),
        _ => None,
    }
}

struct World {
    stations: Vec<Station>,
    /// Each station with its applications.
    nodes: Vec<Vec<Node>>,
    gateway: Gateway,
    roster: Signed,
    _internet: Internet,
    _lab: Lab,
}

/// A policy of one direction: absent, empty, or a few rules.
fn policy(random: &mut Random, direction: &str) -> String {
    let count = match random.below(6) {
        0 | 1 => return String::new(),
        2 => random.below(2),
        n => n,
    };
    let mut rules = Vec::new();
    for _ in 0..count {
        let action = if random.below(3) == 0 { "deny" } else { "allow" };
        let mut rule = format!("{action} = \"{}\"", random.one_of(&SERVICES));
        for end in ["from", "to"] {
            if random.below(2) == 0 {
                let _ = write!(rule, ", {end} = \"{}\"", random.one_of(&SELECTORS));
            }
        }
        rules.push(format!("{{ {rule} }}"));
    }
    // Without this most flows would be denied, and denials that agree prove less.
    if count > 0 && random.below(2) == 0 {
        rules.push("{ allow = \"any\" }".to_owned());
    }
    format!("{direction} = [{}]\n", rules.join(", "))
}

fn policies(random: &mut Random) -> String {
    policy(random, "egress") + &policy(random, "ingress")
}

impl World {
    fn new(seed: u64) -> Self {
        let lab = Lab::new();
        let internet = Internet::new();
        let alice = Owner::new(&lab, "alice", "10.88.0.0/16");
        let mut random = Random::new(seed);
        let nodes: Vec<Vec<Node>> = (0..STATIONS)
            .map(|n| {
                let node =
                    |path: &str, last: usize| alice.node(path, &format!("10.88.1.{}", 16 * (n + 1) + last));
                let station = format!("attic/s{n}");
                let paths = [station.clone(), format!("{station}/s{n}a"), format!("{station}/s{n}b")];
                paths.iter().enumerate().map(|(last, path)| node(path, last)).collect()
            })
            .collect();
        let mut gateway = Gateway::new(&lab, &internet, &alice, &alice.node("attic/gw", "10.88.1.1"));
        let roster = alice.sign(&body(&mut random, &gateway, &nodes));
        gateway.take(&[&roster]);
        gateway.start(&lab);
        let uplink = gateway.uplink(&[&alice]);
        let stations = nodes.iter().map(|carried| {
            let station = Station::join(&lab, &internet, &carried[0], &uplink);
            for application in &carried[1..] {
                station.take_addresses(application);
            }
            // The gateway's own host has no policy, but what stations send has.
            wait_until_up(&station);
            station
        });
        let stations = stations.collect();
        Self { stations, nodes, gateway, roster, _internet: internet, _lab: lab }
    }

    /// Thousands of flows between different stations, each with what `explain` says of it.
    fn flows(&self, random: &mut Random) -> Vec<Flow> {
        let mut portless = BTreeSet::new();
        let mut flows = Vec::new();
        while flows.len() < FLOWS {
            let at = [random.below(STATIONS), random.below(STATIONS)];
            let service = ASKED[random.below(ASKED.len())];
            let [from, to] = at.map(|n| &self.nodes[n][random.below(3)]);
            let family = random.below(2);
            let [from, to] = [from, to].map(|node| node.addresses()[family]);
            // A flow without ports is one for both directions: its second packet would be an answer.
            let pair = (from.min(to), from.max(to), service);
            if at[0] == at[1] || (matches!(service, Service::Proto(_)) && !portless.insert(pair)) {
                continue;
            }
            let verdict = self.gateway.explain(&from.to_string(), &to.to_string(), &service.to_string());
            let number = FIRST_NUMBER + flows.len() as u16;
            flows.push(Flow { number, from, to, at, service, is_allowed: verdict.is_allowed });
        }
        flows
    }

    /// Sends the first packets and says which flows did other than `explain` said.
    fn liars(&self, flows: &[Flow]) -> Vec<Flow> {
        let sniffers: Vec<_> = self.stations.iter().map(Sniffer::at).collect();
        let injectors: Vec<_> = self.stations.iter().map(Injector::of).collect();
        let arrived = || -> BTreeSet<(usize, u16)> {
            let of = |(at, sniffer): (usize, &Sniffer)| {
                sniffer.seen().iter().filter_map(number_of).map(|number| (at, number)).collect::<Vec<_>>()
            };
            sniffers.iter().enumerate().flat_map(of).collect()
        };
        let mut liars = Vec::new();
        for batch in flows.chunks(BATCH) {
            let missing = |arrived: &BTreeSet<_>| {
                let wanted = batch.iter().filter(|flow| flow.is_allowed);
                wanted
                    .filter(|flow| !arrived.contains(&(flow.at[1], flow.number)))
                    .cloned()
                    .collect::<Vec<_>>()
            };
            for flow in batch {
                injectors[flow.at[0]].send(&flow.first_packet());
            }
            // A packet may be lost on a busy machine: what is missing is sent again, as TCP would.
            for _ in 0..4 {
                let limit = Duration::from_secs(1);
                if poll_until(limit, || missing(&arrived()).is_empty().then_some(())).is_some() {
                    break;
                }
                for flow in missing(&arrived()) {
                    injectors[flow.at[0]].send(&flow.first_packet());
                }
            }
            liars.extend(missing(&arrived()));
        }
        let arrived = arrived();
        let wrong =
            |flow: &&Flow| !flow.is_allowed && arrived.iter().any(|&(_, number)| number == flow.number);
        liars.extend(flows.iter().filter(wrong).cloned());
        liars
    }
}

fn body(random: &mut Random, gateway: &Gateway, nodes: &[Vec<Node>]) -> String {
    let mut body = format!(
        "{}[services]\nweb = [\"tcp/80\", \"tcp/443\"]\n[[room]]\nname = \"attic\"\n{}[[room.gateway]]\nname = \"gw\"\n\
         ipv4 = \"10.88.1.1\"\nkey = \"{}\"\nendpoints = [\"{}\"]\n",
        policies(random),
        policies(random),
        gateway.node.public,
        gateway.endpoint()
    );
    for carried in nodes {
        for (n, node) in carried.iter().enumerate() {
            let tag = random.one_of(&["blue", "red"]);
            let (name, v4) = (node.path.leaf(), node.v4);
            let table = if n == 0 { "room.station" } else { "room.station.application" };
            let _ = write!(body, "[[{table}]]\nname = \"{name}\"\nipv4 = \"{v4}\"\ntags = [\"{tag}\"]\n");
            if n == 0 {
                let _ = writeln!(body, "key = \"{}\"", node.public);
            }
            body += &policies(random);
        }
    }
    body
}

/// Policy may forbid every ping, so a session is awaited, not an answer.
fn wait_until_up(station: &Station) {
    crate::lab::wait_for("the station has a session", Duration::from_secs(15), || {
        station.tunnel.last_handshake()
    });
}

fn explain_is_the_truth(seed: u64) {
    let world = World::new(seed);
    let flows = world.flows(&mut Random::new(seed + 1000));
    let allowed = flows.iter().filter(|flow| flow.is_allowed).count();
    assert!(
        allowed > FLOWS / 50 && allowed < FLOWS,
        "{allowed} of {FLOWS} allowed: a policy that proves nothing"
    );
    let liars = world.liars(&flows);
    let roster = std::fs::read_to_string(&world.roster.toml).unwrap_or_default();
    assert!(
        liars.is_empty(),
        "seed {seed}: {} flows did otherwise, such as {:?}\n{roster}",
        liars.len(),
        &liars[0]
    );
    // Offline, from the same roster, explain says the same.
    for flow in flows.iter().step_by(50) {
        let (from, to) = (flow.from.to_string(), flow.to.to_string());
        let mut command = std::process::Command::new(VPMESH);
        command.args(["explain", &from, &to, &flow.service.to_string(), "--json", "--roster"]);
        let said = run(command.arg(&world.roster.toml), LIMIT);
        assert_eq!(Explanation::parse(&said.stdout).is_allowed, flow.is_allowed, "offline: {flow:?}");
    }
}

#[test]
fn every_flow_does_what_explain_said_first_policy() {
    explain_is_the_truth(1);
}

#[test]
fn every_flow_does_what_explain_said_second_policy() {
    explain_is_the_truth(2);
}

#[test]
fn every_flow_does_what_explain_said_third_policy() {
    explain_is_the_truth(3);
}
