//! Another way to a peer, for where UDP is blocked: a path inside TLS (`base::VirtualEndpoint`).
//!
//! A peer that is to be kept reached and says nothing for a second to what it was sent is asked: by a handshake, for that
//! is always answered. A passage is asked for at the same time ([`super::TunnelEvent::Silent`]). Where the peer is still
//! silent after that and the passage is there, what goes to the peer goes through it; its answers prove it. From then on
//! its other addresses are asked by turns, now and then, and the one that answers has the peer again. A peer that was
//! lost again soon after is asked more seldom: some networks let handshakes through and little else.
//!
//! That is for relays, and for gateways before there is a session. A gateway with a session is wherever it is put
//! ([`super::Tunnels::place`]); of it only the silence is told.

use std::time::{Duration, Instant};

use super::Endpoint;

/// A peer with a session is asked when it left what it was sent unanswered for so long. One that only listens says so
/// within ten seconds (KEEPALIVE_TIMEOUT), and is asked in vain: a handshake now and then.
const SILENT_FOR: Duration = Duration::from_millis(1_000);
/// A peer without one: a moment for UDP's handshake to be first.
const FIRST_FOR: Duration = Duration::from_millis(300);
/// An answer takes no longer.
const ANSWERED_WITHIN: Duration = Duration::from_millis(800);
/// How soon, and then how often, UDP is tried from a passage. Often only the other end was late, and TLS came first.
const FIRST_TRY: Duration = Duration::from_secs(1);
const TRY_EVERY: Duration = Duration::from_secs(10);
const TRY_EVERY_MAX: Duration = Duration::from_secs(160);
/// UDP that works for so long works.
const LASTING: Duration = Duration::from_secs(60);
/// For so long after a peer was heard over UDP, what still comes out of a passage doesn't move it.
const LEFT_BEHIND: Duration = Duration::from_millis(500);
/// How often a silent peer is looked at until it was asked.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// One peer's other way, and what it didn't answer.
#[derive(Debug, Default)]
pub(super) struct Standby {
    passage: Option<Endpoint>,
    /// When the first packet went out that nothing authentic has come after.
    unanswered: Option<Instant>,
    /// When it was asked, if nothing authentic has come since.
    asked: Option<Instant>,
    /// When the peer was last heard from where it is.
    heard_here: Option<Instant>,
    /// When UDP is tried again, while a passage is in use.
    next_try: Option<Instant>,
    try_every: Option<Duration>,
    /// When UDP was found to work again.
    back: Option<Instant>,
}

/// What is to be done about a peer's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Ask it where it is thought to be, and ask for a passage.
    Ask,
    /// From now on it is here.
    Switch(Endpoint),
    /// Ask it at its next address.
    TryUdp,
}

impl Standby {
    pub(super) fn set_passage(&mut self, passage: Endpoint) {
        self.passage = Some(passage);
    }

    /// Forgets the passage; whether there was this one.
    pub(super) fn forget(&mut self, passage: Endpoint) -> bool {
        let was = self.passage == Some(passage);
        if was {
            self.passage = None;
        }
        was
    }

    pub(super) fn handle_sent(&mut self, now: Instant) {
        if self.unanswered.is_none() {
            self.unanswered = Some(now);
        }
    }

    pub(super) fn handle_heard(&mut self) {
        self.unanswered = None;
        self.asked = None;
    }

    pub(super) fn handle_heard_here(&mut self, now: Instant) {
        self.heard_here = Some(now);
    }

    /// Whether data out of a passage is only what was left behind there when the peer went back to UDP.
    pub(super) fn stays(&self, now: Instant) -> bool {
        self.heard_here.is_some_and(|at| now.saturating_duration_since(at) < LEFT_BEHIND)
    }

    /// The peer moved to, or from, a place that is none.
    pub(super) fn handle_move(&mut self, from_virtual: bool, to_virtual: bool, now: Instant) {
        match (from_virtual, to_virtual) {
            (false, true) => {
                let relapse = self.back.is_some_and(|back| now.saturating_duration_since(back) < LASTING);
                let every = self.try_every.filter(|_| relapse).map_or(TRY_EVERY, |every| every * 2);
                let every = every.min(TRY_EVERY_MAX);
                self.try_every = Some(every);
                self.next_try = Some(now + if relapse { every } else { FIRST_TRY });
            }
            (true, false) => {
                self.next_try = None;
                self.back = Some(now);
            }
            _ => {}
        }
    }

    /// Whether the peer has been silent for a while, the first time that this is asked.
    pub(super) fn is_silent_now(&mut self, now: Instant) -> bool {
        let silent = self.unanswered.is_some_and(|at| now.saturating_duration_since(at) >= SILENT_FOR);
        let first = silent && self.asked.is_none();
        if first {
            self.asked = Some(now);
        }
        first
    }

    /// What to do now. `initiated`: when a first handshake was begun, of a peer without a session.
    pub(super) fn step(&mut self, on_passage: bool, initiated: Option<Instant>, now: Instant) -> Step {
        if on_passage {
            if self.next_try.is_some_and(|at| at <= now) {
                self.next_try = Some(now + self.try_every.unwrap_or(TRY_EVERY));
                return Step::TryUdp;
            }
            return Step::Nothing;
        }
        let past = |at: Instant, wait: Duration| now.saturating_duration_since(at) >= wait;
        match (self.asked, self.passage) {
            (Some(asked), Some(passage)) if past(asked, ANSWERED_WITHIN) => {
                self.asked = None;
                self.unanswered = None;
                Step::Switch(passage)
            }
            (Some(_), _) => Step::Nothing,
            (None, _) => {
                let first = initiated.is_some_and(|at| past(at, FIRST_FOR));
                let silent = initiated.is_none() && self.unanswered.is_some_and(|at| past(at, SILENT_FOR));
                if !(first || silent) {
                    return Step::Nothing;
                }
                // A first handshake is as good as a question.
                self.asked = initiated.filter(|_| first).or(Some(now));
                Step::Ask
            }
        }
    }

    /// Whether the peer wants to be looked at soon.
    pub(super) fn is_urgent(&self, on_passage: bool, initiated: bool) -> bool {
        let silent = self.unanswered.is_some() || initiated;
        !on_passage && if self.asked.is_some() { self.passage.is_some() } else { silent }
    }
}
