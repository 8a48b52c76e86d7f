//! Mesh nodes that are on one link find each other, with no help from outside.
//!
//! Now and then a node sends a beacon to a multicast group: a nonce, its UDP port, and a hash of both with its public
//! key. Who has that key in a roster knows whose beacon it is; to all others it is noise, and no two of them look alike.
//! A beacon that is heard proves nothing, for anybody can repeat it from elsewhere: it makes an address to try, and the
//! handshake proves the rest. Somebody new is answered with a beacon soon, so that both know within a second.
//!
//! ```text
//!  0      1       2        4                20                36
//!  'V'    version port     nonce            tag
//! ```
//!
//! The tag is the first half of BLAKE2s-256("vpmesh beacon" ‖ public key ‖ port ‖ nonce): one block of the hash, so that
//! a beacon is held against a thousand keys in a millisecond.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use blake2::{Blake2s256, Digest as _};

use crate::base::PublicKey;
use crate::packet::TokenBucket;
use crate::table::PeerId;

/// The UDP port that beacons go to.
pub const BEACON_PORT: u16 = 51889;
/// Octets of a beacon.
pub const BEACON_BYTES: usize = 36;

const MAGIC: [u8; 2] = [b'V', 1];
/// How often a node sends one that nobody asked for, less up to a quarter.
const EVERY: Duration = Duration::from_secs(60);
/// How soon somebody new is answered, at most.
const SOON: Duration = Duration::from_millis(500);
/// How long an address is told of after it was heard last.
const LASTS: Duration = Duration::from_secs(180);
/// Beacons looked at a second, and at once.
const HEARD_PER_SECOND: u32 = 20;
const HEARD_BURST: u32 = 100;
/// Beacons sent a second because of what was heard; one in ten.
const ANSWER_EVERY: Duration = Duration::from_secs(10);

/// What became of a beacon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The peer may be reached here, and was not known to be.
    New { peer: PeerId, address: SocketAddr },
    /// As known, or our own.
    Known,
    /// Of nobody that this node knows.
    Nobody,
    /// Is no beacon.
    Malformed,
    /// Too many at once.
    Limited,
}

/// The beacons that this node sends, and those that it hears.
#[derive(Debug)]
pub struct Beacons {
    own: PublicKey,
    /// The UDP port that the mesh is served at.
    port: u16,
    seed: [u8; 32],
    sent: u64,
    ears: Vec<Ear>,
    admit: TokenBucket,
    /// When to send the next; `None` while there is nobody to hear it.
    next: Option<Instant>,
    answered: Option<Instant>,
}

/// One who may be heard.
#[derive(Debug)]
struct Ear {
    key: PublicKey,
    peer: PeerId,
    heard: Option<(SocketAddr, Instant)>,
}

impl Beacons {
    /// Sends nothing until there are peers. `seed` is random.
    #[must_use]
    pub fn new(own: PublicKey, port: u16, seed: [u8; 32], now: Instant) -> Self {
        let admit = TokenBucket::new(HEARD_PER_SECOND, HEARD_BURST, now);
        Self { own, port, seed, sent: 0, ears: Vec::new(), admit, next: None, answered: None }
    }

    /// Whose beacons are listened to from now on: every gateway's and relay's. What was heard of those who stay is kept.
    pub fn set_peers(&mut self, peers: impl Iterator<Item = (PublicKey, PeerId)>, now: Instant) {
        let before = std::mem::take(&mut self.ears);
        let heard = |key: &PublicKey| before.iter().find(|ear| ear.key == *key).and_then(|ear| ear.heard);
        self.ears = peers.map(|(key, peer)| Ear { key, peer, heard: heard(&key) }).collect();
        self.next = match (self.ears.is_empty(), self.next) {
            (true, _) => None,
            (false, Some(next)) => Some(next),
            (false, None) => Some(now + self.jitter(SOON)),
        };
    }

