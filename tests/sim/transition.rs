//! What happens to a town: one thing after the other, each drawn from the seed as data, so that a run can be told again
//! without some of them.

use crate::clock::{MILLISECOND, SECOND};
use crate::gateway::Wall;
use crate::internet::Conditions;
use crate::rng::Rng;
use crate::town::{HostKind, Task, Town};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Send,
    Wait,
    Partition,
    /// The same, but for relays: they hear each other.
    Divide,
    Heal,
    /// Loss, jitter and duplication from here on.
    Weather,
    Roam,
    /// A site's translators forget.
    Forget,
    Restart,
    NodeAdded,
    NodeRevoked,
    PolicyChanged,
    Equivocated,
    RolledBack,
    ClockStopped,
    ClockSet,
    Sleep,
    RelayKilled,
    RelayRestarted,
    /// One gateway takes long to judge what the others have in force.
    PolicyApart,
    /// While packets of the flow that it ends are on their way.
    FlowCut,
    /// The stations of one gateway of a room go by the other one, that one killed or not.
    TwinMoved,
}

const KINDS: &[(u64, Kind)] = &[
    (4, Kind::Send),
    (2, Kind::Wait),
    (2, Kind::Partition),
    (3, Kind::Divide),
    (3, Kind::Heal),
    (2, Kind::Weather),
    (5, Kind::Roam),
    (1, Kind::Forget),
    (3, Kind::Restart),
    (2, Kind::NodeAdded),
    (3, Kind::NodeRevoked),
    (4, Kind::PolicyChanged),
    (1, Kind::Equivocated),
    (1, Kind::RolledBack),
    (1, Kind::ClockStopped),
    (2, Kind::ClockSet),
    (2, Kind::Sleep),
    (2, Kind::RelayKilled),
    (2, Kind::RelayRestarted),
    (3, Kind::PolicyApart),
    (4, Kind::FlowCut),
    (5, Kind::TwinMoved),
];

#[derive(Debug, Clone, Copy)]
pub struct Transition {
    pub kind: Kind,
    /// Draws whatever the transition leaves open.
    pub seed: u64,
}

pub fn draw(count: usize, rng: &mut Rng) -> Vec<Transition> {
    let sum = KINDS.iter().map(|(weight, _)| weight).sum();
    let one = |rng: &mut Rng| {
        let mut left = rng.below(sum);
        let kind = KINDS.iter().find(|(weight, _)| {
            let is_it = left < *weight;
            left = left.saturating_sub(*weight);
            is_it
        });
        Transition { kind: kind.map_or(Kind::Send, |&(_, kind)| kind), seed: rng.next() }
    };
    (0..count).map(|_| one(rng)).collect()
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Partition => "partition",
            Self::Divide => "divided",
            Self::Heal => "heal",
            Self::Weather => "weather",
            Self::Roam => "roam",
            Self::Forget => "translator restarted",
            Self::Restart => "restart",
            Self::NodeAdded => "node added",
            Self::NodeRevoked => "node revoked",
            Self::PolicyChanged => "policy changed",
            Self::Equivocated => "roster equivocated",
            Self::RolledBack => "roster rolled back",
            Self::ClockStopped => "clock stopped",
            Self::ClockSet => "clock set",
            Self::Sleep => "sleep",
            Self::RelayKilled => "relay killed",
            Self::RelayRestarted => "relay restarted",
            Self::PolicyApart => "policy changed apart",
            Self::FlowCut => "flow cut",
            Self::TwinMoved => "twin moved",
        }
    }
}

impl Town {
    /// One transition, with traffic under way, and every invariant afterwards.
    pub fn step(&mut self, transition: Transition) {
        let mut rng = Rng::new(transition.seed, 5);
        let name = transition.kind.name();
        self.note(None, name);
        let background: Vec<_> =
            self.draw_allowed(3, &mut rng).into_iter().filter_map(|ask| self.open(ask)).collect();
        let refusals = self.refused.len();
        for _ in 0..2 {
            background.iter().for_each(|&id| self.send(id));
            self.run(self.now + 250 * MILLISECOND);
        }
        self.change(transition.kind, &mut rng);
        background.iter().for_each(|&id| self.send(id));
        // What was brought to a gateway is in force there.
        self.run(self.now + 50 * MILLISECOND);
        self.converge();
        for _ in 0..6 {
            background.iter().for_each(|&id| self.send(id));
            self.run(self.now + 700 * MILLISECOND);
        }
        let is_called_for = matches!(transition.kind, Kind::Equivocated | Kind::RolledBack);
        if !is_called_for && self.refused.len() > refusals {
            self.break_down(format!("a roster was refused: {}", self.refused[refusals]));
        }
        self.converge();
        let mut asks = self.draw_allowed(4, &mut rng);
        asks.extend((0..3).map(|_| self.draw_ask(&mut rng)));
        asks.extend(self.draw_chained(2, &mut rng));
        self.check(&asks, name, &mut rng);
        self.hold_bounds();
    }

