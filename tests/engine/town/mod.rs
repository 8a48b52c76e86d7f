//! Owners, rosters, gateways and stations, and the wire that carries their datagrams.

pub mod gateway;
pub mod roster;
mod station;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use vpmesh::base::{LINK_PORT, link_address};
use vpmesh::engine::backlog::Backlog;
use vpmesh::engine::{Engine, EngineConfig, Now, PeerRow, ReloadError, ReloadReport, Transmit};
use vpmesh::mesh::accept::Own;
use vpmesh::mesh::sync::Shelf;
use vpmesh::mesh::wire::Message;
use vpmesh::packet::craft::Craft;
use vpmesh::packet::link::MESSAGE_MAX;
use vpmesh::roster::{Model, model};

use gateway::{Gateway, config};
use roster::secret;
pub use roster::{join, public};
use station::Station;

/// A datagram on its way: from, to, and what it is.
type Sent = (SocketAddr, SocketAddr, Vec<u8>);

/// Everything, by name.
pub struct Town {
    /// As the first roster's owner reads the rosters.
    model: Arc<Model>,
    /// As each owner does.
    models: HashMap<String, Arc<Model>>,
    gateways: HashMap<String, Gateway>,
    stations: HashMap<String, Station>,
    pub now: Now,
    /// Everything that reached a gateway or relay.
    pub heard: Vec<(SocketAddr, Vec<u8>)>,
    /// Whether that is kept.
    pub listens: bool,
    /// Between these nothing is carried.
    cuts: Vec<[SocketAddr; 2]>,
}

impl Town {
    /// Gateways and stations of these paths, with the rosters in force.
    pub fn new(rosters: &[(&str, &str)], gateways: &[&str], stations: &[(&str, &str)]) -> Self {
        Self::with_cuts(rosters, gateways, stations, &[])
    }

    /// The same, where some gateways can't reach each other.
    pub fn with_cuts(
        rosters: &[(&str, &str)],
        gateways: &[&str],
        stations: &[(&str, &str)],
        cuts: &[[&str; 2]],
    ) -> Self {
        let now = clock();
        let models = rosters.iter().map(|&first| {
            let others = rosters.iter().filter(|other| other.0 != first.0);
            (first.0.to_owned(), join(&[first].into_iter().chain(others.copied()).collect::<Vec<_>>()))
        });
        let models: HashMap<_, _> = models.collect();
        let mut town = Self {
            model: Arc::clone(&models[rosters[0].0]),
            models,
            gateways: HashMap::new(),
            stations: HashMap::new(),
            now,
            heard: vec![],
            listens: false,
            cuts: vec![],
        };
        for (path, number) in gateways.iter().zip(1..) {
            town.gateways.insert((*path).to_owned(), Gateway::new(path, address(number), now));
        }
        for (i, (path, gateway)) in stations.iter().enumerate() {
            let at = SocketAddr::from(([198, 51, 100, i as u8 + 1], 40000));
            let station = Station::new(path, at, (gateway, town.at(gateway)), now.instant);
            town.stations.insert((*path).to_owned(), station);
        }
        town.cut(cuts);
        for path in gateways {
            town.load(path);
        }
        town.settle();
        for (path, _) in stations {
            town.send(path, &[]);
        }
        town
    }

    /// Puts a model in force at one gateway.
    pub fn reload(&mut self, gateway: &str, model: &Arc<Model>) -> Result<ReloadReport, ReloadError> {
        let now = self.now;
        self.gateway(gateway).reload(model, now)
    }

    /// The town's rosters are in force at a gateway or relay, as its owner reads them.
    fn load(&mut self, gateway: &str) {
        let model = Arc::clone(&self.models[owner(gateway)]);
        self.reload(gateway, &model).unwrap();
    }

    /// These can't reach each other from now on, and everybody else can.
    pub fn cut(&mut self, cuts: &[[&str; 2]]) {
        self.cuts = cuts.iter().map(|ends| ends.map(|path| self.at(path))).collect();
    }

    /// A gateway or relay begins anew, and knows the rosters only.
    pub fn restart(&mut self, gateway: &str) {
        let now = self.now;
        let config = EngineConfig { seed: [4; 32], ..config(gateway) };
        self.gateway(gateway).engine = Engine::new(config, now);
        self.gateway(gateway).is_off = false;
        if let Some(room) = self.gateway(gateway).room.clone() {
            self.gateway(gateway).hold_room_key(&room);
        }
        self.load(gateway);
        self.settle();
    }

    /// A gateway or relay is gone, until it restarts.
    pub fn kill(&mut self, gateway: &str) {
        self.gateway(gateway).is_off = true;
    }

