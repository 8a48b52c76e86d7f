//! Which rosters are accepted, at a start and at a reload.

use std::sync::Arc;

use vpmesh::base::Name;
use vpmesh::mesh::accept::{InForce, Kept, Offer, Own, Refusal, TestOutcome, TestResult, Why, reload, start};
use vpmesh::roster::{Line, Model};

use crate::person::{Person, key, room, station};

fn alice() -> Person {
    Person::new("alice", 1)
}

fn bob() -> Person {
    Person::new("bob", 2)
}

fn own() -> Own {
    Own { owner: name("alice"), key: alice().key() }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn offer(owner: &str, text: &str, signature: Option<String>) -> Offer {
    Offer {
        owner: name(owner),
        file: format!("{owner}.toml").into(),
        bytes: text.as_bytes().into(),
        signature: signature.map(|text| text.into_bytes().into()),
    }
}

/// A roster signed by its owner, as a file of the owner's name.
fn signed(person: &Person, serial: u64, body: &str) -> Offer {
    let text = person.text(serial, "", body);
    let signature = person.sign(text.as_bytes());
    offer(person.name, &text, Some(signature))
}

fn alices(serial: u64) -> Offer {
    signed(&alice(), serial, &bob().as_friend(&[]))
}

fn all_pass(_: &Arc<Model>) -> Vec<TestOutcome> {
    Vec::new()
}

fn starts(offers: &[Offer], kept: &[Kept]) -> InForce {
    start(&own(), offers, kept, &all_pass).unwrap_or_else(|refusals| panic!("{refusals:?}"))
}

fn why(refusals: &[Refusal]) -> Vec<(&str, Why)> {
    refusals.iter().map(|refusal| (refusal.owner.as_str(), refusal.why)).collect()
}

fn owners(set: &InForce) -> Vec<String> {
    set.model.owners.iter().map(|o| format!("{} {}", o.roster.owner, o.roster.serial)).collect()
}

fn notes(set: &InForce) -> String {
    set.notes.iter().map(|note| format!("{note}\n")).collect()
}

#[test]
fn signed_rosters_of_the_owner_and_its_friends_are_accepted_and_kept() {
    let set = starts(&[signed(&bob(), 3, ""), alices(7)], &[]);
    assert_eq!(owners(&set), ["alice 7", "bob 3"]);
    assert_eq!((set.refusals.len(), notes(&set).as_str()), (0, ""));
    assert_eq!(
        set.kept.iter().map(|kept| (kept.owner.as_str(), kept.serial)).collect::<Vec<_>>(),
        [("alice", 7), ("bob", 3)]
    );
    assert!(set.rosters.iter().all(|accepted| accepted.is_new));
    let again = starts(&[signed(&bob(), 3, ""), alices(7)], &set.kept);
    assert!(again.rosters.iter().all(|accepted| !accepted.is_new));
    assert_eq!(again.kept, set.kept);
}

#[test]
fn a_file_that_its_owner_did_not_sign_is_refused_with_its_reason() {
    let mallory = Person::new("bob", 66);
    let text = bob().text(1, "", "");
    let flipped = text.replace("serial = 1", "serial = 2");
    let bad = [
        (offer("bob", &text, None), Why::Unsigned, "bob.toml: is not signed: bob.toml.sig is not there"),
        (
            offer("bob", &text, Some(mallory.sign(text.as_bytes()))),
            Why::BadSignature,
            "is by the key with number",
        ),
        (offer("bob", &flipped, Some(bob().sign(text.as_bytes()))), Why::BadSignature, "does not verify"),
        (offer("bob", &text, Some("junk".into())), Why::BadSignature, "is not a file in signify's format"),
        (
            offer("bob", &text, Some("\u{0}".repeat(9000))),
            Why::BadSignature,
            "is not a file in signify's format",
        ),
        (signed(&Person { name: "bob", ..bob() }, 1, "x = 1"), Why::Faulty, "bob.toml:4: unknown key"),
        (
            offer("bob", "owner = \"carol\"\nserial = 1", Some(bob().sign(b"owner = \"carol\"\nserial = 1"))),
            Why::WrongOwner,
            "is named after \"bob\" and says owner = \"carol\"",
        ),
    ];
    let running = starts(&[alices(7), signed(&bob(), 1, "")], &[]);
    for (offer, reason, text) in bad {
        let offers = [alices(7), offer];
        let set = starts(&offers, &[]);
        assert_eq!(why(&set.refusals), [("bob", reason)]);
        assert!(set.refusals[0].to_string().contains(text), "{}", set.refusals[0]);
        assert_eq!(owners(&set), ["alice 7"], "a friend's bad roster is left out");
        let refusals = reload(&own(), &offers, &running, &all_pass).unwrap_err();
        assert_eq!(why(&refusals), [("bob", reason)]);
    }
}

#[test]
fn bytes_are_not_parsed_before_their_signature_verifies() {
    let set = starts(&[alices(7), offer("bob", "\0", Some(bob().sign(b"")))], &[]);
    assert_eq!(why(&set.refusals), [("bob", Why::BadSignature)]);
}

#[test]
fn a_serial_never_goes_back() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    let older = [alices(7), signed(&bob(), 2, "")];
    assert_eq!(why(&reload(&own(), &older, &set, &all_pass).unwrap_err()), [("bob", Why::OlderSerial)]);
    let booted = starts(&older, &set.kept);
    assert_eq!(why(&booted.refusals), [("bob", Why::OlderSerial)]);
    assert_eq!(owners(&booted), ["alice 7", "bob 3"], "the copy accepted before steps in");
    assert!(booted.rosters[1].is_fallback);
    assert_eq!(booted.kept, set.kept);
}

