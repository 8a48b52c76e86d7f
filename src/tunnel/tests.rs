//! Two gateways talk through memory: handshakes, packets, roaming, floods, limits. boringtun reads the system clock
//! itself, so the instants here are real ones.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::*;

#[expect(clippy::disallowed_methods, reason = "boringtun's own timers run on the system's clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) fn at(port: u16) -> Endpoint {
    Endpoint { address: SocketAddr::from(([192, 0, 2, 1], port)), local: None }
}

pub(super) fn key(byte: u8) -> PrivateKey {
    PrivateKey::from_random([byte; 32])
}

/// An IPv4 packet of `len` bytes that says so itself.
pub(super) fn ip(len: u16) -> Vec<u8> {
    let mut packet = vec![0; len as usize];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}

struct Pair {
    a: Tunnels,
    b: Tunnels,
    b_at_a: PeerId,
    a_at_b: PeerId,
    now: Instant,
}

fn pair() -> Pair {
    let now = now();
    let (mut a, mut b) = (Tunnels::new(&key(1), 1, now), Tunnels::new(&key(2), 2, now));
    let b_at_a = a.upsert_peer(key(2).public(), false, now).unwrap();
    let a_at_b = b.upsert_peer(key(1).public(), false, now).unwrap();
    a.set_candidates(b_at_a, vec![at(2).address], now);
    Pair { a, b, b_at_a, a_at_b, now }
}

/// What `tunnels` seals for `peer`, as a datagram.
pub(super) fn seal(tunnels: &mut Tunnels, peer: PeerId, packet: &[u8], now: Instant) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    match tunnels.seal(peer, packet, &mut buffer, now) {
        Sealed::Send { len, .. } => Some(buffer[..len].to_vec()),
        _ => None,
    }
}

pub(super) fn answer(
    tunnels: &mut Tunnels,
    from: Endpoint,
    datagram: &[u8],
    now: Instant,
) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    match tunnels.open(from, datagram, &mut buffer, now) {
        Opened::Answer { len, .. } => Some(buffer[..len].to_vec()),
        _ => None,
    }
}

pub(super) fn reason(
    tunnels: &mut Tunnels,
    from: Endpoint,
    datagram: &[u8],
    now: Instant,
) -> Option<DropReason> {
    let mut buffer = [0; 2048];
    match tunnels.open(from, datagram, &mut buffer, now) {
        Opened::Drop(reason) => Some(reason),
        _ => None,
    }
}

/// Runs the handshake that `a` begins; the packets that waited arrive at `b`.
fn shake(pair: &mut Pair, first: &[u8]) -> Vec<Vec<u8>> {
    let now = pair.now;
    let initiation = seal(&mut pair.a, pair.b_at_a, first, now).unwrap();
    let response = answer(&mut pair.b, at(1), &initiation, now).unwrap();
    let keepalive = answer(&mut pair.a, at(2), &response, now).unwrap();
    let mut buffer = [0; 2048];
    assert!(matches!(pair.b.open(at(1), &keepalive, &mut buffer, now), Opened::Nothing { .. }));
    let mut arrived = Vec::new();
    while let Some(Sealed::Send { len, .. }) = pair.a.seal_waiting(pair.b_at_a, &mut buffer, now) {
        let datagram = buffer[..len].to_vec();
        let mut plain = [0; 2048];
        match pair.b.open(at(1), &datagram, &mut plain, now) {
            Opened::Packet { bytes, .. } => arrived.push(bytes.to_vec()),
            other => panic!("{other:?}"),
        }
    }
    arrived
}

#[test]
fn the_packet_that_starts_a_handshake_arrives_after_it() {
    let mut pair = pair();
    assert_eq!(shake(&mut pair, &ip(100)), [ip(100)]);
    let back = seal(&mut pair.b, pair.a_at_b, &ip(60), pair.now).unwrap();
    let mut plain = [0; 2048];
    assert!(matches!(pair.a.open(at(2), &back, &mut plain, pair.now), Opened::Packet { peer, bytes }
        if peer == pair.b_at_a && bytes == ip(60)));
}

#[test]
fn a_replayed_datagram_is_turned_away() {
    let mut pair = pair();
    shake(&mut pair, &ip(20));
    let datagram = seal(&mut pair.a, pair.b_at_a, &ip(40), pair.now).unwrap();
    assert_eq!(reason(&mut pair.b, at(1), &datagram, pair.now), None);
    assert_eq!(reason(&mut pair.b, at(1), &datagram, pair.now), Some(DropReason::Replayed));
    let mut forged = datagram.clone();
    forged[8] ^= 0x40;
    assert_eq!(reason(&mut pair.b, at(1), &forged, pair.now), Some(DropReason::BadPacket));
}

