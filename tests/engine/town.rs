//! Owners, rosters, gateways and stations, and the wire that carries their datagrams.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use vpmesh::base::signify::OwnerSecret;
use vpmesh::base::{PrivateKey, PublicKey};
use vpmesh::engine::backlog::Backlog;
use vpmesh::engine::{Datagram, Engine, EngineConfig, Event, Now, Outbox, ReloadError, ReloadReport};
use vpmesh::mesh::accept::Own;
use vpmesh::mesh::sync::Shelf;
use vpmesh::roster::{self, Model};
use vpmesh::table::PeerId;
use vpmesh::tunnel::{Endpoint, HANDSHAKE_MAX, Opened, Sealed, Tunnels};

/// Everything, by name.
pub struct Town {
    pub model: Arc<Model>,
    gateways: HashMap<String, Gateway>,
    stations: HashMap<String, Station>,
    pub now: Now,
    /// Pairs whose datagrams to each other are lost.
    apart: Vec<(SocketAddr, SocketAddr)>,
    /// Everything that reached a gateway or relay.
    pub heard: Vec<(SocketAddr, Vec<u8>)>,
    /// Whether that is kept.
    pub listens: bool,
    /// Between these nothing is carried.
    cuts: Vec<[SocketAddr; 2]>,
}

pub struct Gateway {
    pub engine: Engine,
    at: SocketAddr,
    /// What is sent there arrives as well.
    also_at: Option<SocketAddr>,
    out: Outbox,
    /// What the kernel was given.
    pub kernel: Vec<Vec<u8>>,
    /// Its way out has no room: what waits, and how many datagrams had to go.
    pub narrow: Option<(Backlog, u64)>,
    is_off: bool,
}

impl Gateway {
    fn is_at(&self, address: SocketAddr) -> bool {
        self.at == address || self.also_at == Some(address)
    }
}

struct Station {
    tunnels: Tunnels,
    gateway: PeerId,
    at: SocketAddr,
    inbox: Vec<Vec<u8>>,
}

/// A node's WireGuard key, by its path.
pub fn key(path: &str) -> PrivateKey {
    let mut seed = [0; 32];
    for (i, byte) in path.bytes().enumerate() {
        seed[i % 32] ^= byte.rotate_left(i as u32 / 32) ^ i as u8;
    }
    PrivateKey::from_random(seed)
}

/// The public key that a roster lists for a path.
pub fn public(path: &str) -> PublicKey {
    key(path).public()
}

/// An owner's signing key.
pub fn secret(owner: &str) -> OwnerSecret {
    OwnerSecret::from_seed([1; 8], key(owner).as_bytes())
}

/// The owner's public key as a friend's roster writes it.
pub fn owner_key(owner: &str) -> String {
    secret(owner).public().to_string()
}

