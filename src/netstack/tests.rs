use super::*;
use crate::packet::craft::Craft;
use crate::table::PeerId;

const PORT: u16 = 51888;
const A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa);
const B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);
const TO_A: Via = Via::Peer(PeerId(1));
const TO_B: Via = Via::Peer(PeerId(2));

/// Two nodes and what carries their packets; every `lose`th is lost.
struct Pair {
    a: Stack,
    b: Stack,
    now: Instant,
    begun: Vec<ConnectionId>,
    lose: u32,
    carried: u32,
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]
    fn new() -> Self {
        let now = Instant::now();
        let stack = |seed, address| {
            let mut stack = Stack::new(seed, now);
            stack.set_addresses(&[address]);
            stack
        };
        Self { a: stack(1, A), b: stack(2, B), now, begun: vec![], lose: u32::MAX, carried: 0 }
    }

    fn connect(&mut self) -> Option<ConnectionId> {
        let id = self.a.connect(TO_B, A, (B, PORT), self.now);
        self.carry();
        id
    }

    fn carry(&mut self) {
        loop {
            let mut moved = false;
            for from_a in [true, false] {
                let (from, to, way) =
                    if from_a { (&mut self.a, &mut self.b, TO_A) } else { (&mut self.b, &mut self.a, TO_B) };
                from.poll(self.now);
                while let Some((_, packet)) = from.poll_packet() {
                    moved = true;
                    self.carried += 1;
                    if !self.carried.is_multiple_of(self.lose) {
                        self.begun.extend(to.handle_packet(way, &packet, PORT, self.now).ok().flatten());
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.a.handle_timeout(self.now);
        self.b.handle_timeout(self.now);
        self.carry();
    }
}

fn read(stack: &mut Stack, id: ConnectionId, into: &mut Vec<u8>) -> bool {
    stack.read(id, |bytes| {
        into.extend_from_slice(bytes);
        bytes.len()
    })
}

#[test]
fn bytes_arrive_whole_and_in_order_though_packets_are_lost_and_nothing_stays() {
    for lose in [u32::MAX, 7] {
        let mut pair = Pair::new();
        let (idle_a, idle_b) = (pair.a.connections.is_empty(), pair.b.connections.is_empty());
        assert!(idle_a && idle_b);
        let ours = pair.connect().unwrap();
        pair.lose = lose;
        let theirs = pair.begun[0];
        let sent: Vec<u8> = (0..200_000u32).map(|i| (i * 7 + i / 256) as u8).collect();
        let (mut at, mut got, mut open, mut turns) = (0, Vec::new(), true, 0);
        while open {
            if at < sent.len() {
                at += pair.b.write(theirs, &sent[at..]).unwrap();
                if at == sent.len() {
                    pair.b.close(theirs);
                }
            }
            pair.pass(Duration::from_millis(20));
            open = read(&mut pair.a, ours, &mut got);
            turns += 1;
            assert!(turns < 10_000, "{} of {}", got.len(), sent.len());
        }
        assert!(got == sent);
        pair.a.close(ours);
        for _ in 0..100 {
            pair.pass(Duration::from_millis(200));
        }
        assert!(pair.a.connections.is_empty() && pair.b.connections.is_empty());
        assert_eq!((pair.a.poll_timeout(), pair.b.poll_timeout()), (None, None));
    }
}

#[test]
fn a_silent_other_side_is_given_up() {
    let mut pair = Pair::new();
    let ours = pair.a.connect(TO_B, A, (B, PORT), pair.now).unwrap();
    while pair.a.poll_packet().is_some() {}
    for _ in 0..20 {
        pair.now = pair.a.poll_timeout().unwrap_or(pair.now);
        pair.a.handle_timeout(pair.now);
        while pair.a.poll_packet().is_some() {}
    }
    assert!(!pair.a.is_open(ours) && pair.a.connections.is_empty());
}

#[test]
fn nobody_has_more_connections_than_a_share() {
    let mut pair = Pair::new();
    for _ in 0..5 {
        pair.connect();
    }
    assert_eq!(pair.b.connections.len(), INCOMING_OF_ONE_MAX);
    // Others still get theirs, until all are taken.
    for peer in 10..30 {
        let syn = Craft::new(&format!("fe80::{peer}"), "fe80::b").syn(1, PORT);
        let outcome = pair.b.handle_packet(Via::Peer(PeerId(peer)), &syn, PORT, pair.now);
        assert_eq!(
            outcome.is_ok(),
            pair.b.connections.len() <= INCOMING_MAX && peer < 18,
            "{peer}: {outcome:?}"
        );
    }
    assert_eq!(pair.b.connections.len(), INCOMING_MAX);
    for _ in 0..20 {
        let _ = pair.a.connect(TO_B, A, (B, PORT), pair.now);
    }
    assert_eq!(pair.a.connections.len(), OUTGOING_MAX);
}

#[test]
fn a_connection_is_its_peers_alone() {
    let mut pair = Pair::new();
    let id = pair.connect().unwrap();
    pair.a.write(id, b"mine").unwrap();
    pair.a.poll(pair.now);
    let (_, packet) = pair.a.poll_packet().unwrap();
    let other = Via::Peer(PeerId(9));
    assert_eq!(pair.b.handle_packet(other, &packet, PORT, pair.now), Err(DropReason::NotControl));
    let mut got = Vec::new();
    read(&mut pair.b, pair.begun[0], &mut got);
    assert!(got.is_empty());
    pair.b.handle_packet(TO_A, &packet, PORT, pair.now).unwrap();
    read(&mut pair.b, pair.begun[0], &mut got);
    assert_eq!(got, b"mine");
    pair.b.remove_via(TO_A);
    assert!(pair.b.connections.is_empty());
}

#[test]
fn what_begins_nothing_is_not_answered() {
    let mut pair = Pair::new();
    let craft = Craft::between(A.into(), B.into());
    let closed = craft.syn(1, 22);
    assert_eq!(pair.b.handle_packet(TO_A, &closed, PORT, pair.now), Err(DropReason::NotControl));
    let stray = craft.tcp(1, PORT, crate::packet::craft::Segment::default());
    assert_eq!(pair.b.handle_packet(TO_A, &stray, PORT, pair.now), Err(DropReason::NotControl));
    let elsewhere = Craft::new("fe80::a", "fe80::c").syn(1, PORT);
    assert_eq!(pair.b.handle_packet(TO_A, &elsewhere, PORT, pair.now), Err(DropReason::NotControl));
    assert!(pair.b.connections.is_empty() && pair.b.poll_packet().is_none());
}
