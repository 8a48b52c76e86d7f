//! Floor 4: tunnels, routes, flows and policy joined into one gateway.
//!
//! The engine owns all state. Bytes and the time come in, effects go out: datagrams and packets through an [`Outbox`],
//! everything rarer through [`Engine::poll_event`]. It does no I/O and reads no clock, so that a hundred of them run
//! in one test. Batches go in and trains come out; between them no packet allocates, locks or waits.
//!
//! The way of a packet: [`inbound`] opens what comes from the network, [`outbound`] takes what comes from the kernel,
//! and both give it to [`forward`], where it is checked, judged and sent on.

mod attaching;
pub mod backlog;
mod calling;
mod control;
mod copying;
mod counters;
mod forward;
mod inbound;
mod introduction;
mod mesh;
mod neighbours;
mod outbound;
mod outbox;
mod passage;
mod paths;
mod relaying;
mod reload;
mod report;
mod rooms;
mod rosters;
mod timeout;
mod world;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hashbrown::HashMap;

use crate::base::{DropReason, Endpoint, NodePath, PrivateKey, PublicKey, link_address};
use crate::mesh::beacon::{BEACON_BYTES, Beacons};
use crate::mesh::paths::Paths;
use crate::packet::TokenBucket;
use crate::table::{FlowTable, PeerId};
use crate::tunnel::Tunnels;
pub use crate::tunnel::{CROWDING_MAX, Crowding, Steering};

pub use counters::Counters;
pub use outbox::{Line, Outbox, Transmit};
pub use reload::ReloadReport;
pub use report::{
    AttachedRow, BorderAnswer, ExplainAnswer, ExplainVerdict, FlowRow, PathRow, PathsRow, PeerRow, Status,
    Traffic,
};
pub use rosters::Offered;
pub use world::ReloadError;
use world::World;

/// The largest IP packet, and so the largest datagram, in bytes.
const PACKET_MAX: usize = 65_535;
/// Events that wait to be polled; more are dropped, and come again by their timers.
const EVENTS_MAX: usize = 4_096;

/// The time, read once a turn of the event loop.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub instant: Instant,
    pub wall: SystemTime,
}

/// What an engine is made with.
#[derive(Debug)]
pub struct EngineConfig {
    /// Which gateway of the rosters this is.
    pub node: NodePath,
    pub private_key: PrivateKey,
    /// The largest IP packet in a tunnel, in bytes; less where a path is known to carry less.
    pub mtu: u16,
    /// The UDP port that it is served at, for beacons.
    pub listen: u16,
    /// The most flows in the table.
    pub flows_max: usize,
    /// Random; keeps the flow table's hashes from being guessed.
    pub seed: [u8; 32],
    /// 24 random bits; hides receiver indices from who never saw one.
    pub index_secret: u32,
    /// Mesh nodes that may have the owner's roster; asked for while there is none.
    pub introducers: Vec<(PublicKey, Endpoint)>,
}

/// Datagrams from one place as they came from the socket: one, or several of `stride` bytes each of which the last
/// may be shorter (UDP GRO).
#[derive(Debug)]
pub struct Datagram<'a> {
    pub source: SocketAddr,
    /// The address of ours that it was sent to.
    pub local: Option<IpAddr>,
    /// The two ECN bits of the outer header.
    pub ecn: u8,
    pub bytes: &'a mut [u8],
    pub stride: usize,
}

/// What the engine wants from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Turn these into addresses and give them to [`Engine::handle_resolved`].
    Resolve { peer: PeerId, endpoints: Vec<Endpoint> },
    /// Ask the system for the MTU of the path to here and give it to [`Engine::handle_path_mtu`].
    PathMtu { peer: PeerId, endpoint: SocketAddr },
    /// Send this to everybody on every link.
    Beacon([u8; BEACON_BYTES]),
    /// Somebody gave a roster: verify and judge it, and say what became of it ([`Engine::handle_verdict`]).
    Offered(Offered),
    /// Connect to port 443 of one of these hosts and tell [`Engine::handle_dialled`] what came of it.
    Dial { peer: PeerId, endpoints: Vec<Endpoint> },
}

