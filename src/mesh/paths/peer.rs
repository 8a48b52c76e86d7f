//! One peer's paths, and which of them is used.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::path::{Kind, Path, Worth};
use super::told::Allowance;
use super::{Seen, Why, Wish};
use crate::mesh::dice::Dice;
use crate::packet::TokenBucket;
use crate::table::PeerId;

/// Candidates of one peer.
pub(super) const CANDIDATES_MAX: usize = 16;
/// How often it is looked at whether somebody's packets come and go; of a peer that is not busy; and of one that has not been
/// for long.
const LOOK: Duration = Duration::from_secs(10);
const LOOK_IDLE: Duration = Duration::from_secs(30);
const LOOK_SELDOM: Duration = Duration::from_mins(5);
/// How long a peer is busy after the last sign of it, and how long its path is kept open.
const BUSY: Duration = Duration::from_secs(30);
const KEPT: Duration = Duration::from_mins(30);
/// Packets from one look to the next that are the tunnel's own rather than somebody's.
const QUIET: u64 = 8;
/// While every path is silent: how often somebody is told, doubled each time.
const LOST_EVERY: Duration = Duration::from_secs(2);
const LOST_MAX: Duration = Duration::from_secs(60);
/// While the path in use is a detour: how often the two introduce themselves to each other, doubled each time.
const INTRODUCE_EVERY: Duration = Duration::from_secs(2);
const INTRODUCE_MAX: Duration = Duration::from_secs(160);
/// A better path is shorter by a fifth and by so much.
const BETTER_BY: Duration = Duration::from_millis(1);
/// Pongs a second to one peer, and at once.
const PONGS: (u32, u32) = (20, 40);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) paths: Vec<Path>,
    pub(super) used: SocketAddr,
    pub(super) moved: Instant,
    pub(super) why: Why,
    busy_until: Instant,
    kept_until: Instant,
    look: Instant,
    /// As of the last look; and those that are probes' own since.
    packets: u64,
    pub(super) own: u64,
    /// When the path in use was first in doubt, until it answers or is left.
    doubted: Option<Instant>,
    /// How often it was told that every path is silent, and when again.
    pub(super) lost: u32,
    lost_next: Instant,
    introduce: Option<Instant>,
    introduced: u32,
    introduced_at: Option<Instant>,
    pub(super) allowance: Allowance,
    pub(super) pongs: TokenBucket,
    /// When it is in the queue for.
    pub(super) wake: Option<Instant>,
}

impl Peer {
    pub(super) fn new(at: SocketAddr, kind: Kind, now: Instant) -> Self {
        Self {
            paths: vec![Path::new(at, kind, now)],
            used: at,
            moved: now,
            why: Why::Session,
            busy_until: now + BUSY,
            kept_until: now + KEPT,
            look: now + LOOK,
            packets: 0,
            own: 0,
            doubted: None,
            lost: 0,
            lost_next: now,
            introduce: Some(now),
            introduced: 0,
            introduced_at: None,
            allowance: Allowance::new(now),
            pongs: TokenBucket::new(PONGS.0, PONGS.1, now),
            wake: None,
        }
    }

    /// There is a session anew, and it was made here.
    pub(super) fn begin(&mut self, at: SocketAddr, kind: Kind, now: Instant) {
        self.stir(now);
        self.add(at, kind, now);
        self.set_used(at, Why::Session, now);
        self.introduce_anew(now);
        self.paths.iter_mut().for_each(|path| path.wake(now));
    }

    /// Somebody's packets come and go.
    fn stir(&mut self, now: Instant) {
        self.busy_until = now + BUSY;
        self.kept_until = now + KEPT;
    }

    fn set_used(&mut self, at: SocketAddr, why: Why, now: Instant) {
        (self.doubted, self.lost, self.lost_next) = (None, 0, now);
        if self.used != at {
            (self.used, self.moved, self.why) = (at, now, why);
            // It is probed as one in use is.
            self.paths.iter_mut().filter(|path| path.at == at).for_each(|path| path.wake(now));
            if self.is_on_detour() {
                self.introduce_anew(now);
            }
        }
    }

