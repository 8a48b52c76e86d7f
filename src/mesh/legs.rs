//! The gateway's side of relays: registers with every relay that it has a session with, several at once, and knows which
//! channel leads to whom.
//!
//! A registration is a message in the relay's own tunnel, said again every [`AGAIN`] (sooner while it is unanswered), so
//! a relay that forgot learns it again. It is said at once when frames go out and for [`SILENT`] none comes back; a relay
//! that does not answer is asked in a new session, and then given up until it answers. Frames are written and read here;
//! where they go is the tunnel's to say.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::frame::{FRAME_OVERHEAD, FrameHeader, ReplayWindow, read_frame, write_frame};
use super::relaying::Terms;
use crate::base::DropReason;
use crate::table::PeerId;

/// From one registration to the next, and while there is no answer.
pub const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_UNANSWERED: Duration = Duration::from_millis(500);
/// How long what is sent may go without anything from the relay.
pub const SILENT: Duration = Duration::from_secs(1);
/// Registrations without an answer until a new session is tried, and until the relay is given up.
const UNANSWERED_RENEW: u32 = 1;
const UNANSWERED_LOST: u32 = 4;
/// The longest pause between registrations that nobody answers.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Channels of one leg at most.
const CHANNELS_MAX: usize = 4_096;

/// All legs of one gateway.
#[derive(Debug, Default)]
pub struct Legs {
    /// In order, so that the same always follows from the same.
    legs: BTreeMap<PeerId, Leg>,
}

#[derive(Debug)]
struct Leg {
    /// What the relay's frames have.
    ours: Terms,
    /// What frames to it have, once it said so.
    theirs: Option<Terms>,
    sent: u64,
    window: ReplayWindow,
    next: Instant,
    /// When the relay was last heard, and how many registrations it did not answer since.
    heard: Instant,
    unanswered: u32,
    /// It is given up. What frames to it have is known still: their counter never goes back.
    is_lost: bool,
    /// Who is at the other end, if the relay said so already: its frames may be faster than its word.
    channels: HashMap<u32, Option<PeerId>>,
}

/// What is to be done about a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is told this.
    Register(Terms),
    /// It is told this, in a new session if there can be one.
    Renew(Terms),
    /// It does not answer: what goes through it is to go another way.
    Lost,
}

impl Legs {
    /// There is a session with a relay: it is registered with now, and its frames are to have `ours`, or what they have
    /// already.
    pub fn begin(&mut self, relay: PeerId, ours: Terms, now: Instant) {
        if let Some(leg) = self.legs.get_mut(&relay) {
            (leg.next, leg.unanswered) = (now, 0);
            return;
        }
        let window = ReplayWindow::new();
        let channels = HashMap::new();
        let leg = Leg {
            ours,
            theirs: None,
            sent: 0,
            window,
            next: now,
            heard: now,
            unanswered: 0,
            is_lost: false,
            channels,
        };
        self.legs.insert(relay, leg);
    }

    /// Relays that answered.
    pub fn registered(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.legs.iter().filter(|(_, leg)| leg.terms().is_some()).map(|(&relay, _)| relay)
    }

