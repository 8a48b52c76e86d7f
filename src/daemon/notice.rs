//! What tasks tell the event loop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::question::{Answer, Question};
use super::status::{KernelStatus, LastReload, Mapped};
use crate::base::{Name, PrivateKey};
use crate::engine::ReloadReport;
use crate::mesh::sync::{Shelf, Verdict};
use crate::policy::{Judge, RuleId};
use crate::roster::Model;
use crate::table::PeerId;

/// Notices that wait at most; who has one more waits too.
pub(super) const WAITING_MAX: usize = 64;

/// The tasks' end of the channel.
pub(super) type Notices = mpsc::Sender<Notice>;

/// One task's word to the loop.
#[derive(Debug)]
pub(super) enum Notice {
    /// A client asks; the loop answers at once.
    Ask(Question, oneshot::Sender<Answer>),
    /// A model was loaded, and the room's key; the engine takes them or says why not.
    Serve(Arc<Judge>, Shelf, Option<Arc<PrivateKey>>, oneshot::Sender<Result<ReloadReport, String>>),
    /// Nothing could be loaded, and this is looked for.
    Want(Shelf),
    /// What became of a roster that was given: whose, the hash of what came.
    Judged(Name, [u8; 32], Verdict),
    /// Whether the engine would take a model; nothing changes.
    Try(Arc<Model>, oneshot::Sender<Result<(), String>>),
    /// How the last reload ended, for `status`.
    Reloaded(LastReload),
    /// When what was reloaded is rolled back unless it is confirmed, for `status`.
    Unconfirmed(Option<Instant>),
    /// How the kernel's half does, for `status`.
    Kernel(Box<KernelStatus>),
    /// First packets that the kernel judged by the rules of the model that the engine serves.
    Counted(Vec<(RuleId, u64)>),
    /// Where a peer may be.
    Resolved { peer: PeerId, addresses: Vec<SocketAddr> },
    /// A neighbour sent this to the beacons' port.
    Beacon { source: SocketAddr, bytes: Vec<u8> },
    /// This host's addresses.
    Addresses(Vec<IpAddr>),
    /// A link of this host came up.
    LinkUp,
    /// The port that a router forwards, or none any more.
    #[cfg_attr(not(feature = "portmap"), expect(dead_code, reason = "nobody asks for one"))]
    Mapped(Option<Mapped>),
    /// Stop, and leave nothing behind.
    Stop,
    /// Stop: there is no going on.
    Fail(String),
}
