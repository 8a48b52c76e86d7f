//! Everything of one run: owners, sites, gateways, stations, the network between them, and the agenda of what happens
//! when. Nothing in it but the ciphers' random numbers comes from outside of the seed, and nothing depends on those.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vpmesh::engine::{Event, Offered};
use vpmesh::mesh::accept::Offer;
use vpmesh::table::PeerId;

use crate::clock::{self, MILLISECOND, SECOND, Time};
use crate::desk::Desk;
use crate::diagram::Diagram;
use crate::gateway::{Effects, Gateway, Post};
use crate::internet::{HostId, Internet};
use crate::probe::Ledger;
use crate::rng::Rng;
use crate::station::{self, Station, Tick};

/// How long a name takes to resolve.
const RESOLVE: Time = 50 * MILLISECOND;
/// How long a daemon verifies and judges a roster.
const JUDGE: Time = 30 * MILLISECOND;
const JUDGE_SLOWLY: Time = 8 * SECOND;
/// A station says something to its gateway this often: computers do.
const TALK: Time = 20 * SECOND;
/// More wake-ups than this in one instant, and something spins.
const WAKES_MAX: u32 = 200;

/// Who a packet is from or for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub path: String,
    pub end: End,
    pub v6: Ipv6Addr,
    pub v4: Option<Ipv4Addr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Station(usize),
    /// A host on the LAN of this gateway.
    Lan(usize),
    Gateway(usize),
    /// Something in the internet, by way of this gateway's kernel.
    Internet(usize),
}

#[derive(Debug)]
pub enum Task {
    Wake(usize),
    Tick(usize),
    Talk(usize),
    Resolved {
        gateway: usize,
        incarnation: u64,
        peer: PeerId,
        name: Vec<String>,
    },
    /// A roster is brought to a gateway, or has been fetched.
    Give {
        gateway: usize,
        offer: Offer,
    },
    GetUp(usize),
}

#[derive(Debug, Clone, Copy)]
pub enum HostKind {
    Gateway(usize),
    Station(usize),
}

#[derive(Debug)]
pub struct Town {
    pub seed: u64,
    pub now: Time,
    pub internet: Internet,
    pub diagram: Diagram,
    pub desks: Vec<Desk>,
    pub owners: Vec<String>,
    pub owner_keys: Vec<String>,
    /// And relays.
    pub gateways: Vec<Gateway>,
    pub stations: Vec<Station>,
    pub nodes: Vec<Node>,
    /// Addresses of nodes as they lie in packets.
    pub inside: BTreeSet<Vec<u8>>,
    pub hosts: Vec<HostKind>,
    /// The resolver's names.
    pub names: BTreeMap<String, HostId>,
    /// Sites that stations visit.
    pub cafes: Vec<usize>,
    agenda: BinaryHeap<Reverse<(Time, u64)>>,
    tasks: BTreeMap<u64, Task>,
    task: u64,
    pub ledger: Ledger,
    /// Why reloads were refused.
    pub refused: Vec<String>,
    /// Whose daemon has much else to do.
    pub slow: Option<usize>,
    wakes: (Time, usize, u32),
    /// What must never be, and was.
    pub broken: Option<String>,
}

impl Town {
    /// An empty one; see `build`.
    pub fn empty(seed: u64) -> Self {
        clock::set(0, None);
        Self {
            seed,
            now: 0,
            internet: Internet::new(Rng::new(seed, 1)),
            diagram: Diagram::default(),
            desks: Vec::new(),
            owners: Vec::new(),
            owner_keys: Vec::new(),
            gateways: Vec::new(),
            stations: Vec::new(),
            nodes: Vec::new(),
            inside: BTreeSet::new(),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            cafes: Vec::new(),
            agenda: BinaryHeap::new(),
            tasks: BTreeMap::new(),
            task: 0,
            ledger: Ledger::default(),
            refused: Vec::new(),
            slow: None,
            wakes: (0, 0, 0),
            broken: None,
        }
    }

    pub fn plan(&mut self, at: Time, task: Task) {
        self.agenda.push(Reverse((at, self.task)));
        self.tasks.insert(self.task, task);
        self.task += 1;
    }

    pub fn note(&mut self, at: Option<HostId>, text: impl Into<String>) {
        self.diagram.note(self.now, at, text);
    }

    pub fn break_down(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.note(None, format!("BROKEN: {why}"));
        self.broken.get_or_insert(why);
    }

    /// Lets time pass.
    pub fn run(&mut self, until: Time) {
        loop {
            let task = self.agenda.peek().map(|Reverse((at, _))| *at);
            let flight = self.internet.next_arrival();
            let Some(at) = task.into_iter().chain(flight).min().filter(|&at| at <= until) else { break };
            self.now = self.now.max(at);
            clock::set(self.now, None);
            if flight == Some(at) {
                if let Some(arrival) = self.internet.land(&mut self.diagram) {
                    self.arrive(arrival);
                }
            } else if let Some(Reverse((at, number))) = self.agenda.pop()
                && let Some(task) = self.tasks.remove(&number)
            {
                self.act(at, task);
            }
        }
        self.now = until;
        clock::set(self.now, None);
    }

