//! Packets sent to see whether they get there: those that must, within a bound, and those that must not. Each has a
//! number inside, so that where it comes out is known, and how often.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vpmesh::packet::craft::Craft;

use crate::clock::{SECOND, Time};
use crate::expect::{Way, is_internet};
use crate::rng::Rng;
use crate::town::{End, Town};

/// In every packet, and never readable in a datagram.
pub const SECRET: &[u8] = b"nobody reads this but its end";
/// What may pass gets there within this time of the last change, whatever the change was.
pub const BOUND: Time = 200 * SECOND;
/// How often a packet that must not get there is tried.
const DENIED_TRIES: u32 = 3;
/// Answers follow their flows, whatever the borders say of the other direction; so many may be lost.
const REPLY_TRIES: usize = 12;
/// A relay hears where a gateway behind a translator that forgot is now by the gateway's next keepalive, and not by its
/// frames.
const RELAYED_REPLY_TRIES: usize = 45;

/// A gateway that loses its sister claims the stations that it has a session with still, though they have left it: it is
/// the next packet of theirs, 20 s later at the most, that says so.
const SHARED_REPLY_TRIES: usize = 30;

/// What a flow is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Into the town's nodes.
    pub from: usize,
    pub to: usize,
    pub v6: bool,
    /// UDP's destination; 0: an ICMP echo.
    pub port: u16,
}

#[derive(Debug)]
pub struct Probe {
    ask: Ask,
    source: IpAddr,
    destination: IpAddr,
    own_port: u16,
    /// Who sends it in the name of the flow's first end.
    liar: Option<End>,
    /// The answer to another probe, which opened the flow.
    answers: Option<u64>,
    /// Each of its packets is answered as soon as it is there, by this probe.
    echo: Option<u64>,
    /// By the rosters, each time that it was sent.
    allowed: Vec<Result<(), String>>,
    /// When each try got there.
    got: BTreeMap<u32, Time>,
}

/// All probes and what became of them.
#[derive(Debug, Default)]
pub struct Ledger {
    probes: BTreeMap<u64, Probe>,
    next: u64,
    /// How long the first packet that may pass took after each kind of transition.
    pub took: BTreeMap<&'static str, Vec<Time>>,
    pub delivered: u64,
    /// Of those that must be: where it takes a relay, and where it takes two.
    pub relayed: u64,
    pub chained: u64,
    pub denied: u64,
    pub pathless: u64,
    pub uncertain: u64,
    pub lies: u64,
    /// Flows whose station went by another gateway.
    pub went_on: u64,
    /// Stations that their room called.
    pub called: u64,
}

impl Town {
    /// Two ends that a gateway's engine is between.
    pub fn draw_ask(&self, rng: &mut Rng) -> Ask {
        loop {
            let (from, to) = (rng.index(self.nodes.len()), rng.index(self.nodes.len()));
            let (a, b) = (self.nodes[from].end, self.nodes[to].end);
            let is_kernel = |end| !matches!(end, End::Station(_));
            let same = self.gateway_of(a) == self.gateway_of(b) || is_internet(&self.nodes[to]);
            let is_dull = is_internet(&self.nodes[from]) || is_internet(&self.nodes[to]);
            if from == to || (same && is_kernel(a) && is_kernel(b)) || (is_dull && rng.per_mille(700)) {
                continue;
            }
            let both_v4 = self.nodes[from].v4.is_some() && self.nodes[to].v4.is_some();
            let v6 = !both_v4 || rng.per_mille(600);
            let port = *rng.pick(&[0, 9, 7_000, 7_000, 7_003, 7_005, 7_006]);
            return Ask { from, to, v6, port };
        }
    }

    /// Asks that the rosters allow, as far as they are found.
    pub fn draw_allowed(&self, count: usize, rng: &mut Rng) -> Vec<Ask> {
        let drawn: Vec<_> = (0..count * 8).map(|_| self.draw_ask(rng)).collect();
        drawn.into_iter().filter(|ask| self.allowed(ask).is_ok()).take(count).collect()
    }

