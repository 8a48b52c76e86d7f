//! Rooms with two gateways: the stations of one go by the other, and their flows go on there.

use std::net::SocketAddr;

use crate::clock::{SECOND, Time};
use crate::gateway::{Post, Wall};
use crate::internet::Conditions;
use crate::probe::Ask;
use crate::rng::Rng;
use crate::town::{End, Town};

/// Answers of a station at its new gateway, of which one gets there.
const TRIES: usize = 12;
/// One that knows its room keeps its session, until WireGuard has waited for an answer for 15 s.
const KEYED_TRIES: usize = 30;
const DRAWS: usize = 150;
/// A room's gateway that dies is missed within six seconds, and then handshakes have to find their turn.
const CALLED_WITHIN: Time = 15 * SECOND;

impl Town {
    /// The other gateway of a room.
    pub fn twin_of(&self, id: usize) -> Option<usize> {
        let gateway = &self.gateways[id];
        let is_twin = |other: &usize| {
            *other != id
                && self.gateways[*other].owner == gateway.owner
                && self.gateways[*other].room() == gateway.room()
        };
        gateway.room()?;
        (0..self.gateways.len()).find(is_twin)
    }

    /// Whether one gateway has a session with another.
    fn is_up(&mut self, at: usize, other: usize) -> bool {
        let now = self.gateways[at].read_clock(self.now);
        let path = &self.gateways[other].path;
        let engine = self.gateways[at].engine();
        engine
            .is_some_and(|engine| engine.peers(now).iter().any(|row| row.up && row.peer.to_string() == *path))
    }

    /// A station that knows the room is at the gateway of it that it heard last.
    pub fn follow_call(&mut self, id: usize, source: SocketAddr) {
        let gateway = self.stations[id].gateway;
        if self.gateways[gateway].keyed.is_none() || self.stations[id].endpoint != Some(source) {
            return;
        }
        let Some(twin) = self.twin_of(gateway) else { return };
        // The second one has no translator.
        let is_second = |gateway: usize| matches!(self.gateways[gateway].post, Post::Twin(_));
        let second = if is_second(gateway) { gateway } else { twin };
        let comes_from_second = self.internet.public_endpoints(self.gateways[second].host).contains(&source);
        if comes_from_second != is_second(gateway) {
            self.stations[id].gateway = twin;
            let told = format!("is called by {}", self.gateways[twin].path);
            self.note(Some(self.stations[id].host), told);
        }
    }

    /// Whether a station at an end knows its room, and the room can't agree on who has it: it may be at both.
    pub fn is_torn(&mut self, ask: &Ask) -> bool {
        [ask.from, ask.to].into_iter().any(|node| {
            let End::Station(id) = self.nodes[node].end else { return false };
            let gateway = self.stations[id].gateway;
            let Some(twin) = self.twin_of(gateway).filter(|_| self.gateways[gateway].keyed.is_some()) else {
                return false;
            };
            let agrees = self.is_up(gateway, twin)
                && self.is_up(twin, gateway)
                && !self.internet.conditions.partitioned;
            let is_alone = self.gateways[gateway].is_on() && !self.gateways[twin].is_on();
            !(agrees || is_alone)
        })
    }

    /// Stations whose gateway is about to die and that the other one can call: where that one was told that they are, which
    /// is the outside of a translator that both may be behind.
    fn callable(&mut self, from: usize, to: usize) -> Vec<usize> {
        let sound = [from, to].into_iter().all(|id| self.gateways[id].wall == Wall::True);
        let Conditions { loss, partitioned, .. } = self.internet.conditions;
        if !sound || loss > 0 || partitioned || !self.is_up(from, to) || !self.is_up(to, from) {
            return Vec::new();
        }
        let now = self.gateways[from].read_clock(self.now);
        let rows = self.gateways[from].engine().map(|engine| engine.peers(now)).unwrap_or_default();
        let site = self.site_of(to);
        let can_be = |id: &usize| {
            let station = &self.stations[*id];
            let row = rows.iter().find(|row| row.up && row.peer.to_string() == station.path);
            station.gateway == from
                && self.internet.hosts[station.host].site != site
                && row
                    .and_then(|row| row.endpoint)
                    .is_some_and(|at| self.internet.is_open(site, at, self.now))
        };
        (0..self.stations.len()).filter(can_be).collect()
    }

