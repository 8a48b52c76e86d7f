//! A town drawn by its seed: owners who are friends or not, rooms on sites of every kind, stations at home and away.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::clock::{MILLISECOND, SECOND, Time};
use crate::desk::{Desk, Draft, OWNERS, Relay, Room};
use crate::gateway::{Gateway, Post};
use crate::internet::{HostId, Site, SiteId, outside_of};
use crate::nat::{Kind, Nat};
use crate::probe;
use crate::rng::Rng;
use crate::station::Station;
use crate::town::{End, HostKind, Node, Task, Town};

pub const PORT: u16 = 51_888;

/// How large a town is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub owners: usize,
    pub rooms_max: u64,
    pub stations_max: u64,
}

impl Size {
    /// Mostly small ones, for they are as good at failing; one in sixteen has tens of engines.
    pub fn of(seed: u64) -> Self {
        match seed % 16 {
            15 => Self { owners: 6, rooms_max: 6, stations_max: 2 },
            n => Self { owners: 1 + n as usize % 4, rooms_max: 3, stations_max: 3 },
        }
    }
}

/// How a gateway's site is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uplink {
    Open,
    /// Behind a translator that forwards the port.
    Forwarded,
    /// Behind a translator that knows nothing.
    Hidden,
}

impl Town {
    pub fn new(seed: u64, size: Size) -> Self {
        let mut town = Self::empty(seed);
        let mut rng = Rng::new(seed, 3);
        town.diagram.secret = probe::SECRET.to_vec();
        town.owners = OWNERS[..size.owners].iter().map(|&name| name.to_owned()).collect();
        for (owner, name) in OWNERS.iter().enumerate().take(size.owners) {
            // Mostly mutual, for one-sided friends let nothing pass.
            let is_friend = |other: &usize| {
                let pair = (owner.min(*other) * 31 + owner.max(*other)) as u64;
                *other != owner && Rng::new(seed, 100 + pair).per_mille(750)
            };
            let friends = (0..size.owners).filter(is_friend).filter(|_| rng.per_mille(950)).collect();
            town.desks.push(Desk::new(name, owner, friends));
        }
        town.owner_keys = town.desks.iter().map(Desk::public_key).collect();
        for _ in 0..2 {
            let cafe = town.add_site(Uplink::Hidden, &mut rng);
            town.cafes.push(cafe);
        }
        let relays = Rng::new(seed, 7).below(4);
        let mut twins = Rng::new(seed, 8);
        for owner in 0..size.owners {
            for _ in 0..rng.between(1, size.rooms_max + 1) {
                let uplink = town.draw_uplink(relays > 0, &mut rng);
                let gateway = town.add_room(owner, uplink, &mut rng);
                if twins.per_mille(250) {
                    town.add_twin(gateway, &mut twins);
                }
                for _ in 0..rng.between(1, size.stations_max + 1) {
                    town.add_station(gateway, &mut rng);
                }
            }
            let names = town.owners.clone();
            town.desks[owner].draw_policy(&names, &mut rng);
            for room in 0..town.desks[owner].rooms.len() {
                town.desks[owner].draw_inner_policy(room, &names, &mut rng);
            }
        }
        for _ in 0..relays {
            town.add_relay(rng.index(size.owners), &mut rng);
        }
        let mut division = Rng::new(seed, 9);
        if division.per_mille(300) {
            town.divide(&mut division);
        }
        town.begin();
        town
    }

    /// Every owner signs, every node has it on disk and is switched on.
    pub fn begin(&mut self) {
        for owner in 0..self.desks.len() {
            let offer = self.sign(owner);
            for gateway in &mut self.gateways {
                gateway.put(offer.clone());
            }
        }
        for id in 0..self.gateways.len() {
            self.boot(id);
        }
    }