    /// The channels to a peer, with their relays.
    pub fn channels_to(&self, peer: PeerId) -> impl Iterator<Item = (PeerId, u32)> + '_ {
        self.legs.iter().flat_map(move |(&relay, leg)| {
            let to_peer = leg.channels.iter().filter(move |(_, other)| **other == Some(peer));
            to_peer.map(move |(&channel, _)| (relay, channel))
        })
    }

    /// The gateway may be somewhere else: every relay is to hear from it.
    pub fn renew(&mut self, now: Instant) {
        self.legs.values_mut().for_each(|leg| leg.next = now);
    }

    /// The relay is reached in another way: it is to say where it sees the gateway now.
    pub fn handle_moved(&mut self, relay: PeerId, now: Instant) {
        if let Some(leg) = self.legs.get_mut(&relay) {
            leg.next = now;
        }
    }

    /// Whether the channel is open, and its relay answered and was not given up since.
    #[must_use]
    pub fn is_open(&self, relay: PeerId, channel: u32) -> bool {
        let leg = self.legs.get(&relay);
        leg.is_some_and(|leg| leg.terms().is_some() && leg.channels.contains_key(&channel))
    }

    /// The next relay that is due. Call until `None`.
    pub fn poll_due(&mut self, now: Instant) -> Option<(PeerId, Due)> {
        let (&relay, leg) = self.legs.iter_mut().find(|(_, leg)| leg.next <= now)?;
        let unanswered = leg.unanswered;
        if unanswered == UNANSWERED_LOST && leg.terms().is_some() {
            leg.is_lost = true;
            return Some((relay, Due::Lost));
        }
        leg.unanswered += 1;
        let slower = 1 << unanswered.saturating_sub(UNANSWERED_LOST).min(6);
        leg.next = now + (AGAIN_UNANSWERED * slower).min(AGAIN_MAX);
        let is_renewed = unanswered >= UNANSWERED_RENEW;
        Some((relay, if is_renewed { Due::Renew(leg.ours) } else { Due::Register(leg.ours) }))
    }

    /// When [`Legs::poll_due`] has something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.legs.values().map(|leg| leg.next).min()
    }

    /// The relay said what frames to it have; whether that is new.
    pub fn handle_registered(&mut self, relay: PeerId, theirs: Terms, now: Instant) -> bool {
        let Some(leg) = self.legs.get_mut(&relay) else { return false };
        let began_anew = leg.theirs != Some(theirs);
        if began_anew {
            leg.theirs = Some(theirs);
            leg.sent = 0;
            leg.window = ReplayWindow::new();
            // A relay that began anew knows none of them.
            leg.channels.clear();
        }
        (leg.next, leg.heard, leg.unanswered) = (now + AGAIN, now, 0);
        std::mem::take(&mut leg.is_lost) || began_anew
    }

    /// A channel leads to this peer. `false`: no leg, or too many.
    pub fn handle_channel(&mut self, relay: PeerId, channel: u32, peer: PeerId) -> bool {
        let Some(leg) = self.legs.get_mut(&relay) else { return false };
        leg.note(channel, Some(peer))
    }

    /// Whether the relay's frames to here have this index.
    #[must_use]
    pub fn has_index(&self, relay: PeerId, index: u32) -> bool {
        self.legs.get(&relay).is_some_and(|leg| leg.ours.index == index)
    }

    /// The channel is no more; whom it led to.
    pub fn handle_closed(&mut self, relay: PeerId, channel: u32) -> Option<PeerId> {
        self.legs.get_mut(&relay)?.channels.remove(&channel)?
    }

    /// The peer is gone: so are the channels to it.
    pub fn remove_peer(&mut self, peer: PeerId) {
        self.legs.remove(&peer);
        for leg in self.legs.values_mut() {
            leg.channels.retain(|_, other| *other != Some(peer));
        }
    }

    /// Reads a relay's frame; its channel. The payload lies from [`FRAME_OVERHEAD`] on.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(&mut self, relay: PeerId, datagram: &[u8], now: Instant) -> Result<u32, DropReason> {
        let leg = self.legs.get_mut(&relay).ok_or(DropReason::NoLeg)?;
        let header = read_frame(datagram, &leg.ours.key).ok_or(DropReason::BadFrame)?;
        if header.index != leg.ours.index {
            return Err(DropReason::BadFrame);
        }
        if !leg.window.take(header.counter) {
            return Err(DropReason::Replayed);
        }
        leg.heard = now;
        let known = leg.channels.contains_key(&header.channel) || leg.note(header.channel, None);
        known.then_some(header.channel).ok_or(DropReason::NoChannel)
    }

    /// Makes a frame of the `len` octets at the front of `space`, which holds [`FRAME_OVERHEAD`] more; its length.
    ///
    /// # Errors
    /// Why there is no such channel.
    pub fn wrap(
        &mut self,
        relay: PeerId,
        channel: u32,
        space: &mut [u8],
        len: usize,
        now: Instant,
    ) -> Result<usize, DropReason> {
        let leg = self.legs.get_mut(&relay).ok_or(DropReason::NoLeg)?;
        let theirs = leg.terms().ok_or(DropReason::NoLeg)?;
        if !leg.channels.contains_key(&channel) {
            return Err(DropReason::NoChannel);
        }
        let frame = space.get_mut(..len + FRAME_OVERHEAD).ok_or(DropReason::QueueFull)?;
        frame.copy_within(..len, FRAME_OVERHEAD);
        write_frame(frame, FrameHeader { index: theirs.index, counter: leg.sent, channel }, &theirs.key);
        leg.sent += 1;
        if leg.unanswered == 0 && now.saturating_duration_since(leg.heard) >= SILENT {
            leg.next = leg.next.min(now);
        }
        Ok(frame.len())
    }
}

impl Leg {
    /// What frames to the relay have, unless it is given up.
    fn terms(&self) -> Option<Terms> {
        self.theirs.filter(|_| !self.is_lost)
    }