    fn arrive(&mut self, arrival: crate::internet::Arrival) {
        let crate::internet::Arrival { host, source, local, mut bytes } = arrival;
        match self.hosts[host] {
            HostKind::Gateway(id) if self.gateways[id].is_on() => {
                if self.gateways[id].is_relay() {
                    return self.relay(id, source, local, bytes);
                }
                let effects = self.gateways[id].handle_datagram(source, local, &mut bytes, self.now);
                self.apply(id, effects);
            }
            HostKind::Gateway(_) => {}
            HostKind::Station(id) => {
                let (answers, packet) = self.stations[id].receive(source, &bytes, self.now);
                self.follow_call(id, source);
                for (to, bytes) in answers {
                    self.internet.send(host, to, bytes, self.now, &mut self.diagram);
                }
                if let Some(packet) = packet {
                    self.deliver(End::Station(id), &packet);
                }
            }
        }
    }

    fn act(&mut self, at: Time, task: Task) {
        match task {
            Task::Wake(id) => {
                let gateway = &mut self.gateways[id];
                if gateway.wake != Some(at) || !gateway.is_on() {
                    return;
                }
                gateway.wake = None;
                let why = gateway.next_wake().map_or("nothing", |(_, why)| why);
                let effects = gateway.handle_timeout(self.now);
                let (then, who, count) = self.wakes;
                let again = then == self.now && who == id;
                self.wakes = (self.now, id, if again { count + 1 } else { 0 });
                if self.wakes.2 > WAKES_MAX {
                    let path = self.gateways[id].path.clone();
                    self.break_down(format!("{path} is woken again and again for \"{why}\""));
                    return;
                }
                self.apply(id, effects);
            }
            Task::Tick(id) => {
                self.plan(at + station::TICK, Task::Tick(id));
                match self.stations[id].tick(self.now) {
                    Tick::Send(to, bytes) => {
                        let host = self.stations[id].host;
                        self.internet.send(host, to, bytes, self.now, &mut self.diagram);
                    }
                    Tick::LookUp => self.look_up(id),
                    Tick::Nothing => {}
                }
            }
            Task::Talk(id) => {
                self.plan(at + TALK, Task::Talk(id));
                self.talk(id);
            }
            Task::Resolved { gateway: id, incarnation, peer, name } => {
                if self.gateways[id].incarnation != incarnation || !self.gateways[id].is_on() {
                    return;
                }
                let site = self.internet.hosts[self.gateways[id].host].site;
                let found = if self.internet.sites[site].up { self.resolve(&name) } else { Vec::new() };
                self.gateways[id].with(self.now, |engine, now| engine.handle_resolved(peer, found, now));
                let effects = self.gateways[id].effects();
                self.apply(id, effects);
            }
            Task::Give { gateway, offer } => self.give(gateway, offer),
            Task::GetUp(id) => {
                self.gateways[id].asleep = false;
                self.note(Some(self.gateways[id].host), "gets up");
                let effects = self.gateways[id].handle_timeout(self.now);
                self.apply(id, effects);
            }
        }
    }

    /// A station says something to its gateway.
    pub fn talk(&mut self, id: usize) {
        let address = |end| self.nodes.iter().find(|node| node.end == end).map(|node| node.v6);
        let (own, other) = (address(End::Station(id)), address(End::Gateway(self.stations[id].gateway)));
        if let (Some(own), Some(other)) = (own, other) {
            let craft = vpmesh::packet::craft::Craft::between(own.into(), other.into());
            self.send_from(End::Station(id), craft.udp(1, 1, b"hello"));
        }
    }

    pub fn resolve(&self, names: &[String]) -> Vec<SocketAddr> {
        let host = |name: &String| self.names.get(name).copied();
        names.iter().filter_map(host).flat_map(|host| self.internet.public_endpoints(host)).collect()
    }

    /// Where a station may try to find its gateway.
    pub fn ways_to_gateway(&self, station: usize) -> Vec<SocketAddr> {
        let Station { host, gateway, .. } = self.stations[station];
        let there = self.gateways[gateway].host;
        let families = [false, true].into_iter().filter(|&v6| self.internet.address(host, v6).is_some());
        if self.internet.hosts[host].site == self.internet.hosts[there].site {
            let port = self.internet.hosts[there].port;
            let inside = families.filter_map(|v6| self.internet.address(there, v6));
            return inside.map(|ip| SocketAddr::new(ip, port)).collect();
        }
        let desk = &self.desks[self.gateways[gateway].owner];
        let name = match self.gateways[gateway].post {
            Post::Room(room) => desk.rooms[room].endpoint.as_ref(),
            Post::Twin(room) => desk.rooms[room].twin.as_ref(),
            Post::Relay(_) => None,
        };
        let Some(name) = name else { return Vec::new() };
        let families: Vec<_> = families.collect();
        let found = self.resolve(std::slice::from_ref(name));
        found.into_iter().filter(|at| families.contains(&at.is_ipv6())).collect()
    }