/// One gateway.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    room_key: Option<Arc<PrivateKey>>,
    own_key: PublicKey,
    /// Where other mesh nodes reach it inside of their tunnels.
    own_link: Ipv6Addr,
    tunnels: Tunnels,
    flows: FlowTable,
    /// `None` until the first roster is in force: nothing is served.
    world: Option<World>,
    /// Where introducers are; none once a roster is in force.
    introducers: HashMap<PeerId, Vec<Endpoint>>,
    beacons: Beacons,
    /// What a peer's path carries, in bytes of the IP packet inside; the peers that are not here have the default.
    mtus: HashMap<PeerId, u16>,
    counters: Counters,
    /// For the ICMP errors that the gateway makes itself.
    icmp: TokenBucket,
    events: VecDeque<Event>,
    travel: rosters::Travel,
    timers: timeout::Timers,
    /// Where a router forwards datagrams from to here.
    mapped: Option<SocketAddr>,
    passages: passage::Passages,
    relaying: relaying::Relaying,
    paths: Paths,
    whereabouts: paths::Whereabouts,
    sharing: attaching::Sharing,
    scratch: Box<[u8]>,
}

impl Engine {
    /// A gateway that serves nothing until [`Engine::reload`].
    #[must_use]
    pub fn new(config: EngineConfig, now: Now) -> Self {
        let own_key = config.private_key.public();
        let mut engine = Self {
            room_key: None,
            own_key,
            own_link: link_address(&own_key),
            tunnels: Tunnels::new(&config.private_key, config.index_secret, now.instant),
            flows: FlowTable::new(config.flows_max, config.seed, now.instant),
            world: None,
            introducers: HashMap::new(),
            beacons: Beacons::new(own_key, config.listen, config.seed, now.instant),
            mtus: HashMap::new(),
            counters: Counters::default(),
            icmp: TokenBucket::new(100, 50, now.instant),
            events: VecDeque::new(),
            travel: rosters::Travel::new(&config.seed, now.instant),
            timers: timeout::Timers::new(now.instant),
            mapped: None,
            passages: passage::Passages::default(),
            relaying: relaying::Relaying::default(),
            paths: paths::new(&config.seed),
            whereabouts: paths::Whereabouts::default(),
            sharing: attaching::Sharing::new(now.instant),
            scratch: vec![0; PACKET_MAX].into_boxed_slice(),
            config,
        };
        engine.meet_introducers(now.instant);
        engine
    }

    /// Counts packets that were turned away outside of the engine.
    pub fn count_drop(&mut self, reason: DropReason, packets: u64) {
        self.counters.drop_many(reason, packets);
    }

    /// A router forwards what comes to this address, or nothing any more. Its word: worth a probe, no more.
    pub fn handle_mapped(&mut self, mapped: Option<SocketAddr>, now: Now) {
        if self.mapped != mapped {
            self.mapped = mapped;
            self.paths.handle_change(now.instant);
        }
    }

    /// After every batch from the socket: whether it has more.
    pub fn handle_batch(&mut self, more: bool, now: Now) {
        self.tunnels.handle_batch(more, now.instant);
    }

    /// What the socket's owner is to tell the kernel of the datagrams that come, when that has changed.
    pub fn poll_steering(&mut self, now: Now) -> Option<Steering> {
        self.tunnels.poll_steering(now.instant)
    }

    /// Next thing wanted from outside.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn push_event(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }

    /// The largest IP packet that the way through `peer` carries unfragmented.
    fn mtu_of(&self, peer: PeerId) -> u16 {
        self.mtus.get(&peer).copied().unwrap_or(self.config.mtu)
    }
}