    pub fn open(&mut self, ask: Ask) -> Option<u64> {
        let source = self.nodes[ask.from].address(ask.v6)?;
        let destination = self.nodes[ask.to].address(ask.v6)?;
        let id = self.ledger.next;
        self.ledger.next += 1;
        let probe = Probe {
            ask,
            source,
            destination,
            own_port: 10_000 + (id % 50_000) as u16,
            liar: None,
            answers: None,
            echo: None,
            allowed: Vec::new(),
            got: BTreeMap::new(),
        };
        self.ledger.probes.insert(id, probe);
        Some(id)
    }

    /// A station in whose name nobody else may speak, and who does.
    fn open_lie(&mut self, ask: Ask, rng: &mut Rng) -> Option<u64> {
        let liar = rng.index(self.stations.len());
        let id = self.open(ask).filter(|_| self.nodes[ask.from].end != End::Station(liar))?;
        self.ledger.probes.get_mut(&id)?.liar = Some(End::Station(liar));
        let told = format!("sends probe {id} {} in another's name", self.tell(&ask));
        self.note(Some(self.stations[liar].host), told);
        Some(id)
    }

    /// A flow both of whose ends speak.
    pub fn open_talk(&mut self, ask: Ask) -> Option<u64> {
        let id = self.open(ask)?;
        let reply = self.open_reply(id);
        self.ledger.probes.get_mut(&id)?.echo = Some(reply);
        Some(id)
    }

    pub fn open_reply(&mut self, to: u64) -> u64 {
        let Probe { ask, source, destination, own_port, .. } = self.ledger.probes[&to];
        let id = self.ledger.next;
        self.ledger.next += 1;
        let ask = Ask { from: ask.to, to: ask.from, ..ask };
        let probe = Probe {
            ask,
            source: destination,
            destination: source,
            own_port,
            liar: None,
            answers: Some(to),
            echo: None,
            allowed: Vec::new(),
            got: BTreeMap::new(),
        };
        self.ledger.probes.insert(id, probe);
        id
    }

    /// Sends a probe's packet once more.
    pub fn send(&mut self, id: u64) {
        let ask = self.ledger.probes[&id].ask;
        let allowed = self.allowed(&ask);
        let Some(probe) = self.ledger.probes.get_mut(&id) else { return };
        let verdict = match probe {
            Probe { liar: Some(_), .. } => Err("its source is somebody else's".into()),
            Probe { answers: Some(_), .. } => Ok(()),
            _ => allowed,
        };
        probe.allowed.push(verdict);
        let tries = probe.allowed.len() as u32;
        let liar = probe.liar;
        let mut data = SECRET.to_vec();
        data.extend(id.to_be_bytes());
        data.extend(tries.to_be_bytes());
        let craft = Craft::between(probe.source, probe.destination);
        let is_reply = probe.answers.is_some();
        let packet = match (ask.port, is_reply) {
            (0, _) => craft.echo(!is_reply, probe.own_port, tries as u16, &data),
            (port, false) => craft.udp(probe.own_port, port, &data),
            (port, true) => craft.udp(port, probe.own_port, &data),
        };
        let end = match (liar, self.nodes[ask.from].end) {
            (Some(liar), _) => liar,
            // It answers by where it was asked from.
            (None, End::Internet(_)) if is_reply => End::Internet(self.gateway_of(self.nodes[ask.to].end)),
            (None, end) => end,
        };
        self.send_from(end, packet);
    }

