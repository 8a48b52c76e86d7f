//! One path to a peer: where it is, how it was learned of, and what its probes say.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Probes in a row without an answer that make a path silent.
pub const MISSES: u32 = 3;
/// No path is silent sooner after the first of them; one of a long round trip not before three of those.
const PATIENCE: Duration = Duration::from_millis(700);
/// From one probe to the next while the path in use is doubted.
const QUICK: Duration = Duration::from_millis(250);
/// The pause after the first probe of another path; doubled each time. Both ends probe at once, and the first probe of
/// one opens the other's NAT at best.
const FIRST: Duration = Duration::from_millis(200);
/// Probes that follow each other quickly; after them come pauses that double from [`LATER`] to [`LATER_MAX`].
const BURST: u32 = 5;
const LATER: Duration = Duration::from_secs(5);
const LATER_MAX: Duration = Duration::from_secs(160);
/// The longest of a path that has worked.
const AGAIN_MAX: Duration = Duration::from_secs(20);
/// A path that fell silent works again when it does for so long.
const PROVEN: Duration = Duration::from_secs(5);
/// The same of the path in use, which nothing better is known for.
const USED_LATER: Duration = Duration::from_secs(2);
const USED_LATER_MAX: Duration = Duration::from_secs(16);
/// How often there is a new reason to probe what never answered, at the most; doubled each time.
const WAKE_EVERY: Duration = Duration::from_secs(1);
const WAKE_MAX: Duration = Duration::from_secs(80);
/// An answer that takes longer is none, unless four round trips are more.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// From one answer to the next probe: of the path in use while the peer is busy, of others then, and of the path in use
/// while it is not (a NAT's mapping lasts 30 seconds and more).
const USED_EVERY: Duration = Duration::from_secs(5);
const OTHER_EVERY: Duration = Duration::from_secs(15);
const KEEP_EVERY: Duration = Duration::from_secs(25);
/// Probes that may be on their way.
const OUT_MAX: usize = 8;

/// How a path was learned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The session was made there.
    Session,
    /// The rosters name it.
    Roster,
    /// A beacon on the same link came from there.
    Neighbour,
    /// The peer has it on an interface of its own.
    Interface,
    /// A relay sees the peer there.
    Reflexive,
    /// A router forwards it to the peer.
    Mapped,
    /// Something authenticated came from there.
    Heard,
    /// A relay's channel.
    Relay,
    /// A connection of TLS.
    Tls,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Roster => "roster",
            Self::Neighbour => "neighbour",
            Self::Interface => "interface",
            Self::Reflexive => "reflexive",
            Self::Mapped => "mapped",
            Self::Heard => "heard",
            Self::Relay => "relay",
            Self::Tls => "tls",
        }
    }

    /// Whether it is a way around rather than to the peer's own address.
    #[must_use]
    pub fn is_detour(self) -> bool {
        matches!(self, Self::Relay | Self::Tls)
    }

    /// What a path of this kind counts as longer: somebody else's bandwidth, and streams that stand still on a loss.
    fn handicap(self) -> Duration {
        match self {
            Self::Relay => Duration::from_millis(50),
            Self::Tls => Duration::from_millis(150),
            _ => Duration::ZERO,
        }
    }

    /// Whether the other word says more of the same address.
    fn gives_way_to(self, other: Self) -> bool {
        matches!(self, Self::Session | Self::Heard) && !matches!(other, Self::Session | Self::Heard)
    }
}

/// How much a path is worth probing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Worth {
    /// The peer's packets go there.
    pub(super) used: bool,
    /// Somebody's packets come and go.
    pub(super) busy: bool,
    /// The path in use is to be kept open though nobody's do.
    pub(super) kept: bool,
}

#[derive(Debug)]
pub(super) struct Path {
    pub(super) at: SocketAddr,
    pub(super) kind: Kind,
    /// When it is probed next; `None`: not until somebody asks.
    pub(super) next: Option<Instant>,
    out: [Option<(u32, Instant)>; OUT_MAX],
    /// Probes since the last answer, and when the first of them went.
    missed: u32,
    since: Option<Instant>,
    /// The same, less those before a new reason to probe.
    tries: u32,
    woken: Option<Instant>,
    wakes: u32,
    pub(super) answers: u32,
    answered: Option<Instant>,
    /// When it answered again after a silence.
    back: Option<Instant>,
    pub(super) round_trip: Duration,
    /// Of 1,000 probes, as the last few say.
    pub(super) loss: u32,
}

impl Path {
    pub(super) fn new(at: SocketAddr, kind: Kind, now: Instant) -> Self {
        Self {
            at,
            kind,
            next: Some(now),
            out: [None; OUT_MAX],
            missed: 0,
            since: None,
            tries: 0,
            woken: Some(now),
            wakes: 0,
            answers: 0,
            answered: None,
            back: None,
            round_trip: Duration::ZERO,
            loss: 0,
        }
    }

    pub(super) fn learn(&mut self, kind: Kind) {
        if self.kind.gives_way_to(kind) {
            self.kind = kind;
        }
    }

