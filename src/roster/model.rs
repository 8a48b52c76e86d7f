//! Accepted rosters joined into one: every node numbered, with its addresses and its place.
//!
//! Nodes are numbered depth first, so that "this place and all inside it" is one range of numbers. A guest stands at
//! its host's place (it is numbered there) and answers to its own owner's name (`name`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::{Borders, Endpoint, Line, Roster};
use crate::base::{Name, NodePath, PublicKey};

/// A place's number: an owner, a room, a station or an application. Numbers are dense, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// An accepted owner's number; 0 is the node's own owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub u32);

/// Everything accepted, joined. Immutable: a reload makes a new one.
#[derive(Debug, Default)]
pub struct Model {
    /// Own owner first, then friends in the order of the own roster.
    pub owners: Vec<Owner>,
    /// Depth first: owner, room, station, application.
    pub nodes: Vec<Node>,
}

/// An accepted owner.
#[derive(Debug)]
pub struct Owner {
    pub roster: Arc<Roster>,
    /// The owner's own place in `nodes`.
    pub node: NodeId,
    pub prefix6: Ipv6Network,
    /// IPv4 that the owner claims and the reader grants; what an address of this owner may be in.
    pub prefixes4: Vec<Ipv4Network>,
}

/// One place.
#[derive(Debug)]
pub struct Node {
    /// By its own owner's name: a guest is `bob/web` wherever it stands.
    pub name: NodePath,
    /// Where it stands: for a guest its host's path and its own last name, else the same as `name`.
    pub place: NodePath,
    /// The owner whose name it answers to.
    pub owner: OwnerId,
    pub parent: Option<NodeId>,
    /// This place and all inside it: `id..end`.
    pub end: NodeId,
    pub kind: NodeKind,
    /// Owners, rooms: none. Stations and applications: the /128, and the /32 where one was given and granted.
    pub ipv6: Option<Ipv6Addr>,
    pub ipv4: Option<Ipv4Addr>,
    pub tags: Vec<Name>,
    /// The border's rules from the owner's roster (for a guest: the guest's owner's).
    pub policy: Borders,
    /// A guest's border as its host writes it; both have to let pass.
    pub host_policy: Option<HostPolicy>,
    pub line: Line,
}

/// The policy that a host's owner puts at a guest's border.
#[derive(Debug)]
pub struct HostPolicy {
    /// Whose roster it is in.
    pub owner: OwnerId,
    pub policy: Borders,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    Owner,
    /// The /64 of the room, and the key that its stations know it by, if it has one.
    Room {
        prefix6: Ipv6Network,
        key: Option<PublicKey>,
    },
    /// A station attached by WireGuard with this key.
    Station {
        key: PublicKey,
    },
    /// A plain host behind the room's gateway.
    LanStation,
    /// A gateway, itself a station of its room.
    Gateway {
        key: PublicKey,
        endpoints: Vec<Endpoint>,
    },
    /// A relay: at its owner's place, in no room; nothing flows to or from it under policy.
    Relay {
        key: PublicKey,
        endpoints: Vec<Endpoint>,
    },
    Application,
    /// An application of another owner.
    Guest,
}

impl Model {
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// All places with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        (0..).map(NodeId).zip(&self.nodes)
    }

    /// The numbers of a place and all inside it.
    #[must_use]
    pub fn range(&self, id: NodeId) -> Range<u32> {
        id.0..self.node(id).end.0
    }

    /// The node that answers to this name (a guest by its own owner's). It walks down from the owner, past the
    /// places that are not on the way; for many names at once make [`Model::by_name`].
    #[must_use]
    pub fn find(&self, name: &NodePath) -> Option<NodeId> {
        let owner = self.owners.iter().find(|owner| owner.roster.owner == *name.owner())?.node;
        let found = (2..=name.segments().len()).try_fold(owner, |above, depth| {
            let wanted = &name.segments()[..depth];
            self.children(above).find(|&id| self.node(id).name.segments() == wanted)
        });
        // Guests stand elsewhere: two segments, and not below their owner.
        found.or_else(|| {
            let is_guest = |node: &Node| node.kind == NodeKind::Guest && node.name == *name;
            if name.segments().len() != 2 {
                return None;
            }
            self.iter().find(|(_, node)| is_guest(node)).map(|(id, _)| id)
        })
    }

    /// Every node by its name.
    #[must_use]
    pub fn by_name(&self) -> hashbrown::HashMap<&NodePath, NodeId> {
        self.iter().map(|(id, node)| (&node.name, id)).collect()
    }

    /// The places that are directly inside a place.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let end = self.node(id).end;
        let first = NodeId(id.0 + 1);
        std::iter::successors((first < end).then_some(first), move |&child| {
            let next = self.node(child).end;
            (next < end).then_some(next)
        })
    }

    /// The node with this address. Linear: for tools; the packet path asks `table::Routes`.
    #[must_use]
    pub fn find_address(&self, address: IpAddr) -> Option<NodeId> {
        self.iter().find(|(_, node)| node.addresses().any(|a| a == address)).map(|(id, _)| id)
    }

    /// The room that a place is in.
    #[must_use]
    pub fn room_of(&self, id: NodeId) -> Option<NodeId> {
        self.ancestors(id).find(|&id| matches!(self.node(id).kind, NodeKind::Room { .. }))
    }

    /// The place itself, then what it is inside, outward.
    pub fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(id), |&id| self.node(id).parent)
    }

    /// The gateways of a room, in the roster's order.
    pub fn gateways_of(&self, room: NodeId) -> impl Iterator<Item = NodeId> {
        self.range(room).map(NodeId).filter(|&id| matches!(self.node(id).kind, NodeKind::Gateway { .. }))
    }

    /// The key that the stations of a place's room know the room by.
    #[must_use]
    pub fn room_key(&self, id: NodeId) -> Option<PublicKey> {
        match self.node(self.room_of(id)?).kind {
            NodeKind::Room { key, .. } => key,
            _ => None,
        }
    }

    /// All prefixes of accepted owners, own first.
    pub fn prefixes(&self) -> impl Iterator<Item = (OwnerId, IpNetwork)> {
        (0..).map(OwnerId).zip(&self.owners).flat_map(|(id, owner)| {
            std::iter::once(IpNetwork::V6(owner.prefix6))
                .chain(owner.prefixes4.iter().copied().map(IpNetwork::V4))
                .map(move |prefix| (id, prefix))
        })
    }
}

impl Node {
    /// Its addresses, IPv6 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv6.map(IpAddr::V6).into_iter().chain(self.ipv4.map(IpAddr::V4))
    }

    /// Its WireGuard key, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        match self.kind {
            NodeKind::Station { key } | NodeKind::Gateway { key, .. } | NodeKind::Relay { key, .. } => {
                Some(key)
            }
            _ => None,
        }
    }
}
