//! Who this gateway is to its peers. To other mesh nodes it is itself; to the room's stations it may be the room, which
//! has a key that all gateways of the room hold. A peer knows one of the two and can't speak to the other: the first MAC
//! of an initiation says whom it is for, and what comes after is by receiver index.

use std::sync::Arc;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::x25519;

use crate::base::PrivateKey;

/// One key of this gateway's, as handshakes need it.
pub(super) struct Identity {
    pub(super) private: x25519::StaticSecret,
    pub(super) public: x25519::PublicKey,
    /// Checks the first MAC. boringtun does so a second time, with the same.
    pub(super) unlimited: Arc<RateLimiter>,
    /// Asks for a cookie as well.
    pub(super) asking: RateLimiter,
}

impl Identity {
    pub(super) fn new(private: &PrivateKey) -> Arc<Self> {
        let private = x25519::StaticSecret::from(*private.as_bytes());
        let public = x25519::PublicKey::from(&private);
        let limiter = |limit| RateLimiter::new(&public, limit);
        Arc::new(Self { unlimited: Arc::new(limiter(u64::MAX)), asking: limiter(0), private, public })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, at, ip, key, now, reason, seal};
    use super::super::{DropReason, Opened, PeerId, Tunnels};

    const OWN: u8 = 1;
    const ROOM: u8 = 2;
    const STATION: u8 = 3;
    const GATEWAY: u8 = 4;

    /// A gateway of a room with a key.
    fn gateway() -> (Tunnels, [PeerId; 2]) {
        let now = now();
        let mut tunnels = Tunnels::new(&key(OWN), 1, now);
        tunnels.set_room_key(Some(&key(ROOM)));
        let station = tunnels.upsert_station(key(STATION).public(), false, now).unwrap();
        let gateway = tunnels.upsert_peer(key(GATEWAY).public(), false, now).unwrap();
        (tunnels, [station, gateway])
    }

    /// Somebody who knows `knows`.
    fn other(own: u8, knows: u8) -> (Tunnels, PeerId) {
        let now = now();
        let mut tunnels = Tunnels::new(&key(own), 9, now);
        let peer = tunnels.upsert_peer(key(knows).public(), false, now).unwrap();
        tunnels.set_candidates(peer, vec![at(1).address], now);
        (tunnels, peer)
    }

    fn initiation(own: u8, knows: u8) -> Vec<u8> {
        let (mut tunnels, peer) = other(own, knows);
        seal(&mut tunnels, peer, &ip(20), now()).unwrap()
    }

    /// Whether `own`, who knows `knows`, gets a packet through that it has a handshake for.
    fn reaches(tunnels: &mut Tunnels, own: u8, knows: u8) -> bool {
        let (mut other, peer) = other(own, knows);
        let first = seal(&mut other, peer, &ip(20), now()).unwrap();
        let Some(response) = answer(tunnels, at(7), &first, now()) else { return false };
        let Some(keepalive) = answer(&mut other, at(1), &response, now()) else { return false };
        reason(tunnels, at(7), &keepalive, now());
        let data = seal(&mut other, peer, &ip(40), now()).unwrap();
        let mut buffer = [0; 2048];
        matches!(tunnels.open(at(7), &data, &mut buffer, now()), Opened::Packet { .. })
    }

    #[test]
    fn a_station_knows_the_room_and_a_gateway_the_gateway_and_neither_gets_in_as_the_other() {
        let (mut tunnels, _) = gateway();
        for (own, knows) in [(STATION, OWN), (GATEWAY, ROOM)] {
            let said = reason(&mut tunnels, at(7), &initiation(own, knows), now());
            assert_eq!(said, Some(DropReason::UnknownKey), "{own} {knows}");
        }
        assert!(tunnels.poll_timeout().is_none(), "nobody left a trace");
        assert!(reaches(&mut tunnels, STATION, ROOM));
        assert!(reaches(&mut tunnels, GATEWAY, OWN));
        assert!(!reaches(&mut tunnels, STATION, OWN), "nor with a session of the right kind");
    }

    #[test]
    fn an_answer_to_the_room_is_none_to_the_gateway() {
        let (mut tunnels, [station, _]) = gateway();
        let mut buffer = [0; 2048];
        tunnels.set_candidates(station, vec![at(7).address], now());
        let first = seal(&mut tunnels, station, &ip(20), now()).unwrap();
        // Whoever has the station's key, and takes the gateway for whom it talks to.
        let (mut wrong, _) = other(STATION, OWN);
        assert_eq!(reason(&mut wrong, at(1), &first, now()), Some(DropReason::UnknownKey));
        let (mut right, _) = other(STATION, ROOM);
        let response = answer(&mut right, at(1), &first, now()).unwrap();
        let mut forged = response.clone();
        forged[8] ^= 0xff;
        assert_eq!(reason(&mut tunnels, at(7), &forged, now()), Some(DropReason::BadMac));
        assert!(matches!(tunnels.open(at(7), &response, &mut buffer, now()), Opened::Answer { .. }));
    }

    #[test]
    fn another_key_of_the_room_is_another_beginning_for_stations_alone() {
        let (mut tunnels, ids) = gateway();
        assert!(reaches(&mut tunnels, STATION, ROOM) && reaches(&mut tunnels, GATEWAY, OWN));
        for (room, knows) in [(Some(key(9)), 9), (None, OWN), (Some(key(ROOM)), ROOM)] {
            let kept = tunnels.receiver_index(ids[1]);
            tunnels.set_room_key(room.as_ref());
            let again = [
                tunnels.upsert_station(key(STATION).public(), false, now()).unwrap(),
                tunnels.upsert_peer(key(GATEWAY).public(), false, now()).unwrap(),
            ];
            assert_eq!(again, ids, "each keeps its place, and so its flows");
            assert_eq!(tunnels.receiver_index(ids[1]), kept);
            assert!(!tunnels.is_connected(ids[0]) && tunnels.is_connected(ids[1]));
            assert!(reaches(&mut tunnels, STATION, knows));
        }
        // The same again is nothing new.
        tunnels.set_room_key(Some(&key(ROOM)));
        tunnels.upsert_station(key(STATION).public(), false, now()).unwrap();
        assert!(tunnels.is_connected(ids[0]));
    }

    #[test]
    fn junk_is_looked_at_no_more_often_because_there_are_two_keys() {
        let now = now();
        let limited = |room: bool| {
            let mut tunnels = Tunnels::new(&key(OWN), 1, now);
            tunnels.set_room_key(room.then(|| key(ROOM)).as_ref());
            let junk = initiation(STATION, 8);
            let said = |_| reason(&mut tunnels, at(7), &junk, now);
            let dropped: Vec<_> = (0..400).map(said).collect();
            assert!(dropped.iter().all(Option::is_some));
            dropped.iter().filter(|reason| **reason == Some(DropReason::BadMac)).count()
        };
        let (one, two) = (limited(false), limited(true));
        assert!(one <= 110 && two * 2 <= one + 2, "{one} were looked at for one key, {two} for two");
    }

    #[test]
    fn both_have_one_budget_of_handshakes_without_a_cookie() {
        let (mut tunnels, _) = gateway();
        let now = now();
        let mut cookies = 0;
        for knows in [ROOM; 40].into_iter().chain([OWN; 40]) {
            let said = answer(&mut tunnels, at(7), &initiation(STATION, knows), now);
            cookies += usize::from(said.is_some_and(|said| said[0] == 3));
        }
        assert!((25..=31).contains(&cookies), "{cookies}");
    }
}