    /// `false`: there are too many.
    fn note(&mut self, channel: u32, peer: Option<PeerId>) -> bool {
        let has_room = self.channels.len() < CHANNELS_MAX || self.channels.contains_key(&channel);
        if has_room {
            self.channels.insert(channel, peer);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::frame::FrameKey;

    const HILL: PeerId = PeerId(7);
    const DALE: PeerId = PeerId(8);
    const BOB: PeerId = PeerId(1);

    fn terms(index: u32) -> Terms {
        Terms { index, key: FrameKey::from_bytes([index as u8; 16]) }
    }

    #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
    fn legs() -> (Legs, Instant) {
        let now = Instant::now();
        let mut legs = Legs::default();
        legs.begin(HILL, terms(1), now);
        (legs, now)
    }

    #[test]
    fn registrations_are_said_again_until_answered_and_then_now_and_then() {
        let (mut legs, now) = legs();
        legs.begin(DALE, terms(3), now);
        let mut told = [legs.poll_due(now).unwrap().0, legs.poll_due(now).unwrap().0];
        told.sort_unstable();
        assert_eq!((told, legs.poll_due(now)), ([HILL, DALE], None));
        assert!(legs.handle_registered(HILL, terms(2), now));
        assert!(!legs.handle_registered(HILL, terms(2), now));
        assert_eq!(legs.registered().collect::<Vec<_>>(), [HILL]);
        let soon = now + AGAIN_UNANSWERED;
        assert_eq!(legs.poll_timeout(), Some(soon));
        assert_eq!(legs.poll_due(soon), Some((DALE, Due::Renew(terms(3)))));
        legs.remove_peer(DALE);
        assert_eq!(legs.poll_timeout(), Some(now + AGAIN));
    }

    #[test]
    fn a_relay_that_goes_silent_is_asked_at_once_and_given_up_within_seconds() {
        let (mut legs, start) = legs();
        let mut now = start;
        assert_eq!(legs.poll_due(now), Some((HILL, Due::Register(terms(1)))));
        legs.handle_registered(HILL, terms(2), now);
        legs.handle_channel(HILL, 5, BOB);
        let mut space = [4; 200];
        now += SILENT - Duration::from_millis(1);
        assert!(legs.wrap(HILL, 5, &mut space, 40, now).is_ok());
        assert_eq!(legs.poll_due(now), None);
        now += Duration::from_millis(1);
        assert!(legs.wrap(HILL, 5, &mut space, 40, now).is_ok());
        assert_eq!(legs.poll_due(now), Some((HILL, Due::Register(terms(1)))));
        // It answers: that is enough for another while.
        legs.handle_registered(HILL, terms(2), now);
        assert!(legs.wrap(HILL, 5, &mut space, 40, now).is_ok());
        assert_eq!(legs.poll_due(now), None);
        now += SILENT;
        assert!(legs.wrap(HILL, 5, &mut space, 40, now).is_ok());
        let mut seen = Vec::new();
        while !seen.contains(&Due::Lost) {
            assert!(now < start + Duration::from_secs(12), "{seen:?}");
            while let Some((_, due)) = legs.poll_due(now) {
                seen.push(due);
            }
            now = legs.poll_timeout().unwrap();
        }
        assert_eq!(seen[..3], [Due::Register(terms(1)), Due::Renew(terms(1)), Due::Renew(terms(1))]);
        assert!(!legs.is_open(HILL, 5) && legs.wrap(HILL, 5, &mut space, 40, now).is_err());
        // It is asked on, more and more seldom; when it answers it is there again.
        let before = now;
        for _ in 0..14 {
            now = legs.poll_timeout().unwrap();
            assert!(matches!(legs.poll_due(now), Some((HILL, Due::Renew(_)))));
        }
        assert!(now - before > AGAIN_MAX * 3 && legs.poll_timeout().unwrap() - now == AGAIN_MAX);
        assert!(legs.handle_registered(HILL, terms(2), now));
        let counter = |space: &[u8]| read_frame(space, &terms(2).key).unwrap().counter;
        let len = legs.wrap(HILL, 5, &mut space, 40, now).unwrap();
        assert_eq!(counter(&space[..len]), 4, "the relay has seen those before");
    }

    #[test]
    fn frames_are_read_by_what_the_relay_was_told_and_written_only_on_open_channels() {
        let (mut legs, now) = legs();
        let frame = |counter, channel| {
            let mut frame = vec![6; FRAME_OVERHEAD + 40];
            write_frame(&mut frame, FrameHeader { index: 1, counter, channel }, &terms(1).key);
            frame
        };
        assert_eq!(legs.read(HILL, &frame(0, 5), now), Ok(5), "before the relay said whose it is");
        assert!(legs.handle_channel(HILL, 5, BOB) && !legs.handle_channel(DALE, 5, BOB));
        assert_eq!(legs.read(HILL, &frame(1, 5), now), Ok(5));
        assert_eq!(legs.read(HILL, &frame(1, 5), now), Err(DropReason::Replayed));
        assert_eq!(legs.read(DALE, &frame(2, 5), now), Err(DropReason::NoLeg));
        let mut space = vec![4; 200];
        assert_eq!(legs.wrap(HILL, 5, &mut space, 40, now), Err(DropReason::NoLeg));
        assert!(legs.handle_registered(HILL, terms(2), now) && legs.handle_channel(HILL, 5, BOB));
        let len = legs.wrap(HILL, 5, &mut space, 40, now).unwrap();
        assert_eq!((len, space[FRAME_OVERHEAD..len] == [4; 40]), (FRAME_OVERHEAD + 40, true));
        assert_eq!(read_frame(&space[..len], &terms(2).key).map(|frame| frame.channel), Some(5));
        assert_eq!(legs.handle_closed(HILL, 5), Some(BOB));
        assert_eq!(legs.wrap(HILL, 5, &mut space, 40, now), Err(DropReason::NoChannel));
    }
}