    fn change(&mut self, kind: Kind, rng: &mut Rng) {
        match kind {
            Kind::Send => {}
            Kind::Wait => {
                let pause = *rng.pick(&[10, 35, 130, 200, 400, 700]);
                self.note(None, format!("{pause} s pass"));
                self.run(self.now + pause * SECOND);
            }
            Kind::Partition => {
                for site in &mut self.internet.sites {
                    site.side = rng.below(2) as u8;
                }
                let conditions = &mut self.internet.conditions;
                (conditions.partitioned, conditions.bridged) = (true, false);
                self.run(self.now + rng.below(250) * SECOND);
            }
            Kind::Divide => {
                self.divide(rng);
                self.run(self.now + *rng.pick(&[0, 0, 5, 60, 250]) * SECOND);
            }
            Kind::Heal => {
                self.internet.conditions = Conditions::default();
                for site in &mut self.internet.sites {
                    site.up = true;
                }
            }
            Kind::Weather => {
                let conditions = &mut self.internet.conditions;
                conditions.loss = rng.below(200);
                conditions.duplication = rng.below(100);
                conditions.jitter = rng.below(80) * MILLISECOND;
                let told = format!("{conditions:?}");
                self.note(None, told);
            }
            Kind::Roam => self.roam(rng),
            Kind::Forget => {
                let site = rng.index(self.internet.sites.len());
                self.internet.reboot_nats(site);
            }
            Kind::Restart => self.restart(rng),
            Kind::NodeAdded => {
                let serves: Vec<_> =
                    (0..self.gateways.len()).filter(|&id| !self.gateways[id].is_relay()).collect();
                let gateway = *rng.pick(&serves);
                self.add_station(gateway, rng);
                self.publish(self.gateways[gateway].owner, rng);
            }
            Kind::NodeRevoked => self.revoke(rng),
            Kind::PolicyChanged => {
                let owner = rng.index(self.desks.len());
                self.draw_policy(owner, rng);
                self.publish(owner, rng);
            }
            Kind::PolicyApart => self.change_policy_apart(rng),
            Kind::TwinMoved => self.move_twin(rng),
            Kind::FlowCut => self.cut_flows(rng),
            Kind::Equivocated | Kind::RolledBack => self.lie(kind, rng),
            Kind::ClockStopped => {
                let id = rng.index(self.gateways.len());
                let gateway = &mut self.gateways[id];
                if gateway.wall == Wall::True {
                    gateway.wall = Wall::Stopped(self.now);
                    let host = gateway.host;
                    self.note(Some(host), "its clock stops");
                }
            }
            Kind::ClockSet => {
                for id in 0..self.gateways.len() {
                    if self.gateways[id].wall != Wall::True {
                        self.gateways[id].wall = Wall::True;
                        self.note(Some(self.gateways[id].host), "its clock is set");
                        self.gateways[id].with(self.now, |engine, now| engine.handle_clock_step(now));
                        let effects = self.gateways[id].effects();
                        self.apply(id, effects);
                    }
                }
            }
            Kind::RelayKilled => self.kill_relay(rng),
            Kind::RelayRestarted => self.restart_relay(rng),
            Kind::Sleep => {
                let id = rng.index(self.gateways.len());
                let pause = *rng.pick(&[20, 100, 200, 650]);
                self.note(Some(self.gateways[id].host), format!("sleeps for {pause} s"));
                self.gateways[id].asleep = true;
                self.plan(self.now + pause * SECOND, Task::GetUp(id));
                self.run(self.now + pause * SECOND + SECOND);
            }
        }
    }

    /// An owner's border, or one inside, is another.
    pub fn draw_policy(&mut self, owner: usize, rng: &mut Rng) {
        let names = self.owners.clone();
        if rng.per_mille(300) {
            self.desks[owner].draw_policy(&names, rng);
        }
        let room = rng.index(self.desks[owner].rooms.len());
        self.desks[owner].draw_inner_policy(room, &names, rng);
    }

    fn roam(&mut self, rng: &mut Rng) {
        let host = if !self.stations.is_empty() && rng.per_mille(500) {
            rng.pick(&self.stations).host
        } else {
            rng.index(self.hosts.len())
        };
        match self.hosts[host] {
            HostKind::Gateway(id) => {
                let site = self.site_of(id);
                self.internet.renumber(site);
                self.note(Some(host), "its site is renumbered");
            }
            HostKind::Station(id) => {
                let home = self.site_of(self.stations[id].gateway);
                let site = if rng.per_mille(300) { home } else { *rng.pick(&self.cafes) };
                self.internet.hosts[host].site = site;
                self.note(Some(host), format!("is at site {site} now"));
                // A phone that changes networks looks for its gateway, and says something.
                let was_heard = self.is_heard(id);
                self.stations[id].endpoint = None;
                self.look_up(id);
                self.talk(id);
                if was_heard {
                    self.follow(id, rng);
                }
            }
        }
    }