    /// When [`Beacons::poll`] has something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// The beacon that is due, for every link.
    pub fn poll(&mut self, now: Instant) -> Option<[u8; BEACON_BYTES]> {
        self.next.filter(|&next| next <= now)?;
        self.next = Some(now + EVERY - self.jitter(EVERY / 4));
        self.sent += 1;
        let nonce = self.random();
        let mut beacon = [0; BEACON_BYTES];
        beacon[..2].copy_from_slice(&MAGIC);
        beacon[2..4].copy_from_slice(&self.port.to_be_bytes());
        beacon[4..20].copy_from_slice(&nonce);
        beacon[20..].copy_from_slice(&tag(&self.own, self.port, &nonce));
        Some(beacon)
    }

    /// A link came up: whoever is there is told soon.
    pub fn handle_link(&mut self, now: Instant) {
        self.hurry(now);
    }

    /// A datagram at the beacons' port.
    pub fn handle(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) -> Heard {
        let Ok(beacon) = <&[u8; BEACON_BYTES]>::try_from(bytes) else { return Heard::Malformed };
        let port = u16::from_be_bytes([beacon[2], beacon[3]]);
        if beacon[..2] != MAGIC || port == 0 {
            return Heard::Malformed;
        }
        if !self.admit.take(now) {
            return Heard::Limited;
        }
        let (nonce, heard) = (&beacon[4..20], &beacon[20..]);
        let is_from = |key: &PublicKey| tag(key, port, nonce) == *heard;
        let Some(ear) = self.ears.iter_mut().find(|ear| is_from(&ear.key)) else {
            return if is_from(&self.own) { Heard::Known } else { Heard::Nobody };
        };
        let mut address = source;
        address.set_port(port);
        let known = ear.heard.replace((address, now));
        if known.is_some_and(|(before, at)| before == address && now < at + LASTS) {
            return Heard::Known;
        }
        let peer = ear.peer;
        self.hurry(now);
        Heard::New { peer, address }
    }

    /// Where the peer was heard lately.
    #[must_use]
    pub fn address_of(&self, peer: PeerId, now: Instant) -> Option<SocketAddr> {
        let ear = self.ears.iter().find(|ear| ear.peer == peer)?;
        ear.heard.filter(|&(_, at)| now < at + LASTS).map(|(address, _)| address)
    }

    /// Sends one soon, unless that was done a moment ago.
    fn hurry(&mut self, now: Instant) {
        let lately = self.answered.is_some_and(|at| now < at + ANSWER_EVERY);
        if let Some(next) = self.next
            && !lately
        {
            self.answered = Some(now);
            self.next = Some(next.min(now + self.jitter(SOON)));
        }
    }

    /// Some time, less than `most`.
    fn jitter(&self, most: Duration) -> Duration {
        let [a, b, ..] = self.random();
        most * u32::from(u16::from_be_bytes([a, b])) / (1 << 16)
    }

    /// Random octets, others for every beacon.
    fn random(&self) -> [u8; 16] {
        let hash = Blake2s256::new().chain_update(self.seed).chain_update(self.sent.to_be_bytes()).finalize();
        half(&hash)
    }
}

fn tag(key: &PublicKey, port: u16, nonce: &[u8]) -> [u8; 16] {
    let hash = Blake2s256::new()
        .chain_update(b"vpmesh beacon")
        .chain_update(key.as_bytes())
        .chain_update(port.to_be_bytes())
        .chain_update(nonce);
    half(&hash.finalize())
}

