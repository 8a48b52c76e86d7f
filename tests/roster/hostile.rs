//! Rosters that mean harm: whatever a file says, reading it ends soon, within bounds, and without a panic.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use vpmesh::base::signify::OwnerSecret;
use vpmesh::roster::{self, Faults, Model, ROSTER_BYTES_MAX, ROSTER_NODES_MAX, Roster};

/// Reads and, if it is good, joins: the two ways that a file from elsewhere goes.
fn load(bytes: &[u8]) -> Result<Roster, Faults> {
    let roster = roster::parse("hostile.toml", bytes)?;
    let key = OwnerSecret::from_seed([0; 8], &[7; 32]).public();
    Model::join(&[(Arc::new(roster.clone()), key)])?;
    Ok(roster)
}

fn only_fault(bytes: &[u8]) -> String {
    let faults = load(bytes).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
    faults.0[0].to_string()
}

fn head() -> String {
    "owner = \"alice\"\nserial = 1\nipv4 = \"10.0.0.0/8\"\n".into()
}

/// A room of so many stations, each with a key of its own.
fn town(stations: usize) -> String {
    let mut text = head() + "[[room]]\nname = \"attic\"\n";
    for i in 0..stations {
        let [_, b, c, d] = u32::try_from(i + 1).unwrap().to_be_bytes();
        let mut key = [1; 32];
        key[..4].copy_from_slice(&u32::try_from(i).unwrap().to_be_bytes());
        let key = vpmesh::base::PublicKey::from_bytes(key).unwrap();
        writeln!(
            text,
            "  [[room.station]]\n  name = \"s{i}\"\n  key = \"{key}\"\n  ipv4 = \"10.{b}.{c}.{d}\""
        )
        .unwrap();
    }
    text
}

#[test]
fn a_hundred_thousand_stations_load_and_one_more_is_refused() {
    let roster = load(town(ROSTER_NODES_MAX).as_bytes()).unwrap();
    assert_eq!(roster.rooms[0].stations.len(), ROSTER_NODES_MAX);
    let said = only_fault(town(ROSTER_NODES_MAX + 1).as_bytes());
    assert!(said.ends_with("more than 100000 stations and applications; split the owner in two"), "{said}");
}

#[test]
fn a_file_over_the_limit_is_not_looked_at() {
    let said = only_fault(&vec![b'#'; ROSTER_BYTES_MAX + 1]);
    assert!(said.contains("a roster has at most 33554432"), "{said}");
}

#[test]
fn what_fills_the_file_is_refused_by_its_first_bound() {
    let mib = 1024 * 1024;
    for unit in [
        "[",
        "{",
        "a.",
        "x=[",
        "a={",
        "'",
        "\"",
        "\n",
        "[[room]]\n",
        "[a]\n",
        "a=1\n",
        "''\n",
        "\"\"\"",
        "=",
        "]",
        "\r",
        "é",
    ] {
        let text = unit.repeat(4 * mib / unit.len());
        assert!(load(text.as_bytes()).is_err(), "{unit:?}");
    }
    assert!(load(&vec![0; 4 * mib]).is_err());
    assert!(load(&vec![0xff; 4 * mib]).is_err());
}

#[test]
fn a_name_of_ten_thousand_characters_is_shown_short() {
    let said = only_fault(
        (head()
            + &format!(
                "[[relay]]\nname = \"{}\"\nkey = \"KgNOOT1U0h7GucCu8wbbVHgP7P8d7wKD88I20wR0dzc=\"\n",
                "x".repeat(10_000)
            ))
            .as_bytes(),
    );
    assert!(said.contains("is 10000 characters long") && said.len() < 300, "{said}");
}

#[test]
fn rules_times_services_are_bounded() {
    let mut text = head() + "[services]\nall = [";
    for port in 0..1000 {
        write!(text, "\"tcp/{port}\",").unwrap();
    }
    text += "]\n";
    for _ in 0..50_000 {
        text += "[[ingress]]\nallow = [\"all\", \"all\", \"all\", \"all\"]\n";
    }
    let said = only_fault(text.as_bytes());
    assert!(said.contains("the rules have more than 500000 services and selectors in all"), "{said}");
}

