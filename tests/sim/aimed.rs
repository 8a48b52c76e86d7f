//! Transitions that chance alone would meet too seldom: what is wrong in them lasts for a moment, or shows only while two
//! gateways are of two minds.

use crate::clock::{MILLISECOND, SECOND, Time};
use crate::internet::Conditions;
use crate::probe::Ask;
use crate::rng::Rng;
use crate::town::{End, Town};

/// A station that talks from elsewhere is found there within this time, where no datagram is lost.
const FOLLOWED: Time = 8 * SECOND;
/// A flow's packets, so close that some are on their way at any instant.
const GAP: Time = 5 * MILLISECOND;
/// What rules deny when flows are cut.
const CUT: u16 = 7_000;
const DRAWS: usize = 150;

impl Town {
    /// Whether a station had an answer a moment ago, and loses nothing on the way to its gateway now.
    pub fn is_heard(&self, id: usize) -> bool {
        let station = &self.stations[id];
        let gateway = &self.gateways[station.gateway];
        let Conditions { loss, partitioned, .. } = self.internet.conditions;
        loss == 0 && !partitioned && gateway.is_on() && station.is_heard(self.now)
    }

    /// What its room may send to a station that moved gets there soon.
    pub fn follow(&mut self, id: usize, rng: &mut Rng) {
        let (gateway, site) = (self.stations[id].gateway, self.internet.hosts[self.stations[id].host].site);
        let is_near = site == self.site_of(gateway);
        let Some(at) = self.stations[id].endpoint else { return };
        if !is_near && !self.internet.is_open(site, at, self.now) {
            return;
        }
        let Some(to) = self.nodes.iter().position(|node| node.end == End::Station(id)) else { return };
        let mut flows = Vec::new();
        for _ in 0..DRAWS {
            let ask = Ask { to, ..self.draw_ask(rng) };
            let is_room = ask.from != to && self.gateway_of(self.nodes[ask.from].end) == gateway;
            let from_here = matches!(self.nodes[ask.from].end, End::Gateway(_) | End::Lan(_));
            if is_room
                && from_here
                && flows.len() < 2
                && self.allowed(&ask).is_ok()
                && self.path(&ask).is_ok()
            {
                flows.extend(self.open(ask));
            }
        }
        let begin = self.now;
        self.run(self.now + SECOND / 2);
        while self.broken.is_none() {
            flows.retain(|&flow| !self.is_delivered(flow));
            if flows.is_empty() {
                break;
            }
            if self.now > begin + FOLLOWED {
                let path = &self.stations[id].path;
                return self.break_down(format!("{path} was not followed in {} s", FOLLOWED / SECOND));
            }
            flows.iter().for_each(|&flow| self.send(flow));
            self.run(self.now + SECOND / 2);
        }
    }

    /// One gateway is late with a roster: what either of the two on a path denies does not pass, whatever the other says.
    pub fn change_policy_apart(&mut self, rng: &mut Rng) {
        let owner = rng.index(self.desks.len());
        let takers: Vec<_> = self.takers(owner);
        let serves: Vec<_> = takers.iter().copied().filter(|&id| !self.gateways[id].is_relay()).collect();
        let Some(&slow) = serves.get(rng.index(serves.len())) else { return };
        let Some(&taker) = takers.iter().find(|&&id| id != slow) else { return };
        self.slow = Some(slow);
        self.note(Some(self.gateways[slow].host), "is busy");
        self.draw_policy(owner, rng);
        self.publish_at(owner, Some(taker));
        self.run(self.now + SECOND);
        let mut asks = Vec::new();
        for _ in 0..DRAWS {
            let ask = self.draw_ask(rng);
            let [first, last] = self.gateways_of(&ask);
            let is_between = first != last && (first == slow || last == slow);
            if is_between
                && self.allowed_at(first, &ask).is_ok() != self.allowed_at(last, &ask).is_ok()
                && self.allowed(&ask).is_err()
                && self.path(&ask).is_ok()
            {
                asks.push(ask);
            }
        }
        asks.truncate(6);
        self.check(&asks, "policy changed apart", rng);
        self.slow = None;
        self.run(self.now + 10 * SECOND);
    }

    /// A flow is denied while its packets are on their way, and the other way would be allowed: no answer that comes late
    /// begins that, for then the denied packets would be its answers.
    pub fn cut_flows(&mut self, rng: &mut Rng) {
        let mut asks: Vec<Ask> = Vec::new();
        for _ in 0..DRAWS {
            let ask = Ask { port: CUT, ..self.draw_ask(rng) };
            let back = Ask { from: ask.to, to: ask.from, port: 10_000, ..ask };
            if asks.iter().all(|other| other.to == ask.to)
                && matches!(self.nodes[ask.to].end, End::Station(_) | End::Lan(_))
                && self.allowed(&ask).is_ok()
                && self.allowed(&back).is_ok()
                && self.path(&ask).is_ok()
                && self.is_certain(&ask)
            {
                asks.push(ask);
            }
        }
        asks.truncate(3);
        let Some(first) = asks.first() else { return };
        let to = &self.nodes[first.to];
        let owner = self.gateways[self.gateway_of(to.end)].owner;
        let takers = self.takers(owner);
        let on_the_way: Vec<_> = asks.iter().flat_map(|ask| self.gateways_of(ask)).collect();
        let on_the_way: Vec<_> = on_the_way.into_iter().filter(|id| takers.contains(id)).collect();
        let Some(&taker) = on_the_way.get(rng.index(on_the_way.len())) else { return };
        let path = to.path.clone();
        let talks: Vec<_> = asks.iter().filter_map(|&ask| self.open_talk(ask)).collect();
        for _ in 0..3 {
            talks.iter().for_each(|&talk| self.send(talk));
            self.run(self.now + SECOND / 2);
        }
        self.talk_on(&talks, 20);
        self.desks[owner].deny(&path, &format!("udp/{CUT}"));
        self.note(None, format!("{path} denies udp/{CUT}"));
        self.publish_at(owner, Some(taker));
        self.talk_on(&talks, 120);
    }

    fn talk_on(&mut self, talks: &[u64], count: u32) {
        for _ in 0..count {
            talks.iter().for_each(|&talk| self.send(talk));
            self.run(self.now + GAP);
        }
    }
}