    fn restart(&mut self, rng: &mut Rng) {
        if !self.stations.is_empty() && rng.per_mille(250) {
            let id = rng.index(self.stations.len());
            self.note(Some(self.stations[id].host), "starts again");
            self.stations[id].restart();
            return;
        }
        let id = rng.index(self.gateways.len());
        self.note(Some(self.gateways[id].host), "is switched off");
        self.gateways[id].stop();
        self.run(self.now + *rng.pick(&[0, 1, 20, 200]) * SECOND);
        self.boot(id);
        self.note(Some(self.gateways[id].host), "starts from disk");
    }

    fn revoke(&mut self, rng: &mut Rng) {
        let owner = rng.index(self.desks.len());
        if let count @ 1.. = self.desks[owner].relays.len()
            && rng.per_mille(250)
        {
            let relay = &mut self.desks[owner].relays[rng.index(count)];
            relay.listed = !relay.listed;
            let told = format!("{} {}", relay.name, if relay.listed { "is back" } else { "is revoked" });
            self.note(None, format!("{}: {told}", self.owners[owner]));
            return self.publish(owner, rng);
        }
        let room = rng.index(self.desks[owner].rooms.len());
        let room = &mut self.desks[owner].rooms[room];
        let told = if rng.per_mille(150) {
            room.listed = !room.listed;
            format!("{}/gw {}", room.name, if room.listed { "is back" } else { "is revoked" })
        } else if let count @ 1.. = room.stations.len() {
            let station = &mut room.stations[rng.index(count)];
            station.listed = !station.listed;
            format!("{} {}", station.name, if station.listed { "is back" } else { "is revoked" })
        } else {
            return;
        };
        self.note(None, format!("{}: {told}", self.owners[owner]));
        self.publish(owner, rng);
    }

    /// Signs an owner's draft and brings it to one gateway that takes it; from there on it travels.
    fn publish(&mut self, owner: usize, rng: &mut Rng) {
        let takers = self.takers(owner);
        let taker = (!takers.is_empty()).then(|| *rng.pick(&takers));
        self.publish_at(owner, taker);
    }

    /// Gateways that an owner may bring a roster to.
    pub fn takers(&self, owner: usize) -> Vec<usize> {
        let takes = |id: &usize| {
            let gateway = &self.gateways[*id];
            self.is_listed(*id)
                && gateway.is_on()
                && gateway.reads(&self.owners[owner])
                && gateway.wall == Wall::True
        };
        (0..self.gateways.len()).filter(takes).collect()
    }

    pub fn publish_at(&mut self, owner: usize, taker: Option<usize>) {
        let offer = self.sign(owner);
        let told = format!("{} signs serial {}", self.owners[owner], self.desks[owner].serial());
        self.note(None, told);
        if let Some(gateway) = taker {
            self.note(Some(self.gateways[gateway].host), "is brought it");
            self.plan(self.now, Task::Give { gateway, offer });
        }
    }

    /// Somebody gives a gateway what it must refuse.
    fn lie(&mut self, kind: Kind, rng: &mut Rng) {
        let owner = rng.index(self.desks.len());
        let (names, keys) = (self.owners.clone(), self.owner_keys.clone());
        let offer = if kind == Kind::Equivocated {
            self.desks[owner].equivocate(&keys, &names)
        } else {
            let old = self.desks[owner].equivocate(&keys, &names);
            self.publish(owner, rng);
            self.run(self.now + 4 * SECOND);
            old
        };
        // One that is up to date: to the others it is nothing that they have seen before.
        let serial = self.desks[owner].serial();
        let holds =
            |id: &usize| self.gateways[*id].is_on() && self.gateways[*id].holds(&names[owner], serial);
        let readers: Vec<_> = (0..self.gateways.len()).filter(holds).collect();
        let Some(&gateway) = readers.get(rng.index(readers.len())) else { return };
        let before = self.refused.len();
        self.plan(self.now, Task::Give { gateway, offer });
        self.run(self.now + SECOND);
        let told = self.refused.get(before).cloned().unwrap_or_default();
        let wanted = if kind == Kind::Equivocated { "a second time" } else { "was accepted before" };
        if !told.contains(wanted) {
            self.break_down(format!("it was not refused because it {wanted}: {told}"));
        }
    }
}
