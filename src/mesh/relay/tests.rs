use super::*;
use crate::mesh::frame::FrameKey;

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);
const MALLORY: PeerId = PeerId(3);
const ALICE: OwnerId = OwnerId(0);
const EVE: OwnerId = OwnerId(1);

struct Bench {
    relay: Relay,
    now: Instant,
    counter: u64,
}

fn terms(index: u32) -> Terms {
    Terms { index, key: FrameKey::from_bytes([index as u8; 16]) }
}

/// What a gateway's frames have; frames to it have ten more.
fn ours(gateway: PeerId) -> Terms {
    terms(gateway.0)
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning")]
    fn new(quota: Quota) -> Self {
        let now = Instant::now();
        let mut bench = Self { relay: Relay::new(quota, now), now, counter: 0 };
        for (gateway, owner) in [(A, ALICE), (B, ALICE), (MALLORY, EVE)] {
            assert!(bench.register(gateway, owner).is_some());
        }
        bench
    }

    fn register(&mut self, gateway: PeerId, owner: OwnerId) -> Option<Terms> {
        let theirs = terms(gateway.0 + 10);
        self.relay.handle_register(gateway, owner, theirs, ours(gateway), self.now).unwrap()
    }

    fn open(&mut self, from: PeerId, to: PeerId) -> Result<u32, Refusal> {
        let judged = |pair: (PeerId, PeerId)| pair != (A, MALLORY) && pair != (MALLORY, A);
        self.relay.handle_open(from, Some(to), self.now, || judged((from, to)))
    }

    fn frame(&mut self, terms: Terms, channel: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = [&[0; FRAME_OVERHEAD], payload].concat();
        self.counter += 1;
        let header = FrameHeader { index: terms.index, counter: self.counter, channel };
        write_frame(&mut frame, header, &terms.key);
        frame
    }

    fn forward(&mut self, from: PeerId, frame: &[u8]) -> Result<(PeerId, Vec<u8>), DropReason> {
        let mut space = vec![0; 2_000];
        let Passed { onward, .. } = self.relay.accept(from, frame, self.now)?;
        if onward.is_far {
            return Ok((onward.node, Vec::new()));
        }
        let len = self.relay.write(onward, frame, &mut space)?;
        Ok((onward.node, space[..len].to_vec()))
    }

    /// A frame of `from` on this channel.
    fn send(&mut self, from: PeerId, channel: u32) -> Result<PeerId, DropReason> {
        let frame = self.frame(ours(from), channel, &[7; 100]);
        Ok(self.forward(from, &frame)?.0)
    }
}

#[test]
fn a_frame_of_one_gateway_is_a_frame_to_the_other_with_the_same_payload() {
    let mut bench = Bench::new(Quota::default());
    let channel = bench.open(A, B).unwrap();
    assert_eq!(bench.open(B, A), Ok(channel));
    for (from, to) in [(A, B), (B, A)] {
        let frame = bench.frame(ours(from), channel, &[9; 77]);
        let (other, onward) = bench.forward(from, &frame).unwrap();
        assert_eq!(other, to);
        let header = read_frame(&onward, &terms(to.0 + 10).key).unwrap();
        assert_eq!((header.index, header.channel), (to.0 + 10, channel));
        assert_eq!(onward[FRAME_OVERHEAD..], [9; 77]);
    }
}

#[test]
fn a_pair_without_policy_gets_no_channel_and_a_stranger_none_either() {
    let mut bench = Bench::new(Quota::default());
    assert_eq!(bench.open(A, MALLORY), Err(Refusal::Policy));
    assert_eq!(bench.open(MALLORY, A), Err(Refusal::Policy));
    assert_eq!(bench.open(PeerId(9), A), Err(Refusal::NotRegistered));
    assert_eq!(bench.open(A, PeerId(9)), Err(Refusal::NotHere));
    assert_eq!(bench.open(A, A), Err(Refusal::NotHere));
    assert_eq!(bench.relay.size(), (3, 0));
}

