//! The flow table as its users see it, and against a slow model of itself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::base::DropReason;
use crate::packet::{Fragment, IcmpErrorKind, Packet, Ports, Tcp, TcpFlags, Transport, Tuple, protocol};

const A: Via = Via::Peer(PeerId(1));
const B: Via = Via::Peer(PeerId(2));
const C: Via = Via::Peer(PeerId(3));

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]
fn start() -> Instant {
    Instant::now()
}

fn host(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))
}

fn packet(src: u8, dst: u8, protocol: u8, transport: Transport) -> Packet {
    Packet {
        src: host(src),
        dst: host(dst),
        protocol,
        transport,
        fragment: None,
        hop_limit: 64,
        traffic_class: 0,
        dont_fragment: false,
        total_len: 100,
        transport_offset: 20,
    }
}

fn udp(src: u8, src_port: u16, dst: u8, dst_port: u16) -> Packet {
    packet(src, dst, protocol::UDP, Transport::Udp { src_port, dst_port })
}

fn tcp(src: u8, src_port: u16, dst: u8, dst_port: u16, flags: u8) -> Packet {
    let flags = TcpFlags::from_bits(flags);
    packet(
        src,
        dst,
        protocol::TCP,
        Transport::Tcp(Tcp { src_port, dst_port, flags, seq: 0, ack: 0, seq_len: 0 }),
    )
}

fn echo(src: u8, dst: u8, request: bool, ident: u16) -> Packet {
    packet(src, dst, protocol::ICMP, Transport::IcmpEcho { request, ident })
}

