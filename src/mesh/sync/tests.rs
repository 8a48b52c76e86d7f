use super::*;

const ALICE: OwnerTag = [1; 8];
const BOB: OwnerTag = [2; 8];
const CAROL: OwnerTag = [3; 8];

fn entry(tag: OwnerTag, serial: u64, friends: &[OwnerTag]) -> Entry {
    let secret = crate::base::signify::OwnerSecret::from_seed([tag[0]; 8], &[tag[0]; 32]);
    let name = ["alice", "bob", "carol"][usize::from(tag[0]) - 1];
    let content = (serial > 0).then(|| Content {
        serial,
        hash: [serial as u8; 32],
        signature: [].into(),
        roster: [].into(),
    });
    Entry { owner: name.parse().unwrap(), key: secret.public(), tag, content, friends: friends.to_vec() }
}

/// Alice's node, who accepts bob and carol; bob accepts alice alone.
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin at")]
fn sync() -> (Sync, Instant) {
    let now = Instant::now();
    let mut sync = Sync::new(5, now);
    sync.set_shelf(shelf(3), false, now);
    (sync, now)
}

fn shelf(bobs: u64) -> Shelf {
    let entries = vec![entry(ALICE, 7, &[BOB, CAROL]), entry(BOB, bobs, &[ALICE]), entry(CAROL, 0, &[])];
    Shelf { entries }
}

fn digest(owner: OwnerTag, serial: u64, hash: u8) -> impl Iterator<Item = DigestEntry> {
    std::iter::once(DigestEntry { owner, serial, hash: [hash; 16] })
}

fn actions(sync: &mut Sync) -> Vec<Action> {
    std::iter::from_fn(|| sync.poll_action()).collect()
}

fn fetch(peer: u32, owner: OwnerTag, hash: u8) -> Action {
    Action::Fetch { peer: PeerId(peer), owner, hash: [hash; 16] }
}

#[test]
fn what_is_newer_is_fetched_and_who_is_behind_is_told() {
    let (mut sync, now) = sync();
    let hear = |sync: &mut Sync, owner, serial, hash| {
        sync.handle_digest(PeerId(1), Some(ALICE), digest(owner, serial, hash), now).unwrap();
        actions(sync)
    };
    assert_eq!(hear(&mut sync, BOB, 4, 9), [fetch(1, BOB, 9)]);
    assert_eq!(hear(&mut sync, ALICE, 7, 7), []);
    assert_eq!(hear(&mut sync, ALICE, 6, 6), [Action::Tell(PeerId(1))]);
    assert_eq!(hear(&mut sync, CAROL, 1, 1), [fetch(1, CAROL, 1)], "the first one of a friend's");
    assert_eq!(hear(&mut sync, ALICE, 7, 8), [fetch(1, ALICE, 8), Action::Tell(PeerId(1))], "signed twice");
    assert_eq!(hear(&mut sync, [9; 8], 50, 1), [], "nobody whom we accept");
}

#[test]
fn a_node_is_told_of_owners_whom_its_owner_accepts_alone() {
    let (sync, _) = sync();
    let told = |whose| sync.digest_for(Some(whose)).iter().map(|entry| entry[0]).collect::<Vec<_>>();
    assert_eq!(told(ALICE), [1, 2, 3]);
    assert_eq!(told(BOB), [1, 2]);
    assert!(told([9; 8]).is_empty());
    assert!(sync.serve(Some(BOB), ALICE, [7; 16]).is_some());
    assert!(sync.serve(Some(CAROL), BOB, [3; 16]).is_none());
    assert!(sync.serve(None, ALICE, [7; 16]).is_none());
}

#[test]
fn a_refused_roster_is_not_fetched_again_until_others_changed() {
    let (mut sync, now) = sync();
    let hear = |sync: &mut Sync, now| {
        sync.handle_digest(PeerId(1), Some(BOB), digest(BOB, 4, 9), now).unwrap();
        actions(sync)
    };
    for meaning in [Meaning::NotNow, Meaning::Never] {
        assert_eq!(hear(&mut sync, now), [fetch(1, BOB, 9)]);
        assert!(sync.handle_fetched(PeerId(1), BOB, [9; 16], "bob".into(), now));
        assert_eq!(hear(&mut sync, now), [], "it is being judged");
        let verdict = Verdict::Refused { why: "because".into(), meaning };
        sync.handle_verdict(BOB, &[9; 32], &verdict, now);
        assert_eq!(hear(&mut sync, now), []);
        let owner = "bob".parse().unwrap();
        assert_eq!(sync.told(&owner).unwrap().refused, Some("because"));
        let mut changed = shelf(3);
        changed.entries[0] = entry(ALICE, if meaning == Meaning::NotNow { 8 } else { 9 }, &[BOB, CAROL]);
        sync.set_shelf(changed, false, now);
    }
    assert_eq!(hear(&mut sync, now), [], "never is never");
}

