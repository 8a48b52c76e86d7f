//! Rosters joined: numbers, addresses, and what two owners have to agree on.

use vpmesh::base::prefix;
use vpmesh::roster::model::NodeKind;
use vpmesh::roster::{Because, Joined, Model, NodeId};

use crate::person::{Person, key, lan, room, station};

fn alice() -> Person {
    Person::new("alice", 1)
}

fn bob() -> Person {
    Person::new("bob", 2)
}

fn carol() -> Person {
    Person::new("carol", 3)
}

fn id(model: &Model, name: &str) -> NodeId {
    model.find(&name.parse().unwrap()).unwrap_or_else(|| panic!("{name} is in the model"))
}

fn notes(joined: &Joined) -> Vec<String> {
    joined.notes.iter().map(ToString::to_string).collect()
}

#[test]
fn nodes_are_numbered_depth_first_and_a_place_is_one_range() {
    let gateway = format!("[[room.gateway]]\nname = \"gw\"\nkey = \"{}\"\n", key(1));
    let web = "[[room.station.application]]\nname = \"web\"\n[[room.station.application]]\nname = \"mail\"\n";
    let attic = room("attic", &(station("laptop", 2, "") + &lan("nas", web) + &gateway));
    let relay = format!("[[relay]]\nname = \"hill\"\nkey = \"{}\"\n", key(4));
    let body = attic + &room("study", &lan("printer", "")) + &relay;
    let model = Model::join(&[alice().roster("", &body)]).unwrap().model;
    let names: Vec<_> = model.nodes.iter().map(|node| node.name.to_string()).collect();
    let expected = [
        "alice",
        "alice/hill",
        "alice/attic",
        "alice/attic/gw",
        "alice/attic/laptop",
        "alice/attic/nas",
        "alice/attic/nas/web",
        "alice/attic/nas/mail",
        "alice/study",
        "alice/study/printer",
    ];
    assert_eq!(names, expected);
    for (number, node) in model.iter() {
        assert_eq!(model.find(&node.name), Some(number));
        assert_eq!(model.by_name()[&node.name], number);
        let inside = model.iter().filter(|(_, other)| node.name.contains(&other.name)).count();
        assert_eq!(model.range(number).len(), inside, "{}", node.name);
        for child in model.children(number) {
            assert_eq!(model.node(child).parent, Some(number));
        }
    }
    assert_eq!(model.room_of(id(&model, "alice/attic/nas/web")), Some(id(&model, "alice/attic")));
    assert_eq!(model.gateways_of(id(&model, "alice/attic")).count(), 1);
    assert_eq!(model.find(&"alice/attic/nobody".parse().unwrap()), None);
}

#[test]
fn addresses_follow_from_names_unless_they_are_written() {
    let own = prefix::owner_prefix(alice().key().as_bytes());
    let derived = Model::join(&[alice().roster("", &room("attic", &lan("nas", "")))]).unwrap().model;
    let path = "alice/attic/nas".parse().unwrap();
    let expected = prefix::node_address(prefix::room_prefix(own, &"attic".parse().unwrap()), &path);
    assert_eq!(derived.node(id(&derived, "alice/attic/nas")).ipv6, Some(expected));

    let mut octets = own.network().octets();
    octets[7] = 9;
    let prefix9 = std::net::Ipv6Addr::from(octets);
    octets[15] = 7;
    let node7 = std::net::Ipv6Addr::from(octets);
    let attic = format!("ipv6 = \"{prefix9}/64\"\n") + &lan("nas", &format!("ipv6 = \"{node7}\""));
    let written = Model::join(&[alice().roster("", &room("attic", &attic))]).unwrap().model;
    assert_eq!(written.node(id(&written, "alice/attic/nas")).ipv6, Some(node7));
    assert_eq!(written.find_address(node7.into()), Some(id(&written, "alice/attic/nas")));
}

#[test]
fn addresses_outside_their_prefix_and_addresses_of_two_are_faults_with_the_mend() {
    let own = prefix::owner_prefix(alice().key().as_bytes());
    let attic = prefix::room_prefix(own, &"attic".parse().unwrap());
    let desk = prefix::node_address(attic, &"alice/attic/desk".parse().unwrap());
    let inside = lan("nas", &format!("ipv6 = \"{desk}\""))
        + &lan("desk", "")
        + &lan("router", &format!("ipv6 = \"{}\"", attic.network()))
        + &lan("far", "ipv6 = \"fd00::1\"");
    let body = room("attic", &inside)
        + &room("hall", "ipv6 = \"fd00::/64\"\n")
        + &room("den", &format!("ipv6 = \"{attic}\"\n"));
    let faults = Model::join(&[alice().roster("", &body)]).unwrap_err();
    let what: Vec<_> = faults.0.iter().map(|fault| (fault.line.0, fault.what.as_str())).collect();
    assert_eq!(what.len(), 5, "{faults}");
    assert!(what[0].1.ends_with("of alice/attic/desk is that of the node in line 6 too"), "{faults}");
    assert!(what[1].1.contains("every router's"), "{faults}");
    assert!(what[2].1.starts_with("`ipv6` fd00::1 of alice/attic/far is outside its room's"), "{faults}");
    assert!(
        what[3].1.starts_with("`ipv6` fd00::/64 of the room \"hall\" is outside the owner's"),
        "{faults}"
    );
    assert!(what[4].1.ends_with("is that of the room in line 4 too"), "{faults}");
    assert!(faults.0[0].mend.starts_with("write another, such as ipv6 = \"fd"), "{faults}");
}

