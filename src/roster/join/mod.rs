//! Checked rosters to one model: numbers, places, addresses, and what two owners have to agree on.
//!
//! The first roster is the reader's own, and it says who else there is: its friends, with their keys and what they
//! may claim of IPv4. What an owner's own roster can get wrong when its key is known (`addresses`) is a fault of that
//! roster. What two owners can't both have is refused to the second, whole, and the first keeps working. What one
//! says and another doesn't confirm (a guest, an address that is not granted) is left out, with a note.

mod addresses;
mod place;

use std::sync::Arc;

use hashbrown::HashMap;
use ipnetwork::Ipv4Network;

use super::{Friend, Model, Roster};
use crate::base::signify::OwnerKey;
use crate::base::{Fault, Faults, Line, Name, PublicKey};
use addresses::Addresses;

/// What came of joining rosters.
#[derive(Debug, Default)]
pub struct Joined {
    pub model: Model,
    /// Friends whose roster can't stand beside those before it, whole: overlap, a key that another has.
    pub refused: Vec<Refused>,
    /// What was left out and why, for a person; nothing is refused for it.
    pub notes: Vec<Fault>,
}

/// A friend's roster that is not in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub owner: Name,
    pub because: Because,
    pub faults: Faults,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The first roster has no such friend, or has it with another key.
    NotFriend,
    /// It claims what an owner before it has.
    Overlap,
    /// It is at fault by itself.
    Faulty,
}

/// An owner that is in.
struct Member {
    roster: Arc<Roster>,
    key: OwnerKey,
    /// By what key the owner knows its friends, and where it says so.
    friends: HashMap<Name, (OwnerKey, Line)>,
    addresses: Addresses,
    /// What of the claim is granted.
    prefixes4: Vec<Ipv4Network>,
}

/// By what key a roster's owner knows its friends.
fn known_friends(roster: &Roster) -> HashMap<Name, (OwnerKey, Line)> {
    roster.friends.iter().map(|friend| (friend.owner.clone(), (friend.key, friend.line))).collect()
}

impl Model {
    /// Joins rosters with their owners' keys: the reader's own first, then its friends' in the order of its
    /// `[[friend]]`s. Rosters of owners that are no friends of the first are refused.
    ///
    /// # Errors
    /// The faults of the first roster, or of none at all; another's faults refuse that one only, and are in
    /// [`Joined::refused`].
    pub fn join(rosters: &[(Arc<Roster>, OwnerKey)]) -> Result<Joined, Faults> {
        let Some(((own, own_key), friends)) = rosters.split_first() else {
            return Err(Faults(vec![Fault {
                file: "rosters".into(),
                line: Line(0),
                what: "there is no roster".into(),
                mend: "name the own owner's roster first".into(),
            }]));
        };
        let mut join = Join { members: Vec::new(), keys: HashMap::new(), notes: own.notes.clone() };
        let member = Member {
            roster: own.clone(),
            key: *own_key,
            friends: known_friends(own),
            addresses: Addresses::of(own, own_key.prefix())?,
            prefixes4: own.ipv4.into_iter().collect(),
        };
        join.enter(member);
        let mut refused = Vec::new();
        for (roster, key) in friends {
            if let Err((because, faults)) = join.friend(roster, *key) {
                refused.push(Refused { owner: roster.owner.clone(), because, faults });
            }
        }
        let Join { members, mut notes, .. } = join;
        let model = place::place(members, &mut notes);
        bound(&mut notes);
        Ok(Joined { model, refused, notes })
    }
}

/// Another owner's roster must not fill this node's log.
fn bound(notes: &mut Vec<Fault>) {
    const NOTES_MAX: usize = 100;
    if let Some(rest) = notes.get(NOTES_MAX) {
        let what = format!("{} more notes are not shown", notes.len() - NOTES_MAX);
        let last = Fault { file: rest.file.clone(), line: Line(0), what, mend: "mend these first".into() };
        notes.truncate(NOTES_MAX);
        notes.push(last);
    }
}

