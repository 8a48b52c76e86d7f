//! The examples in `configs/` are good, and say what they mean.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use vpmesh::base::signify::OwnerKey;
use vpmesh::config::{Config, OwnerKeySource};
use vpmesh::roster::model::NodeKind;
use vpmesh::roster::{self, Joined, Model, Roster};

fn example(name: &str) -> Arc<Roster> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name);
    Arc::new(roster::parse(name, &fs::read(path).unwrap()).unwrap_or_else(|faults| panic!("{faults}")))
}

/// Each is the other's friend, so each has the other's key.
fn pair() -> [(Arc<Roster>, OwnerKey); 2] {
    let (alice, bob) = (example("alice.toml"), example("bob.toml"));
    let (alice_key, bob_key) = (bob.friends[0].key, alice.friends[0].key);
    [(alice, alice_key), (bob, bob_key)]
}

fn join(rosters: &[(Arc<Roster>, OwnerKey)]) -> Joined {
    let joined = Model::join(rosters).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(joined.refused, []);
    assert_eq!(joined.notes, []);
    joined
}

#[test]
fn the_examples_join_without_a_note_from_either_side() {
    let [alice, bob] = pair();
    let model = join(&[alice.clone(), bob.clone()]).model;
    let guest = model.find(&"bob/mirror".parse().unwrap()).unwrap();
    assert_eq!(model.node(guest).place.to_string(), "alice/attic/nas/mirror");
    assert_eq!(model.node(guest).kind, NodeKind::Guest);
    assert!(model.node(guest).host_policy.is_some());
    assert!(model.owners[1].prefix6.contains(model.node(guest).ipv6.unwrap()));
    join(&[bob, alice]);
}

#[test]
fn a_closed_policy_and_an_absent_one_stay_apart() {
    let alice = example("alice.toml");
    let nas = alice.rooms[0].stations.iter().find(|station| station.name.as_str() == "nas").unwrap();
    let web = &nas.applications[0];
    assert_eq!(web.policy.ingress.as_ref().unwrap().rules, []);
    assert_eq!(web.policy.egress, None);
    assert_eq!(nas.policy.ingress.as_ref().unwrap().rules.len(), 2);
}

#[test]
fn the_example_of_a_node_is_a_gateway_of_the_example_of_an_owner() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let text = fs::read_to_string(folder.join("node.toml")).unwrap();
    let config = Config::parse("node.toml", &folder, &text).unwrap_or_else(|faults| panic!("{faults}"));
    let [alice, bob] = pair();
    assert_eq!(config.owner_key, OwnerKeySource::Literal(alice.1));
    let model = join(&[alice, bob]).model;
    let node = model.node(model.find(&config.node).unwrap());
    assert!(matches!(node.kind, NodeKind::Gateway { .. }));
}