    /// The peer may be here; whether that is new.
    pub(super) fn add(&mut self, at: SocketAddr, kind: Kind, now: Instant) -> bool {
        if let Some(path) = self.paths.iter_mut().find(|path| path.at == at) {
            path.learn(kind);
            return false;
        }
        if self.paths.len() >= CANDIDATES_MAX {
            let used = self.used;
            let worst = self.paths.iter().position(|path| path.at != used && !path.is_alive(now));
            let Some(worst) = worst else { return false };
            self.paths.remove(worst);
        }
        self.paths.push(Path::new(at, kind, now));
        true
    }

    /// The peer says that it is here, or is heard from here: if that is new, or not known to work, it is probed.
    pub(super) fn consider(&mut self, at: SocketAddr, kind: Kind, now: Instant) {
        match self.paths.iter_mut().find(|path| path.at == at) {
            Some(path) => {
                path.learn(kind);
                if !path.is_alive(now) {
                    path.wake(now);
                }
            }
            None if self.allowance.take_new(now) => {
                self.add(at, kind, now);
            }
            None => {}
        }
    }

    /// The peer is heard from here, and not from where its packets go. Where that is known to work it is no matter: what
    /// is unanswered shows by itself.
    pub(super) fn hear(&mut self, from: SocketAddr, kind: Kind, now: Instant) {
        if !self.paths.iter().any(|path| path.at == from && path.is_alive(now)) {
            self.consider(from, kind, now);
            self.doubt(now);
        }
    }

    pub(super) fn worth(&self, at: SocketAddr, now: Instant) -> Worth {
        Worth { used: at == self.used, busy: now < self.busy_until, kept: now < self.kept_until }
    }

    /// What it was sent is unanswered: it may be busy, and is asked at once.
    pub(super) fn miss(&mut self, now: Instant) {
        self.busy_until = self.busy_until.max(now + LOOK);
        self.doubt(now);
    }

    /// The path in use is asked at once.
    fn doubt(&mut self, now: Instant) {
        let used = self.used;
        if let Some(path) = self.paths.iter_mut().find(|path| path.at == used) {
            path.wake(now);
        }
    }

    /// Whether packets go around rather than straight to it.
    fn is_on_detour(&self) -> bool {
        self.paths.iter().any(|path| path.at == self.used && path.kind.is_detour())
    }