/// Rosters joined, the first one's owner reading. `KEY(path)` and `OWNER(name)` in a text become keys.
pub fn join(rosters: &[(&str, &str)]) -> Arc<Model> {
    let parsed: Vec<_> = rosters
        .iter()
        .map(|(owner, text)| {
            let text = expand(text);
            let roster =
                roster::parse(&format!("{owner}.toml"), text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
            (Arc::new(roster), secret(owner).public())
        })
        .collect();
    let joined = Model::join(&parsed).unwrap_or_else(|e| panic!("{e}"));
    assert!(joined.refused.is_empty(), "{:?}", joined.refused);
    Arc::new(joined.model)
}

/// A roster's text with its keys filled in.
pub fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("KEY(").into_iter().chain(rest.find("OWNER(")).min() {
        let open = at + rest[at..].find('(').unwrap();
        let close = open + rest[open..].find(')').unwrap();
        let name = &rest[open + 1..close];
        out.push_str(&rest[..at]);
        if rest[at..].starts_with("KEY") {
            out.push_str(&public(name).to_string());
        } else {
            out.push_str(&owner_key(name));
        }
        rest = &rest[close + 1..];
    }
    out + rest
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
        let mut town = Self {
            model: join(rosters),
            gateways: HashMap::new(),
            stations: HashMap::new(),
            now,
            apart: vec![],
            heard: vec![],
            listens: false,
            cuts: vec![],
        };
        for (i, path) in gateways.iter().enumerate() {
            let at = SocketAddr::from(([203, 0, 113, i as u8 + 1], 51888));
            let gateway = Gateway {
                also_at: None,
                engine: engine(path, 3, now),
                at,
                out: Outbox::with_capacity(1 << 18, 1 << 18),
                kernel: vec![],
                narrow: None,
                is_off: false,
            };
            town.gateways.insert((*path).to_owned(), gateway);
        }
        for (i, (path, gateway)) in stations.iter().enumerate() {
            let mut tunnels = Tunnels::new(&key(path), 0, now.instant);
            let peer = tunnels.upsert_peer(public(gateway), false, now.instant).unwrap();
            tunnels.set_candidates(peer, vec![town.gateways[*gateway].at], now.instant);
            let at = SocketAddr::from(([198, 51, 100, i as u8 + 1], 40000));
            town.stations.insert((*path).to_owned(), Station { tunnels, gateway: peer, at, inbox: vec![] });
        }
        town.cut(cuts);
        let model = Arc::clone(&town.model);
        for path in gateways {
            town.reload(path, &model).unwrap();
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
        let report = self.gateway(gateway).engine.reload(Arc::clone(model), now)?;
        let mut events = Vec::new();
        while let Some(event) = self.gateway(gateway).engine.poll_event() {
            events.push(event);
        }
        for event in events {
            if let Event::Resolve { peer, endpoints } = event {
                let found =
                    endpoints.iter().filter_map(|e| Some(SocketAddr::new(e.host.parse().ok()?, e.port)));
                let found = found.collect();
                self.gateway(gateway).engine.handle_resolved(peer, found, now);
            }
        }
        Ok(report)
    }

    /// These can't reach each other from now on, and everybody else can.
    pub fn cut(&mut self, cuts: &[[&str; 2]]) {
        self.cuts = cuts.iter().map(|ends| ends.map(|path| self.at(path))).collect();
    }

    /// A gateway or relay begins anew, and knows the rosters only.
    pub fn restart(&mut self, gateway: &str) {
        let now = self.now;
        self.gateway(gateway).engine = engine(gateway, 4, now);
        self.gateway(gateway).is_off = false;
        let model = Arc::clone(&self.model);
        self.reload(gateway, &model).unwrap();
        self.settle();
    }

    /// A gateway or relay is gone, until it restarts.
    pub fn kill(&mut self, gateway: &str) {
        self.gateway(gateway).is_off = true;
    }

    /// A station's tool has it go by another gateway from now on.
    pub fn attach(&mut self, station: &str, gateway: &str) {
        let (now, at) = (self.now.instant, self.at(gateway));
        let station = self.stations.get_mut(station).unwrap();
        station.tunnels.remove_peer(station.gateway);
        station.gateway = station.tunnels.upsert_peer(public(gateway), false, now).unwrap();
        station.tunnels.set_candidates(station.gateway, vec![at], now);
    }

    /// Gateways look for rosters from now on.
    pub fn look_for_rosters(&mut self) {
        let now = self.now;
        for (path, gateway) in &mut self.gateways {
            let owner = path.split('/').next().unwrap();
            let own = Own { owner: owner.parse().unwrap(), key: secret(owner).public() };
            gateway.engine.set_shelf(Shelf::of(&own, None), now);
        }
    }

    pub fn gateway(&mut self, path: &str) -> &mut Gateway {
        self.gateways.get_mut(path).unwrap()
    }

    /// The node's address of this family.
    pub fn v6(&self, path: &str) -> IpAddr {
        self.node(path).ipv6.unwrap().into()
    }

    pub fn v4(&self, path: &str) -> IpAddr {
        self.node(path).ipv4.unwrap().into()
    }

    fn node(&self, path: &str) -> &roster::model::Node {
        self.model.node(self.model.find(&path.parse().unwrap()).unwrap())
    }

    /// A station sends an IP packet (an empty one is a keepalive); everything that follows from it happens.
    pub fn send(&mut self, station: &str, packet: &[u8]) {
        let now = self.now.instant;
        let sender = self.stations.get_mut(station).unwrap();
        let mut buffer = vec![0; 70_000];
        let mut wire = Vec::new();
        if let Sealed::Send { to, len } = sender.tunnels.seal(sender.gateway, packet, &mut buffer, now) {
            wire.push((sender.at, to.address, buffer[..len].to_vec()));
        }
        self.run(wire);
    }

    /// What a station that has a session sends for an IP packet: from where, and the datagram.
    pub fn sealed(&mut self, station: &str, packet: &[u8]) -> (SocketAddr, Vec<u8>) {
        let now = self.now.instant;
        let sender = self.stations.get_mut(station).unwrap();
        let mut buffer = vec![0; packet.len() + HANDSHAKE_MAX];
        match sender.tunnels.seal(sender.gateway, packet, &mut buffer, now) {
            Sealed::Send { len, .. } => (sender.at, buffer[..len].to_vec()),
            other => panic!("{other:?}"),
        }
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
        std::mem::take(&mut self.stations.get_mut(station).unwrap().inbox)
    }

    /// How often a gateway turned something away for this reason.
    pub fn drops(&mut self, gateway: &str, reason: &str) -> u64 {
        let now = self.now;
        self.gateway(gateway).engine.status(now).drops.get(reason).copied().unwrap_or(0)
    }

    /// Datagrams of its gateway reach a station.
    pub fn deliver(&mut self, station: &str, datagrams: Vec<Vec<u8>>) {
        let now = self.now.instant;
        let station = self.stations.get_mut(station).unwrap();
        for datagram in datagrams {
            station.receive(station.at, &datagram, now);
        }
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
            let segments = transmit.bytes.chunks(transmit.segment);
            wire.extend(segments.map(|bytes| (at, transmit.destination, bytes.to_vec())));
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
    fn run(&mut self, wire: Vec<(SocketAddr, SocketAddr, Vec<u8>)>) {
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
            if self.apart.contains(&(from, to)) || self.apart.contains(&(to, from)) {
                continue;
            }
            if let Some(gateway) = self.gateways.values_mut().find(|gateway| gateway.is_at(to)) {
                if gateway.is_off {
                    continue;
                }
                let stride = bytes.len();
                let datagram = Datagram { source: from, local: None, ecn: 0, bytes: &mut bytes, stride };
                gateway.engine.handle_udp(&mut [datagram], now, &mut gateway.out);
                wire.extend(gateway.drain());
            } else if let Some(station) = self.stations.values_mut().find(|station| station.at == to) {
                wire.extend(station.receive(from, &bytes, now.instant));
            }
        }
        panic!("a datagram goes round in circles");
    }

    /// What these two send each other is lost from now on.
    pub fn part(&mut self, one: &str, other: &str) {
        let pair = (self.gateways[one].at, self.gateways[other].at);
        self.apart.push(pair);
    }

    /// What these two send each other arrives again.
    pub fn join(&mut self, one: &str, other: &str) {
        let (one, other) = (self.gateways[one].at, self.gateways[other].at);
        self.apart.retain(|pair| *pair != (one, other) && *pair != (other, one));
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
        let to = self.gateways[gateway].at;
        self.run(vec![(from, to, datagram)]);
    }

    /// A station is at another address from now on.
    pub fn roam(&mut self, station: &str, to: SocketAddr) {
        self.stations.get_mut(station).unwrap().at = to;
    }
}