    /// A packet is where it was let go: is it one that may be there?
    pub fn deliver(&mut self, at: End, packet: &[u8]) {
        let Some(found) = packet.windows(SECRET.len()).position(|part| part == SECRET) else { return };
        let Some(tail) = packet.get(found + SECRET.len()..found + SECRET.len() + 12) else { return };
        let id = u64::from_be_bytes(tail[..8].try_into().unwrap());
        let attempt = u32::from_be_bytes(tail[8..].try_into().unwrap());
        let Ok(parsed) = vpmesh::packet::Packet::parse(packet) else {
            return self.break_down("a packet that is none was delivered");
        };
        let Some(probe) = self.ledger.probes.get(&id) else { return };
        if (parsed.src, parsed.dst) != (probe.source, probe.destination) {
            return; // An ICMP error quotes it.
        }
        let was_allowed = probe.allowed.get(attempt as usize - 1).cloned().unwrap_or(Ok(()));
        let (ask, is_reply) = (probe.ask, probe.answers.is_some());
        let is_lie = probe.liar.is_some();
        let is_again = probe.got.contains_key(&attempt);
        let hops = 64 - if parsed.src.is_ipv4() { packet[8] } else { packet[7] };
        let told = format!("probe {id} {}", self.tell(&ask));
        let end = self.nodes[ask.to].end;
        let is_right = match (end, at) {
            (End::Station(a), End::Station(b)) => a == b,
            (End::Internet(_), End::Gateway(b)) => self.gateways_of(&ask)[0] == b,
            (End::Lan(a) | End::Gateway(a), End::Gateway(b)) => a == b,
            _ => false,
        };
        if !is_lie && !is_right && at == End::Gateway(self.gateways_of(&ask)[0]) && self.may_leave(&ask) {
            return self.note(Some(self.host_of(at)), format!("lets {told} out to the internet"));
        }
        self.note(Some(self.host_of(at)), format!("gets {told}"));
        if is_lie {
            self.break_down(format!("{told} was delivered though its source is somebody else's"));
        } else if !is_right {
            self.break_down(format!("{told} was delivered to {at:?}"));
        } else if is_again {
            self.break_down(format!("{told} was delivered twice"));
        } else if hops > 2 {
            self.break_down(format!("{told} took {hops} hops"));
        } else if let (Err(why), Err(_)) = (was_allowed, self.allowed(&ask))
            && !is_reply
        {
            self.break_down(format!("{told} was delivered though {why}"));
        }
        let now = self.now;
        let Some(probe) = self.ledger.probes.get_mut(&id) else { return };
        probe.got.insert(attempt, now);
        if let Some(echo) = probe.echo.filter(|_| !is_lie) {
            self.send(echo);
        }
    }

    pub fn tell(&self, ask: &Ask) -> String {
        let kind = if ask.port == 0 { "icmp".to_owned() } else { format!("udp/{}", ask.port) };
        let family = if ask.v6 { "v6" } else { "v4" };
        format!("{} → {} {kind} {family}", self.nodes[ask.from].path, self.nodes[ask.to].path)
    }

    pub fn asked(&self, id: u64) -> Ask {
        self.ledger.probes[&id].ask
    }

    pub fn is_delivered(&self, id: u64) -> bool {
        !self.ledger.probes[&id].got.is_empty()
    }