/// The owners that are in so far.
struct Join {
    members: Vec<Member>,
    /// WireGuard keys, each with the member whose it is.
    keys: HashMap<PublicKey, usize>,
    notes: Vec<Fault>,
}

impl Join {
    fn enter(&mut self, member: Member) {
        let number = self.members.len();
        self.keys.extend(wireguard_keys(&member.roster).map(|(key, _)| (key, number)));
        self.members.push(member);
    }

    /// Lets a friend in, or says why not.
    fn friend(&mut self, roster: &Arc<Roster>, key: OwnerKey) -> Result<(), (Because, Faults)> {
        let own = self.members[0].roster.clone();
        let refuse = |because, line, what: String, mend: String| {
            Err((because, Faults(vec![Fault { file: own.file.clone(), line, what, mend }])))
        };
        let owner = &roster.owner;
        let Some(entry) = own.friends.iter().find(|friend| friend.owner == *owner) else {
            let mend =
                format!("declare [[friend]] owner = \"{owner}\" with the key {key}, or leave its roster out");
            return refuse(Because::NotFriend, Line(0), format!("\"{owner}\" is no friend here"), mend);
        };
        if entry.key != key {
            let what = format!(
                "the roster of \"{owner}\" is signed by {key}, and the friend's key is {}",
                entry.key
            );
            return refuse(Because::NotFriend, entry.line, what, "ask the friend which is right".into());
        }
        if self.members.iter().any(|member| member.roster.owner == *owner) {
            let mend = "leave one out".into();
            return refuse(
                Because::NotFriend,
                entry.line,
                format!("the roster of \"{owner}\" is there twice"),
                mend,
            );
        }
        if let Some((what, mend)) = self.overlap(roster, key, entry) {
            return refuse(Because::Overlap, entry.line, what, mend);
        }
        self.check_keys(roster).map_err(|faults| (Because::Overlap, faults))?;
        let addresses = Addresses::of(roster, key.prefix()).map_err(|faults| (Because::Faulty, faults))?;
        let prefixes4 = granted(roster, entry);
        self.note_grants(roster, entry, &prefixes4);
        let member =
            Member { roster: roster.clone(), key, friends: known_friends(roster), addresses, prefixes4 };
        self.note_strangers(&member);
        self.enter(member);
        Ok(())
    }

    /// What the newcomer claims and a member has: what, and the mend.
    fn overlap(&self, roster: &Roster, key: OwnerKey, entry: &Friend) -> Option<(String, String)> {
        let owner = &roster.owner;
        if let Some(first) = self.members.iter().find(|member| member.key.prefix() == key.prefix()) {
            let what = format!("\"{owner}\" has the prefix {} of \"{}\"", key.prefix(), first.roster.owner);
            return Some((what, format!("\"{owner}\" needs another key: `vpmesh owner new`")));
        }
        for claim in granted(roster, entry) {
            for first in &self.members {
                if let Some(taken) = first.prefixes4.iter().find(|taken| taken.overlaps(claim)) {
                    let what = format!(
                        "\"{owner}\" claims {claim}, which overlaps {taken} of \"{}\"",
                        first.roster.owner
                    );
                    return Some((what, "grant each owner its own: ipv4 = [\"…\"] in its [[friend]]".into()));
                }
            }
        }
        None
    }

    /// A WireGuard key is one owner's: the gateway finds a peer by it.
    fn check_keys(&self, roster: &Roster) -> Result<(), Faults> {
        let faults: Vec<_> = wireguard_keys(roster)
            .filter_map(|(key, line)| {
                let first = &self.members[*self.keys.get(&key)?].roster.owner;
                Some(Fault {
                    file: roster.file.clone(),
                    line,
                    what: format!("the key {key} is a node's or room's of \"{first}\""),
                    mend: "give the node a key of its own: `vpmesh key new`".into(),
                })
            })
            .take(super::parse::FAULTS_MAX)
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
    }