    /// Gateways hold the key of their room from now on.
    pub fn give_room_key(&mut self, room: &str, gateways: &[&str]) {
        for gateway in gateways {
            self.gateway(gateway).hold_room_key(room);
            self.load(gateway);
        }
    }

    /// Where a station is.
    pub fn at_station(&self, station: &str) -> SocketAddr {
        self.stations[station].at
    }

    /// A station's tool has it go by another gateway from now on.
    pub fn attach(&mut self, station: &str, gateway: &str) {
        self.know(station, gateway, gateway);
    }

    /// A station's tool gives it this peer, a gateway or a room, at a gateway.
    pub fn know(&mut self, station: &str, peer: &str, gateway: &str) {
        let (now, at) = (self.now.instant, self.at(gateway));
        self.station(station).attach((peer, at), now);
    }

    /// Gateways look for rosters from now on.
    pub fn look_for_rosters(&mut self) {
        let now = self.now;
        for (path, gateway) in &mut self.gateways {
            let owner = owner(path);
            let own = Own { owner: owner.parse().unwrap(), key: secret(owner).public() };
            gateway.engine.set_shelf(Shelf::of(&own, None), now);
        }
    }

    pub fn gateway(&mut self, path: &str) -> &mut Gateway {
        self.gateways.get_mut(path).unwrap()
    }

    fn station(&mut self, path: &str) -> &mut Station {
        self.stations.get_mut(path).unwrap()
    }

    /// The node's address of this family.
    pub fn v6(&self, path: &str) -> IpAddr {
        self.node(path).ipv6.unwrap().into()
    }

    pub fn v4(&self, path: &str) -> IpAddr {
        self.node(path).ipv4.unwrap().into()
    }

    fn node(&self, path: &str) -> &model::Node {
        self.model.node(self.model.find(&path.parse().unwrap()).unwrap())
    }

    /// A station sends an IP packet (an empty one is a keepalive); everything that follows from it happens.
    pub fn send(&mut self, station: &str, packet: &[u8]) {
        let now = self.now.instant;
        let wire = self.station(station).send(packet, now);
        self.run(wire.into_iter().collect());
    }

    /// The same; how many packets another station got by it.
    pub fn carry(&mut self, from: &str, packet: &[u8], to: &str) -> usize {
        self.received(to);
        self.send(from, packet);
        self.received(to).len()
    }

    /// What a station that has a session sends for an IP packet: from where, and the datagram.
    pub fn sealed(&mut self, station: &str, packet: &[u8]) -> (SocketAddr, Vec<u8>) {
        let now = self.now.instant;
        let (from, _, datagram) = self.station(station).send(packet, now).expect("it has a session");
        (from, datagram)
    }

    /// The kernel of a gateway sends an IP packet into the mesh.
    pub fn send_from_kernel(&mut self, gateway: &str, packet: &[u8]) {
        let now = self.now;
        let gateway = self.gateway(gateway);
        let mut packet = packet.to_vec();
        gateway.engine.handle_tun(&mut [&mut packet], now, &mut gateway.out);
        let wire = gateway.drain();
        self.run(wire);
    }