#[test]
fn a_peer_is_where_its_last_good_packet_came_from() {
    let mut pair = pair();
    shake(&mut pair, &ip(20));
    let mut datagram = seal(&mut pair.a, pair.b_at_a, &ip(40), pair.now).unwrap();
    assert_eq!(reason(&mut pair.b, at(77), &datagram, pair.now), None);
    assert_eq!(pair.b.endpoint(pair.a_at_b), Some(at(77)));
    datagram[20] ^= 1;
    assert!(reason(&mut pair.b, at(78), &datagram, pair.now).is_some());
    assert_eq!(pair.b.endpoint(pair.a_at_b), Some(at(77)), "a forged packet moves nobody");
}

#[test]
fn a_removed_peer_is_gone_with_its_session() {
    let mut pair = pair();
    shake(&mut pair, &ip(20));
    let datagram = seal(&mut pair.a, pair.b_at_a, &ip(40), pair.now).unwrap();
    pair.b.remove_peer(pair.a_at_b);
    assert_eq!(reason(&mut pair.b, at(1), &datagram, pair.now), Some(DropReason::UnknownIndex));
    let again = pair.b.upsert_peer(key(3).public(), false, pair.now).unwrap();
    assert_eq!(again, pair.a_at_b, "the slot is used again");
    assert_eq!(reason(&mut pair.b, at(1), &datagram, pair.now), Some(DropReason::UnknownIndex));
}

#[test]
fn an_unknown_key_leaves_no_trace() {
    let mut pair = pair();
    let mut stranger = Tunnels::new(&key(9), 9, pair.now);
    let b = stranger.upsert_peer(key(2).public(), false, pair.now).unwrap();
    stranger.set_candidates(b, vec![at(2).address], pair.now);
    let initiation = seal(&mut stranger, b, &ip(20), pair.now).unwrap();
    assert_eq!(reason(&mut pair.b, at(9), &initiation, pair.now), Some(DropReason::UnknownKey));
    assert_eq!(pair.b.ids().count(), 1);
    assert_eq!(pair.b.poll_timeout(), None);
}

#[test]
fn a_flood_of_handshakes_is_asked_for_cookies_and_answered_within_bounds() {
    let mut pair = pair();
    let now = pair.now;
    let initiation = seal(&mut pair.a, pair.b_at_a, &ip(20), now).unwrap();
    let mut flood = |sites: u32, now| {
        let (mut cookies, mut limited, mut worked) = (0, 0, 0);
        for n in 0..7_000 {
            let source = (std::net::Ipv4Addr::from(0x0a00_0000 + n % sites), 1).into();
            match answer(&mut pair.b, super::Endpoint { address: source, local: None }, &initiation, now) {
                Some(reply) if reply.len() == 64 => cookies += 1,
                Some(_) => worked += 1,
                None => limited += 1,
            }
        }
        (cookies, limited, worked)
    };
    // The first is answered, the others of the first fifty are replays of it, and a hundred in a row are enough.
    assert_eq!(flood(1, now), (51, 7_000 - 52, 1));
    // Sites that were silent so far are heard even now.
    assert_eq!(flood(20, now), (19, 7_000 - 19, 0));
    // All in all five thousand a second are looked at, five in every millisecond, and each new second those of the
    // sites again.
    let millisecond = |n| now + Duration::from_secs(1) + Duration::from_millis(n);
    let (cookies, ..) = (0..100).map(|n| flood(20, millisecond(n))).fold((0, 0, 0), |a, b| (a.0 + b.0, 0, 0));
    assert!((500..=700).contains(&cookies), "{cookies}");
}

#[test]
fn random_bytes_are_turned_away_with_a_reason() {
    let mut pair = pair();
    for len in 0..200 {
        for kind in 0..6 {
            let mut datagram = vec![0xa5; len];
            if let Some(first) = datagram.first_mut() {
                *first = kind;
            }
            assert!(reason(&mut pair.b, at(1), &datagram, pair.now).is_some());
        }
    }
}

#[test]
fn a_peer_that_cannot_be_reached_is_tried_elsewhere_and_holds_few_packets() {
    let mut pair = pair();
    pair.a.set_candidates(pair.b_at_a, vec![at(2).address, at(3).address], pair.now);
    let mut buffer = [0; 2048];
    let mut sent = 0;
    for _ in 0..100 {
        match pair.a.seal(pair.b_at_a, &ip(1000), &mut buffer, pair.now) {
            Sealed::Send { .. } => sent += 1,
            Sealed::Waits => {}
            Sealed::Drop(reason) => {
                assert_eq!(reason, DropReason::QueueFull);
                break;
            }
        }
    }
    assert_eq!(sent, 1, "one handshake is begun, not one a packet");
}