    /// Sends flows of these kinds, and holds what becomes of them against the oracle and the map.
    pub fn check(&mut self, asks: &[Ask], after: &'static str, rng: &mut Rng) {
        let begin = self.now;
        let mut must = Vec::new();
        // What would pass if its source were true.
        let mut must_not: Vec<u64> = asks.iter().take(2).filter_map(|&ask| self.open_lie(ask, rng)).collect();
        self.ledger.lies += must_not.len() as u64;
        let mut relayed = Vec::new();
        for &ask in asks {
            let (allowed, path, certain) = (self.allowed(&ask), self.path(&ask), self.is_certain(&ask));
            let torn = self.is_torn(&ask);
            let Some(id) = self.open(ask) else { continue };
            let expected = match (&allowed, &path) {
                (Ok(()), _) if torn => "may pass: a room is torn".to_owned(),
                (Ok(()), Ok(way)) if certain => format!("must pass, {way:?}"),
                (Ok(()), Ok(_)) => "may pass".to_owned(),
                (Ok(()), Err(why)) if self.may_know(&ask) => format!("may pass: {why}"),
                (Err(why), _) | (_, Err(why)) => format!("must not: {why}"),
            };
            let told = format!("probe {id} {}, {expected}", self.tell(&ask));
            self.note(Some(self.host_of(self.nodes[ask.from].end)), told);
            match (allowed, path) {
                (Ok(()), _) if torn => self.ledger.uncertain += 1,
                (Ok(()), Ok(way)) if certain => {
                    must.push(id);
                    if matches!(way, Way::Relay | Way::Chain) {
                        relayed.push((id, way));
                        self.ledger.relayed += 1;
                        self.ledger.chained += u64::from(way == Way::Chain);
                    }
                }
                (Ok(()), Ok(_)) => self.ledger.uncertain += 1,
                (Err(_), _) => {
                    self.ledger.denied += 1;
                    must_not.push(id);
                }
                (Ok(()), Err(_)) if self.may_know(&ask) => self.ledger.uncertain += 1,
                (Ok(()), Err(_)) => {
                    self.ledger.pathless += 1;
                    must_not.push(id);
                }
            }
        }
        let mut replies: Vec<u64> = Vec::new();
        let mut round = 0;
        while self.broken.is_none() {
            let (got, waits): (Vec<u64>, Vec<u64>) = must.iter().partition(|&&id| self.is_delivered(id));
            must = waits;
            for id in got {
                let at = self.ledger.probes[&id].got.values().next().copied().unwrap_or(begin);
                self.ledger.took.entry(after).or_default().push(at - begin);
                if let Some((_, way)) = relayed.iter().find(|(relayed, _)| *relayed == id) {
                    let how = if *way == Way::Chain { "(by two relays)" } else { "(by one relay)" };
                    self.ledger.took.entry(how).or_default().push(at - begin);
                }
                self.ledger.delivered += 1;
                // At once, for an unanswered flow is soon forgotten.
                replies.push(self.open_reply(id));
            }
            replies.retain(|&id| !self.is_delivered(id));
            let tries = |id: u64| {
                let Probe { ask, answers, allowed, .. } = &self.ledger.probes[&id];
                let is_relayed = answers.is_some_and(|to| relayed.iter().any(|(id, _)| *id == to));
                let is_shared = self.gateways_of(ask).iter().any(|&gateway| self.twin_of(gateway).is_some());
                let most = match (is_relayed, is_shared) {
                    (true, _) => RELAYED_REPLY_TRIES,
                    (false, true) => SHARED_REPLY_TRIES,
                    (false, false) => REPLY_TRIES,
                };
                (allowed.len(), most)
            };
            let is_late = |id: &u64| matches!(tries(*id), (count, most) if count >= most);
            if let Some(&id) = replies.iter().find(|id| is_late(id)) {
                let told = self.tell(&self.ledger.probes[&id].ask);
                return self.break_down(format!("the answer {told} was not delivered"));
            }
            if must.is_empty() && replies.is_empty() && round >= DENIED_TRIES {
                break;
            }
            if self.now > begin + BOUND
                && let Some(id) = must.iter().chain(&replies).next()
            {
                let told = self.tell(&self.ledger.probes[id].ask);
                return self.break_down(format!(
                    "{told} was not delivered in {} s after \"{after}\"",
                    BOUND / SECOND
                ));
            }
            let denied = must_not.iter().filter(|_| round < DENIED_TRIES);
            for id in must.iter().chain(&replies).chain(denied).copied().collect::<Vec<_>>() {
                self.send(id);
            }
            let pause = if round < 10 || !replies.is_empty() { SECOND } else { 5 * SECOND };
            self.run(self.now + pause);
            round += 1;
        }
        for id in must_not {
            // A room may have called its station meanwhile: then there is a path, from the other gateway.
            let ask = self.asked(id);
            if self.is_delivered(id) && self.broken.is_none() && self.path(&ask).is_err() {
                let told = self.tell(&self.ledger.probes[&id].ask);
                self.break_down(format!("{told} was delivered without a path"));
            }
        }
    }
}