fn half(hash: &[u8]) -> [u8; 16] {
    std::array::from_fn(|at| hash[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PrivateKey;

    #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
    fn start() -> Instant {
        Instant::now()
    }

    fn key(n: u8) -> PublicKey {
        PrivateKey::from_random([n; 32]).public()
    }

    fn beacons(own: u8, others: &[u8], now: Instant) -> Beacons {
        let mut beacons = Beacons::new(key(own), 51888, [own; 32], now);
        beacons.set_peers(others.iter().map(|&n| (key(n), PeerId(n.into()))), now);
        beacons
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_knows_the_key_knows_whose_beacon_it_is_and_nobody_else_does() {
        let now = start();
        let (mut alice, mut bob, mut carol) =
            (beacons(1, &[2], now), beacons(2, &[1], now), beacons(3, &[2], now));
        let beacon = alice.poll(now + SOON).unwrap();
        let from = at("[fe80::1]:40000");
        assert_eq!(
            bob.handle(from, &beacon, now),
            Heard::New { peer: PeerId(1), address: at("[fe80::1]:51888") }
        );
        assert_eq!(bob.handle(from, &beacon, now), Heard::Known);
        assert_eq!(bob.address_of(PeerId(1), now), Some(at("[fe80::1]:51888")));
        assert_eq!(bob.address_of(PeerId(1), now + LASTS), None);
        assert_eq!(carol.handle(from, &beacon, now), Heard::Nobody);
        assert_eq!(alice.handle(from, &beacon, now), Heard::Known, "its own");
    }

    #[test]
    fn somebody_new_is_answered_soon_and_a_flood_of_them_is_not() {
        let now = start();
        let (mut alice, mut bob) = (beacons(1, &[2], now), beacons(2, &[1], now));
        assert!(alice.poll(now + SOON).is_some() && bob.poll(now + SOON).is_some());
        let now = now + Duration::from_secs(20);
        assert!(bob.poll(now).is_none());
        alice.next = Some(now);
        let beacon = alice.poll(now).unwrap();
        assert!(matches!(bob.handle(at("[fe80::1]:1"), &beacon, now), Heard::New { .. }));
        assert!(bob.poll(now + SOON).is_some(), "an answer");
        // It is repeated from everywhere, which moves the address each time.
        let mut answers = 0;
        for n in 0..200_u64 {
            let now = now + SOON + Duration::from_millis(n * 10);
            bob.handle(SocketAddr::from(([10, 0, 0, n as u8], 1)), &beacon, now);
            answers += u32::from(bob.poll(now).is_some());
        }
        assert_eq!(answers, 0, "one in ten seconds at most");
    }

    #[test]
    fn no_two_beacons_are_alike_and_they_come_once_a_minute() {
        let now = start();
        let mut alice = beacons(1, &[2], now);
        let mut seen = Vec::new();
        let mut sent = 0;
        for second in 0..600 {
            if let Some(beacon) = alice.poll(now + Duration::from_secs(second)) {
                assert!(!seen.contains(&beacon[4..].to_vec()));
                seen.push(beacon[4..].to_vec());
                sent += 1;
            }
        }
        assert!((10..=14).contains(&sent), "{sent}");
        alice.set_peers(std::iter::empty(), now);
        assert_eq!(alice.poll_timeout(), None, "nobody is there to hear it");
    }

    #[test]
    fn what_is_no_beacon_is_told_apart_and_too_many_are_not_looked_at() {
        let now = start();
        let (mut alice, mut bob) = (beacons(1, &[2], now), beacons(2, &[1], now));
        let beacon = alice.poll(now + SOON).unwrap();
        let from = at("192.0.2.1:1");
        for length in 0..BEACON_BYTES {
            assert_eq!(bob.handle(from, &beacon[..length], now), Heard::Malformed);
        }
        assert_eq!(bob.handle(from, &[beacon.as_slice(), &[0]].concat(), now), Heard::Malformed);
        for octet in 0..BEACON_BYTES {
            let mut changed = beacon;
            changed[octet] ^= 0x80;
            assert!(matches!(bob.handle(from, &changed, now), Heard::Malformed | Heard::Nobody), "{octet}");
        }
        let limited = (0..1_000).filter(|_| bob.handle(from, &beacon, now) == Heard::Limited).count();
        assert!(limited > 800, "{limited}");
    }
}