#[test]
fn idle_peers_ask_for_no_wake_up() {
    let now = now();
    let mut tunnels = Tunnels::new(&key(1), 1, now);
    for byte in 2..200 {
        tunnels.upsert_peer(key(byte).public(), false, now).unwrap();
    }
    assert_eq!(tunnels.poll_timeout(), None);
    let gateway = tunnels.upsert_peer(key(201).public(), true, now).unwrap();
    assert_eq!(tunnels.poll_timeout(), None, "nobody knows where it is");
    tunnels.set_candidates(gateway, vec![at(5).address], now);
    assert_eq!(tunnels.poll_timeout(), Some(now));
    let mut buffer = [0; 2048];
    assert!(matches!(tunnels.handle_timeout(&mut buffer, now),
        Some((id, Sealed::Send { to, len: HANDSHAKE_MAX })) if id == gateway && to == at(5)));
    assert!(tunnels.handle_timeout(&mut buffer, now).is_none());
    assert!(tunnels.poll_timeout().is_some_and(|at| at > now && at <= now + Duration::from_secs(5)));
}

#[test]
fn a_clock_step_costs_no_live_session() {
    let mut pair = pair();
    shake(&mut pair, &ip(20));
    pair.b.handle_clock_step();
    let datagram = seal(&mut pair.a, pair.b_at_a, &ip(40), pair.now).unwrap();
    assert_eq!(reason(&mut pair.b, at(1), &datagram, pair.now), None);
}

#[test]
fn two_handshakes_that_cross_make_one_session() {
    let mut pair = pair();
    let now = pair.now;
    pair.b.set_candidates(pair.a_at_b, vec![at(1).address], now);
    let from_a = seal(&mut pair.a, pair.b_at_a, &ip(100), now).unwrap();
    let from_b = seal(&mut pair.b, pair.a_at_b, &ip(60), now).unwrap();
    let answers = (answer(&mut pair.a, at(2), &from_b, now), answer(&mut pair.b, at(1), &from_a, now));
    // One side lets go of its own; the other's is answered, and opens the way for both.
    let mut buffer = [0; 2048];
    match answers {
        (None, Some(response)) => {
            let keepalive = answer(&mut pair.a, at(2), &response, now).unwrap();
            assert!(matches!(pair.b.open(at(1), &keepalive, &mut buffer, now), Opened::Nothing { .. }));
        }
        (Some(response), None) => {
            let keepalive = answer(&mut pair.b, at(1), &response, now).unwrap();
            assert!(matches!(pair.a.open(at(2), &keepalive, &mut buffer, now), Opened::Nothing { .. }));
        }
        other => panic!("{other:?}"),
    }
    let there = seal(&mut pair.a, pair.b_at_a, &ip(40), now).unwrap();
    assert!(matches!(pair.b.open(at(1), &there, &mut buffer, now), Opened::Packet { .. }));
    let back = seal(&mut pair.b, pair.a_at_b, &ip(40), now).unwrap();
    assert!(matches!(pair.a.open(at(2), &back, &mut buffer, now), Opened::Packet { .. }));
}

/// What a's timers send until then, in steps of 50 ms: when (in ms), to whom, and the message.
fn timers(
    a: &mut Tunnels,
    from: Instant,
    milliseconds: std::ops::Range<u64>,
) -> Vec<(u64, Endpoint, Vec<u8>)> {
    let mut sent = Vec::new();
    for at in milliseconds.step_by(50) {
        let mut buffer = [0; 2048];
        while let Some((_, Sealed::Send { to, len })) =
            a.handle_timeout(&mut buffer, from + Duration::from_millis(at))
        {
            sent.push((at, to, buffer[..len].to_vec()));
        }
    }
    sent
}

fn events(tunnels: &mut Tunnels) -> Vec<TunnelEvent> {
    std::iter::from_fn(|| tunnels.poll_event()).collect()
}

