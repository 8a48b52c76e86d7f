//! The node's own configuration: which mesh node this is, its key, its owner's key, where rosters are.
//!
//! Text becomes a [`Config`] in one place (`parse`), with every fault at once, each with its line and its mend; it is
//! TOML, or on a router UCI with the same keys. Nothing
//! is read from disk here: paths are made absolute against the folder of the file, and what they name is opened above
//! the wall.

mod interface;
mod invitation;
mod keys;
mod parse;
mod uci;
pub mod uci_text;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::NodePath;
use crate::base::signify::OwnerKey;

pub use interface::{InterfaceName, InterfaceNameError};
pub use invitation::{Introducer, Invitation, InvitationError};
pub use parse::levels;

/// Where the configuration is unless `--config` says otherwise.
pub const CONFIG_FILE: &str = "/etc/vpmesh/node.toml";
/// Where the control socket is unless the configuration says otherwise.
pub const CONTROL_SOCKET: &str = "/var/run/vpmesh.sock";
/// Where a router has it instead.
pub const UCI_FILE: &str = "/etc/config/vpmesh";
/// Where the control socket is on a router, where the daemon is a user of its own and has this folder.
pub const UCI_CONTROL_SOCKET: &str = "/var/run/vpmesh/control.sock";
/// What relative paths in UCI are relative to.
pub const UCI_FOLDER: &str = "/etc/vpmesh";
/// The most introducers of a node.
pub const INTRODUCERS_MAX: usize = 16;
/// The domain of the mesh's names unless the configuration has another.
pub const DOMAIN: &str = "mesh";
/// The largest configuration file that is read, in bytes.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024;
/// Marks that OpenWrt's mwan3 and pbr use on packets; ours stays out of them.
pub const FWMARK_TAKEN: u32 = 0x00ff_3f00;

/// One mesh node's configuration, checked. What the file leaves out has its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file's name as faults print it.
    pub file: Arc<str>,
    /// OWNER/ROOM/GATEWAY or OWNER/RELAY, as in the owner's roster.
    pub node: NodePath,
    /// WireGuard's base64 in a file of mode 0600.
    pub private_key: PathBuf,
    /// The same, of the room: a second key, which every gateway of the room has.
    pub room_key: Option<PathBuf>,
    pub owner_key: OwnerKeySource,
    /// The folder of NAME.toml and NAME.toml.sig.
    pub rosters: PathBuf,
    /// The TUN device's name.
    pub interface: InterfaceName,
    /// The UDP port, in both families.
    pub listen: u16,
    /// The control socket's path.
    pub control: PathBuf,
    /// Where `/metrics` is served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Where the host's resolver asks for the mesh's names; `None`: nowhere.
    pub dns: Option<SocketAddr>,
    /// The domain that they are in: `laptop.attic.alice.mesh`.
    pub domain: Arc<str>,
    /// Where TLS is answered, for who has no UDP; `None`: nowhere.
    pub tls_listen: Option<SocketAddr>,
    /// Bytes of the largest packet inside the tunnels, 1280 to 9000.
    pub mtu: u16,
    /// The mark on the datagrams that this node sends; shares no bit with [`FWMARK_TAKEN`].
    pub fwmark: Option<NonZeroU32>,
    /// The most flows that are kept.
    pub flows: u32,
    /// A level, or levels by module: `info`, `info,vpmesh::os=debug`.
    pub log: String,
    /// What the kernel's half of policy does when the daemon dies.
    pub fail_safe: FailSafe,
    /// Whether the router's own ssh and web pages are open to its LAN whatever policy says.
    pub lan_admin: bool,
    /// Bytes of the UDP socket's buffers.
    pub receive_buffer: u32,
    pub send_buffer: u32,
    /// Mesh nodes that a node without rosters gets its owner's from, and with it all else.
    pub introducers: Vec<Introducer>,
    /// Whether a home router is asked to forward the UDP port.
    pub port_mapping: bool,
}

/// What the kernel's half of policy does when the daemon dies: is killed, or out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailSafe {
    /// It stays in force.
    #[default]
    Closed,
    /// It is taken away, and the firewall's own rules are what is left.
    Open,
}

impl FailSafe {
    /// As the configuration has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// Where the owner's public key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerKeySource {
    /// Written in the configuration: signify's `RWQ…`.
    Literal(OwnerKey),
    /// In a file of signify's.
    File(PathBuf),
}