    /// When something is to be done about it.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let probes = self.paths.iter().filter_map(|path| path.next);
        let used = self.paths.iter().find(|path| path.at == self.used);
        let silent = used.filter(|path| !path.is_silent(now)).and_then(Path::silent_at);
        let introduce = self.introduce.filter(|_| now < self.busy_until);
        probes.chain(silent).chain(introduce).min().map_or(self.look, |at| at.min(self.look))
    }

    /// Does what is due; what it comes to is said in `wishes`.
    pub(super) fn step(
        &mut self,
        id: PeerId,
        seen: Option<Seen>,
        ids: &mut u32,
        dice: &mut Dice,
        wishes: &mut Vec<Wish>,
        now: Instant,
    ) {
        let Some(seen) = seen.filter(|seen| seen.connected) else {
            // Handshakes are others' business.
            self.paths.iter_mut().for_each(|path| path.next = None);
            (self.introduce, self.look) = (None, now + LOOK_SELDOM);
            return;
        };
        let was_lost = self.lost > 0;
        if seen.at != self.used {
            self.add(seen.at, Kind::Heard, now);
            self.set_used(seen.at, Why::Found, now);
        }
        if self.look <= now {
            self.look(seen.packets, now);
        }
        self.choose(id, wishes, now);
        if was_lost && self.lost == 0 {
            wishes.push(Wish::Found(id));
        }
        self.probe(id, ids, dice, wishes, now);
        self.introduce(id, wishes, now);
    }

    fn look(&mut self, packets: u64, now: Instant) {
        let others = packets.saturating_sub(self.packets).saturating_sub(self.own);
        if self.packets > 0 && others > QUIET {
            let was_busy = now < self.busy_until;
            self.stir(now);
            if !was_busy {
                self.paths.iter_mut().for_each(|path| path.wake(now));
                self.introduce = self.introduce.or(Some(now));
            }
        }
        (self.packets, self.own) = (packets, 0);
        self.look = now
            + match now {
                _ if now < self.busy_until => LOOK,
                _ if now < self.kept_until => LOOK_IDLE,
                _ => LOOK_SELDOM,
            };
    }

    /// Moves to the best path, if it is to be moved to.
    fn choose(&mut self, id: PeerId, wishes: &mut Vec<Wish>, now: Instant) {
        let used = self.paths.iter().find(|path| path.at == self.used);
        let is_silent = used.is_none_or(|path| path.is_silent(now));
        if !is_silent && used.is_some_and(|path| !path.is_doubtful()) {
            (self.doubted, self.lost, self.lost_next) = (None, 0, now);
        }
        let alive = || self.paths.iter().filter(|path| path.at != self.used && path.is_alive(now));
        if is_silent {
            // Best is who answered since; else whoever did before.
            let doubted = self.doubted.unwrap_or(now);
            let best = alive().min_by_key(|path| (!path.answered_since(doubted), path.score()));
            match best.map(|path| path.at) {
                Some(at) => {
                    self.set_used(at, Why::Silent, now);
                    wishes.push(Wish::Move { peer: id, at });
                }
                None if self.lost_next <= now && now < self.busy_until => {
                    self.lost_next =
                        now + (LOST_EVERY * 2_u32.saturating_pow(self.lost.min(10))).min(LOST_MAX);
                    self.lost = self.lost.saturating_add(1);
                    wishes.push(Wish::Lost(id));
                }
                None => {}
            }
            return;
        }
        let Some(used) = used.filter(|path| path.answers > 0) else { return };
        let best = alive().filter(|path| path.is_proven()).min_by_key(|path| path.score());
        if let Some(best) = best
            && best.score() * 5 / 4 + BETTER_BY < used.score()
        {
            let at = best.at;
            self.set_used(at, Why::Better, now);
            wishes.push(Wish::Move { peer: id, at });
        }
    }

    fn probe(&mut self, id: PeerId, ids: &mut u32, dice: &mut Dice, wishes: &mut Vec<Wish>, now: Instant) {
        let used = self.used;
        if self.doubted.is_none()
            && self.paths.iter().any(|path| path.at == used && path.is_doubtful() && path.answers > 0)
        {
            self.doubted = Some(now);
            self.paths.iter_mut().filter(|path| path.at != used).for_each(|path| path.wake(now));
            wishes.push(Wish::Doubt(id));
        }
        for at in 0..self.paths.len() {
            let worth = self.worth(self.paths[at].at, now);
            let path = &mut self.paths[at];
            if path.next.is_none_or(|next| next > now) {
                continue;
            }
            *ids = ids.wrapping_add(1);
            path.ask(*ids, worth, now);
            // Not all in step.
            path.next = path.next.map(|next| next - dice.up_to(next.saturating_duration_since(now) / 8));
            wishes.push(Wish::Probe { peer: id, at: path.at, id: *ids });
            self.own += 1;
        }
    }

    fn introduce(&mut self, id: PeerId, wishes: &mut Vec<Wish>, now: Instant) {
        if self.introduce.is_none_or(|at| at > now) || now >= self.busy_until {
            return;
        }
        self.introduce = self.is_on_detour().then(|| {
            now + (INTRODUCE_EVERY * 2_u32.saturating_pow(self.introduced.min(10))).min(INTRODUCE_MAX)
        });
        self.introduced = self.introduced.saturating_add(1);
        self.introduced_at = Some(now);
        self.own += 1;
        wishes.push(Wish::Introduce(id));
    }

    /// The peer introduced itself, and probes now: so do we, unless we do already.
    pub(super) fn answer_introduction(&mut self, now: Instant) {
        self.own += 1;
        self.busy_until = self.busy_until.max(now + LOOK);
        if self.introduced_at.is_none_or(|at| now.saturating_duration_since(at) >= INTRODUCE_EVERY) {
            self.introduce = Some(now);
        }
    }

    /// Soon, and then with short pauses again; never so often that the peer takes it for too much.
    fn introduce_anew(&mut self, now: Instant) {
        let soon = self.introduced_at.map_or(now, |at| now.max(at + INTRODUCE_EVERY));
        (self.introduce, self.introduced) = (Some(soon), 0);
    }

    /// What we tell of ourselves has changed: the peer is to hear of it, and the path in use may be another one.
    pub(super) fn change(&mut self, now: Instant) {
        self.introduce_anew(now);
        self.paths.iter_mut().for_each(|path| path.wake(now));
    }
}