    pub fn move_twin(&mut self, rng: &mut Rng) {
        let moves = |id: &usize| {
            self.twin_of(*id).is_some_and(|twin| self.gateways[twin].is_on())
                && self.gateways[*id].is_on()
                && self.stations.iter().any(|station| station.gateway == *id)
        };
        let found: Vec<_> = (0..self.gateways.len()).filter(moves).collect();
        let Some(&from) = found.get(rng.index(found.len().max(1))) else { return };
        let Some(to) = self.twin_of(from) else { return };
        let answers = self.answered(from, rng);
        let is_told = self.is_up(from, to) && self.is_up(to, from);
        let is_killed = rng.per_mille(600);
        if is_killed {
            let called =
                if self.gateways[from].keyed.is_some() { self.callable(from, to) } else { Vec::new() };
            self.note(Some(self.gateways[from].host), "is killed");
            self.gateways[from].stop();
            self.wait_for_calls(&called, to);
        }
        let (path, peer) = (self.gateways[to].path.clone(), self.gateways[to].known_as().to_owned());
        for id in 0..self.stations.len() {
            if self.stations[id].gateway == from {
                self.note(Some(self.stations[id].host), format!("goes by {path}"));
                self.stations[id].go_by(to, &peer);
                self.look_up(id);
            }
        }
        if is_told {
            self.go_on(&answers, if self.gateways[from].keyed.is_some() { KEYED_TRIES } else { TRIES });
        }
        if is_killed {
            self.run(self.now + *rng.pick(&[1, 20, 200]) * SECOND);
            self.boot(from);
            self.note(Some(self.gateways[from].host), "starts from disk");
        }
    }

    /// Nobody's tool does anything.
    fn wait_for_calls(&mut self, stations: &[usize], to: usize) {
        let begin = self.now;
        while self.now < begin + CALLED_WITHIN && stations.iter().any(|&id| self.stations[id].gateway != to) {
            self.run(self.now + SECOND);
        }
        if let Some(&id) = stations.iter().find(|&&id| self.stations[id].gateway != to) {
            let (station, room) = (self.stations[id].path.clone(), self.gateways[to].path.clone());
            self.break_down(format!("{station} was not called by {room}"));
        }
        self.ledger.called += stations.len() as u64;
    }

    /// Flows from elsewhere to stations of a gateway, each answered once: what answers them further.
    fn answered(&mut self, gateway: usize, rng: &mut Rng) -> Vec<u64> {
        let mut flows = Vec::new();
        for _ in 0..DRAWS {
            let ask = self.draw_ask(rng);
            let [first, last] = self.gateways_of(&ask);
            let is_to =
                matches!(self.nodes[ask.to].end, End::Station(id) if self.stations[id].gateway == gateway);
            let is_sound = is_to && first != last && Some(first) != self.twin_of(last) && ask.port != 0;
            if is_sound && flows.len() < 3 && self.allowed(&ask).is_ok() && self.path(&ask).is_ok() {
                flows.extend(self.open(ask));
            }
        }
        for _ in 0..3 {
            flows.iter().for_each(|&flow| self.send(flow));
            self.run(self.now + SECOND / 2);
        }
        flows.retain(|&flow| self.is_delivered(flow));
        let first: Vec<_> = flows.iter().map(|&flow| self.open_reply(flow)).collect();
        first.iter().for_each(|&reply| self.send(reply));
        self.run(self.now + SECOND);
        let heard: Vec<_> =
            flows.into_iter().zip(first).filter(|&(_, first)| self.is_delivered(first)).collect();
        heard.into_iter().map(|(flow, _)| self.open_reply(flow)).collect()
    }

    /// What answers a flow gets there from the new gateway, without the other end having said a word.
    fn go_on(&mut self, answers: &[u64], tries: usize) {
        let Conditions { loss, partitioned, .. } = self.internet.conditions;
        let mut left: Vec<u64> = answers.to_vec();
        left.retain(|&id| {
            let ask = self.asked(id);
            self.path(&ask).is_ok() && self.is_certain(&ask)
        });
        if loss > 0 || partitioned {
            return;
        }
        for _ in 0..tries {
            left.retain(|&id| !self.is_delivered(id));
            left.iter().for_each(|&id| self.send(id));
            self.run(self.now + SECOND);
        }
        if let Some(&id) = left.iter().find(|&&id| !self.is_delivered(id)) {
            let told = self.tell(&self.asked(id));
            self.break_down(format!("the answer {told} does not go on at the other gateway"));
        }
        self.ledger.went_on += answers.len() as u64;
    }
}
