//! The IPv6 addresses of one owner's rooms and nodes: written in the roster, or following from names by a hash.
//!
//! A hash can meet another; then nothing says which node has the address, so it is a fault, and the mend is an
//! address to write.

use std::net::Ipv6Addr;

use hashbrown::HashMap;
use ipnetwork::Ipv6Network;

use super::super::parse::FAULTS_MAX;
use super::super::{Application, Roster};
use crate::base::prefix;
use crate::base::{Fault, Faults, Line, Name, NodePath};

/// The addresses of one owner's rooms and nodes, in the order that the roster has them.
#[derive(Debug)]
pub(super) struct Addresses {
    pub owner: Ipv6Network,
    /// One per room.
    pub rooms: Vec<RoomAddresses>,
    /// One per guest.
    pub guests: Vec<Ipv6Addr>,
}

/// The addresses of one room.
#[derive(Debug)]
pub(super) struct RoomAddresses {
    pub prefix: Ipv6Network,
    /// One per gateway and then one per station, each with its applications'.
    pub hosts: Vec<(Ipv6Addr, Vec<Ipv6Addr>)>,
}

impl Addresses {
    /// Finds all addresses of a roster whose owner has this prefix.
    ///
    /// # Errors
    /// Every address that is outside its prefix, or that two have.
    pub fn of(roster: &Roster, owner: Ipv6Network) -> Result<Self, Faults> {
        let mut finder =
            Finder { roster, owner, prefixes: HashMap::new(), nodes: HashMap::new(), faults: Vec::new() };
        let own = NodePath::owner_of(roster.owner.clone());
        let guest_prefix = prefix::guest_prefix(owner);
        finder.prefixes.insert(guest_prefix, Line(0));
        let prefixes: Vec<_> =
            roster.rooms.iter().map(|room| finder.room(&room.name, room.ipv6, room.line)).collect();
        let mut rooms = Vec::with_capacity(roster.rooms.len());
        for (room, prefix) in roster.rooms.iter().zip(prefixes) {
            let path = child(&own, &room.name);
            let gateways = room.gateways.iter().map(|g| (&g.name, g.ipv6, g.line, &g.applications));
            let stations = room.stations.iter().map(|s| (&s.name, s.ipv6, s.line, &s.applications));
            let hosts = gateways.chain(stations).map(|(name, ipv6, line, applications)| {
                let path = child(&path, name);
                let address = finder.node(prefix, &path, ipv6, line);
                (address, applications.iter().map(|app| finder.application(prefix, &path, app)).collect())
            });
            let hosts = hosts.collect();
            rooms.push(RoomAddresses { prefix, hosts });
        }
        let guests = roster
            .guests
            .iter()
            .map(|guest| finder.application(guest_prefix, &own, &guest.application))
            .collect();
        let mut faults = finder.faults;
        faults.sort_by_key(|fault| fault.line);
        if faults.is_empty() { Ok(Self { owner, rooms, guests }) } else { Err(Faults(faults)) }
    }
}

/// A path with one more segment. A roster has owner, room, station and application at most, so there is room for it.
pub(super) fn child(path: &NodePath, name: &Name) -> NodePath {
    path.join(name.clone()).unwrap_or_else(|_| unreachable!("a roster is four levels deep"))
}

struct Finder<'r> {
    roster: &'r Roster,
    owner: Ipv6Network,
    /// Rooms' prefixes with the line of the room; line 0 is the guests'.
    prefixes: HashMap<Ipv6Network, Line>,
    nodes: HashMap<Ipv6Addr, Line>,
    faults: Vec<Fault>,
}

impl Finder<'_> {
    fn fault(&mut self, line: Line, what: String, mend: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { file: self.roster.file.clone(), line, what, mend });
        }
    }

    fn room(&mut self, name: &Name, written: Option<Ipv6Network>, line: Line) -> Ipv6Network {
        let prefix = written.unwrap_or_else(|| prefix::room_prefix(self.owner, name));
        if !self.owner.contains(prefix.network()) {
            let what =
                format!("`ipv6` {prefix} of the room \"{name}\" is outside the owner's {}", self.owner);
            self.fault(line, what, "leave it out: it follows from the name".into());
        } else if let Some(first) = self.prefixes.insert(prefix, line) {
            let other = if first == Line(0) {
                "the guests'".into()
            } else {
                format!("that of the room in line {first}")
            };
            let mend = self
                .free_prefix(prefix)
                .map_or("use fewer rooms".into(), |free| format!("write ipv6 = \"{free}\""));
            self.fault(line, format!("the prefix {prefix} of the room \"{name}\" is {other} too"), mend);
        }
        prefix
    }

    /// The next /64 after `prefix` that no room has.
    fn free_prefix(&self, prefix: Ipv6Network) -> Option<Ipv6Network> {
        let segments = prefix.network().segments();
        (1..=u16::MAX).find_map(|step| {
            let mut next = segments;
            next[3] = segments[3].wrapping_add(step);
            let next = Ipv6Network::new(next.into(), 64).ok()?;
            (!self.prefixes.contains_key(&next)).then_some(next)
        })
    }

    fn application(&mut self, prefix: Ipv6Network, host: &NodePath, application: &Application) -> Ipv6Addr {
        self.node(prefix, &child(host, &application.name), application.ipv6, application.line)
    }

    fn node(
        &mut self,
        prefix: Ipv6Network,
        path: &NodePath,
        written: Option<Ipv6Addr>,
        line: Line,
    ) -> Ipv6Addr {
        let address = written.unwrap_or_else(|| prefix::node_address(prefix, path));
        if !prefix.contains(address) {
            let what = format!("`ipv6` {address} of {path} is outside its room's {prefix}");
            self.fault(line, what, "leave it out: it follows from the name".into());
        } else if address == prefix.network() {
            let what = format!("`ipv6` {address} of {path} is every router's (RFC 4291, section 2.6.1)");
            self.fault(line, what, "choose another, or leave it out".into());
        } else if let Some(first) = self.nodes.insert(address, line) {
            let next = Ipv6Addr::from(
                u128::from(prefix.network()) | (u128::from(address).wrapping_add(1) & u128::from(u64::MAX)),
            );
            let what = format!("the address {address} of {path} is that of the node in line {first} too");
            self.fault(line, what, format!("write another, such as ipv6 = \"{next}\""));
        }
        address
    }
}
