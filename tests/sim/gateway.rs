//! A gateway, or a relay, as the daemon runs one: an engine, a folder of rosters with what was accepted before, and clocks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use vpmesh::engine::{Datagram, Engine, EngineConfig, Event, Now, Outbox};
use vpmesh::mesh::accept::{self, InForce, Kept, Meaning, Offer, Own, Refusal};
use vpmesh::mesh::sync::{Shelf, Verdict};
use vpmesh::policy::Judge;
use vpmesh::roster::Model;

use crate::clock::{self, Time};
use crate::desk;
use crate::internet::HostId;
use crate::memory;

/// Few, so that a bound can be met.
pub const FLOWS_MAX: usize = 256;

/// A gateway's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wall {
    True,
    /// It has stood still since.
    Stopped(Time),
}

/// What of its owner's draft a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Post {
    /// The gateway of this room.
    Room(usize),
    /// The second gateway of this room.
    Twin(usize),
    /// This relay.
    Relay(usize),
}

#[derive(Debug)]
pub struct Gateway {
    pub host: HostId,
    pub path: String,
    pub owner: usize,
    pub post: Post,
    /// The room whose key it holds.
    pub keyed: Option<String>,
    own: Own,
    /// `None`: its computer is off.
    engine: Option<Engine>,
    pub incarnation: u64,
    out: Outbox,
    pub wall: Wall,
    /// Until when its computer sleeps.
    pub asleep: bool,
    /// The daemon's next wake-up.
    pub wake: Option<Time>,
    folder: BTreeMap<String, Offer>,
    kept: Vec<Kept>,
    in_force: Option<InForce>,
    /// What its engine judges by.
    pub model: Option<Arc<Model>>,
    /// A relay's: whether there could be a flow between two rooms.
    pub judge: Option<Judge>,
}

/// What the engine gave out.
#[derive(Debug, Default)]
pub struct Effects {
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub packets: Vec<Vec<u8>>,
    pub events: Vec<Event>,
}

impl Gateway {
    pub fn new(host: HostId, path: String, owner: usize, post: Post, own: Own) -> Self {
        Self {
            host,
            path,
            owner,
            post,
            keyed: None,
            own,
            engine: None,
            incarnation: 0,
            out: Outbox::with_capacity(1 << 16, 1 << 14),
            wall: Wall::True,
            asleep: false,
            wake: None,
            folder: BTreeMap::new(),
            kept: Vec::new(),
            in_force: None,
            model: None,
            judge: None,
        }
    }

    /// Sets this thread's clocks to what this gateway's say.
    pub fn read_clock(&self, now: Time) -> Now {
        let wall = match self.wall {
            Wall::True => None,
            Wall::Stopped(at) => Some(at),
        };
        clock::set(now, wall);
        clock::now()
    }

    pub fn is_relay(&self) -> bool {
        matches!(self.post, Post::Relay(_))
    }

    /// Whose key its stations have.
    pub fn known_as(&self) -> &str {
        self.keyed.as_deref().unwrap_or(&self.path)
    }

    /// The room that it serves.
    pub fn room(&self) -> Option<usize> {
        match self.post {
            Post::Room(room) | Post::Twin(room) => Some(room),
            Post::Relay(_) => None,
        }
    }

    pub fn is_on(&self) -> bool {
        self.engine.is_some() && !self.asleep
    }

    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    pub fn put(&mut self, offer: Offer) {
        self.folder.insert(offer.owner.to_string(), offer);
    }

    fn offers(&self) -> Vec<Offer> {
        self.folder.values().cloned().collect()
    }

    /// Starts from disk.
    pub fn start(&mut self, seed: u64, now: Time) -> Vec<Refusal> {
        let time = self.read_clock(now);
        self.incarnation += 1;
        let config = EngineConfig {
            node: self.path.parse().unwrap(),
            private_key: desk::key(&self.path),
            mtu: 1_420,
            flows_max: FLOWS_MAX,
            introducers: Vec::new(),
            listen: crate::build::PORT,
            seed: accept::hash(&(seed ^ self.incarnation).to_be_bytes()),
            index_secret: (seed as u32 ^ (self.incarnation as u32 * 0x9e37)) & 0xff_ffff,
        };
        let mut engine = Engine::new(config, time);
        engine.set_room_key(self.keyed.as_deref().map(|room| Arc::new(desk::key(room))));
        let started = accept::start(&self.own, &self.offers(), &self.kept, &accept::failing_tests);
        let in_force = started.unwrap_or_else(|refusals| panic!("{} can't start: {refusals:?}", self.path));
        let refusals = in_force.refusals.clone();
        let is_served = engine.reload(Arc::clone(&in_force.model), time).is_ok();
        self.judge_by(is_served.then(|| Arc::clone(&in_force.model)));
        engine.set_shelf(Shelf::of(&self.own, Some(&in_force)), time);
        self.kept.clone_from(&in_force.kept);
        self.in_force = Some(in_force);
        self.engine = Some(engine);
        refusals
    }

    fn judge_by(&mut self, model: Option<Arc<Model>>) {
        self.judge = model.clone().filter(|_| self.is_relay()).map(Judge::new);
        self.model = model;
    }