#[test]
fn a_friend_that_was_away_does_not_come_back_older() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    let without = reload(&own(), &[signed(&alice(), 8, "")], &set, &all_pass).unwrap();
    assert_eq!(owners(&without), ["alice 8"]);
    let back = [alices(9), signed(&bob(), 2, "")];
    assert_eq!(why(&reload(&own(), &back, &without, &all_pass).unwrap_err()), [("bob", Why::OlderSerial)]);
}

#[test]
fn equivocation_keeps_the_first_and_tells_both_hashes() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    let other = [alices(7), signed(&bob(), 3, "# other")];
    let refusals = reload(&own(), &other, &set, &all_pass).unwrap_err();
    assert_eq!(why(&refusals), [("bob", Why::Equivocation)]);
    let said = refusals[0].to_string();
    let hashes: Vec<_> =
        said.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64).collect();
    assert!(hashes.len() == 2 && hashes[0] != hashes[1], "{said}");
    let booted = starts(&other, &set.kept);
    assert_eq!(why(&booted.refusals), [("bob", Why::Equivocation)]);
    assert_eq!(booted.kept, set.kept);
}

#[test]
fn the_own_roster_falls_back_to_its_kept_copy_at_a_start() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    for own_file in [vec![], vec![alices(6)], vec![offer("alice", "junk", None)]] {
        let offers = [own_file, vec![signed(&bob(), 3, "")]].concat();
        let booted = starts(&offers, &set.kept);
        assert_eq!(owners(&booted), ["alice 7", "bob 3"]);
        assert_eq!(booted.refusals.len(), 1);
        assert!(reload(&own(), &offers, &set, &all_pass).is_err());
    }
    for own_file in [vec![], vec![offer("alice", "junk", None)]] {
        assert!(start(&own(), &own_file, &[], &all_pass).is_err(), "nothing is kept");
    }
}

#[test]
fn a_kept_copy_that_was_damaged_is_not_fallen_back_to() {
    let mut kept = starts(&[alices(7)], &[]).kept;
    let mut bytes = kept[0].bytes.to_vec();
    bytes[3] ^= 1;
    kept[0].bytes = bytes.into();
    assert_eq!(why(&start(&own(), &[], &kept, &all_pass).unwrap_err()), [("alice", Why::Missing)]);
}

#[test]
fn a_new_roster_of_one_friend_does_not_push_out_another() {
    let carol = Person::new("carol", 3);
    let friends = bob().as_friend(&[]) + &carol.as_friend(&[]);
    let alices = signed(&alice(), 1, &friends);
    let gateway = |serial, person: &Person, number: u8| {
        let body = format!("[[room.gateway]]\nname = \"gw\"\nkey = \"{}\"\n", key(number));
        signed(person, serial, &room("home", &body))
    };
    let good = [alices.clone(), gateway(1, &bob(), 20), gateway(1, &carol, 30)];
    let set = starts(&good, &[]);
    assert_eq!(owners(&set), ["alice 1", "bob 1", "carol 1"]);
    // bob is before carol in alice's roster, and now lists carol's key.
    let stolen = [alices, gateway(2, &bob(), 30), gateway(1, &carol, 30)];
    assert_eq!(why(&reload(&own(), &stolen, &set, &all_pass).unwrap_err()), [("bob", Why::Overlap)]);
    let booted = starts(&stolen, &set.kept);
    assert_eq!(why(&booted.refusals), [("bob", Why::Overlap)]);
    assert_eq!(owners(&booted), ["alice 1", "bob 1", "carol 1"]);
}

#[test]
fn strangers_and_missing_friends_are_noted() {
    let set = starts(&[alices(7), signed(&Person::new("carol", 3), 1, "")], &[]);
    assert_eq!(
        notes(&set),
        "alice.toml:4: there is no roster of the friend \"bob\" here; \
         put bob.toml and bob.toml.sig into the folder of rosters\n\
         carol.toml: is not read: \"carol\" is no friend in alice.toml; \
         declare [[friend]] owner = \"carol\", or remove the file\n"
    );
}