    /// What a station was sent since it was last asked.
    pub fn received(&mut self, station: &str) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.station(station).inbox)
    }

    /// How often a gateway turned something away for this reason.
    pub fn drops(&mut self, gateway: &str, reason: &str) -> u64 {
        let now = self.now;
        self.gateway(gateway).engine.status(now).drops.get(reason).copied().unwrap_or(0)
    }

    /// Datagrams of its gateway reach a station.
    pub fn deliver(&mut self, station: &str, datagrams: Vec<Vec<u8>>) {
        let now = self.now.instant;
        let station = self.station(station);
        for datagram in datagrams {
            station.receive(station.at, &datagram, now);
        }
    }

    /// What `vpmesh peers` of a gateway says of another node.
    pub fn peer(&mut self, gateway: &str, other: &str) -> PeerRow {
        let now = self.now;
        let mut rows = self.gateway(gateway).engine.peers(now).into_iter();
        rows.find(|row| row.peer.to_string() == other).unwrap()
    }

    /// How many flows a gateway has.
    pub fn flows(&mut self, gateway: &str) -> usize {
        let now = self.now;
        self.gateway(gateway).engine.flows(now).len()
    }

    /// The way out of a gateway or relay has no room from now on.
    pub fn narrow(&mut self, gateway: &str) {
        self.gateway(gateway).narrow = Some((Backlog::default(), 0));
    }

    /// Its way out had room for so many octets; how many datagrams were lost so far.
    pub fn widen(&mut self, gateway: &str, mut octets: usize) -> u64 {
        let gateway = self.gateway(gateway);
        let (at, (backlog, lost)) = (gateway.at, gateway.narrow.as_mut().unwrap());
        let (mut wire, lost) = (Vec::new(), *lost);
        while let Some(transmit) = backlog.first().filter(|_| octets > 0) {
            let length = transmit.bytes.len();
            wire.extend(segments(at, &transmit));
            octets = octets.saturating_sub(length);
            backlog.advance(length);
        }
        wire.reverse();
        self.run(wire);
        lost
    }

    /// Runs what is due until nothing is.
    pub fn settle(&mut self) {
        let now = self.now;
        let mut wire = Vec::new();
        for gateway in self.gateways.values_mut().filter(|gateway| !gateway.is_off) {
            gateway.engine.handle_timeout(now, &mut gateway.out);
            wire.extend(gateway.drain());
        }
        self.run(wire);
    }

    /// Carries datagrams, in the order in which they were sent, until none is on its way.
    fn run(&mut self, wire: Vec<Sent>) {
        let mut wire = VecDeque::from(wire);
        for _ in 0..10_000 {
            let Some((from, to, mut bytes)) = wire.pop_front() else { return };
            if self.cuts.iter().any(|ends| ends.contains(&from) && ends.contains(&to)) {
                continue;
            }
            let now = self.now;
            if self.listens {
                self.heard.push((to, bytes.clone()));
            }
            if let Some(gateway) = self.gateways.values_mut().find(|gateway| gateway.is_at(to)) {
                if !gateway.is_off {
                    wire.extend(gateway.receive(from, &mut bytes, now));
                }
            } else if let Some(station) = self.stations.values_mut().find(|station| station.at == to) {
                wire.extend(station.receive(from, &bytes, now.instant));
            }
        }
        panic!("a datagram goes round in circles");
    }

    /// What these two send each other is lost from now on.
    pub fn part(&mut self, one: &str, other: &str) {
        let ends = [self.at(one), self.at(other)];
        self.cuts.push(ends);
    }

    /// What these two send each other arrives again.
    pub fn join(&mut self, one: &str, other: &str) {
        let ends = [self.at(one), self.at(other)];
        self.cuts.retain(|cut| *cut != ends && *cut != [ends[1], ends[0]]);
    }

    /// Time passes, in steps of 50 ms.
    pub fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 50 {
            self.now.instant += Duration::from_millis(50);
            self.settle();
        }
    }

    /// A gateway is somewhere else from now on.
    pub fn move_gateway(&mut self, gateway: &str, to: SocketAddr) {
        self.gateway(gateway).at = to;
    }

    /// A gateway's router gives it another port towards others, and takes in what comes to the old one until it is told
    /// to forget that.
    pub fn map_gateway_anew(&mut self, gateway: &str, to: SocketAddr) {
        let gateway = self.gateway(gateway);
        gateway.also_at = Some(std::mem::replace(&mut gateway.at, to));
    }

    pub fn forget_old_mapping(&mut self, gateway: &str) {
        self.gateway(gateway).also_at = None;
    }

    /// Where a gateway or relay is.
    pub fn at(&self, gateway: &str) -> SocketAddr {
        self.gateways[gateway].at
    }

    /// Somebody sends a gateway a datagram.
    pub fn inject(&mut self, from: SocketAddr, gateway: &str, datagram: Vec<u8>) {
        let to = self.at(gateway);
        self.run(vec![(from, to, datagram)]);
    }

    /// A station is at another address from now on.
    pub fn roam(&mut self, station: &str, to: SocketAddr) {
        self.station(station).at = to;
    }
}

/// The owner of a node.
fn owner(path: &str) -> &str {
    path.split('/').next().unwrap()
}

/// Where the gateway or relay of this number is, from 1 on, as the town was told of them.
fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, number], 51888))
}

/// The datagrams of what is sent from somewhere.
fn segments(at: SocketAddr, transmit: &Transmit<'_>) -> Vec<Sent> {
    transmit.bytes.chunks(transmit.segment).map(|bytes| (at, transmit.destination, bytes.to_vec())).collect()
}

/// Packets of a mesh node in its tunnel to another, from its link-local address.
pub fn link(from: &str, to: &str) -> Craft {
    Craft::between(link_address(&public(from)).into(), link_address(&public(to)).into())
}

/// What a mesh node says to another in its tunnel.
pub fn said(from: &str, to: &str, message: &Message<'_>) -> Vec<u8> {
    let mut buffer = [0; MESSAGE_MAX];
    let len = message.write(&mut buffer);
    link(from, to).udp(LINK_PORT, LINK_PORT, &buffer[..len])
}

#[expect(clippy::disallowed_methods, reason = "boringtun's own timers run on the system's clock")]
pub fn clock() -> Now {
    Now { instant: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
}