    /// Signs an owner's draft, and enters the nodes that are new.
    pub fn sign(&mut self, owner: usize) -> vpmesh::mesh::accept::Offer {
        let (names, keys) = (self.owners.clone(), self.owner_keys.clone());
        let offer = self.desks[owner].sign(&keys, &names);
        let model = self.desks[owner].model(&offer);
        for node in &mut self.nodes {
            let found = node.path.parse().ok().and_then(|path| model.find(&path));
            if let Some(id) = found {
                (node.v6, node.v4) = (model.node(id).ipv6.unwrap(), model.node(id).ipv4);
                self.inside.insert(node.v6.octets().to_vec());
                self.inside.extend(node.v4.map(|v4| v4.octets().to_vec()));
            }
        }
        offer
    }

    pub fn boot(&mut self, id: usize) {
        let refusals = self.gateways[id].start(self.seed ^ (id as u64) << 32, self.now);
        self.refused.extend(refusals.iter().map(|refusal| format!("{:?}", refusal.why)));
        let effects = self.gateways[id].handle_timeout(self.now);
        self.apply(id, effects);
    }

    fn add_site(&mut self, uplink: Uplink, rng: &mut Rng) -> SiteId {
        let id = self.internet.sites.len();
        let latency = rng.between(2 * MILLISECOND, 60 * MILLISECOND);
        let fork = |rng: &mut Rng| Rng::new(rng.next(), 4);
        let open6 = |rng: &mut Rng| rng.per_mille(600).then(Vec::new);
        let site = if uplink == Uplink::Open {
            Site::new(Some(Vec::new()), open6(rng), latency)
        } else {
            let outside = outside_of(id, 1 + rng.below(2) as u8);
            let edge = Nat::new(Kind::any(rng), outside, fork(rng));
            let mut nats = vec![edge];
            if uplink == Uplink::Hidden && rng.per_mille(250) {
                // A provider's translator beyond one's own.
                let between = vec![Ipv4Addr::new(100, 64, 1, 2).into()];
                nats.insert(0, Nat::new(Kind::any(rng), between, fork(rng)));
            }
            let firewall = Kind::firewall(rng);
            let v6 = rng.per_mille(300).then(|| vec![Nat::new(firewall, Vec::new(), fork(rng))]);
            Site::new(Some(nats), v6, latency)
        };
        self.internet.sites.push(site);
        id
    }

    /// `relays`: there are some, and so more gateways that can't be reached unasked.
    fn draw_uplink(&self, relays: bool, rng: &mut Rng) -> Uplink {
        match rng.below(if relays { 7 } else { 4 }) {
            _ if self.gateways.is_empty() => Uplink::Open,
            0 | 1 => Uplink::Open,
            2 => Uplink::Forwarded,
            _ => Uplink::Hidden,
        }
    }

    /// A room and its gateway.
    pub fn add_room(&mut self, owner: usize, uplink: Uplink, rng: &mut Rng) -> usize {
        let (_, host) = self.add_mesh_host(uplink, rng);
        let id = self.gateways.len();
        let room = self.desks[owner].rooms.len();
        let name = format!("room{room}");
        let path = format!("{}/{name}/gw", self.owners[owner]);
        let endpoint = (uplink != Uplink::Hidden).then(|| format!("gw{id}.example"));
        if let Some(name) = &endpoint {
            self.names.insert(name.clone(), host);
        }
        self.desks[owner].rooms.push(Room::new(name, endpoint));
        self.hosts.push(HostKind::Gateway(id));
        self.diagram.name(host, &path);
        let own = self.desks[owner].own();
        self.gateways.push(Gateway::new(host, path.clone(), owner, Post::Room(room), own));
        self.add_node(path, End::Gateway(id));
        let far = Ipv6Addr::new(0x2a00, 7, 0, 0, 0, 0, 0, id as u16);
        let v4 = Some(Ipv4Addr::new(9, 9, (id >> 8) as u8, id as u8));
        self.nodes.push(Node { path: "internet".into(), end: End::Internet(id), v6: far, v4 });
        id
    }