#[test]
fn an_unchanged_roster_is_not_parsed_again() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    let next = reload(&own(), &[alices(7), signed(&bob(), 4, "")], &set, &all_pass).unwrap();
    assert!(Arc::ptr_eq(&next.rosters[0].roster, &set.rosters[0].roster));
    assert_eq!(owners(&next), ["alice 7", "bob 4"]);
    assert_eq!(next.rosters.iter().map(|accepted| accepted.is_new).collect::<Vec<_>>(), [false, true]);
}

/// Reports one failing test of `of`, as long as that owner's roster has one of these serials.
fn fails(
    of: &'static str,
    serials: &'static [u64],
    result: TestResult,
) -> impl Fn(&Arc<Model>) -> Vec<TestOutcome> {
    move |model| {
        let is_it = |owner: &&vpmesh::roster::model::Owner| {
            owner.roster.owner.as_str() == of && serials.contains(&owner.roster.serial)
        };
        let outcome = |_| TestOutcome {
            owner: name(of),
            file: format!("{of}.toml").into(),
            line: Line(5),
            result: result.clone(),
            what: "a to b by tcp/1".into(),
        };
        model.owners.iter().filter(is_it).map(outcome).collect()
    }
}

#[test]
fn a_changed_roster_that_fails_its_own_test_is_refused() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    for result in [TestResult::Allowed, TestResult::Denied { by: Some(name("bob")) }] {
        let tests = fails("bob", &[4], result);
        let offers = [alices(7), signed(&bob(), 4, "")];
        let refusals = reload(&own(), &offers, &set, &tests).unwrap_err();
        assert_eq!(why(&refusals), [("bob", Why::TestFailed)]);
        assert!(refusals[0].to_string().starts_with("bob.toml:5: the test fails: a to b by tcp/1; "));
        let booted = start(&own(), &offers, &set.kept, &tests).unwrap();
        assert_eq!(owners(&booted), ["alice 7", "bob 3"]);
        let fresh = start(&own(), &offers, &[], &tests).unwrap();
        assert_eq!(owners(&fresh), ["alice 7"]);
    }
    let own_fails = fails("alice", &[8], TestResult::Allowed);
    let booted = start(&own(), &[alices(8), signed(&bob(), 3, "")], &set.kept, &own_fails).unwrap();
    assert_eq!(owners(&booted), ["alice 7", "bob 3"]);
    assert_eq!(why(&booted.refusals), [("alice", Why::TestFailed)]);
    assert!(start(&own(), &[alices(8)], &[], &own_fails).is_err());
}

#[test]
fn nobody_else_stops_a_roster_by_its_tests() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    let cases = [
        // bob's new border denies what alice's unchanged test expects
        fails("alice", &[7], TestResult::Denied { by: Some(name("bob")) }),
        // bob's change makes alice's unchanged test fail
        fails("alice", &[7], TestResult::Allowed),
        // bob's own test fails at alice's border
        fails("bob", &[4], TestResult::Denied { by: Some(name("alice")) }),
        fails("bob", &[4], TestResult::CannotTell),
    ];
    for tests in cases {
        let next = reload(&own(), &[alices(7), signed(&bob(), 4, "")], &set, &tests).unwrap();
        assert_eq!(owners(&next), ["alice 7", "bob 4"]);
        assert!(notes(&next).contains("the test fails: a to b by tcp/1"), "{}", notes(&next));
    }
}

#[test]
fn a_reboot_does_not_refuse_what_ran_before() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    let tests = fails("alice", &[7], TestResult::Denied { by: Some(name("alice")) });
    let booted = start(&own(), &[alices(7), signed(&bob(), 3, "")], &set.kept, &tests).unwrap();
    assert_eq!((owners(&booted).len(), booted.refusals.len()), (2, 0));
}

#[test]
fn a_friend_with_a_new_key_starts_over() {
    let set = starts(&[alices(7), signed(&bob(), 3, "")], &[]);
    let new_bob = Person::new("bob", 9);
    let offers = [signed(&alice(), 8, &new_bob.as_friend(&[])), signed(&new_bob, 1, "")];
    let next = reload(&own(), &offers, &set, &all_pass).unwrap();
    assert_eq!(owners(&next), ["alice 8", "bob 1"]);
    assert_eq!(next.kept.len(), 3, "what the old key had signed is not forgotten");
}

#[test]
fn revocation_is_a_roster_that_no_longer_lists_the_key() {
    let with = signed(&alice(), 1, &room("attic", &station("laptop", 5, "")));
    let set = starts(&[with], &[]);
    assert!(set.model.find(&"alice/attic/laptop".parse().unwrap()).is_some());
    let next = reload(&own(), &[signed(&alice(), 2, &room("attic", ""))], &set, &all_pass).unwrap();
    assert!(next.model.find(&"alice/attic/laptop".parse().unwrap()).is_none());
}
