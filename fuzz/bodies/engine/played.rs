//! One engine with stations that have real sessions with it, all in memory.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use vpmesh::base::signify::{OwnerKey, OwnerSecret};
use vpmesh::base::{DropReason, NodePath, PrivateKey};
use vpmesh::engine::{Datagram, Engine, EngineConfig, Event, Now, Outbox};
use vpmesh::packet::{Packet, Transport};
use vpmesh::roster::{Model, parse};
use vpmesh::table::PeerId;
use vpmesh::tunnel::{Endpoint, Opened, Sealed, Tunnels};

/// `open` and `closed` are alice's, `far` is bob's gateway with his station behind it.
pub const STATIONS: usize = 3;
const NAMES: [&str; STATIONS] = ["alice/attic/open", "alice/attic/closed", "bob/cellar/phone"];
const CLOSED: usize = 1;
const FAR: usize = 2;
const GATEWAY: &str = "alice/attic/gw";
/// Answers to answers: a handshake takes three.
const EXCHANGES_MAX: usize = 8;

pub struct Played {
    engine: Engine,
    out: Outbox,
    stations: Vec<Station>,
    start: Instant,
    now: Instant,
    /// Packets that stations got.
    pub delivered: usize,
}

struct Station {
    tunnels: Tunnels,
    gateway: PeerId,
    at: SocketAddr,
    addresses: Vec<IpAddr>,
}

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_random([number; 32])
}

impl Played {
    pub fn new() -> Self {
        let start = clock();
        let config = EngineConfig {
            node: path(GATEWAY),
            private_key: key(1),
            mtu: 1420,
            listen: 51888,
            flows_max: 64,
            seed: [3; 32],
            index_secret: 0x5a_5a5a,
            introducers: Vec::new(),
        };
        let stations = (0..STATIONS).map(|index| Station::new(index, start)).collect();
        let out = Outbox::with_capacity(256 * 1024, 256 * 1024);
        let mut engine = Engine::new(config, Now { instant: start, wall: SystemTime::UNIX_EPOCH });
        engine.reload(Arc::clone(model()), at(start, start)).expect("the rosters are good");
        Self { engine, out, stations, start, now: start, delivered: 0 }
    }

    fn now(&self) -> Now {
        at(self.start, self.now)
    }

    /// An address of a station, or one that is nobody's.
    pub fn address(&self, who: usize, six: bool) -> IpAddr {
        let of =
            |station: &Station| station.addresses.iter().find(|address| address.is_ipv6() == six).copied();
        let nobody = if six {
            [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].into()
        } else {
            [192, 0, 2, 1].into()
        };
        self.stations.get(who).and_then(of).unwrap_or(nobody)
    }

    /// A datagram of any content, from a station's address or from nobody's.
    pub fn datagram(&mut self, number: u8, bytes: &mut [u8]) {
        let stride = bytes.len();
        self.deliver(endpoint(number), bytes, stride);
    }

    /// The same cut into equal pieces.
    pub fn train(&mut self, number: u8, bytes: &mut [u8]) {
        self.deliver(endpoint(number), bytes, usize::from(number));
    }

    /// A packet of any content from inside of the station's session; `damage` changes one bit of it once sealed.
    pub fn seal(&mut self, who: usize, packet: &[u8], damage: Option<u8>) {
        let mut buffer = vec![0; packet.len() + 256];
        let station = &mut self.stations[who];
        let Sealed::Send { len, .. } = station.tunnels.seal(station.gateway, packet, &mut buffer, self.now)
        else {
            return;
        };
        if let Some(damage) = damage {
            buffer[usize::from(damage) % len] ^= 1 << (damage % 8);
        }
        let source = station.at;
        self.deliver(source, &mut buffer[..len], len);
    }

    pub fn kernel(&mut self, packet: &mut [u8]) {
        self.engine.handle_tun(&mut [packet], self.now(), &mut self.out);
        self.exchange();
    }

    /// Time passes: up to four minutes, more than a session lives.
    pub fn pass(&mut self, number: u8) {
        self.now += Duration::from_secs(u64::from(number));
        self.engine.handle_timeout(self.now(), &mut self.out);
        self.exchange();
    }

    pub fn reload(&mut self, whole: bool) {
        let model = if whole { model() } else { model_without_bob() };
        self.engine.reload(Arc::clone(model), self.now()).expect("the rosters are good");
    }

    fn deliver(&mut self, source: SocketAddr, bytes: &mut [u8], stride: usize) {
        let datagram = Datagram { source, local: None, ecn: 0, bytes, stride };
        self.engine.handle_udp(&mut [datagram], self.now(), &mut self.out);
        self.exchange();
    }

    /// What the engine sends is received, and what that asks for is sent back, until nobody has more to say.
    fn exchange(&mut self) {
        for _ in 0..EXCHANGES_MAX {
            let mut answers = self.receive();
            self.out.clear();
            self.answer_events();
            if answers.is_empty() {
                return;
            }
            for (source, bytes) in &mut answers {
                let stride = bytes.len();
                let datagram = Datagram { source: *source, local: None, ecn: 0, bytes, stride };
                self.engine.handle_udp(&mut [datagram], self.now(), &mut self.out);
            }
        }
        self.out.clear();
    }

