use super::*;
use crate::policy::sketch::Sketch;

fn names() -> Names {
    let mut sketch = Sketch::default();
    sketch.nodes(&[
        "alice",
        "alice/attic",
        "alice/attic/laptop",
        "alice/attic/laptop/web",
        "bob",
        "bob/cellar",
    ]);
    sketch.node("bob/cellar/nas").ipv4("bob/cellar/nas", "10.89.1.2");
    Names::of(&sketch.model(), "home.mesh")
}

/// A question as resolvers ask it.
fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0xab, 0xcd, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&[kind.to_be_bytes(), [0, 1]].concat());
    bytes
}

/// The answer's code and its records' data.
fn ask(name: &str, kind: u16) -> (u8, Vec<Vec<u8>>) {
    let question = question(name, kind);
    let answer = names().answer(&question).unwrap();
    assert_eq!(
        answer[..3],
        [0xab, 0xcd, 0x85],
        "an answer, of who has the domain, to who may want recursion"
    );
    assert_eq!(answer[HEADER..question.len()], question[HEADER..], "the question comes back");
    let mut rest = &answer[question.len()..];
    let mut records = Vec::new();
    while let Some((head, data)) = rest.split_first_chunk::<12>() {
        assert_eq!(head[..2], [0xc0, 12], "of the name that was asked about");
        let (data, after) = data.split_at(usize::from(head[11]));
        records.push(data.to_vec());
        rest = after;
    }
    assert_eq!(usize::from(answer[7]), records.len());
    (answer[3], records)
}

const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;

#[test]
fn a_station_has_its_addresses_by_its_path_from_the_end() {
    assert_eq!(ask("nas.cellar.bob.home.mesh", A), (0, vec![vec![10, 89, 1, 2]]));
    let (code, found) = ask("nas.cellar.bob.home.mesh", AAAA);
    assert_eq!((code, found.len(), found[0].len()), (0, 1, 16));
    assert_eq!(ask("NAS.Cellar.bob.Home.MESH", A).1.len(), 1, "capitals don't matter");
    assert_eq!(ask("nas.cellar.bob.home.mesh", 255).1.len(), 2, "whatever there is");
    assert_eq!(ask("web.laptop.attic.alice.home.mesh", AAAA).1.len(), 1, "an application too");
}

#[test]
fn what_has_no_address_of_a_kind_is_there_all_the_same() {
    for name in ["laptop.attic.alice.home.mesh", "attic.alice.home.mesh", "alice.home.mesh", "home.mesh"] {
        assert_eq!(ask(name, A), (0, vec![]), "{name}");
        assert_eq!(ask(name, 16), (0, vec![]), "{name}");
    }
}

#[test]
fn what_no_roster_has_is_no_name_and_other_domains_are_refused() {
    for name in ["phone.attic.alice.home.mesh", "carol.home.mesh", "alice.attic.laptop.home.mesh"] {
        assert_eq!(ask(name, A), (3, vec![]), "{name}");
    }
    for name in ["nas.cellar.bob.mesh", "example.net", "xhome.mesh", "mesh", ""] {
        assert_eq!(ask(name, A), (5, vec![]), "{name}");
    }
    assert_eq!(Names::default().answer(&question("alice.mesh", A)).unwrap()[3], 5, "nothing is in force yet");
}

#[test]
fn what_is_no_question_gets_a_code_or_silence_and_nothing_panics() {
    let good = question("nas.cellar.bob.home.mesh", A);
    let names = names();
    for end in 0..good.len() {
        let answer = names.answer(&good[..end]);
        assert_eq!(
            answer.map(|answer| (answer[3], answer.len())),
            (end >= HEADER).then_some((1, HEADER)),
            "{end}"
        );
    }
    for at in 0..good.len() {
        for byte in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            if let Some(answer) = names.answer(&bytes) {
                assert!(answer.len() <= good.len() + 44, "at most two records");
            }
        }
    }
    let mut answer = good.clone();
    answer[2] |= 0x80;
    assert_eq!(names.answer(&answer), None, "two that answer each other's answers would never end");
    let mut long = question(&"a".repeat(60), A);
    let label = long[HEADER..HEADER + 61].to_vec();
    for _ in 0..4 {
        long.splice(HEADER..HEADER, label.clone());
    }
    assert_eq!(names.answer(&long).unwrap()[3], 1, "a name of more than 255 bytes");
}
