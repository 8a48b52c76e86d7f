//! Members to numbered nodes, depth first: owner, relays, rooms, gateways and stations, applications and guests.

use hashbrown::HashMap;
use ipnetwork::Ipv4Network;

use super::super::model::{HostPolicy, Node, NodeKind, Owner};
use super::super::{
    Application, Attachment, Borders, Guest, HostedGuest, MeshNode, Model, NodeId, OwnerId, Room, Station,
};
use super::Member;
use super::addresses::{RoomAddresses, child};
use crate::base::{Fault, Line, Name, NodePath};

pub(super) fn place(members: Vec<Member>, notes: &mut Vec<Fault>) -> Model {
    let mut placer = Placer {
        owner_by_name: members.iter().zip(0..).map(|(m, i)| (m.roster.owner.clone(), i)).collect(),
        guest_by_name: guests(&members),
        members: &members,
        owners: Vec::with_capacity(members.len()),
        nodes: Vec::new(),
        notes,
        unplaced: guests(&members).into_values().collect(),
    };
    for number in 0..members.len() {
        placer.owner(number);
    }
    placer.note_unplaced();
    Model { owners: placer.owners, nodes: placer.nodes }
}

/// A guest by its owner's number and its name: where it is in its roster.
type GuestIndex = (usize, usize);

fn guests(members: &[Member]) -> HashMap<(usize, Name), GuestIndex> {
    let guests = members.iter().enumerate().flat_map(|(number, member)| {
        let named = member.roster.guests.iter().enumerate();
        named.map(move |(index, guest)| ((number, guest.application.name.clone()), (number, index)))
    });
    guests.collect()
}

struct Placer<'m> {
    members: &'m [Member],
    owner_by_name: HashMap<Name, usize>,
    guest_by_name: HashMap<(usize, Name), GuestIndex>,
    owners: Vec<Owner>,
    nodes: Vec<Node>,
    notes: &'m mut Vec<Fault>,
    /// Guests that no host has taken in yet.
    unplaced: hashbrown::HashSet<GuestIndex>,
}

/// What makes a node, besides where it stands.
struct Draft {
    name: NodePath,
    owner: OwnerId,
    kind: NodeKind,
    line: Line,
    policy: Borders,
}

/// A station or gateway with what is inside it.
struct Host<'r> {
    name: &'r Name,
    kind: NodeKind,
    ipv4: Option<std::net::Ipv4Addr>,
    tags: &'r [Name],
    policy: &'r Borders,
    applications: &'r [Application],
    hosted: &'r [HostedGuest],
    line: Line,
}

impl<'r> From<&'r MeshNode> for Host<'r> {
    fn from(node: &'r MeshNode) -> Self {
        let MeshNode { name, key, endpoints, ipv4, tags, policy, applications, hosted, line, .. } = node;
        let kind = NodeKind::Gateway { key: *key, endpoints: endpoints.clone() };
        Self { name, kind, ipv4: *ipv4, tags, policy, applications, hosted, line: *line }
    }
}

impl<'r> From<&'r Station> for Host<'r> {
    fn from(station: &'r Station) -> Self {
        let Station { name, attachment, ipv4, tags, policy, applications, hosted, line, .. } = station;
        let kind = match attachment {
            Attachment::WireGuard(key) => NodeKind::Station { key: *key },
            Attachment::Lan => NodeKind::LanStation,
        };
        Self { name, kind, ipv4: *ipv4, tags, policy, applications, hosted, line: *line }
    }
}

impl<'m> Placer<'m> {
    /// Puts a node after all others; it ends where it begins until [`Placer::close`].
    fn open(&mut self, draft: Draft, parent: Option<NodeId>) -> NodeId {
        // Rosters are bounded, so that their nodes are fewer than 2^32.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let Draft { name, owner, kind, line, policy } = draft;
        let end = NodeId(id.0 + 1);
        let place = name.clone();
        let (ipv6, ipv4, tags, host_policy) = (None, None, Vec::new(), None);
        self.nodes.push(Node {
            name,
            place,
            owner,
            parent,
            end,
            kind,
            ipv6,
            ipv4,
            tags,
            policy,
            host_policy,
            line,
        });
        id
    }