fn engine(path: &str, seed: u8, now: Now) -> Engine {
    let config = EngineConfig {
        node: path.parse().unwrap(),
        private_key: key(path),
        mtu: 1420,
        listen: 51888,
        flows_max: 1_000,
        seed: [seed; 32],
        index_secret: 0x5a_5a5a,
        introducers: Vec::new(),
    };
    Engine::new(config, now)
}

impl Gateway {
    fn drain(&mut self) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        let at = self.at;
        if let Some((backlog, lost)) = &mut self.narrow {
            *lost += self.out.transmits().map(|transmit| backlog.push(&transmit)).sum::<u64>();
            self.out.clear();
            return Vec::new();
        }
        let trains = self.out.transmits().flat_map(|transmit| {
            let segments = transmit.bytes.chunks(transmit.segment);
            segments.map(move |bytes| (at, transmit.destination, bytes.to_vec()))
        });
        let wire = trains.collect();
        self.kernel.extend(self.out.tun_packets().map(<[u8]>::to_vec));
        self.out.clear();
        wire
    }
}

impl Station {
    fn receive(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        let mut buffer = vec![0; 70_000];
        let mut wire = Vec::new();
        match self.tunnels.open(Endpoint { address: from, local: None }, bytes, &mut buffer, now) {
            Opened::Packet { bytes, .. } => self.inbox.push(bytes.to_vec()),
            Opened::Answer { len, .. } => wire.push((self.at, from, buffer[..len].to_vec())),
            Opened::Nothing { .. } | Opened::Drop(_) => {}
        }
        while let Some(Sealed::Send { to, len }) = self.tunnels.seal_waiting(self.gateway, &mut buffer, now) {
            wire.push((self.at, to.address, buffer[..len].to_vec()));
        }
        wire
    }
}

#[expect(clippy::disallowed_methods, reason = "boringtun's own timers run on the system's clock")]
pub fn clock() -> Now {
    Now { instant: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
}