#[test]
fn a_peer_that_falls_silent_is_reached_through_its_passage_until_udp_answers() {
    let mut pair = pair();
    pair.a.upsert_peer(key(2).public(), true, pair.now).unwrap();
    shake(&mut pair, &ip(20));
    events(&mut pair.a);
    let (now, b) = (pair.now, pair.b_at_a);
    // UDP is blocked: what a sends from now on is lost.
    assert!(seal(&mut pair.a, b, &ip(100), now).is_some());
    let sent = timers(&mut pair.a, now, 0..1_500);
    let [(asked, to, message)] = &sent[..] else { panic!("{sent:?}") };
    assert!((1_000..1_500).contains(asked) && *to == at(2) && message[0] == 1, "{sent:?}");
    assert_eq!(events(&mut pair.a), [TunnelEvent::Silent(b)]);
    let address = crate::base::VirtualEndpoint::Tls { connection: 7 }.address();
    let passage = Endpoint { address, local: None };
    pair.a.set_passage(b, passage, now + Duration::from_millis(1_500));
    let sent = timers(&mut pair.a, now, 1_500..3_000);
    let [(switched, to, initiation)] = &sent[..] else { panic!("{sent:?}") };
    assert!(*switched < 3_000 && *to == passage, "{sent:?}");
    assert_eq!(events(&mut pair.a), [TunnelEvent::Moved(b)]);
    // b answers into the connection that it was asked through, and both are there from now on.
    let at_b =
        Endpoint { address: crate::base::VirtualEndpoint::Tls { connection: 1 }.address(), local: None };
    let later = now + Duration::from_secs(3);
    let response = answer(&mut pair.b, at_b, initiation, later).unwrap();
    let keepalive = answer(&mut pair.a, passage, &response, later).unwrap();
    assert_eq!(reason(&mut pair.b, at_b, &keepalive, later), None);
    assert_eq!((pair.a.endpoint(b), pair.b.endpoint(pair.a_at_b)), (Some(passage), Some(at_b)));
    // UDP is tried now and then, and its answer has the peer back.
    let sent = timers(&mut pair.a, now, 3_000..14_000);
    let tries: Vec<_> = sent.iter().filter(|(_, to, message)| *to == at(2) && message[0] == 1).collect();
    // A second after it was left, and ten seconds after that.
    let [_, (_, _, initiation)] = tries[..] else { panic!("{sent:?}") };
    let later = now + Duration::from_secs(14);
    let response = answer(&mut pair.b, at(1), initiation, later).unwrap();
    let keepalive = answer(&mut pair.a, at(2), &response, later).unwrap();
    assert_eq!(reason(&mut pair.b, at(1), &keepalive, later), None);
    assert_eq!((pair.a.endpoint(b), pair.b.endpoint(pair.a_at_b)), (Some(at(2)), Some(at(1))));
    // What was under way in the connection meanwhile doesn't have b send there again; what comes later does.
    let left_behind = seal(&mut pair.a, b, &ip(100), later).unwrap();
    assert_eq!(reason(&mut pair.b, at_b, &left_behind, later), None);
    assert_eq!(pair.b.endpoint(pair.a_at_b), Some(at(1)));
    let gone_again = seal(&mut pair.a, b, &ip(100), later).unwrap();
    assert_eq!(reason(&mut pair.b, at_b, &gone_again, later + Duration::from_secs(1)), None);
    assert_eq!(pair.b.endpoint(pair.a_at_b), Some(at_b));
}

#[test]
fn a_passage_that_is_no_more_sends_the_peer_back_to_udp() {
    let mut pair = pair();
    pair.a.upsert_peer(key(2).public(), true, pair.now).unwrap();
    let (now, b) = (pair.now, pair.b_at_a);
    pair.a.set_candidates(b, vec![at(2).address], now);
    let first = timers(&mut pair.a, now, 0..1_000);
    assert!(first.iter().all(|(_, to, _)| *to == at(2)), "{first:?}");
    assert!(events(&mut pair.a).contains(&TunnelEvent::Silent(b)), "nobody answered within a moment");
    let passage =
        Endpoint { address: crate::base::VirtualEndpoint::Tls { connection: 7 }.address(), local: None };
    pair.a.set_passage(b, passage, now + Duration::from_secs(1));
    timers(&mut pair.a, now, 1_000..2_000);
    assert_eq!(pair.a.endpoint(b), Some(passage));
    pair.a.forget_passage(passage, now + Duration::from_secs(2));
    assert_eq!(pair.a.endpoint(b), Some(at(2)));
}

#[test]
fn a_peer_that_answers_from_elsewhere_is_found_silent_again() {
    let mut pair = pair();
    shake(&mut pair, &ip(20));
    let (now, b) = (pair.now, pair.b_at_a);
    pair.a.hold(b);
    events(&mut pair.a);
    let silent = |a: &mut Tunnels, second: u64| {
        let sent_at = now + Duration::from_secs(second);
        assert!(seal(a, b, &ip(100), sent_at).is_some());
        timers(a, sent_at, 0..1_500);
        events(a).contains(&TunnelEvent::Silent(b))
    };
    assert!(silent(&mut pair.a, 1));
    assert!(!silent(&mut pair.a, 3), "it was said, and is being looked at");
    // What it says comes from another place than where it is reached, and says nothing of that.
    let elsewhere = seal(&mut pair.b, pair.a_at_b, &ip(50), now + Duration::from_secs(5)).unwrap();
    assert_eq!(answer(&mut pair.a, at(9), &elsewhere, now + Duration::from_secs(5)), None);
    assert!(!silent(&mut pair.a, 5));
    pair.a.handle_answered(b);
    assert!(silent(&mut pair.a, 7));
}
