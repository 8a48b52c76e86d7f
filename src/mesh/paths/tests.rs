//! Addresses that answer after so many milliseconds, and a clock that is moved by hand.

use super::*;

const BOB: PeerId = PeerId(4);

struct Bench {
    paths: Paths,
    now: Instant,
    start: Instant,
    /// Who answers, after how many milliseconds, and how many of 10 probes it loses.
    alive: Vec<(SocketAddr, u64, u64)>,
    used: SocketAddr,
    moves: u32,
    lost: u32,
    found: u32,
    introduced: u32,
    /// When, and to where.
    probes: Vec<(Instant, SocketAddr)>,
    pongs: Vec<(Instant, u32, SocketAddr)>,
    /// Of them, those of the path in use.
    answered: u32,
    own: u64,
}

fn at(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
    fn new(kind: Kind, alive: &[(u16, u64)]) -> Self {
        let now = Instant::now();
        let mut paths = Paths::new(7);
        paths.begin(BOB, at(1), kind, now);
        let alive = alive.iter().map(|&(port, ms)| (at(port), ms, 0)).collect();
        let (probes, pongs) = (vec![], vec![]);
        let (start, used) = (now, at(1));
        Self {
            paths,
            now,
            start,
            alive,
            used,
            moves: 0,
            answered: 0,
            lost: 0,
            found: 0,
            introduced: 0,
            probes,
            pongs,
            own: 1,
        }
    }

    /// Lets time pass; `packets` of somebody's come and go each second.
    fn pass(&mut self, time: Duration, packets: u64) {
        let (begun, end) = (self.now, self.now + time);
        let before = self.own;
        loop {
            let others = packets * self.now.duration_since(begun).as_secs();
            let seen = Seen { at: self.used, connected: true, packets: self.own + others };
            while let Some(wish) = self.paths.poll(self.now, |_| Some(seen)) {
                match wish {
                    Wish::Probe { at, id, .. } => {
                        self.own += 1;
                        self.probes.push((self.now, at));
                        let path = self.alive.iter().find(|(alive, ..)| *alive == at);
                        if let Some((_, ms, loss)) = path
                            && u64::from(id) * 7 % 10 >= *loss
                        {
                            self.pongs.push((self.now + Duration::from_millis(*ms), id, at));
                        }
                    }
                    Wish::Move { at, .. } => {
                        self.used = at;
                        self.moves += 1;
                    }
                    Wish::Doubt(_) => {}
                    Wish::Lost(_) => self.lost += 1,
                    Wish::Found(_) => self.found += 1,
                    Wish::Introduce(_) => {
                        self.own += 1;
                        self.introduced += 1;
                    }
                }
                assert!(self.probes.len() < 100_000, "it never ends");
            }
            let pong = self.pongs.iter().map(|pong| pong.0).min();
            let next = [self.paths.poll_timeout(), pong].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            let due: Vec<_> = self.pongs.extract_if(.., |pong| pong.0 <= self.now).collect();
            for (_, id, at) in due {
                self.own += 1;
                if self.paths.handle_pong(BOB, id, self.now) {
                    assert_eq!(at, self.used, "it is said of the path in use alone");
                    self.answered += 1;
                }
            }
        }
        self.own += packets * time.as_secs();
        assert!(self.own >= before);
        self.now = end;
    }

    fn answer(&mut self, alive: &[(u16, u64)]) {
        self.alive = alive.iter().map(|&(port, ms)| (at(port), ms, 0)).collect();
    }

    /// Probes to an address since then.
    fn probes_to(&self, port: u16, since: Instant) -> usize {
        self.probes.iter().filter(|(when, to)| *when >= since && *to == at(port)).count()
    }
}

#[test]
fn traffic_begins_on_a_relay_and_moves_to_a_direct_path_once_it_answered_twice() {
    let mut bench = Bench::new(Kind::Relay, &[(1, 20), (2, 30)]);
    bench.pass(seconds(1), 10);
    assert_eq!((bench.used, bench.introduced), (at(1), 1));
    assert!(bench.paths.handle_told(BOB, [(at(2), Kind::Reflexive)], bench.now));
    bench.pass(seconds(1), 10);
    assert_eq!((bench.used, bench.moves), (at(2), 1));
    let view = bench.paths.view(BOB, bench.now).unwrap();
    assert_eq!(view.why, Why::Better);
    let used = view.paths.iter().find(|path| path.in_use).unwrap();
    assert_eq!((used.kind, used.round_trip), (Kind::Reflexive, Some(Duration::from_millis(30))));
}