#[test]
fn a_peer_that_gives_nothing_good_is_not_asked_for_longer_and_longer_and_others_are() {
    let (mut sync, mut now) = sync();
    let mut waited = Duration::ZERO;
    for _ in 0..4 {
        let begun = now;
        while {
            sync.handle_digest(PeerId(1), Some(BOB), digest(BOB, 4, 9), now).unwrap();
            actions(&mut sync).is_empty()
        } {
            now += Duration::from_millis(500);
        }
        assert!(now - begun >= waited, "{:?} after {waited:?}", now - begun);
        waited = now - begun;
        sync.handle_failed(PeerId(1), BOB, now);
    }
    assert!(waited >= Duration::from_secs(8), "{waited:?}");
    sync.handle_digest(PeerId(2), Some(BOB), digest(BOB, 4, 8), now).unwrap();
    assert_eq!(actions(&mut sync), [fetch(2, BOB, 8)]);
}

#[test]
fn one_who_talks_without_end_is_limited() {
    let (mut sync, now) = sync();
    let hear = |sync: &mut Sync| sync.handle_digest(PeerId(1), Some(ALICE), digest(ALICE, 1, 1), now);
    let heard = (0..1000).filter(|_| hear(&mut sync).is_ok()).count();
    assert!(heard <= 20, "{heard}");
    assert!(actions(&mut sync).len() <= 4);
    let flood = (0..255).map(|i| DigestEntry { owner: BOB, serial: 1000, hash: [i; 16] });
    sync.handle_digest(PeerId(2), Some(BOB), flood, now).unwrap();
    assert!(actions(&mut sync).len() <= FETCHES_OF_ONE_MAX);
}

#[test]
fn news_go_to_a_few_some_times_over_and_then_to_one_now_and_then() {
    let (mut sync, mut now) = sync();
    let others = || (0..50).map(PeerId).collect::<Vec<_>>();
    let mut told = Vec::new();
    while now < sync.round + Duration::from_secs(100) && told.len() < 20 {
        now = sync.poll_timeout().unwrap();
        sync.handle_timeout(now, others);
        told.push(actions(&mut sync).len());
    }
    assert_eq!(told.iter().sum::<usize>(), FAN_OUT * usize::from(ROUNDS) + told.len() - usize::from(ROUNDS));
    sync.set_shelf(shelf(3), true, now);
    assert_eq!((sync.poll_timeout(), sync.rounds), (None, 0), "who is alone says nothing");
}

#[test]
fn a_session_that_is_made_anew_costs_what_changed_since_the_last_word() {
    let (mut sync, now) = sync();
    let news =
        |sync: &Sync| sync.news_for(PeerId(1), Some(ALICE)).iter().map(|entry| entry[0]).collect::<Vec<_>>();
    let hear = |sync: &mut Sync, said: &[(OwnerTag, u64)]| {
        let entries =
            said.iter().map(|&(owner, serial)| DigestEntry { owner, serial, hash: [serial as u8; 16] });
        sync.handle_digest(PeerId(1), Some(ALICE), entries, now).unwrap();
        actions(sync);
    };
    assert_eq!(news(&sync), [1, 2, 3], "who was never heard is told all");
    hear(&mut sync, &[(ALICE, 7), (BOB, 3), (CAROL, 0)]);
    assert!(news(&sync).is_empty());
    sync.handle_up(PeerId(1));
    assert_eq!(actions(&mut sync), [Action::Greet(PeerId(1))]);
    // Bob signs: that alone is told, until the peer has it too. What is older says nothing of it.
    sync.set_shelf(shelf(4), false, now);
    assert_eq!(news(&sync), [2]);
    hear(&mut sync, &[(ALICE, 7)]);
    assert_eq!(news(&sync), [2]);
    hear(&mut sync, &[(BOB, 3)]);
    assert_eq!(news(&sync), [2]);
    hear(&mut sync, &[(BOB, 4)]);
    assert!(news(&sync).is_empty());
    // Friends make it another matter who may have what.
    let mut friends = shelf(4);
    friends.entries[0] = entry(ALICE, 8, &[BOB]);
    sync.set_shelf(friends, false, now);
    assert_eq!(news(&sync), [1, 2]);
    assert_eq!(sync.news_for(PeerId(2), Some(ALICE)).len(), 2, "of each peer for itself");
    sync.forget(PeerId(1));
    hear(&mut sync, &[(ALICE, 8)]);
    assert_eq!(news(&sync), [2], "a digest in two messages");
    hear(&mut sync, &[(BOB, 4)]);
    assert!(news(&sync).is_empty());
}