    fn note(&mut self, file: &Arc<str>, line: Line, what: String, mend: String) {
        self.notes.push(Fault { file: file.clone(), line, what, mend });
    }

    /// Says which addresses are left out because they are not granted: once, with the first of them.
    fn note_grants(&mut self, roster: &Roster, entry: &Friend, prefixes4: &[Ipv4Network]) {
        let outside =
            |address: &std::net::Ipv4Addr| !prefixes4.iter().any(|prefix| prefix.contains(*address));
        let addresses: Vec<_> = ipv4_addresses(roster).filter(|(address, _)| outside(address)).collect();
        let (Some(claim), Some((first, line))) = (roster.ipv4, addresses.first()) else { return };
        let what = format!(
            "{} IPv4 addresses of \"{}\" are not granted here and are left out, {first} first",
            addresses.len(),
            roster.owner
        );
        let own = self.members[0].roster.file.clone();
        let mend = format!("grant what is meant in {own}:{}: ipv4 = [\"{claim}\"]", entry.line);
        self.note(&roster.file, *line, what, mend);
    }

    /// Says where two rosters mean two owners by one name. Each keeps to its own where it enforces.
    fn note_strangers(&mut self, newcomer: &Member) {
        let mut notes = Vec::new();
        for member in &self.members {
            for (says, of) in [(member, newcomer), (newcomer, member)] {
                let Some((key, line)) = says.friends.get(&of.roster.owner) else { continue };
                if *key != of.key {
                    let (owner, of, here) = (&says.roster.owner, &of.roster.owner, of.key);
                    let what = format!("\"{owner}\" knows \"{of}\" by the key {key}, here it is {here}");
                    let mend = "ask the two which is right".into();
                    notes.push(Fault { file: says.roster.file.clone(), line: *line, what, mend });
                }
            }
        }
        self.notes.append(&mut notes);
    }
}

/// What of a friend's claim its entry grants.
fn granted(roster: &Roster, entry: &Friend) -> Vec<Ipv4Network> {
    let Some(claim) = roster.ipv4 else { return Vec::new() };
    let mut granted: Vec<Ipv4Network> = entry
        .ipv4
        .iter()
        .filter(|grant| grant.overlaps(claim))
        // Of two prefixes that overlap, one is inside the other.
        .map(|grant| if grant.prefix() > claim.prefix() { *grant } else { claim })
        .collect();
    granted.sort_unstable();
    granted.dedup();
    granted
}

/// Every WireGuard key of a roster, with its node's or room's line.
fn wireguard_keys(roster: &Roster) -> impl Iterator<Item = (PublicKey, Line)> {
    let mesh_nodes = roster.rooms.iter().flat_map(|room| &room.gateways).chain(&roster.relays);
    let stations = roster.rooms.iter().flat_map(|room| &room.stations).filter_map(|s| match s.attachment {
        super::Attachment::WireGuard(key) => Some((key, s.line)),
        super::Attachment::Lan => None,
    });
    let rooms = roster.rooms.iter().filter_map(|room| Some((room.key?, room.line)));
    mesh_nodes.map(|node| (node.key, node.line)).chain(stations).chain(rooms)
}

/// Every IPv4 address that a roster writes for a node.
fn ipv4_addresses(roster: &Roster) -> impl Iterator<Item = (std::net::Ipv4Addr, Line)> {
    let gateways = roster.rooms.iter().flat_map(|room| &room.gateways);
    let stations = roster.rooms.iter().flat_map(|room| &room.stations);
    let hosts = gateways
        .map(|g| (g.ipv4, g.line, &g.applications))
        .chain(stations.map(|s| (s.ipv4, s.line, &s.applications)));
    let guests = roster.guests.iter().map(|guest| (guest.application.ipv4, guest.application.line));
    hosts
        .flat_map(|(ipv4, line, applications)| {
            std::iter::once((ipv4, line)).chain(applications.iter().map(|a| (a.ipv4, a.line)))
        })
        .chain(guests)
        .filter_map(|(ipv4, line)| Some((ipv4?, line)))
}