#[test]
fn what_is_another_ones_or_forged_or_sent_again_goes_nowhere() {
    let mut bench = Bench::new(Quota::default());
    let channel = bench.open(A, B).unwrap();
    assert_eq!(bench.send(MALLORY, channel), Err(DropReason::NoChannel));
    assert_eq!(bench.send(A, channel + 1), Err(DropReason::NoChannel));
    let forged = bench.frame(terms(5), channel, &[7; 100]);
    assert_eq!(bench.forward(A, &forged), Err(DropReason::BadFrame));
    assert_eq!(bench.forward(PeerId(9), &forged), Err(DropReason::NoLeg));
    let frame = bench.frame(ours(A), channel, &[7; 100]);
    assert!(bench.forward(A, &frame).is_ok());
    assert_eq!(bench.forward(A, &frame), Err(DropReason::Replayed));
    assert_eq!(bench.send(A, channel), Ok(B));
}

#[test]
fn an_owners_flood_takes_its_own_share_alone() {
    let quota = Quota { octets_per_second: 100_000, octets_at_once: 10_000, ..Quota::default() };
    let mut bench = Bench::new(quota);
    let (ours, theirs) = (bench.open(A, B).unwrap(), bench.open(MALLORY, B).unwrap());
    let passed = (0..1_000).filter(|_| bench.send(MALLORY, theirs).is_ok()).count();
    assert_eq!(passed, 10_000 / 132);
    assert_eq!(bench.send(MALLORY, theirs), Err(DropReason::RelayQuota));
    assert_eq!(bench.send(A, ours), Ok(B));
    bench.now += Duration::from_millis(10);
    assert_eq!(bench.send(MALLORY, theirs), Ok(B));
}

/// Another relay, which is registered here, and at which this one is.
const DALE: PeerId = PeerId(40);
const FAR: PeerId = PeerId(41);

#[test]
fn a_channel_goes_on_at_another_relay_and_comes_back_from_there() {
    let mut bench = Bench::new(Quota::default());
    assert_eq!(
        bench.relay.handle_extended((DALE, false), (A, FAR), 9, bench.now),
        Err(Refusal::NotHere),
        "not asked"
    );
    assert_eq!(bench.relay.handle_open_far(A, FAR, bench.now, || false), Err(Refusal::Policy));
    assert_eq!(bench.relay.handle_open_far(PeerId(9), FAR, bench.now, || true), Err(Refusal::NotRegistered));
    assert_eq!(bench.relay.handle_open_far(A, FAR, bench.now, || true), Ok(None));
    let channel = bench.relay.handle_extended((DALE, false), (A, FAR), 9, bench.now).unwrap().unwrap();
    assert_eq!(bench.send(A, channel), Ok(DALE));
    let back = bench.relay.accept_far(DALE, 9, 132, bench.now).unwrap().onward;
    assert_eq!(back, Onward { node: A, channel, is_far: false });
    assert_eq!(bench.relay.accept_far(DALE, 8, 132, bench.now), Err(DropReason::NoChannel));
    assert_eq!(bench.relay.accept_far(FAR, 9, 132, bench.now), Err(DropReason::NoChannel));
    // The gateway began anew, and asks again.
    assert_eq!(bench.relay.handle_open_far(A, FAR, bench.now, || true), Ok(Some(channel)));
    assert_eq!(bench.relay.handle_extended((DALE, false), (A, FAR), 9, bench.now), Ok(Some(channel)));
    assert_eq!(bench.relay.handle_extended((DALE, false), (A, FAR), 9, bench.now), Ok(Some(channel)));
    assert_eq!(bench.relay.handle_open_far(A, PeerId(44), bench.now, || true), Ok(None));
    assert_eq!(
        bench.relay.handle_extended((DALE, false), (A, PeerId(44)), 9, bench.now),
        Ok(None),
        "another's channel"
    );
    assert_eq!(bench.send(A, channel), Ok(DALE));
    // The other relay forgets; or the rosters deny: then it is told.
    assert_eq!(bench.relay.handle_closed(DALE, 9), Some((A, channel)));
    assert_eq!((bench.send(A, channel), bench.relay.size().1), (Err(DropReason::NoChannel), 0));
    while bench.relay.poll_ended().is_some() {}
    assert_eq!(bench.relay.handle_open_far(A, FAR, bench.now, || true), Ok(None));
    assert!(bench.relay.handle_extended((DALE, false), (A, FAR), 11, bench.now).unwrap().is_some());
    bench.relay.handle_reload(|id| Some(OwnerId(id.0)), |_, _| false, bench.now);
    assert_eq!((bench.relay.poll_ended(), bench.relay.poll_ended()), (Some((DALE, 11)), None));
}