#[test]
fn ipv4_is_what_the_owner_claims_and_the_reader_grants() {
    let bobs = room("cellar", &(lan("nas", "ipv4 = \"10.89.1.1\"") + &lan("tv", "ipv4 = \"10.89.2.1\"")));
    let bobs = bob().roster("ipv4 = \"10.89.0.0/16\"", &bobs);
    let join = |grants: &[&str]| {
        let joined = Model::join(&[alice().roster("", &bob().as_friend(grants)), bobs.clone()]).unwrap();
        let ipv4 = |name| joined.model.node(id(&joined.model, name)).ipv4.is_some();
        ((ipv4("bob/cellar/nas"), ipv4("bob/cellar/tv")), joined)
    };
    let (has, joined) = join(&["10.0.0.0/8"]);
    assert_eq!((has, notes(&joined)), ((true, true), vec![]));
    assert_eq!(joined.model.owners[1].prefixes4, ["10.89.0.0/16".parse().unwrap()]);
    let (has, joined) = join(&["10.89.1.0/24", "10.90.0.0/16"]);
    assert_eq!(has, (true, false));
    assert_eq!(joined.model.owners[1].prefixes4, ["10.89.1.0/24".parse().unwrap()]);
    assert_eq!(
        notes(&joined),
        ["bob.toml:10: 1 IPv4 addresses of \"bob\" are not granted here and are left out, 10.89.2.1 first; \
          grant what is meant in alice.toml:4: ipv4 = [\"10.89.0.0/16\"]"]
    );
    let (has, _) = join(&[]);
    assert_eq!(has, (false, false));
}

#[test]
fn a_second_owner_that_overlaps_is_refused_and_the_first_keeps_working() {
    let friends = bob().as_friend(&["10.0.0.0/8"]) + &carol().as_friend(&["10.0.0.0/8"]);
    let alices = alice().roster("ipv4 = \"10.88.0.0/16\"", &friends);
    let bobs = bob().roster("ipv4 = \"10.89.0.0/16\"", "");
    let carols = carol().roster("ipv4 = \"10.89.7.0/24\"", "");
    let joined = Model::join(&[alices.clone(), bobs.clone(), carols.clone()]).unwrap();
    assert_eq!(joined.model.owners.len(), 2);
    assert_eq!(joined.refused[0].owner.as_str(), "carol");
    assert_eq!(joined.refused[0].because, Because::Overlap);
    assert_eq!(
        joined.refused[0].faults.to_string(),
        "alice.toml:8: \"carol\" claims 10.89.7.0/24, which overlaps 10.89.0.0/16 of \"bob\"; \
         grant each owner its own: ipv4 = [\"…\"] in its [[friend]]"
    );
    let joined = Model::join(&[alices.clone(), carols, bobs]).unwrap();
    assert_eq!(joined.refused[0].owner.as_str(), "bob");
    let on_alice = bob().roster("ipv4 = \"10.88.1.0/24\"", "");
    assert_eq!(Model::join(&[alices, on_alice]).unwrap().refused.len(), 1);
}

#[test]
fn an_owner_is_a_friend_by_its_key() {
    let alices = alice().roster("", &bob().as_friend(&[]));
    let other_bob = Person::new("bob", 9);
    for stranger in [carol().roster("", ""), other_bob.roster("", ""), alice().roster("", "")] {
        let joined = Model::join(&[alices.clone(), stranger]).unwrap();
        assert_eq!(joined.model.owners.len(), 1);
        assert_eq!(joined.refused[0].because, Because::NotFriend);
    }
    assert!(Model::join(&[]).is_err());
}

#[test]
fn a_key_of_two_owners_is_the_first_ones() {
    let alices = alice().roster("", &(bob().as_friend(&[]) + &room("attic", &station("laptop", 5, ""))));
    let bobs = bob().roster("", &room("cellar", &station("mallory", 5, "")));
    let joined = Model::join(&[alices, bobs]).unwrap();
    assert_eq!(joined.model.owners.len(), 1);
    assert_eq!(joined.refused[0].because, Because::Overlap);
    assert!(joined.refused[0].faults.to_string().starts_with("bob.toml:6: the key "));
}

/// A pair in which bob's `mirror` is in alice's nas, as each says.
fn guest(alice_says: &str, bob_says: &str) -> Joined {
    let alices = alice().as_alice(alice_says);
    let bobs = bob().roster("ipv4 = \"10.89.0.0/16\"", &(alice().as_friend(&[]) + bob_says));
    Model::join(&[alices, bobs]).unwrap()
}