#[test]
fn a_path_that_goes_silent_is_left_within_a_second_and_comes_back_when_it_answers() {
    let mut bench = Bench::new(Kind::Session, &[(1, 5), (2, 20)]);
    bench.paths.add(BOB, at(2), Kind::Roster, bench.now);
    bench.pass(seconds(60), 10);
    assert_eq!(bench.used, at(1));
    bench.answer(&[(2, 20)]);
    bench.paths.handle_silent(BOB, bench.now);
    bench.pass(seconds(1), 10);
    assert_eq!((bench.used, bench.lost), (at(2), 0));
    bench.answer(&[(1, 5), (2, 20)]);
    bench.pass(seconds(60), 10);
    assert_eq!(bench.used, at(1));
    bench.answer(&[]);
    bench.pass(seconds(20), 10);
    assert!((1..5).contains(&bench.lost), "{}", bench.lost);
    assert_eq!(bench.found, 0);
    bench.answer(&[(1, 5)]);
    bench.pass(seconds(60), 10);
    assert_eq!((bench.used, bench.found), (at(1), 1));
}

#[test]
fn two_paths_that_are_nearly_alike_take_no_turns() {
    let mut bench = Bench::new(Kind::Session, &[(1, 10), (2, 9)]);
    bench.paths.add(BOB, at(2), Kind::Roster, bench.now);
    bench.pass(seconds(600), 10);
    assert_eq!(bench.moves, 0);
}

#[test]
fn a_path_that_loses_much_is_left_for_one_that_is_longer_and_loses_nothing() {
    let mut bench = Bench::new(Kind::Session, &[]);
    bench.alive = vec![(at(1), 20, 4), (at(2), 25, 0)];
    bench.paths.add(BOB, at(2), Kind::Roster, bench.now);
    bench.pass(seconds(120), 10);
    assert_eq!(bench.used, at(2));
    let moves = bench.moves;
    bench.pass(seconds(120), 10);
    assert_eq!(bench.moves, moves);
}

#[test]
fn a_listener_that_answers_no_packet_of_its_own_is_asked_on_its_path_alone() {
    let mut bench = Bench::new(Kind::Session, &[(1, 10), (2, 30)]);
    bench.paths.add(BOB, at(2), Kind::Roster, bench.now);
    bench.pass(seconds(20), 10);
    let begun = bench.now;
    for _ in 0..10 {
        bench.paths.handle_silent(BOB, bench.now);
        bench.pass(seconds(1), 10);
    }
    assert!(bench.probes_to(1, begun) <= 14 && bench.probes_to(2, begun) <= 1);
    assert_eq!((bench.moves, bench.lost), (0, 0));
}

#[test]
fn only_the_path_in_use_of_a_peer_that_is_not_busy_is_kept_open_and_not_for_ever() {
    let mut bench = Bench::new(Kind::Session, &[(1, 10), (2, 10)]);
    bench.paths.add(BOB, at(2), Kind::Roster, bench.now);
    bench.pass(seconds(60), 0);
    let begun = bench.now;
    bench.pass(seconds(600), 0);
    assert_eq!(bench.probes_to(2, begun), 0);
    assert!((22..=30).contains(&bench.probes_to(1, begun)), "{}", bench.probes_to(1, begun));
    bench.pass(seconds(1_800), 0);
    let begun = bench.now;
    bench.pass(seconds(600), 0);
    assert_eq!(bench.probes_to(1, begun), 0);
    bench.pass(seconds(400), 10);
    assert!(bench.probes_to(1, begun) > 3 && bench.probes_to(2, begun) > 1);
}

#[test]
fn two_who_speak_through_a_detour_introduce_themselves_again_with_longer_and_longer_pauses() {
    let mut bench = Bench::new(Kind::Relay, &[(1, 10)]);
    bench.pass(seconds(10), 10);
    let early = bench.introduced;
    assert!((3..=4).contains(&early), "{early}");
    bench.pass(seconds(600), 10);
    assert!(bench.introduced - early < 10, "{}", bench.introduced);
    let early = bench.introduced;
    bench.pass(seconds(900), 0);
    assert!(bench.introduced - early <= 1, "not while nobody's packets go");
}

