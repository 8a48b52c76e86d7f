//! The door that handshake messages come through, before any state is touched or any point multiplied.
//!
//! In order: at most so many a second are looked at, those of sites that were silent first; a MAC that only who knows
//! a public key of ours can make, and to try a second key is to look a second time; when many come, a cookie that proves
//! the source address (WireGuard paper, section 5.3); then at most so many a second from one site, and so many in all.
//! Data packets never come here, but wait behind what does in the same socket: a flood must cost little more than reading
//! it, or the socket's buffer overflows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::{Packet, TunnResult};
use hashbrown::HashMap;

use super::identity::Identity;
use super::site;
use crate::base::DropReason;
use crate::packet::TokenBucket;

/// Messages a second whose MACs are looked at, and that a cookie may answer, besides the first one of each site. They
/// are spread over the second: a thousand in a row would let the socket's buffer overflow.
const LOOKED_AT_PER_SECOND: u32 = 5_000;
const LOOKED_AT_IN_A_ROW: u32 = 100;
/// The same, of one site: more than a room that starts anew behind one address.
const LOOKED_AT_PER_SITE_PER_SECOND: u16 = 500;
/// Handshake messages a second without asking for a cookie.
const UNASKED_PER_SECOND: u32 = 50;
/// Handshakes a second that are worked on at all, cookie or not. Each costs about three multiplications of a point.
const WORKED_PER_SECOND: u32 = 500;
/// Handshakes a second from one site that are worked on while cookies are asked for.
const PER_SITE_PER_SECOND: u8 = 20;
/// Sites remembered within a second; when there are more, the unknown ones wait for the next second.
const SITES_MAX: usize = 4096;
/// Sites whose first message of a second is looked at, whatever the others do.
const FIRST_LOOKS_MAX: usize = 1024;

/// Counts of the running second.
pub(super) struct Door {
    second: Instant,
    /// Whose MAC was good.
    known: u32,
    /// The last one was for the second key: it is the first to be tried.
    turned: bool,
    admitted: u32,
    per_site: HashMap<IpAddr, u8>,
    looks: TokenBucket,
    looked_at_per_site: HashMap<IpAddr, u16>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("admitted", &self.admitted).finish_non_exhaustive()
    }
}

pub(super) enum Refusal {
    /// A cookie reply of this length is in the buffer.
    Cookie(usize),
    Drop(DropReason),
}

impl Door {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            second: now,
            known: 0,
            turned: false,
            admitted: 0,
            per_site: HashMap::new(),
            looks: TokenBucket::new(LOOKED_AT_PER_SECOND, LOOKED_AT_IN_A_ROW, now),
            looked_at_per_site: HashMap::new(),
        }
    }

    /// Lets a message pass whose MACs are good, made for one of these; and for whom.
    pub(super) fn admit<'p, 'i>(
        &mut self,
        mut identities: [Option<&'i Arc<Identity>>; 2],
        source: IpAddr,
        datagram: &'p [u8],
        buffer: &mut [u8],
        now: Instant,
    ) -> Result<(Packet<'p>, &'i Arc<Identity>), Refusal> {
        self.turn(now);
        let Some(is_first) = self.look_at(source, now) else {
            return Err(Refusal::Drop(DropReason::HandshakeLimited));
        };
        if self.turned {
            identities.reverse();
        }
        for (number, identity) in identities.into_iter().flatten().enumerate() {
            if number > 0 && !self.looks.take(now) && !is_first {
                return Err(Refusal::Drop(DropReason::HandshakeLimited));
            }
            let limiter =
                if self.known < UNASKED_PER_SECOND { &*identity.unlimited } else { &identity.asking };
            match limiter.verify_packet(Some(source), datagram, buffer) {
                Ok(packet) => {
                    let has_mac = matches!(packet, Packet::HandshakeInit(_) | Packet::HandshakeResponse(_));
                    self.known += u32::from(has_mac);
                    self.turned ^= number > 0;
                    return Ok((packet, identity));
                }
                Err(TunnResult::WriteToNetwork(cookie)) => return Err(Refusal::Cookie(cookie.len())),
                Err(TunnResult::Err(WireGuardError::InvalidMac)) => {}
                Err(_) => return Err(Refusal::Drop(DropReason::NotWireguard)),
            }
        }
        Err(Refusal::Drop(DropReason::BadMac))
    }

    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            (self.known, self.admitted) = (0, 0);
            self.per_site.clear();
            self.looked_at_per_site.clear();
        }
    }

    /// Whether a message from `source` is worth its MACs; and if so, whether it is the first one of this second. Whoever is
    /// silent otherwise gets one look a second even while others flood, as long as they don't do so from thousands of
    /// sites.
    fn look_at(&mut self, source: IpAddr, now: Instant) -> Option<bool> {
        let known = self.looked_at_per_site.len();
        match self.looked_at_per_site.entry(site(source)) {
            hashbrown::hash_map::Entry::Occupied(mut seen) => {
                let may = *seen.get() < LOOKED_AT_PER_SITE_PER_SECOND && self.looks.take(now);
                *seen.get_mut() += u16::from(may);
                may.then_some(false)
            }
            hashbrown::hash_map::Entry::Vacant(slot) if known < FIRST_LOOKS_MAX => {
                slot.insert(1);
                Some(true)
            }
            hashbrown::hash_map::Entry::Vacant(_) => self.looks.take(now).then_some(false),
        }
    }

    /// Whether an initiation from `source` may be worked on: the one message that costs points before it is known to
    /// be from a peer.
    pub(super) fn spend(&mut self, source: IpAddr) -> bool {
        let site = site(source);
        if self.admitted >= WORKED_PER_SECOND {
            return false;
        }
        // The first ones of a second pass wherever they are from: a room may be behind one address.
        if self.admitted >= UNASKED_PER_SECOND {
            let known = self.per_site.len();
            match self.per_site.entry(site) {
                hashbrown::hash_map::Entry::Occupied(mut seen) => {
                    if *seen.get() >= PER_SITE_PER_SECOND {
                        return false;
                    }
                    *seen.get_mut() += 1;
                }
                hashbrown::hash_map::Entry::Vacant(_) if known >= SITES_MAX => return false,
                hashbrown::hash_map::Entry::Vacant(slot) => {
                    slot.insert(1);
                }
            }
        }
        self.admitted += 1;
        true
    }
}
