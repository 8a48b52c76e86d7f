//! Rooms with two gateways: the stations of one go by the other, and their flows go on there.

use crate::clock::SECOND;
use crate::internet::Conditions;
use crate::rng::Rng;
use crate::town::{End, Town};

/// Answers of a station at its new gateway, of which one gets there.
const TRIES: usize = 12;
const DRAWS: usize = 150;

impl Town {
    /// The other gateway of a room.
    fn twin_of(&self, id: usize) -> Option<usize> {
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
            self.note(Some(self.gateways[from].host), "is killed");
            self.gateways[from].stop();
        }
        let path = self.gateways[to].path.clone();
        for id in 0..self.stations.len() {
            if self.stations[id].gateway == from {
                self.note(Some(self.stations[id].host), format!("goes by {path}"));
                self.stations[id].go_by(to, &path);
                self.look_up(id);
            }
        }
        if is_told {
            self.go_on(&answers);
        }
        if is_killed {
            self.run(self.now + *rng.pick(&[1, 20, 200]) * SECOND);
            self.boot(from);
            self.note(Some(self.gateways[from].host), "starts from disk");
        }
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
    fn go_on(&mut self, answers: &[u64]) {
        let Conditions { loss, partitioned, .. } = self.internet.conditions;
        let mut left: Vec<u64> = answers.to_vec();
        left.retain(|&id| {
            let ask = self.asked(id);
            self.path(&ask).is_ok() && self.is_certain(&ask)
        });
        if loss > 0 || partitioned {
            return;
        }
        for _ in 0..TRIES {
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