fn table(max: usize) -> (FlowTable, Instant) {
    let now = start();
    (FlowTable::new(max, [7; 32], now), now)
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const FIN: u8 = 0x11;
const RST: u8 = 0x04;

#[test]
fn replies_follow_their_flow_and_nobody_elses() {
    let (mut flows, now) = table(100);
    let (ask, reply) = (udp(1, 5000, 2, 53), udp(2, 53, 1, 5000));
    assert_eq!(flows.lookup(&reply, B, now), Found::New);
    assert_eq!(flows.lookup(&ask, A, now), Found::New);
    flows.open(&ask, A, B, now).unwrap();
    assert_eq!(flows.lookup(&ask, A, now), Found::Hit { to: B, direction: Direction::Forward });
    assert_eq!(flows.lookup(&reply, B, now), Found::Hit { to: A, direction: Direction::Reply });
    assert_eq!(flows.lookup(&reply, C, now), Found::OtherPeer);
    assert_eq!(flows.lookup(&ask, B, now), Found::OtherPeer);
    assert_eq!(flows.lookup(&udp(2, 54, 1, 5000), B, now), Found::New);
}

#[test]
fn a_ping_one_way_does_not_open_the_way_back() {
    let (mut flows, now) = table(100);
    flows.open(&echo(1, 2, true, 9), A, B, now).unwrap();
    assert_eq!(
        flows.lookup(&echo(2, 1, false, 9), B, now),
        Found::Hit { to: A, direction: Direction::Reply }
    );
    assert_eq!(flows.lookup(&echo(2, 1, true, 9), B, now), Found::New);
    assert_eq!(flows.lookup(&echo(2, 1, false, 8), B, now), Found::Stray);
}

#[test]
fn an_icmp_error_follows_the_flow_that_it_quotes_from_the_side_it_went_to() {
    let (mut flows, now) = table(100);
    flows.open(&udp(1, 5000, 2, 53), A, B, now).unwrap();
    let quoted = Tuple {
        src: host(1),
        dst: host(2),
        protocol: protocol::UDP,
        ports: Ports::Known { src: 5000, dst: 53 },
    };
    let error = |src, dst, embedded| {
        packet(src, dst, protocol::ICMP, Transport::IcmpError { kind: IcmpErrorKind::TimeExceeded, embedded })
    };
    assert_eq!(flows.lookup(&error(9, 1, quoted), B, now), Found::Hit { to: A, direction: Direction::Reply });
    assert_eq!(flows.lookup(&error(9, 1, quoted), C, now), Found::OtherPeer);
    assert_eq!(
        flows.lookup(&error(9, 3, quoted), B, now),
        Found::Stray,
        "it is for somebody else than who sent"
    );
    let other = Tuple { ports: Ports::Known { src: 5001, dst: 53 }, ..quoted };
    assert_eq!(flows.lookup(&error(9, 1, other), B, now), Found::Stray);
}

#[test]
fn a_closed_connection_goes_away_and_its_ports_can_be_used_again() {
    let (mut flows, now) = table(100);
    let (a, b) = ((1, 5000, 2, 80), (2, 80, 1, 5000));
    let from_a = |flags| tcp(a.0, a.1, a.2, a.3, flags);
    let from_b = |flags| tcp(b.0, b.1, b.2, b.3, flags);
    flows.open(&from_a(SYN), A, B, now).unwrap();
    let state = |flows: &FlowTable| flows.iter(now).next().map(|flow| flow.state);
    flows.lookup(&from_b(SYN | ACK), B, now);
    assert_eq!(state(&flows), Some(State::New));
    flows.lookup(&from_a(ACK), A, now);
    assert_eq!(state(&flows), Some(State::Established));
    flows.lookup(&from_a(FIN), A, now);
    assert_eq!(state(&flows), Some(State::Closing));
    flows.lookup(&from_b(FIN), B, now);
    assert_eq!(state(&flows), Some(State::Closed));
    assert!(matches!(flows.lookup(&from_a(ACK), A, now), Found::Hit { .. }), "the last ACK still passes");
    assert_eq!(flows.lookup(&from_a(SYN), A, now), Found::New);
    flows.open(&from_a(SYN), A, B, now).unwrap();
    flows.lookup(&from_b(RST), B, now);
    assert_eq!(state(&flows), Some(State::Closed));
    assert_eq!(flows.next_expiry(), Some(now + Duration::from_secs(10)));
    flows.expire(now + Duration::from_secs(10));
    assert!(flows.is_empty());
    assert_eq!(flows.lookup(&from_b(RST), B, now), Found::Stray);
}

#[test]
fn silence_ends_a_flow_and_a_packet_keeps_it() {
    let (mut flows, now) = table(100);
    flows.open(&udp(1, 1, 2, 2), A, B, now).unwrap();
    let at = |seconds| now + Duration::from_secs(seconds);
    flows.expire(at(59));
    assert_eq!(flows.len(), 1);
    flows.lookup(&udp(2, 2, 1, 1), B, at(59));
    flows.expire(at(59 + 179));
    assert_eq!(flows.len(), 1, "an answered flow may be silent for three minutes");
    flows.expire(at(59 + 180));
    assert!(flows.is_empty());
    assert_eq!(flows.next_expiry(), None);
}

#[test]
fn who_scans_loses_only_its_own_flows() {
    let (mut flows, now) = table(400);
    for port in 0..50 {
        flows.open(&udp(2, port, 3, 80), B, C, now).unwrap();
    }
    flows.open(&udp(1, 9, 2, 9), A, B, now).unwrap();
    flows.lookup(&udp(2, 9, 1, 9), B, now);
    for port in 100..2_000 {
        let probe = udp(1, 7, 3, port);
        assert_eq!(flows.lookup(&probe, A, now), Found::New);
        flows.open(&probe, A, C, now).unwrap();
    }
    assert_eq!(flows.count_of(A), 100, "a quarter of the table");
    assert_eq!(flows.count_of(B), 50);
    assert!(matches!(flows.lookup(&udp(2, 49, 3, 80), B, now), Found::Hit { .. }));
    assert!(matches!(flows.lookup(&udp(1, 9, 2, 9), A, now), Found::Hit { .. }), "answered flows go last");
}

#[test]
fn a_full_table_takes_from_the_largest() {
    let (mut flows, now) = table(40);
    for peer in 0..4 {
        for port in 0..10 {
            let via = Via::Peer(PeerId(peer));
            flows.open(&udp(10 + peer as u8, port, 3, 80), via, C, now).unwrap();
        }
    }
    flows.open(&udp(99, 1, 3, 80), Via::Kernel, C, now).unwrap();
    assert_eq!(flows.len(), 40);
    assert_eq!(flows.count_of(Via::Kernel), 1);
}

#[test]
fn later_fragments_follow_their_first() {
    let (mut flows, now) = table(100);
    let fragment = |offset, more| Some(Fragment { id: 77, offset, more, end: offset + 80 });
    let first = Packet { fragment: fragment(0, true), ..udp(1, 5000, 2, 53) };
    let later = Packet { fragment: fragment(80, false), ..packet(1, 2, protocol::UDP, Transport::Opaque) };
    assert_eq!(flows.lookup(&later, A, now), Found::New, "with no first it is judged by itself");
    flows.open(&first, A, B, now).unwrap();
    assert_eq!(flows.lookup(&later, A, now), Found::Hit { to: B, direction: Direction::Forward });
    assert_eq!(flows.lookup(&later, C, now), Found::New, "another peer's fragments are its own");
    assert_eq!(flows.lookup(&later, A, now + Duration::from_secs(31)), Found::New);
}

#[test]
fn a_flow_between_ports_0_is_told_as_it_is() {
    let (mut flows, now) = table(100);
    flows.open(&udp(1, 0, 2, 0), A, B, now).unwrap();
    flows.open(&packet(1, 2, 47, Transport::Opaque), A, B, now).unwrap();
    let mut ports: Vec<_> = flows.iter(now).map(|flow| (flow.tuple.protocol, flow.tuple.ports)).collect();
    ports.sort_by_key(|(protocol, _)| *protocol);
    assert_eq!(ports, [(protocol::UDP, Ports::Known { src: 0, dst: 0 }), (47, Ports::None)]);
}

#[test]
fn later_fragments_whose_first_lost_its_flow_are_one_flow_of_their_own() {
    let (mut flows, now) = table(100);
    let fragment = |offset, more| Some(Fragment { id: 77, offset, more, end: offset + 80 });
    let first = Packet { fragment: fragment(0, true), ..udp(1, 5000, 2, 53) };
    flows.open(&first, A, B, now).unwrap();
    flows.retain(now, |_| Keep::Cut);
    for offset in [80, 160, 240] {
        let later =
            Packet { fragment: fragment(offset, true), ..packet(1, 2, protocol::UDP, Transport::Opaque) };
        if flows.lookup(&later, A, now) == Found::New {
            flows.open(&later, A, B, now).unwrap();
        }
        assert_eq!(flows.len(), 1);
    }
}

#[test]
fn a_fragment_that_overwrites_the_first_is_refused() {
    let (mut flows, now) = table(100);
    let fragment = |offset, end, more| Some(Fragment { id: 77, offset, more, end });
    let first = Packet { fragment: fragment(0, 80, true), ..udp(1, 5000, 2, 53) };
    flows.open(&first, A, B, now).unwrap();
    let later = |offset| Packet {
        fragment: fragment(offset, offset + 80, true),
        ..packet(1, 2, protocol::UDP, Transport::Opaque)
    };
    assert_eq!(flows.lookup(&later(72), A, now), Found::Stray);
    assert!(matches!(flows.lookup(&later(80), A, now), Found::Hit { .. }));
}

#[test]
fn a_flow_that_changes_hands_still_ends_when_it_has_been_silent() {
    let (mut flows, now) = table(100);
    let at = |seconds| now + Duration::from_secs(seconds);
    flows.open(&udp(1, 1, 2, 2), A, B, at(0)).unwrap();
    flows.open(&udp(1, 3, 2, 4), A, B, at(30)).unwrap();
    flows.retain(at(40), |flow| match flow.tuple.ports {
        Ports::Known { dst: 2, .. } => Keep::Keep { from: C, to: B },
        _ => Keep::Keep { from: A, to: B },
    });
    assert_eq!(flows.next_expiry(), Some(at(60)));
    flows.expire(at(60));
    assert_eq!((flows.len(), flows.count_of(A), flows.count_of(C)), (1, 1, 0));
    flows.expire(at(90));
    assert!(flows.is_empty());
}

#[test]
fn a_connection_that_the_other_side_begins_is_a_flow_of_its_own() {
    let (mut flows, now) = table(100);
    let (there, back) = (|flags| tcp(1, 5000, 2, 22, flags), |flags| tcp(2, 22, 1, 5000, flags));
    flows.open(&there(SYN), A, B, now).unwrap();
    flows.lookup(&back(SYN | ACK), B, now);
    flows.lookup(&there(ACK), A, now);
    assert_eq!(flows.lookup(&back(SYN), B, now), Found::New, "leave to come in is not leave to go out");
    assert!(
        matches!(flows.lookup(&there(ACK), A, now), Found::Hit { .. }),
        "until it is let pass, nothing changes"
    );
    flows.open(&back(SYN), B, A, now).unwrap();
    assert_eq!((flows.len(), flows.count_of(A), flows.count_of(B)), (1, 0, 1));
    assert_eq!(flows.lookup(&there(SYN | ACK), A, now), Found::Hit { to: B, direction: Direction::Reply });
}

#[test]
fn a_reset_is_believed_until_who_sent_it_speaks_again() {
    let (mut flows, now) = table(100);
    let (there, back) = (|flags| tcp(1, 5000, 2, 80, flags), |flags| tcp(2, 80, 1, 5000, flags));
    flows.open(&there(SYN), A, B, now).unwrap();
    flows.lookup(&back(SYN | ACK), B, now);
    flows.lookup(&there(ACK), A, now);
    let state = |flows: &FlowTable| flows.iter(now).next().map(|flow| flow.state);
    flows.lookup(&back(RST), B, now);
    assert_eq!(state(&flows), Some(State::Closed));
    flows.lookup(&there(ACK), A, now);
    assert_eq!(state(&flows), Some(State::Closed), "what was on its way");
    flows.lookup(&back(ACK), B, now);
    assert_eq!(state(&flows), Some(State::Established), "it was somebody else's");
}

#[test]
fn a_removed_peer_takes_its_flows_along() {
    let (mut flows, now) = table(100);
    flows.open(&udp(1, 1, 2, 2), A, B, now).unwrap();
    flows.open(&udp(2, 3, 3, 3), B, C, now).unwrap();
    flows.open(&udp(1, 4, 3, 4), A, C, now).unwrap();
    assert_eq!(flows.remove_peer(PeerId(2)), 2);
    assert_eq!(flows.len(), 1);
}

#[test]
fn flows_judged_again_are_cut_or_carried_by_others() {
    let (mut flows, now) = table(100);
    flows.open(&udp(1, 1, 2, 2), A, B, now).unwrap();
    flows.open(&udp(1, 3, 2, 4), A, B, now).unwrap();
    flows.retain(now, |flow| match flow.tuple.ports {
        Ports::Known { dst: 2, .. } => Keep::Keep { from: A, to: C },
        _ => Keep::Cut,
    });
    assert_eq!(flows.lookup(&udp(1, 1, 2, 2), A, now), Found::Hit { to: C, direction: Direction::Forward });
    assert_eq!(flows.lookup(&udp(1, 3, 2, 4), A, now), Found::New);
    flows.retain(now, |_| Keep::Keep { from: B, to: C });
    assert_eq!((flows.count_of(A), flows.count_of(B)), (0, 1));
}

#[test]
fn what_is_late_for_a_connection_that_was_cut_begins_none_the_other_way() {
    let (mut flows, now) = table(100);
    let at = |seconds| now + Duration::from_secs(seconds);
    let (there, back) = (|flags| tcp(1, 5000, 2, 22, flags), |flags| tcp(2, 22, 1, 5000, flags));
    flows.open(&there(SYN), A, B, now).unwrap();
    flows.lookup(&back(SYN | ACK), B, now);
    flows.lookup(&there(ACK), A, now);
    flows.retain(now, |_| Keep::Cut);
    assert_eq!(
        (flows.len(), flows.is_empty(), flows.iter(now).count()),
        (0, true, 0),
        "it is no flow any more"
    );
    for (late, from) in [(back(ACK), B), (there(ACK), A), (back(SYN | ACK), B)] {
        assert_eq!(flows.lookup(&late, from, at(1)), Found::Stray);
    }
    // Who was connected tries on, for longer than anything is remembered that is silent.
    assert_eq!(flows.lookup(&back(ACK), B, at(7_000)), Found::Stray);
    flows.expire(at(14_000));
    assert_eq!(flows.lookup(&back(ACK), B, at(14_000)), Found::Stray);
    flows.retain(at(14_000), |_| Keep::Cut);
    assert_eq!(flows.lookup(&back(SYN), B, at(14_001)), Found::New, "a beginning is judged");
    flows.open(&back(SYN), B, A, at(14_001)).unwrap();
    assert_eq!((flows.len(), flows.count_of(A), flows.count_of(B)), (1, 0, 1));
}

#[test]
fn what_was_cut_is_forgotten_when_it_would_be_allowed_again_or_is_silent() {
    let (mut flows, now) = table(100);
    let at = |seconds| now + Duration::from_secs(seconds);
    let open = |flows: &mut FlowTable| flows.open(&tcp(1, 5000, 2, 22, SYN), A, B, now).unwrap();
    open(&mut flows);
    flows.retain(now, |_| Keep::Cut);
    flows.retain(now, |_| Keep::Keep { from: A, to: B });
    assert_eq!(flows.lookup(&tcp(1, 5000, 2, 22, ACK), A, now), Found::New, "it may be picked up");
    assert!(flows.is_empty());
    open(&mut flows);
    flows.retain(now, |_| Keep::Cut);
    flows.expire(at(7_440));
    assert_eq!(flows.next_expiry(), None);
    assert_eq!(flows.lookup(&tcp(2, 22, 1, 5000, ACK), B, at(7_440)), Found::New);
}

#[test]
fn an_answer_that_may_be_a_beginning_waits_a_minute_after_a_cut() {
    let (mut flows, now) = table(100);
    let at = |seconds| now + Duration::from_secs(seconds);
    flows.open(&udp(1, 5000, 2, 53), A, B, now).unwrap();
    flows.retain(now, |_| Keep::Cut);
    assert_eq!(flows.lookup(&udp(1, 5000, 2, 53), A, at(1)), Found::New, "it is judged, and denied");
    assert_eq!(flows.lookup(&udp(2, 53, 1, 5000), B, at(59)), Found::Stray);
    assert_eq!(flows.lookup(&udp(2, 53, 1, 5000), B, at(60)), Found::New);
}

#[test]
fn a_flood_does_not_wash_away_what_was_cut() {
    let (mut flows, now) = table(400);
    flows.open(&tcp(1, 5000, 2, 22, SYN), A, B, now).unwrap();
    flows.retain(now, |_| Keep::Cut);
    for port in 0..1_000 {
        flows.open(&udp(1, port, 3, 1), A, C, now).unwrap();
    }
    assert_eq!(flows.lookup(&tcp(2, 22, 1, 5000, ACK), B, now), Found::Stray);
    flows.remove_peer(PeerId(2));
    assert_eq!(flows.lookup(&tcp(2, 22, 1, 5000, ACK), B, now), Found::New);
}

#[test]
fn entries_are_small() {
    assert!(size_of::<super::flow::Entry>() <= 144, "{}", size_of::<super::flow::Entry>());
}

proptest! {
    /// Against a model that is slow and obvious: a map from both tuples to the flow. No time passes and nothing is
    /// full, so that only look-ups and openings matter.
    #[test]
    fn lookups_agree_with_a_map(steps in prop::collection::vec((0u8..4, 0u8..4, 0u16..3, 0u16..3, 0u32..3), 1..200)) {
        let (mut flows, now) = table(10_000);
        let mut model: HashMap<(u8, u16, u8, u16), (Via, Via)> = HashMap::new();
        for (src, dst, src_port, dst_port, carrier) in steps {
            let (from, packet) = (Via::Peer(PeerId(carrier)), udp(src, src_port, dst, dst_port));
            let (there, back) = ((src, src_port, dst, dst_port), (dst, dst_port, src, src_port));
            let expected = match (model.get(&there), model.get(&back)) {
                (Some(&(a, b)), _) if a == from => Found::Hit { to: b, direction: Direction::Forward },
                (None, Some(&(a, b))) if b == from => Found::Hit { to: a, direction: Direction::Reply },
                (None, None) => Found::New,
                _ => Found::OtherPeer,
            };
            prop_assert_eq!(flows.lookup(&packet, from, now), expected);
            if expected == Found::New {
                flows.open(&packet, from, Via::Kernel, now).unwrap();
                model.insert(there, (from, Via::Kernel));
            }
            prop_assert_eq!(flows.len(), model.len());
        }
    }

    /// Whatever comes, the table stays within its bounds and its books balance.
    #[test]
    fn shares_and_lists_balance(
        steps in prop::collection::vec((0u32..4, 0u16..40, 0u8..32, 0u64..20, any::<bool>()), 1..400),
    ) {
        let (mut flows, mut now) = table(32);
        for (peer, port, flags, seconds, reply) in steps {
            now += Duration::from_secs(seconds);
            let via = Via::Peer(PeerId(peer));
            let packet = if reply { tcp(200, 80, 1, port, flags) } else { tcp(1, port, 200, 80, flags) };
            if flows.lookup(&packet, via, now) == Found::New {
                prop_assert_ne!(flows.open(&packet, via, C, now), Err(DropReason::Malformed));
            }
            flows.expire(now);
            prop_assert!(flows.len() <= 32);
            let counted: usize = (0..4).map(|peer| flows.count_of(Via::Peer(PeerId(peer)))).sum();
            prop_assert_eq!(counted, flows.len());
            prop_assert_eq!(flows.iter(now).count(), flows.len());
            prop_assert!(flows.next_expiry().is_none_or(|at| at > now));
        }
    }
}