    /// There is a new reason to probe it. Where nobody ever answered, reasons count less and less.
    pub(super) fn wake(&mut self, now: Instant) {
        let pause = match self.answers {
            0 => (WAKE_EVERY * 2_u32.saturating_pow(self.wakes.min(10))).min(WAKE_MAX),
            _ => FIRST,
        };
        if self.woken.is_none_or(|woken| now.saturating_duration_since(woken) >= pause) {
            self.wakes = self.wakes.saturating_add(1);
            self.woken = Some(now);
            self.tries = 0;
            self.next = Some(now);
        }
    }

    /// A probe of this number goes.
    pub(super) fn ask(&mut self, id: u32, worth: Worth, now: Instant) {
        self.give_up(now);
        let oldest = self.out.iter().enumerate().min_by_key(|(_, out)| out.map(|(_, at)| at));
        let oldest = oldest.map_or(0, |(at, _)| at);
        if self.out[oldest].replace((id, now)).is_some() {
            self.lose();
        }
        self.missed = self.missed.saturating_add(1);
        self.since.get_or_insert(now);
        self.tries = self.tries.saturating_add(1);
        self.plan(worth, now);
    }

    /// An answer came; whether it was to a probe of this path.
    pub(super) fn answer(&mut self, id: u32, worth: Worth, now: Instant) -> bool {
        let Some(out) = self.out.iter_mut().find(|out| out.is_some_and(|(waiting, _)| waiting == id)) else {
            return false;
        };
        let Some((_, since)) = out.take() else { return false };
        let round_trip = now.saturating_duration_since(since);
        if self.answers > 0 && self.is_silent(now) {
            (self.answers, self.back) = (0, Some(now));
        }
        if self.answers == 0 {
            // What it lost before it worked says nothing of what it loses now.
            (self.loss, self.out) = (0, [None; OUT_MAX]);
        }
        self.round_trip = match self.answers {
            0 => round_trip,
            _ => (self.round_trip * 7 + round_trip) / 8,
        };
        self.answers = self.answers.saturating_add(1);
        self.loss = self.loss * 15 / 16;
        (self.missed, self.since, self.tries) = (0, None, 0);
        self.answered = Some(now);
        self.plan(worth, now);
        true
    }

    /// When it is probed again, as things are.
    pub(super) fn plan(&mut self, worth: Worth, now: Instant) {
        self.next = self.pause(worth).map(|pause| now + pause);
    }

    fn pause(&self, worth: Worth) -> Option<Duration> {
        if self.tries == 0 {
            return match worth {
                // One answer says little.
                _ if self.answers < 2 => Some(FIRST),
                _ if !self.is_proven() => Some(PROVEN),
                Worth { used: true, busy: true, .. } => Some(USED_EVERY),
                Worth { used: true, kept: true, .. } => Some(KEEP_EVERY),
                Worth { used: false, busy: true, .. } => Some(OTHER_EVERY),
                _ => None,
            };
        }
        let doubled = |first: Duration, times: u32| first * 2_u32.saturating_pow(times.min(10));
        if self.tries < BURST {
            let pause = if worth.used { QUICK } else { doubled(FIRST, self.tries - 1) };
            return Some(pause.max(self.round_trip * 2));
        }
        let again = self.tries - BURST;
        match worth {
            Worth { used: true, busy, kept } if busy || kept => {
                Some(doubled(USED_LATER, again).min(USED_LATER_MAX))
            }
            Worth { used: false, busy: true, .. } => {
                let most = if self.answers > 0 { AGAIN_MAX } else { LATER_MAX };
                Some(doubled(LATER, again).min(most))
            }
            _ => None,
        }
    }

    /// Whether nothing comes back any more.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let patience = PATIENCE.max(self.round_trip * 3);
        let waited = self.since.is_some_and(|since| now.saturating_duration_since(since) >= patience);
        self.missed >= MISSES && waited
    }

    /// When it will be silent if nothing comes back.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        let since = self.since.filter(|_| self.missed >= MISSES)?;
        Some(since + PATIENCE.max(self.round_trip * 3))
    }

    /// Whether the last probe but one, or more of them, came to nothing.
    pub(super) fn is_doubtful(&self) -> bool {
        self.missed >= 2
    }

    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.answers > 0 && !self.is_silent(now)
    }

    /// Whether it is known well enough to leave one that works for it.
    pub(super) fn is_proven(&self) -> bool {
        let lasts = |back| self.answered.is_some_and(|at| at.saturating_duration_since(back) >= PROVEN);
        self.answers >= 2 && self.back.is_none_or(lasts)
    }

    /// Whether it answered after that.
    pub(super) fn answered_since(&self, then: Instant) -> bool {
        self.answered.is_some_and(|at| at >= then)
    }

    /// Shorter is better.
    pub(super) fn score(&self) -> Duration {
        // A path that loses a tenth is as bad as one that is twice as far and 20 ms more.
        (self.round_trip + self.kind.handicap()) * (1_000 + 10 * self.loss) / 1_000
            + Duration::from_millis(self.loss.into()) / 5
    }

    /// Probes that are too old are lost.
    fn give_up(&mut self, now: Instant) {
        let limit = LOST_AFTER.max(self.round_trip * 4);
        for at in 0..OUT_MAX {
            if self.out[at].is_some_and(|(_, since)| now.saturating_duration_since(since) >= limit) {
                self.out[at] = None;
                self.lose();
            }
        }
    }

    fn lose(&mut self) {
        self.loss = (self.loss * 15 + 1_000) / 16;
    }
}