    /// Octets that the engine has in memory, and then those of the rosters that are in force and what follows from them.
    pub fn weigh(mut self) -> [i64; 2] {
        let start = memory::live();
        self.engine = None;
        let engine = memory::live();
        (self.model, self.in_force) = (None, None);
        [start - engine, engine - memory::live()]
    }

    pub fn stop(&mut self) {
        (self.engine, self.model, self.judge, self.wake) = (None, None, None, None);
    }

    /// Somebody gave a roster: judged as the daemon does, put in force and on disk, and the engine told what became of it.
    pub fn judge(&mut self, offer: Offer, now: Time) -> Result<(), String> {
        let time = self.read_clock(now);
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let running = self.in_force.as_ref();
        let outcome = accept::offered(&self.own, offer.clone(), running, (&[], &[]), &accept::failing_tests);
        let (mut accepted, mut model) = (Ok(()), None);
        match outcome {
            Ok(None) => {}
            Ok(Some(in_force)) => match engine.reload(Arc::clone(&in_force.model), time) {
                Ok(_) => {
                    engine.set_shelf(Shelf::of(&self.own, Some(&in_force)), time);
                    self.kept.clone_from(&in_force.kept);
                    self.folder.insert(offer.owner.to_string(), offer.clone());
                    model = Some(Arc::clone(&in_force.model));
                    self.in_force = Some(in_force);
                }
                Err(error) => accepted = Err((error.to_string(), Meaning::NotNow)),
            },
            Err(refusal) => accepted = Err((refusal.why, refusal.meaning)),
        }
        let verdict = match &accepted {
            Ok(()) => Verdict::Accepted,
            Err((why, meaning)) => Verdict::Refused { why: why.clone(), meaning: *meaning },
        };
        engine.handle_verdict(&offer.owner, &accept::hash(&offer.bytes), &verdict, time);
        if model.is_some() {
            self.judge_by(model);
        }
        accepted.map_err(|(why, _)| why)
    }

    /// Whom it reads besides its own owner.
    pub fn reads(&self, owner: &str) -> bool {
        let Some(own) = self.in_force.as_ref().and_then(|set| set.rosters.first()) else { return false };
        own.roster.owner.as_str() == owner
            || own.roster.friends.iter().any(|friend| friend.owner.as_str() == owner)
    }

    /// Whether, by the rosters here, nodes of one owner read those of another.
    pub fn is_for(&self, whose: &str, owner: &str) -> bool {
        let mut rosters = self.in_force.iter().flat_map(|set| &set.rosters).map(|one| &one.roster);
        let reader = rosters.find(|roster| roster.owner.as_str() == whose);
        whose == owner
            || reader.is_some_and(|roster| roster.friends.iter().any(|friend| friend.owner.as_str() == owner))
    }

    /// Whether this roster is in force here.
    pub fn holds(&self, owner: &str, serial: u64) -> bool {
        let rosters = self.in_force.iter().flat_map(|set| &set.rosters);
        rosters.into_iter().any(|one| one.roster.owner.as_str() == owner && one.roster.serial == serial)
    }

    pub fn handle_datagram(
        &mut self,
        source: SocketAddr,
        local: IpAddr,
        bytes: &mut [u8],
        now: Time,
    ) -> Effects {
        let time = self.read_clock(now);
        let Some(engine) = &mut self.engine else { return Effects::default() };
        let stride = bytes.len();
        let datagram = Datagram { source, local: Some(local), ecn: 0, bytes, stride };
        engine.handle_udp(&mut [datagram], time, &mut self.out);
        engine.handle_batch(false, time);
        self.effects()
    }

    pub fn handle_packet(&mut self, packet: &mut [u8], now: Time) -> Effects {
        let time = self.read_clock(now);
        let Some(engine) = &mut self.engine else { return Effects::default() };
        engine.handle_tun(&mut [packet], time, &mut self.out);
        self.effects()
    }

    pub fn handle_timeout(&mut self, now: Time) -> Effects {
        let time = self.read_clock(now);
        let Some(engine) = &mut self.engine else { return Effects::default() };
        engine.handle_timeout(time, &mut self.out);
        self.effects()
    }

    /// Something else of the engine's.
    pub fn with<T>(&mut self, now: Time, act: impl FnOnce(&mut Engine, Now) -> T) -> Option<T> {
        let time = self.read_clock(now);
        self.engine.as_mut().map(|engine| act(engine, time))
    }

    /// What the engine wants after something was done with it, and when it wants to be woken.
    pub fn effects(&mut self) -> Effects {
        let Some(engine) = &mut self.engine else { return Effects::default() };
        let trains = self.out.transmits().flat_map(|transmit| {
            transmit.bytes.chunks(transmit.segment).map(move |bytes| (transmit.destination, bytes.to_vec()))
        });
        let datagrams = trains.collect();
        let packets = self.out.tun_packets().map(<[u8]>::to_vec).collect();
        self.out.clear();
        let events = std::iter::from_fn(|| engine.poll_event()).collect();
        Effects { datagrams, packets, events }
    }

    /// When the engine wants to be woken, and why.
    pub fn next_wake(&self) -> Option<(Time, &'static str)> {
        let (at, why) = self.engine.as_ref()?.poll_timeout()?;
        Some((clock::time_of(at), why))
    }
}