#[test]
fn an_address_that_never_answers_is_probed_less_and_less() {
    let mut bench = Bench::new(Kind::Session, &[(1, 10)]);
    assert!(bench.paths.handle_told(BOB, [(at(2), Kind::Interface)], bench.now));
    bench.pass(seconds(6), 10);
    assert_eq!(bench.probes_to(2, bench.start), 5);
    bench.pass(seconds(594), 10);
    assert!(bench.probes_to(2, bench.start) <= 14, "{}", bench.probes_to(2, bench.start));
}

#[test]
fn a_peer_that_tells_of_address_after_address_has_few_of_them_probed() {
    let mut bench = Bench::new(Kind::Session, &[(1, 10)]);
    bench.pass(seconds(1), 10);
    let mut taken = 0;
    for round in 0..100_u16 {
        let told = (0..8).map(|port| (at(1_000 + round * 8 + port), Kind::Interface));
        taken += u32::from(bench.paths.handle_told(BOB, told, bench.now));
        let from = at(10_000 + round);
        bench.paths.handle_ping(BOB, from, Kind::Heard, bench.now);
        bench.paths.handle_elsewhere(BOB, from, Kind::Heard, bench.now);
        bench.pass(Duration::from_millis(500), 10);
    }
    assert!(taken <= 51, "{taken}");
    let targets: std::collections::BTreeSet<_> = bench.probes.iter().map(|(_, to)| *to).collect();
    assert!(targets.len() <= 1 + 8 + 6, "{}", targets.len());
    let others = bench.probes.iter().filter(|(_, to)| *to != at(1)).count();
    assert!(others <= 14 * 8, "{others}");
    let view = bench.paths.view(BOB, bench.now).unwrap();
    assert!(view.paths.len() <= peer::CANDIDATES_MAX);
    assert!(view.paths.iter().any(|path| path.in_use && path.round_trip.is_some()));
    assert_eq!(bench.used, at(1));
}

#[test]
fn an_address_that_is_told_again_and_again_is_probed_less_and_less() {
    let mut bench = Bench::new(Kind::Session, &[(1, 10)]);
    for _ in 0..300 {
        bench.paths.handle_told(BOB, [(at(2), Kind::Interface)], bench.now);
        bench.paths.handle_ping(BOB, at(2), Kind::Heard, bench.now);
        bench.pass(seconds(1), 10);
    }
    assert!(bench.probes_to(2, bench.start) <= 70, "{}", bench.probes_to(2, bench.start));
}

#[test]
fn pings_without_end_are_answered_so_many_a_second() {
    let mut bench = Bench::new(Kind::Session, &[(1, 10)]);
    let answered = (0..1_000).filter(|_| bench.paths.handle_ping(BOB, at(1), Kind::Heard, bench.now));
    assert_eq!(answered.count(), 40);
    assert!(!bench.paths.handle_ping(PeerId(9), at(1), Kind::Heard, bench.now));
}

#[test]
fn a_pong_that_nobody_asked_for_is_nothing() {
    let mut bench = Bench::new(Kind::Session, &[]);
    bench.pass(seconds(1), 0);
    for id in 1_000..1_100 {
        assert!(!bench.paths.handle_pong(BOB, id, bench.now));
        assert!(!bench.paths.handle_pong(PeerId(9), id, bench.now));
    }
    let view = bench.paths.view(BOB, bench.now).unwrap();
    assert_eq!(view.paths[0].round_trip, None);
}

#[test]
fn a_peer_that_moved_is_found_where_it_is_heard() {
    let mut bench = Bench::new(Kind::Session, &[(1, 10)]);
    bench.pass(seconds(20), 10);
    assert!(bench.answered > 0);
    bench.answer(&[(9, 40)]);
    bench.paths.handle_elsewhere(BOB, at(9), Kind::Heard, bench.now);
    bench.pass(seconds(1), 10);
    assert_eq!((bench.used, bench.lost), (at(9), 0));
}