#[test]
fn a_channel_is_extended_once_and_gives_way_when_it_carries_nothing() {
    let mut bench = Bench::new(Quota::default());
    assert!(bench.register(DALE, EVE).is_some());
    let extend = |bench: &mut Bench, relay, allowed| {
        bench.relay.handle_extend(relay, (FAR, ALICE), A, bench.now, || allowed)
    };
    assert_eq!(extend(&mut bench, PeerId(9), true), Err(Refusal::NotRegistered));
    assert_eq!(extend(&mut bench, DALE, false), Err(Refusal::Policy));
    let channel = extend(&mut bench, DALE, true).unwrap();
    assert_eq!(extend(&mut bench, DALE, true), Ok(channel));
    assert_eq!((bench.send(A, channel), bench.send(DALE, channel)), (Ok(DALE), Ok(A)));
    assert_eq!(bench.send(FAR, channel), Err(DropReason::NoLeg));
    // Another relay says that it has the gateway: so it may be, once the first way is silent.
    assert!(bench.register(PeerId(42), EVE).is_some());
    assert_eq!(extend(&mut bench, PeerId(42), true), Err(Refusal::Full));
    bench.now += EXTENDS_WITHIN + Duration::from_secs(1);
    let other = extend(&mut bench, PeerId(42), true).unwrap();
    assert_eq!(
        (bench.send(DALE, channel), bench.send(A, other)),
        (Err(DropReason::NoChannel), Ok(PeerId(42)))
    );
    assert_eq!(bench.relay.handle_ended(B, other), None, "it is not B's");
    assert_eq!(bench.relay.handle_ended(PeerId(42), other), Some(A));
    assert_eq!(bench.relay.size().1, 0);
}

#[test]
fn what_a_relay_says_of_a_gateway_that_is_here_stands_beside_and_in_nothings_place() {
    let mut bench = Bench::new(Quota::default());
    assert!(bench.register(DALE, EVE).is_some() && bench.register(FAR, ALICE).is_some());
    let direct = bench.open(FAR, A).unwrap();
    let far = bench.relay.handle_extend(DALE, (FAR, ALICE), A, bench.now, || true).unwrap();
    assert_eq!((direct & GOES_ON, far & GOES_ON), (0, GOES_ON));
    assert_eq!((bench.open(A, FAR), bench.open(FAR, A)), (Ok(direct), Ok(direct)));
    assert_eq!((bench.send(A, direct), bench.send(FAR, direct)), (Ok(FAR), Ok(A)));
    assert_eq!((bench.send(DALE, far), bench.send(A, far)), (Ok(A), Ok(DALE)));
    assert_eq!((bench.relay.size().1, bench.relay.pairs().len()), (2, 1));
    bench.relay.handle_reload(|id| Some(OwnerId(id.0)), |_, _| false, bench.now);
    assert_eq!((bench.relay.size().1, bench.relay.pairs().len()), (0, 0));
}

#[test]
fn a_chain_on_which_one_end_is_silent_is_offered_no_more_and_gives_way() {
    let mut bench = Bench::new(Quota::default());
    assert!(bench.register(DALE, EVE).is_some() && bench.register(PeerId(42), EVE).is_some());
    let extend =
        |bench: &mut Bench, relay| bench.relay.handle_extend(relay, (FAR, ALICE), A, bench.now, || true);
    let channel = extend(&mut bench, DALE).unwrap();
    bench.now += chain::SILENT + Duration::from_secs(1);
    assert_eq!((bench.send(DALE, channel), extend(&mut bench, DALE)), (Ok(A), Err(Refusal::NotHere)));
    assert_eq!((bench.send(A, channel), extend(&mut bench, DALE)), (Ok(DALE), Ok(channel)));
    assert_eq!(extend(&mut bench, PeerId(42)), Err(Refusal::Full));
    bench.now += chain::SILENT + Duration::from_secs(1);
    assert_eq!(bench.send(DALE, channel), Ok(A));
    assert!(extend(&mut bench, PeerId(42)).is_ok_and(|other| other != channel));
    // The same at the other end of it.
    assert_eq!(bench.relay.handle_open_far(B, FAR, bench.now, || true), Ok(None));
    let channel = bench.relay.handle_extended((DALE, false), (B, FAR), 9, bench.now).unwrap().unwrap();
    assert_eq!(bench.relay.handle_open_far(B, FAR, bench.now, || true), Ok(Some(channel)));
    bench.now += chain::SILENT + Duration::from_secs(1);
    assert_eq!(bench.send(B, channel), Ok(DALE));
    assert_eq!(bench.relay.handle_open_far(B, FAR, bench.now, || true), Ok(None));
    assert!(bench.relay.handle_extended((PeerId(42), false), (B, FAR), 3, bench.now).unwrap().is_some());
    assert_eq!(bench.send(B, channel), Err(DropReason::NoChannel));
}

