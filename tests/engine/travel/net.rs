//! Mesh nodes with what their daemons do for them, and an internet between them that can be cut in two. Time is
//! virtual, but for boringtun's own.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vpmesh::base::signify::OwnerSecret;
use vpmesh::engine::{Engine, EngineConfig, Event, Now, Offered, Outbox};
use vpmesh::mesh::accept::{self, InForce, Offer, Own, failing_tests};
use vpmesh::mesh::sync::{Shelf, Verdict};

use crate::town::clock;
use crate::town::gateway::{config, datagram, resolved};
use crate::town::roster::{expand, secret};

const LATENCY: Duration = Duration::from_millis(20);

pub struct Net {
    pub nodes: BTreeMap<String, Node>,
    by_address: HashMap<SocketAddr, String>,
    wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    number: u64,
    pub now: Now,
    /// Nodes on the far side of a cut.
    far: Vec<String>,
    /// What owners who sign twice are signed by.
    secrets: HashMap<String, Arc<OwnerSecret>>,
}

pub struct Node {
    pub engine: Engine,
    out: Outbox,
    at: SocketAddr,
    own: Own,
    pub running: Option<Arc<InForce>>,
    /// What was refused: by whom it was given, and why.
    pub refusals: Vec<(String, String)>,
    /// Datagrams and bytes that it sent.
    pub sent: (u64, u64),
}

/// A roster's file and its signature.
pub fn signed(owner: &str, text: &str) -> Offer {
    let bytes: Arc<[u8]> = expand(text).into_bytes().into();
    let signature = secret(owner).sign(&bytes).to_file("").into_bytes();
    let file = format!("{owner}.toml").into();
    Offer { owner: owner.parse().unwrap(), file, bytes, signature: Some(signature.into()) }
}

impl Net {
    pub fn new() -> Self {
        let now = clock();
        Self {
            nodes: BTreeMap::new(),
            by_address: HashMap::new(),
            wire: BTreeMap::new(),
            number: 0,
            now,
            far: Vec::new(),
            secrets: HashMap::new(),
        }
    }

    /// Where the `i`th node is.
    pub fn address(i: usize) -> SocketAddr {
        SocketAddr::from(([10, (i / 200) as u8, (i % 200) as u8, 1], 51888))
    }

    /// A node that starts with these files; the rosters put the `i`th node at [`Net::address`].
    pub fn start(&mut self, path: &str, i: usize, offers: &[Offer]) {
        let owner = path.split('/').next().unwrap();
        let secret =
            Arc::clone(self.secrets.entry(owner.to_owned()).or_insert_with(|| Arc::new(secret(owner))));
        let own = Own { owner: owner.parse().unwrap(), key: secret.public() };
        let mut seed = [7; 32];
        seed[0] = i as u8;
        seed[1] = (i / 256) as u8;
        let config =
            EngineConfig { flows_max: 100, seed, index_secret: 0x123_4567 ^ i as u32, ..config(path) };
        let node = Node {
            engine: Engine::new(config, self.now),
            out: Outbox::with_capacity(1 << 17, 1 << 12),
            at: Self::address(i),
            own,
            running: None,
            refusals: vec![],
            sent: (0, 0),
        };
        self.by_address.insert(node.at, path.to_owned());
        self.nodes.insert(path.to_owned(), node);
        let now = self.now;
        let node = self.nodes.get_mut(path).unwrap();
        let in_force = accept::start(&node.own, offers, &[], &failing_tests);
        let in_force = in_force.unwrap_or_else(|refusals| panic!("{path}: {}", refusals[0]));
        node.put_in_force(in_force, now);
        self.after(path);
    }

    /// An owner's new roster is published at a node; whether it was accepted, or why not.
    pub fn publish(&mut self, path: &str, offer: &Offer) -> Result<(), String> {
        let now = self.now;
        let outcome = self.nodes.get_mut(path).unwrap().judge(
            &Offered {
                owner: offer.owner.clone(),
                signature: offer.signature.clone().unwrap(),
                roster: offer.bytes.clone(),
                from: "this node".to_owned(),
            },
            now,
        );
        self.after(path);
        outcome
    }

    /// Cuts these nodes off from the others, or heals.
    pub fn cut(&mut self, far: &[String]) {
        self.far = far.to_vec();
    }

