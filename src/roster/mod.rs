//! What an owner signs: rooms, stations, applications, gateways, relays, friends and policy.
//!
//! Bytes become a [`Roster`] in one place (`parse`): raw TOML with its line numbers is checked once, and a `Roster`
//! in hand is a good one. Several accepted rosters become a [`Model`] (`model`), where every node has a number, its
//! addresses and its place. The model is what policy is compiled from, for the judge and for the kernel alike.

mod address;
pub mod edit;
mod join;
pub mod model;
pub mod parse;
mod rule;
mod selector;
mod service;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::{Ipv4Network, Ipv6Network};

use crate::base::signify;
use crate::base::{Name, NodePath, PublicKey};

pub use crate::base::{Endpoint, Fault, Faults, Line};
pub use join::{Because, Joined, Refused};
pub use model::{Model, NodeId, OwnerId};
pub use parse::parse;
pub use rule::{Action, Kind, Policy, Rule, Selector};
pub use service::{Service, ServiceName};

/// The largest roster file that is read, in bytes.
pub const ROSTER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The most stations and applications one roster holds.
pub const ROSTER_NODES_MAX: usize = 100_000;

/// One owner's roster, checked. Everything in it that has a line in the file carries it.
#[derive(Debug, Clone)]
pub struct Roster {
    /// The file's name as errors and `explain` print it.
    pub file: Arc<str>,
    pub owner: Name,
    pub serial: u64,
    /// The owner's claim on IPv4.
    pub ipv4: Option<Ipv4Network>,
    pub friends: Vec<Friend>,
    /// The owner's border.
    pub policy: Borders,
    pub rooms: Vec<Room>,
    /// This owner's applications inside other owners' stations.
    pub guests: Vec<Guest>,
    pub relays: Vec<MeshNode>,
    /// One per service: a test of a `[services]` name is as many tests as the name has services.
    pub tests: Vec<TestCase>,
    /// What is doubtful but no fault: a tag that no node has, a friend's grant that overlaps another's.
    pub notes: Vec<Fault>,
}

/// Both directions of one border. `None` is absent and `Some` of no rules is empty; they mean opposite things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Borders {
    pub egress: Option<Policy>,
    pub ingress: Option<Policy>,
}

/// An owner whose roster this owner's nodes accept.
#[derive(Debug, Clone)]
pub struct Friend {
    pub owner: Name,
    pub key: signify::OwnerKey,
    /// What the friend may claim of IPv4.
    pub ipv4: Vec<Ipv4Network>,
    pub line: Line,
}

/// A site.
#[derive(Debug, Clone)]
pub struct Room {
    pub name: Name,
    /// Whom its WireGuard stations know instead of the one gateway: every gateway has the private key.
    pub key: Option<PublicKey>,
    /// A /64 written in the roster, else it follows from the name.
    pub ipv6: Option<Ipv6Network>,
    pub policy: Borders,
    pub gateways: Vec<MeshNode>,
    pub stations: Vec<Station>,
    pub line: Line,
}

/// A gateway or a relay.
#[derive(Debug, Clone)]
pub struct MeshNode {
    pub name: Name,
    pub key: PublicKey,
    pub endpoints: Vec<Endpoint>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub tags: Vec<Name>,
    pub policy: Borders,
    pub applications: Vec<Application>,
    /// Other owners' applications that this gateway's host takes in; a relay has none.
    pub hosted: Vec<HostedGuest>,
    pub line: Line,
}

/// A host computer.
#[derive(Debug, Clone)]
pub struct Station {
    pub name: Name,
    pub attachment: Attachment,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub tags: Vec<Name>,
    pub policy: Borders,
    pub applications: Vec<Application>,
    /// Other owners' applications that this station takes in.
    pub hosted: Vec<HostedGuest>,
    pub line: Line,
}

/// How a station's packets reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// A WireGuard client with this key.
    WireGuard(PublicKey),
    /// A plain host behind the gateway.
    Lan,
}

/// A container or VM with an address of its own.
#[derive(Debug, Clone)]
pub struct Application {
    pub name: Name,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub tags: Vec<Name>,
    pub policy: Borders,
    pub line: Line,
}

/// What a station's owner says of a guest: that it may be there, and the host's own policy at its border.
#[derive(Debug, Clone)]
pub struct HostedGuest {
    pub owner: Name,
    pub name: Name,
    pub policy: Borders,
    pub line: Line,
}

/// What a guest's owner says of it: `[[guest]]`, with the station that it is inside.
#[derive(Debug, Clone)]
pub struct Guest {
    pub application: Application,
    /// OWNER/ROOM/STATION of another owner.
    pub host: NodePath,
}

/// A `[[test]]` of the roster.
#[derive(Debug, Clone)]
pub struct TestCase {
    pub from: Party,
    pub to: Party,
    pub service: Service,
    pub expect: Expect,
    pub line: Line,
}

/// One end of a question: what FROM and TO of `explain` and of `[[test]]` may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    Node(NodePath),
    Address(std::net::IpAddr),
    Internet,
}

/// What a `[[test]]` expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Allow,
    Deny,
}