impl Person {
    fn as_alice(
        &self,
        inside: &str,
    ) -> (std::sync::Arc<vpmesh::roster::Roster>, vpmesh::base::signify::OwnerKey) {
        self.roster("", &(bob().as_friend(&["10.89.0.0/16"]) + &room("attic", &lan("nas", inside))))
    }
}

const HOSTS: &str = "[[room.station.guest]]\nowner = \"bob\"\nname = \"mirror\"\negress = []\n";
const IS_GUEST: &str = "[[guest]]\nname = \"mirror\"\nhost = \"alice/attic/nas\"\nipv4 = \"10.89.0.9\"\ntags = [\"x\"]\ningress = []\n";

#[test]
fn a_guest_is_where_both_rosters_say_it_is() {
    let joined = guest(HOSTS, IS_GUEST);
    assert_eq!(notes(&joined), [""; 0]);
    let model = &joined.model;
    let guest = id(model, "bob/mirror");
    let node = model.node(guest);
    assert_eq!(node.kind, NodeKind::Guest);
    assert_eq!((node.owner.0, node.place.to_string().as_str()), (1, "alice/attic/nas/mirror"));
    assert_eq!(node.parent, Some(id(model, "alice/attic/nas")));
    assert!(model.range(id(model, "alice")).contains(&guest.0));
    assert!(!model.range(id(model, "bob")).contains(&guest.0));
    let guests = prefix::guest_prefix(bob().key().prefix());
    assert_eq!(node.ipv6, Some(prefix::node_address(guests, &"bob/mirror".parse().unwrap())));
    assert_eq!(node.ipv4, Some("10.89.0.9".parse().unwrap()));
    assert!(node.policy.ingress.as_ref().unwrap().rules.is_empty() && node.policy.egress.is_none());
    let host = node.host_policy.as_ref().unwrap();
    assert!(host.owner.0 == 0 && host.policy.egress.is_some() && host.policy.ingress.is_none());
}

#[test]
fn a_guest_that_one_side_does_not_confirm_is_left_out_with_a_note() {
    for (alice_says, bob_says, note) in [
        (HOSTS, "", "its owner's roster has no such [[guest]]"),
        ("", IS_GUEST, "the guest \"mirror\" is left out: alice/attic/nas doesn't take it in"),
        (HOSTS, &IS_GUEST.replace("/nas", "/desk"), "its owner's roster has it in alice/attic/desk"),
    ] {
        let joined = guest(alice_says, bob_says);
        assert_eq!(joined.model.find(&"bob/mirror".parse().unwrap()), None);
        assert!(notes(&joined)[0].contains(note), "{:?}", joined.notes);
    }
    let alone = Model::join(&[alice().as_alice(HOSTS)]).unwrap();
    assert!(notes(&alone)[0].contains("no roster of \"bob\" is accepted here"), "{:?}", alone.notes);
}

#[test]
fn a_guest_needs_two_owners_who_mean_each_other() {
    let friends = bob().as_friend(&[]) + &carol().as_friend(&[]);
    let alices = alice().roster("", &friends);
    let other_bob = Person::new("bob", 9);
    let carols = other_bob.as_friend(&[]) + &room("loft", &lan("nas", HOSTS));
    let bobs = carol().as_friend(&[]) + &IS_GUEST.replace("alice/attic", "carol/loft");
    let rosters = [alices, bob().roster("ipv4 = \"10.89.0.0/16\"", &bobs), carol().roster("", &carols)];
    let joined = Model::join(&rosters).unwrap();
    assert_eq!(joined.model.find(&"bob/mirror".parse().unwrap()), None);
    let notes = notes(&joined).join("\n");
    assert!(notes.contains("the two owners know each other by other keys"), "{notes}");
    assert!(notes.contains("\"carol\" knows \"bob\" by the key"), "{notes}");
}

#[test]
fn guests_in_a_circle_are_left_out_or_placed_but_never_followed() {
    // Each owner's guest is inside the other's station; a guest hosts nobody, so no circle can close.
    let alices = bob().as_friend(&[])
        + &room("attic", &lan("nas", HOSTS))
        + "[[guest]]\nname = \"probe\"\nhost = \"bob/cellar/nas\"\n";
    let bobs = alice().as_friend(&[])
        + &room("cellar", &lan("nas", "[[room.station.guest]]\nowner = \"alice\"\nname = \"probe\"\n"))
        + "[[guest]]\nname = \"mirror\"\nhost = \"alice/attic/nas\"\n";
    let joined = Model::join(&[alice().roster("", &alices), bob().roster("", &bobs)]).unwrap();
    let place = |name: &str| joined.model.node(id(&joined.model, name)).place.to_string();
    assert_eq!(place("bob/mirror"), "alice/attic/nas/mirror");
    assert_eq!(place("alice/probe"), "bob/cellar/nas/probe");
}