#[test]
fn selectors_times_places_are_bounded() {
    let mut text = town(20_000);
    text += "[[room.ingress]]\nallow = \"any\"\n".repeat(20_000).as_str();
    text += "from = [\"alice/*/s1\", \"alice/attic/s19999\", \"alice/attic/*\"]\n";
    for i in 0..20_000 {
        write!(text, "[[room.egress]]\nallow = \"any\"\nto = [\"alice/*/s{i}\", \"alice/attic/s{i}\", \"*/attic/s{i}\"]\n").unwrap();
    }
    load(text.as_bytes()).unwrap();
}

#[test]
fn tests_are_bounded() {
    let tests = "[[test]]\nfrom = \"internet\"\nto = \"internet\"\nservice = \"any\"\nexpect = \"deny\"\n";
    let said = only_fault((head() + &tests.repeat(10_001)).as_bytes());
    assert!(said.contains("more than 10000 tests"), "{said}");
}

#[test]
fn a_room_of_rooms_meets_by_hash_and_the_mend_is_a_free_prefix() {
    let mut text = head();
    for i in 0..2000 {
        writeln!(text, "[[room]]\nname = \"r{i}\"").unwrap();
    }
    let faults = load(text.as_bytes()).unwrap_err();
    assert!(faults.0.iter().all(|fault| fault.mend.starts_with("write ipv6 = \"fd")), "{faults}");
}

/// One change to a file.
#[derive(Debug, Clone)]
enum Change {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index, usize),
    Insert(prop::sample::Index, String),
    SwapLines(prop::sample::Index, prop::sample::Index),
    RepeatLine(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let text = prop_oneof![
        "[a-z0-9./:*#\"'=\\[\\]{}, \\n-]{0,12}",
        prop::sample::select(vec![
            "[]",
            "\"any\"",
            "[[room]]\n",
            "[room]\n",
            "0x",
            "99999999999999999999",
            "1.5",
            "nan",
            "true",
            "1979-05-27",
            "\u{feff}",
            "ingress = []\n",
            "lan = true\n",
            "\"::ffff:1.2.3.4\"",
            "*",
            "tag:",
            "'''",
            "\\u0000",
            "\u{0}",
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), 1..200_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        (at(), text).prop_map(|(at, text)| Change::Insert(at, text)),
        (at(), at()).prop_map(|(a, b)| Change::SwapLines(a, b)),
        (at(), 1..5_usize).prop_map(|(at, times)| Change::RepeatLine(at, times)),
    ]
}

fn changed(mut bytes: Vec<u8>, change: &Change) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let lines = |bytes: &[u8]| bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    match change {
        Change::Byte(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Change::Cut(at, length) => {
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
        }
        Change::Insert(at, text) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, text.bytes());
        }
        Change::SwapLines(a, b) => {
            let mut lines = lines(&bytes);
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
            bytes = lines.concat();
        }
        Change::RepeatLine(at, times) => {
            let mut lines = lines(&bytes);
            let at = at.index(lines.len());
            let line = lines[at].clone();
            lines.splice(at..at, vec![line; *times]);
            bytes = lines.concat();
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_to_a_good_roster_makes_reading_it_panic(
        name in prop::sample::select(vec!["alice.toml", "bob.toml"]),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name);
        let bytes = changes.iter().fold(fs::read(path).unwrap(), changed);
        if let Err(faults) = load(&bytes) {
            prop_assert!(!faults.0.is_empty() && faults.0.len() <= 51);
            for fault in &faults.0 {
                prop_assert!(!fault.what.is_empty() && !fault.mend.is_empty());
                prop_assert!(fault.to_string().len() < 2000);
                prop_assert!(!fault.to_string().contains('\n'), "{fault}");
            }
        }
    }

    #[test]
    fn no_bytes_make_reading_them_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(load(&bytes).is_err());
    }
}