    /// A second gateway for a room, where everybody can reach it.
    fn add_twin(&mut self, gateway: usize, rng: &mut Rng) {
        let Gateway { owner, post: Post::Room(number), .. } = self.gateways[gateway] else { return };
        let (_, host) = self.add_mesh_host(Uplink::Open, rng);
        let id = self.gateways.len();
        let endpoint = format!("gw{id}.example");
        self.names.insert(endpoint.clone(), host);
        let draft = &mut self.desks[owner].rooms[number];
        (draft.twin, draft.keyed) = (Some(endpoint), rng.per_mille(500));
        let room = format!("{}/{}", self.owners[owner], draft.name);
        let keyed = draft.keyed.then(|| room.clone());
        let path = format!("{room}/gw2");
        self.hosts.push(HostKind::Gateway(id));
        self.diagram.name(host, &path);
        let own = self.desks[owner].own();
        self.gateways.push(Gateway::new(host, path.clone(), owner, Post::Twin(number), own));
        self.add_node(path, End::Gateway(id));
        for id in [gateway, id] {
            self.gateways[id].keyed.clone_from(&keyed);
        }
    }

    /// A host for a gateway or a relay, where nothing else is.
    fn add_mesh_host(&mut self, uplink: Uplink, rng: &mut Rng) -> (SiteId, HostId) {
        let site = self.add_site(uplink, rng);
        let host = self.internet.add_host(site, PORT);
        if uplink == Uplink::Forwarded {
            let inside = self.internet.address(host, false).unwrap();
            let nats = self.internet.sites[site].v4.as_mut().unwrap();
            nats[0].forward(PORT, (inside, PORT).into());
        }
        (site, host)
    }

    /// A relay, where everybody can reach it.
    fn add_relay(&mut self, owner: usize, rng: &mut Rng) {
        let uplink = if rng.per_mille(750) { Uplink::Open } else { Uplink::Forwarded };
        let (site, host) = self.add_mesh_host(uplink, rng);
        self.internet.sites[site].bridges = true;
        let (id, number) = (self.gateways.len(), self.desks[owner].relays.len());
        let (name, endpoint) = (format!("relay{number}"), format!("relay{id}.example"));
        let path = format!("{}/{name}", self.owners[owner]);
        self.names.insert(endpoint.clone(), host);
        self.desks[owner].relays.push(Relay { name, endpoint, listed: true });
        self.hosts.push(HostKind::Gateway(id));
        self.diagram.name(host, &path);
        let own = self.desks[owner].own();
        self.gateways.push(Gateway::new(host, path, owner, Post::Relay(number), own));
    }

    fn add_node(&mut self, path: String, end: End) {
        self.nodes.push(Node { path, end, v6: Ipv6Addr::UNSPECIFIED, v4: None });
    }

    /// A station more in the gateway's room; its owner's roster lists it when it is signed next.
    pub fn add_station(&mut self, gateway: usize, rng: &mut Rng) {
        let Gateway { owner, post: Post::Room(room), .. } = self.gateways[gateway] else { return };
        let draft = &mut self.desks[owner].rooms[room];
        // Somebody in every town talks by way of the engines.
        let is_lan = !draft.stations.is_empty() && rng.per_mille(200) && draft.twin.is_none();
        let name = format!("s{}", draft.stations.len());
        let path = format!("{}/{}/{name}", self.owners[owner], draft.name);
        draft.stations.push(Draft::new(name, is_lan, rng.per_mille(500)));
        let is_hidden = draft.endpoint.is_none();
        if is_lan {
            self.add_node(path, End::Lan(gateway));
            return;
        }
        let site =
            if is_hidden || rng.per_mille(300) { self.site_of(gateway) } else { *rng.pick(&self.cafes) };
        let host = self.internet.add_host(site, 40_000 + self.internet.hosts.len() as u16);
        let id = self.stations.len();
        let peer = self.gateways[gateway].known_as().to_owned();
        self.stations.push(Station::new(host, &path, gateway, &peer));
        self.hosts.push(HostKind::Station(id));
        self.diagram.name(host, &path);
        self.add_node(path, End::Station(id));
        let now: Time = self.now;
        self.plan(now + rng.below(SECOND), Task::Tick(id));
        self.plan(now + rng.below(SECOND), Task::Talk(id));
    }
}