    /// What was put since is inside it.
    fn close(&mut self, id: NodeId) {
        let end = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.node(id).end = end;
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    fn owner(&mut self, number: usize) {
        let member = &self.members[number];
        let roster = &member.roster;
        let owner = OwnerId(u32::try_from(number).unwrap_or(u32::MAX));
        let name = NodePath::owner_of(roster.owner.clone());
        let draft = Draft {
            name: name.clone(),
            owner,
            kind: NodeKind::Owner,
            line: Line(1),
            policy: roster.policy.clone(),
        };
        let id = self.open(draft, None);
        let prefixes4 = member.prefixes4.clone();
        self.owners.push(Owner {
            roster: roster.clone(),
            node: id,
            prefix6: member.addresses.owner,
            prefixes4,
        });
        for relay in &roster.relays {
            let kind = NodeKind::Relay { key: relay.key, endpoints: relay.endpoints.clone() };
            let name = child(&name, &relay.name);
            self.open(Draft { name, owner, kind, line: relay.line, policy: Borders::default() }, Some(id));
        }
        for (room, addresses) in roster.rooms.iter().zip(&member.addresses.rooms) {
            self.room(room, addresses, (owner, id, &name), &member.prefixes4);
        }
        self.close(id);
    }

    fn room(
        &mut self,
        room: &'m Room,
        addresses: &RoomAddresses,
        (owner, parent, above): (OwnerId, NodeId, &NodePath),
        granted: &[Ipv4Network],
    ) {
        let name = child(above, &room.name);
        let kind = NodeKind::Room { prefix6: addresses.prefix, key: room.key };
        let draft = Draft { name: name.clone(), owner, kind, line: room.line, policy: room.policy.clone() };
        let id = self.open(draft, Some(parent));
        let hosts = room.gateways.iter().map(Host::from).chain(room.stations.iter().map(Host::from));
        for (host, (ipv6, applications)) in hosts.zip(&addresses.hosts) {
            let path = child(&name, host.name);
            let draft = Draft {
                name: path.clone(),
                owner,
                kind: host.kind,
                line: host.line,
                policy: host.policy.clone(),
            };
            let station = self.open(draft, Some(id));
            let node = self.node(station);
            (node.ipv6, node.ipv4, node.tags) = (Some(*ipv6), within(host.ipv4, granted), host.tags.to_vec());
            for (application, ipv6) in host.applications.iter().zip(applications) {
                let name = child(&path, &application.name);
                let (line, policy) = (application.line, application.policy.clone());
                let kind = NodeKind::Application;
                let id = self.open(Draft { name, owner, kind, line, policy }, Some(station));
                let node = self.node(id);
                node.ipv6 = Some(*ipv6);
                node.ipv4 = within(application.ipv4, granted);
                node.tags.clone_from(&application.tags);
            }
            for hosted in host.hosted {
                self.hosted(hosted, (owner, station, &path));
            }
            self.close(station);
        }
        self.close(id);
    }

    /// Places a guest if its owner says so too.
    fn hosted(&mut self, hosted: &HostedGuest, (host_owner, station, host): (OwnerId, NodeId, &NodePath)) {
        let host_number = host_owner.0 as usize;
        match self.agreed(hosted, host_number, host) {
            Ok((number, index)) => {
                let member = &self.members[number];
                let Guest { application, .. } = &member.roster.guests[index];
                let owner = OwnerId(u32::try_from(number).unwrap_or(u32::MAX));
                let name = child(&NodePath::owner_of(member.roster.owner.clone()), &application.name);
                let (line, policy) = (application.line, application.policy.clone());
                let id = self.open(Draft { name, owner, kind: NodeKind::Guest, line, policy }, Some(station));
                self.unplaced.remove(&(number, index));
                let node = self.node(id);
                node.place = child(host, &application.name);
                node.ipv6 = Some(member.addresses.guests[index]);
                node.ipv4 = within(application.ipv4, &member.prefixes4);
                node.tags.clone_from(&application.tags);
                node.host_policy = Some(HostPolicy { owner: host_owner, policy: hosted.policy.clone() });
            }
            Err((what, mend)) => {
                let file = self.members[host_number].roster.file.clone();
                self.notes.push(Fault { file, line: hosted.line, what, mend });
            }
        }
    }

    /// The guest that both rosters mean, or what is missing: what, and the mend.
    fn agreed(
        &self,
        hosted: &HostedGuest,
        host_number: usize,
        host: &NodePath,
    ) -> Result<GuestIndex, (String, String)> {
        let guest = format!("{}/{}", hosted.owner, hosted.name);
        let Some(number) = self.owner_by_name.get(&hosted.owner) else {
            let what =
                format!("the guest {guest} is left out: no roster of \"{}\" is accepted here", hosted.owner);
            return Err((what, "get it, signed".into()));
        };
        let Some((number, index)) = self.guest_by_name.get(&(*number, hosted.name.clone())) else {
            let what = format!("the guest {guest} is left out: its owner's roster has no such [[guest]]");
            return Err((
                what,
                format!("its owner writes [[guest]] name = \"{}\", host = \"{host}\"", hosted.name),
            ));
        };
        let says = &self.members[*number].roster.guests[*index].host;
        if says != host {
            let what = format!("the guest {guest} is left out: its owner's roster has it in {says}");
            return Err((what, format!("its owner writes host = \"{host}\"")));
        }
        if !self.know_each_other(host_number, *number) {
            let what = format!("the guest {guest} is left out: the two owners know each other by other keys");
            return Err((what, "the keys of the two [[friend]] entries have to be the signing keys".into()));
        }
        Ok((*number, *index))
    }

    /// Whether each has the other as a friend, by the key that is meant here.
    fn know_each_other(&self, a: usize, b: usize) -> bool {
        let knows =
            |a: &Member, b: &Member| a.friends.get(&b.roster.owner).is_some_and(|(key, _)| *key == b.key);
        let (a, b) = (&self.members[a], &self.members[b]);
        knows(a, b) && knows(b, a)
    }

    /// Says which guests no host takes in. A host whose roster has another story has said so already.
    fn note_unplaced(&mut self) {
        let mut unplaced: Vec<_> = self.unplaced.drain().collect();
        unplaced.sort_unstable();
        for (number, index) in unplaced {
            let roster = &self.members[number].roster;
            let guest = &roster.guests[index];
            let what = format!(
                "the guest \"{}\" is left out: {} doesn't take it in",
                guest.application.name, guest.host
            );
            let mend = format!(
                "the host's owner writes [[room.station.guest]] owner = \"{}\", name = \"{}\"",
                roster.owner, guest.application.name
            );
            self.notes.push(Fault { file: roster.file.clone(), line: guest.application.line, what, mend });
        }
    }
}

/// An address where it is granted.
fn within(address: Option<std::net::Ipv4Addr>, granted: &[Ipv4Network]) -> Option<std::net::Ipv4Addr> {
    address.filter(|address| granted.iter().any(|prefix| prefix.contains(*address)))
}