    pub fn serial(&self, path: &str, owner: &str) -> u64 {
        let running = self.nodes[path].running.as_ref().unwrap();
        let one = running.rosters.iter().find(|one| one.kept.owner.as_str() == owner);
        one.map_or(0, |one| one.kept.serial)
    }

    /// How many of the nodes have this serial of an owner's.
    pub fn have(&self, owner: &str, serial: u64) -> usize {
        self.nodes.keys().filter(|path| self.serial(path, owner) == serial).count()
    }

    /// Lets time pass until something holds; how long it took, or `None` when it did not come to it.
    pub fn until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let begun = self.now.instant;
        while !holds(self) {
            let timeouts = self.nodes.values().filter_map(|node| node.engine.poll_timeout());
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let next = timeouts.map(|(at, _)| at).chain(arrival).min()?;
            let passed = next.saturating_duration_since(self.now.instant);
            self.now = Now { instant: self.now.instant + passed, wall: self.now.wall + passed };
            if self.now.instant - begun > limit {
                return None;
            }
            self.step();
        }
        Some(self.now.instant - begun)
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        assert_eq!(self.until(time, |_| false), None);
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= now.instant) {
            let (from, to, mut bytes) = entry.remove();
            let Some(path) = self.by_address.get(&to).cloned() else { continue };
            let sender = &self.by_address[&from];
            if self.far.contains(sender) != self.far.contains(&path) {
                continue;
            }
            let node = self.nodes.get_mut(&path).unwrap();
            node.engine.handle_udp(&mut [datagram(from, &mut bytes)], now, &mut node.out);
            self.after(&path);
        }
        let due: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.engine.poll_timeout().is_some_and(|(at, _)| at <= now.instant))
            .map(|(path, _)| path.clone())
            .collect();
        for path in due {
            let node = self.nodes.get_mut(&path).unwrap();
            node.engine.handle_timeout(now, &mut node.out);
            self.after(&path);
        }
    }

    /// What an engine gave out goes on its way, and what it asks for is done.
    fn after(&mut self, path: &str) {
        let now = self.now;
        let node = self.nodes.get_mut(path).unwrap();
        while let Some(event) = node.engine.poll_event() {
            match event {
                Event::Resolve { peer, endpoints } => {
                    node.engine.handle_resolved(peer, resolved(&endpoints), now);
                }
                Event::Offered(offered) => {
                    let _ = node.judge(&offered, now);
                }
                _ => {}
            }
        }
        for transmit in node.out.transmits() {
            for bytes in transmit.bytes.chunks(transmit.segment) {
                self.number += 1;
                node.sent.0 += 1;
                node.sent.1 += bytes.len() as u64;
                let arrival = (now.instant + LATENCY, self.number);
                self.wire.insert(arrival, (node.at, transmit.destination, bytes.to_vec()));
            }
        }
        node.out.clear();
    }
}

impl Node {
    fn put_in_force(&mut self, in_force: InForce, now: Now) {
        let in_force = Arc::new(in_force);
        self.engine.reload(Arc::clone(&in_force.model), now).unwrap();
        self.engine.set_shelf(Shelf::of(&self.own, Some(&in_force)), now);
        self.running = Some(in_force);
    }

    fn judge(&mut self, offered: &Offered, now: Now) -> Result<(), String> {
        let given = Offer {
            owner: offered.owner.clone(),
            file: format!("{}.toml", offered.owner).into(),
            bytes: offered.roster.clone(),
            signature: Some(offered.signature.clone()),
        };
        let running = self.running.clone();
        let outcome = accept::offered(&self.own, given, running.as_deref(), (&[], &[]), &failing_tests);
        let verdict = match outcome {
            Ok(in_force) => {
                if let Some(in_force) = in_force {
                    self.put_in_force(in_force, now);
                }
                Verdict::Accepted
            }
            Err(refusal) => {
                self.refusals.push((offered.from.clone(), refusal.why.clone()));
                Verdict::Refused { why: refusal.why, meaning: refusal.meaning }
            }
        };
        self.engine.handle_verdict(&offered.owner, &accept::hash(&offered.roster), &verdict, now);
        match verdict {
            Verdict::Accepted => Ok(()),
            Verdict::Refused { why, .. } => Err(why),
        }
    }
}