    /// The station looks for its gateway: the next address that there is.
    pub fn look_up(&mut self, id: usize) {
        let ways = self.ways_to_gateway(id);
        let old = ways.iter().position(|&at| Some(at) == self.stations[id].endpoint);
        let next = old.map_or(0, |old| old + 1);
        if let Some(&at) = ways.get(next % ways.len().max(1)) {
            self.stations[id].endpoint = Some(at);
        }
    }

    /// A roster is given to a gateway: brought, or fetched.
    fn give(&mut self, id: usize, offer: Offer) {
        let gateway = &mut self.gateways[id];
        if !gateway.reads(offer.owner.as_str()) {
            return;
        }
        let owner = offer.owner.to_string();
        let outcome = gateway.judge(offer, self.now);
        let host = gateway.host;
        match outcome {
            Ok(()) => self.note(Some(host), format!("accepts {owner}")),
            // A gateway that was revoked goes on with what it has: nobody listens to it.
            Err(why) if why.contains("no accepted roster lists") => self.note(Some(host), why),
            Err(why) => {
                self.note(Some(host), format!("refuses {owner}: {why}"));
                self.refused.push(why);
            }
        }
        let effects = self.gateways[id].effects();
        self.apply(id, effects);
    }

    /// Does what a gateway's engine asked for.
    pub fn apply(&mut self, id: usize, effects: Effects) {
        let Effects { datagrams, packets, events } = effects;
        let Gateway { host, incarnation, .. } = self.gateways[id];
        for (to, bytes) in datagrams {
            self.internet.send(host, to, bytes, self.now, &mut self.diagram);
        }
        for packet in packets {
            self.deliver(End::Gateway(id), &packet);
        }
        for event in events {
            match event {
                Event::Resolve { peer, endpoints } => {
                    let name = endpoints.iter().map(|endpoint| endpoint.host.to_string()).collect();
                    self.plan(self.now + RESOLVE, Task::Resolved { gateway: id, incarnation, peer, name });
                }
                // Every gateway is on a LAN of its own.
                Event::Beacon(_) => {}
                Event::Offered(Offered { owner, signature, roster, .. }) => {
                    let file = format!("{owner}.toml").into();
                    let offer = Offer { owner, file, bytes: roster, signature: Some(signature) };
                    let time = if self.slow == Some(id) { JUDGE_SLOWLY } else { JUDGE };
                    self.plan(self.now + time, Task::Give { gateway: id, offer });
                }
                // Nobody answers TLS.
                Event::Dial { peer, .. } => {
                    self.gateways[id].with(self.now, |engine, now| engine.handle_dialled(peer, None, now));
                }
                Event::PathMtu { peer, .. } => {
                    self.gateways[id].with(self.now, |engine, _| engine.handle_path_mtu(peer, 1_500));
                }
            }
        }
        self.gateways[id].read_clock(self.now);
        let next = self.gateways[id].next_wake().map(|(at, _)| at.max(self.now));
        clock::set(self.now, None);
        if next != self.gateways[id].wake {
            self.gateways[id].wake = next;
            if let Some(at) = next {
                self.plan(at, Task::Wake(id));
            }
        }
    }

    /// A node sends an IP packet.
    pub fn send_from(&mut self, end: End, mut packet: Vec<u8>) {
        match end {
            End::Station(id) => {
                if self.stations[id].endpoint.is_none() {
                    self.look_up(id);
                }
                if let Some((to, bytes)) = self.stations[id].send(&packet, self.now) {
                    let host = self.stations[id].host;
                    self.internet.send(host, to, bytes, self.now, &mut self.diagram);
                }
            }
            End::Lan(id) | End::Gateway(id) | End::Internet(id) => {
                if self.gateways[id].is_on() {
                    let effects = self.gateways[id].handle_packet(&mut packet, self.now);
                    self.apply(id, effects);
                }
            }
        }
    }

    pub fn gateway_of(&self, end: End) -> usize {
        match end {
            End::Station(id) => self.stations[id].gateway,
            End::Lan(id) | End::Gateway(id) | End::Internet(id) => id,
        }
    }

    pub fn host_of(&self, end: End) -> HostId {
        match end {
            End::Station(id) => self.stations[id].host,
            End::Lan(id) | End::Gateway(id) | End::Internet(id) => self.gateways[id].host,
        }
    }

    /// Whether its owner's draft lists the gateway or relay.
    pub fn is_listed(&self, id: usize) -> bool {
        let Gateway { owner, post, .. } = self.gateways[id];
        match post {
            Post::Room(room) | Post::Twin(room) => self.desks[owner].rooms[room].listed,
            Post::Relay(relay) => self.desks[owner].relays[relay].listed,
        }
    }

    pub fn site_of(&self, gateway: usize) -> usize {
        self.internet.hosts[self.gateways[gateway].host].site
    }
}

impl Node {
    pub fn address(&self, v6: bool) -> Option<IpAddr> {
        if v6 { Some(self.v6.into()) } else { self.v4.map(IpAddr::V4) }
    }
}