    fn receive(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        for packet in self.out.tun_packets() {
            Packet::parse(packet).expect("what goes to the kernel is a packet");
        }
        let mut answers = Vec::new();
        for transmit in self.out.transmits() {
            assert!(transmit.segment > 0 && !transmit.bytes.is_empty());
            let found = self.stations.iter().position(|station| station.at == transmit.destination);
            let Some(index) = found else { continue };
            for datagram in transmit.bytes.chunks(transmit.segment) {
                let (said, is_packet) = self.stations[index].receive(index, datagram, self.now);
                self.delivered += usize::from(is_packet);
                answers.extend(said.into_iter().map(|bytes| (self.stations[index].at, bytes)));
            }
        }
        answers
    }

    /// Bob's gateway is looked for by name, and every path carries 1500 bytes.
    fn answer_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Resolve { peer, .. } => {
                    self.engine.handle_resolved(peer, vec![endpoint(FAR as u8)], self.now())
                }
                Event::PathMtu { peer, .. } => self.engine.handle_path_mtu(peer, 1500),
                Event::Beacon(_) | Event::Offered(_) => {}
                Event::Dial { peer, .. } => self.engine.handle_dialled(peer, None, self.now()),
            }
        }
    }

    pub fn check(&mut self) {
        assert!(self.out.is_empty());
        let status = self.engine.status(self.now());
        assert!(status.flows <= status.flows_max);
    }

    /// Everything that is told to people.
    pub fn tell(&self) {
        let _ = (self.engine.flows(self.now()), self.engine.peers(self.now()), self.engine.poll_timeout());
    }
}

impl Station {
    fn new(index: usize, now: Instant) -> Self {
        let mut tunnels = Tunnels::new(&key(index as u8 + 2), 0, now);
        let gateway = tunnels.upsert_peer(key(1).public(), false, now).expect("there is room for one");
        tunnels.set_candidates(gateway, vec![SocketAddr::from(([192, 0, 2, 254], 51888))], now);
        let find =
            |name: &str| model().find(&path(name)).map(|id| model().node(id)).expect("the rosters name it");
        let mut addresses: Vec<_> = find(NAMES[index]).addresses().collect();
        // Bob's gateway is behind its own tunnel too.
        if index == FAR {
            addresses.extend(find("bob/cellar/gw").addresses());
        }
        Self { tunnels, gateway, at: endpoint(index as u8), addresses }
    }

    /// What it says to a datagram from the gateway, and whether there was a packet in it.
    fn receive(&mut self, index: usize, datagram: &[u8], now: Instant) -> (Vec<Vec<u8>>, bool) {
        let mut buffer = vec![0; datagram.len() + 256];
        let gateway = Endpoint { address: SocketAddr::from(([192, 0, 2, 254], 51888)), local: None };
        match self.tunnels.open(gateway, datagram, &mut buffer, now) {
            // What gateways say to each other.
            Opened::Packet { bytes, .. }
                if index == FAR && Packet::parse(bytes) == Err(DropReason::BadSource) =>
            {
                (Vec::new(), false)
            }
            Opened::Packet { bytes, .. } => {
                let packet = Packet::parse(bytes).expect("what a station gets is a packet");
                assert!(self.addresses.contains(&packet.dst), "{packet:?} came to {}", NAMES[index]);
                let is_error = matches!(packet.transport, Transport::IcmpError { .. });
                assert!(index != CLOSED || is_error, "{packet:?} came to the closed station");
                (Vec::new(), true)
            }
            Opened::Answer { len, .. } => (self.with_waiting(vec![buffer[..len].to_vec()], now), false),
            Opened::Nothing { .. } => (self.with_waiting(Vec::new(), now), false),
            Opened::Drop(_) => (Vec::new(), false),
        }
    }

    /// What waited for a session goes out behind the answer that made it.
    fn with_waiting(&mut self, mut answers: Vec<Vec<u8>>, now: Instant) -> Vec<Vec<u8>> {
        let mut buffer = [0; 16 * 1024];
        while let Some(Sealed::Send { len, .. }) = self.tunnels.seal_waiting(self.gateway, &mut buffer, now) {
            answers.push(buffer[..len].to_vec());
        }
        answers
    }
}

fn endpoint(number: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(198, 51, 100, number), 50_000))
}

fn path(text: &str) -> NodePath {
    text.parse().expect("a path")
}

fn at(start: Instant, now: Instant) -> Now {
    Now { instant: now, wall: SystemTime::UNIX_EPOCH + (now - start) }
}

#[expect(clippy::disallowed_methods, reason = "boringtun's own timers run on the system's clock")]
fn clock() -> Instant {
    Instant::now()
}

fn owner(number: u8) -> OwnerKey {
    OwnerSecret::from_seed([number; 8], &[number; 32]).public()
}

fn model() -> &'static Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| join(&[("alice", 1), ("bob", 2)]))
}

fn model_without_bob() -> &'static Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| join(&[("alice", 1)]))
}

fn join(owners: &[(&str, u8)]) -> Arc<Model> {
    let rosters: Vec<_> =
        owners.iter().map(|&(name, number)| (Arc::new(roster(name)), owner(number))).collect();
    let joined = Model::join(&rosters).expect("the rosters join");
    assert!(joined.refused.is_empty(), "{:?}", joined.refused);
    Arc::new(joined.model)
}

fn roster(name: &str) -> vpmesh::roster::Roster {
    let file = if name == "alice" { include_str!("alice.toml") } else { include_str!("bob.toml") };
    let mut text = file.to_owned();
    for number in 1..=5 {
        text = text.replace(&format!("KEY{number}"), &key(number).public().to_string());
        let public = owner(number).to_file("");
        text = text.replace(&format!("OWNER{number}"), public.lines().nth(1).unwrap_or_default());
    }
    match parse::parse(name, text.as_bytes()) {
        Ok(roster) => roster,
        Err(faults) => panic!("{faults}"),
    }
}