#[test]
fn legs_and_channels_are_bounded_by_owner() {
    let mut bench = Bench::new(Quota { legs: 4, channels: 2, ..Quota::default() });
    assert!(bench.register(PeerId(20), ALICE).is_some() && bench.register(PeerId(21), ALICE).is_some());
    assert_eq!(bench.register(PeerId(22), ALICE), None);
    assert!(bench.register(PeerId(30), EVE).is_some());
    assert!(bench.open(A, B).is_ok() && bench.open(A, PeerId(20)).is_ok());
    assert_eq!(bench.open(A, PeerId(21)), Err(Refusal::Full));
    assert!(bench.open(MALLORY, PeerId(30)).is_ok());
}

#[test]
fn a_gateway_that_registers_anew_keeps_its_channels_and_old_frames_are_worth_nothing() {
    let mut bench = Bench::new(Quota::default());
    let channel = bench.open(A, B).unwrap();
    assert_eq!(bench.register(A, ALICE), Some(ours(A)));
    let old = bench.frame(ours(A), channel, &[7; 100]);
    let ours = bench.relay.handle_register(A, ALICE, terms(50), terms(60), bench.now).unwrap().unwrap();
    assert_eq!(ours, terms(60));
    assert_eq!(bench.forward(A, &old), Err(DropReason::BadFrame));
    let frame = bench.frame(ours, channel, &[7; 100]);
    assert_eq!(bench.forward(A, &frame).unwrap().0, B);
}

#[test]
fn wishes_are_bounded_and_are_not_had_anew_by_registering() {
    let mut bench = Bench::new(Quota::default());
    let mut asked = 0;
    while bench.open(A, PeerId(9)) == Err(Refusal::NotHere) {
        asked += 1;
    }
    assert_eq!((asked, bench.open(A, PeerId(9))), (WISHES_AT_ONCE, Err(Refusal::Full)));
    let register = |bench: &mut Bench, number| {
        bench.relay.handle_register(A, ALICE, terms(number), terms(number + 100), bench.now)
    };
    assert_eq!(register(&mut bench, 70), Err(DropReason::ControlLimited));
    bench.now += Duration::from_millis(40);
    assert_eq!(register(&mut bench, 70), Ok(Some(terms(170))));
    assert_eq!(bench.open(A, B), Ok(0));
    assert_eq!(bench.open(A, PeerId(9)), Err(Refusal::Full));
    assert_eq!(bench.open(B, PeerId(9)), Err(Refusal::NotHere), "others have theirs");
}

#[test]
fn what_nobody_uses_goes_and_so_does_what_the_rosters_no_more_allow() {
    let mut bench = Bench::new(Quota::default());
    let (ours, theirs) = (bench.open(A, B).unwrap(), bench.open(MALLORY, B).unwrap());
    bench.relay.handle_reload(|id| Some(OwnerId(id.0)), |a, b| (a, b) == (A, B), bench.now);
    assert_eq!(bench.send(MALLORY, theirs), Err(DropReason::NoChannel));
    assert_eq!(bench.send(B, ours), Ok(A));
    bench.relay.handle_reload(|id| (id != B).then_some(ALICE), |_, _| true, bench.now);
    assert_eq!(bench.relay.size(), (2, 0));
    bench.now += LEG_LASTS + SWEEP;
    bench.relay.handle_timeout(bench.now);
    assert_eq!((bench.relay.size(), bench.relay.poll_timeout()), ((0, 0), None));
    assert!(bench.relay.owners.is_empty());
}
