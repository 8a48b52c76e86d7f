//! How far a flow has come, and how long it may be silent: TCP's handshake and end (RFC 9293), and for the rest
//! whether anybody answered.

use serde::{Deserialize, Serialize};

use super::flow::Direction;
use crate::packet::{Packet, Ports, TcpFlags, Transport};

/// The state of a flow. The order is that of worth: when room is needed, the first go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Nobody has answered.
    New,
    /// TCP: ended on both sides, or reset.
    Closed,
    /// TCP: one side has ended.
    Closing,
    /// Answered; a protocol without connections.
    Answered,
    /// Judged again and denied. It is kept so that what was under way when it was cut begins nothing: an
    /// acknowledgement that comes late would be the first packet of a flow the other way, which may be allowed, and
    /// whose answers the denied packets would be.
    Cut,
    /// TCP: both sides have spoken.
    Established,
}

impl State {
    /// Every state, in the order of worth.
    pub(super) const ALL: [Self; 6] =
        [Self::New, Self::Closed, Self::Closing, Self::Answered, Self::Cut, Self::Established];

    /// Seconds of silence after which the flow ends. TCP: RFC 5382, REQ-5 (2 h 4 min at least); UDP: RFC 4787, REQ-5
    /// (2 min at least); ICMP: RFC 5508, REQ-2 (60 s at most are needed between query and answer).
    #[must_use]
    pub fn timeout(self) -> u32 {
        match self {
            Self::New => 60,
            Self::Closed => 10,
            Self::Closing => 240,
            Self::Answered => 180,
            // As long as who was connected may try.
            Self::Cut | Self::Established => 7_440,
        }
    }

    /// The name in `flows`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Closed => "closed",
            Self::Closing => "closing",
            Self::Answered => "answered",
            Self::Cut => "cut",
            Self::Established => "established",
        }
    }
}

/// What was seen of a flow, beyond its state.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// The side that answers has sent something.
    replied: bool,
    /// FIN seen: forward, reply.
    fin: [bool; 2],
    /// Who reset it, and the state before.
    reset: Option<(Direction, State)>,
}

impl Seen {
    /// Of a flow that somebody else saw being answered.
    pub(super) fn answered() -> Self {
        Self { replied: true, ..Self::default() }
    }

    /// The state after one more packet.
    pub(super) fn advance(&mut self, state: State, packet: &Packet, direction: Direction) -> State {
        match &packet.transport {
            Transport::Tcp(tcp) => self.advance_tcp(state, tcp.flags, direction),
            // A later fragment says nothing of how the conversation goes.
            Transport::Opaque if packet.fragment.is_some() => state,
            // Every request starts anew: an echo is over when it is answered.
            Transport::IcmpEcho { .. } => State::New,
            _ if direction == Direction::Reply => State::Answered,
            _ => state,
        }
    }

    fn advance_tcp(&mut self, state: State, flags: TcpFlags, direction: Direction) -> State {
        if flags.has(TcpFlags::RST) {
            if state != State::Closed {
                self.reset = Some((direction, state));
            }
            return State::Closed;
        }
        // A reset is believed until who sent it speaks again: then it was somebody else's, with a guessed source.
        let state = match self.reset {
            Some((by, before)) if by == direction => {
                self.reset = None;
                before
            }
            _ => state,
        };
        if state == State::Closed {
            return State::Closed;
        }
        if flags.has(TcpFlags::FIN) {
            self.fin[direction as usize] = true;
        }
        match self.fin {
            [true, true] => return State::Closed,
            [true, false] | [false, true] if state != State::New || self.replied => return State::Closing,
            _ => {}
        }
        match direction {
            Direction::Reply => {
                self.replied = true;
                state
            }
            // The third packet of the handshake, or of a connection that was picked up in its middle.
            Direction::Forward if self.replied && !flags.has(TcpFlags::SYN) => State::Established,
            Direction::Forward => state,
        }
    }
}

/// Whether a packet that belongs to no flow can begin one: answers can't.
pub(super) fn may_begin(transport: &Transport, ports: Ports) -> bool {
    match transport {
        Transport::Tcp(tcp) => !tcp.flags.has(TcpFlags::RST),
        Transport::IcmpError { .. } => false,
        _ => !matches!(ports, Ports::Echo { request: false, .. }),
    }
}

/// What a packet of a flow that was cut may do.
pub(super) enum Late {
    /// Begin a flow, if it is let.
    Begin,
    /// Nothing, and who sends it does not give up yet.
    Nothing,
}

/// Seconds in which what answers a flow that was cut begins none, where nothing tells an answer from a beginning.
const LATE: u32 = 60;

/// What a packet may do whose flow was cut and silent for so many seconds.
pub(super) fn late(transport: &Transport, direction: Direction, silent: u32) -> Late {
    let begins = match transport {
        Transport::Tcp(tcp) => tcp.flags.opens(),
        _ => direction == Direction::Forward || silent >= LATE,
    };
    if begins { Late::Begin } else { Late::Nothing }
}

/// Whether a packet of a flow asks to begin one anew: a port used again after a close, or a connection that the other
/// side begins, which was never judged. Two sides that begin at the same time are one connection (RFC 9293, 3.5).
pub(super) fn reopens(state: State, transport: &Transport, direction: Direction) -> bool {
    matches!(transport, Transport::Tcp(tcp) if tcp.flags.opens())
        && (matches!(state, State::Closed | State::Closing)
            || (direction == Direction::Reply && state != State::New))
}
