//! Rosters on their way: what [`mesh::sync`](crate::mesh::sync) wants told or fetched, over connections of
//! [`netstack`](crate::netstack); and what others fetch here or bring.
//!
//! Nothing that comes is believed: it goes out as [`Event::Offered`], is judged above, and the verdict comes back. The
//! bytes held at a time, of all transfers, are bounded, and so is the time that one of them takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::world::PeerKind;
use super::{Engine, Event, Line, Now, Outbox};
use crate::base::signify::Signature;
use crate::base::{DropReason, LINK_PORT, Name};
use crate::mesh::accept::hash;
use crate::mesh::sync::{Action, Shelf, Sync, Verdict};
use crate::mesh::transfer::{Hearing, Said, Sending};
use crate::mesh::wire::{Digest, DigestEntry, Message, OwnerTag, ShortHash};
use crate::netstack::{ConnectionId, Stack};
use crate::packet::{Ecn, Packet, TokenBucket, Transport};
use crate::roster::ROSTER_BYTES_MAX;
use crate::table::{PeerId, Via};

/// How long a transfer may take, and how slow it may be, in bytes a second.
const TRANSFER_TIME: Duration = Duration::from_secs(20);
const TRANSFER_RATE: u64 = 4 * 1024;
/// Turns of what one packet can set off.
const TURNS_MAX: usize = 16;

/// A roster that somebody gave, to be judged; the answer is [`Engine::handle_verdict`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub owner: Name,
    pub signature: Arc<[u8]>,
    pub roster: Arc<[u8]>,
    /// Who gave it: a node's path.
    pub from: String,
}

/// What travels here, and where to.
#[derive(Debug)]
pub(super) struct Travel {
    pub(super) sync: Sync,
    pub(super) stack: Stack,
    transfers: Vec<Transfer>,
    /// Rosters that people bring, of all of them: each costs a signature's check.
    brought: TokenBucket,
    /// A verdict waits to be sent.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Transfer {
    id: ConnectionId,
    via: Via,
    begun: Instant,
    hearing: Hearing,
    sending: Option<Sending>,
    sent: usize,
    task: Task,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// We asked for this.
    Fetch { peer: PeerId, owner: OwnerTag, hash: ShortHash },
    /// The other side has not said yet what it wants.
    Serve,
    /// It brought this, and waits for the verdict.
    Await { owner: OwnerTag, hash: [u8; 32] },
    /// All that is left is to send.
    Answer,
}

impl Travel {
    pub(super) fn new(seed: &[u8; 32], now: Instant) -> Self {
        // The seed keeps other secrets too; nothing that is sent tells of it.
        let seed = hash(&[&seed[..], b"rosters"].concat());
        let part = |at: usize| seed[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self {
            sync: Sync::new(part(0), now),
            stack: Stack::new(part(8), now),
            transfers: Vec::new(),
            brought: TokenBucket::new(1, 3, now),
            due: None,
        }
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.sync.forget(peer);
        self.stack.remove_via(Via::Peer(peer));
        self.transfers.retain(|transfer| transfer.via != Via::Peer(peer));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let late = self.transfers.iter().map(Transfer::deadline).min();
        [self.sync.poll_timeout(), self.stack.poll_timeout(), late, self.due].into_iter().flatten().min()
    }

    fn held(&self) -> usize {
        self.transfers.iter().map(|transfer| transfer.hearing.len()).sum()
    }

    /// Ends what takes too long, and the largest when too much is held.
    fn end_late(&mut self, now: Instant) {
        let full = self.held() > ROSTER_BYTES_MAX;
        let largest = self.transfers.iter().map(|transfer| transfer.hearing.len()).max().unwrap_or(0);
        let mut failed = Vec::new();
        let (stack, sync) = (&mut self.stack, &mut self.sync);
        self.transfers.retain(|transfer| {
            let over = transfer.deadline() <= now || (full && transfer.hearing.len() == largest);
            if over {
                stack.remove(transfer.id);
                failed.push(transfer.task);
            }
            !over
        });
        for task in failed {
            if let Task::Fetch { peer, owner, .. } = task {
                sync.handle_failed(peer, owner, now);
            }
        }
    }
}

impl Transfer {
    fn new(id: ConnectionId, via: Via, task: Task, now: Instant) -> Self {
        Self { id, via, begun: now, hearing: Hearing::default(), sending: None, sent: 0, task }
    }

    fn deadline(&self) -> Instant {
        let bytes = (self.hearing.len() + self.sent) as u64;
        let patience = if matches!(self.task, Task::Await { .. }) { 6 } else { 1 };
        self.begun + TRANSFER_TIME * patience + Duration::from_secs(bytes / TRANSFER_RATE)
    }
}

impl Engine {
    /// The rosters in force, for others to have; after every [`Engine::reload`], and once at a start that found none.
    pub fn set_shelf(&mut self, shelf: Shelf, now: Now) {
        let mesh = |world: &super::world::World| world.roles.values().any(|role| role.link.is_some());
        let alone = !self.world.as_ref().map_or(!self.introducers.is_empty(), mesh);
        self.travel.sync.set_shelf(shelf, alone, now.instant);
        let own = self.world.as_ref().and_then(|world| world.model.node(world.me).ipv6);
        let addresses: Vec<_> = [self.own_link].into_iter().chain(own).collect();
        self.travel.stack.set_addresses(&addresses);
    }

    /// What became of a roster that was offered; with it in force after [`Engine::set_shelf`] if it was accepted.
    pub fn handle_verdict(&mut self, owner: &Name, hash: &[u8; 32], verdict: &Verdict, now: Now) {
        let Some(tag) = self.travel.sync.tag(owner) else { return };
        self.travel.sync.handle_verdict(tag, hash, verdict, now.instant);
        let (accepted, words) = match verdict {
            Verdict::Accepted => (true, format!("{owner}'s roster is in force")),
            Verdict::Refused { why, .. } => (false, why.clone()),
        };
        for transfer in &mut self.travel.transfers {
            if transfer.task == (Task::Await { owner: tag, hash: *hash }) {
                transfer.task = Task::Answer;
                transfer.begun = now.instant;
                transfer.sending = Some(Said::Verdict { accepted, words: words.clone() }.into_sending());
            }
        }
        self.travel.due = Some(now.instant);
    }

    /// Whose mesh node a peer is; `None` before the first roster.
    fn owner_of(&self, peer: PeerId) -> Option<OwnerTag> {
        let world = self.world.as_ref()?;
        let node = world.model.node(world.roles.get(&peer)?.node);
        let owner = &world.model.owners.get(node.owner.0 as usize)?.roster.owner;
        self.travel.sync.tag(owner)
    }

    fn name_of_peer(&self, peer: PeerId) -> String {
        let role = self.world.as_ref().and_then(|world| Some((world, world.roles.get(&peer)?)));
        match role {
            Some((world, role)) => world.model.node(role.node).name.to_string(),
            None => "an introducer".to_owned(),
        }
    }

    pub(super) fn handle_digest(
        &mut self,
        peer: PeerId,
        digest: Digest<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let whose = self.owner_of(peer);
        self.travel.sync.handle_digest(peer, whose, digest.entries(), now)?;
        self.travel(now, out);
        Ok(())
    }

    /// Takes TCP that a mesh node sent to us.
    pub(super) fn handle_link_tcp(
        &mut self,
        via: Via,
        packet: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), DropReason> {
        let begun = self.travel.stack.handle_packet(via, packet, LINK_PORT, now)?;
        if let Some(id) = begun {
            self.travel.transfers.push(Transfer::new(id, via, Task::Serve, now));
        }
        self.travel(now, out);
        Ok(())
    }

    /// Whether a packet that may go to this host is a station's that brings a roster.
    pub(super) fn brings(&self, packet: &Packet, from: Via) -> bool {
        let Transport::Tcp(tcp) = packet.transport else { return false };
        let (Some(world), Via::Peer(peer)) = (&self.world, from) else { return false };
        let own = world.model.node(world.me).ipv6;
        tcp.dst_port == LINK_PORT
            && packet.fragment.is_none()
            && own.is_some_and(|own| packet.dst == own)
            && world.roles.get(&peer).is_some_and(|role| role.kind == PeerKind::Station)
    }

    pub(super) fn handle_travel_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.travel.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        self.travel.due = None;
        if self.travel.sync.poll_timeout().is_some_and(|at| at <= now) {
            let others = self.mesh_peers_up();
            self.travel.sync.handle_timeout(now, || others);
        }
        self.travel.stack.handle_timeout(now);
        self.travel(now, out);
    }

    /// Mesh nodes that have a session.
    fn mesh_peers_up(&self) -> Vec<PeerId> {
        let mesh = |&id: &PeerId| self.link_of(id).is_some() && self.tunnels.is_connected(id);
        self.tunnels.ids().filter(mesh).collect()
    }

    /// Does what is to be done, until nothing is.
    pub(super) fn travel(&mut self, now: Instant, out: &mut Outbox) {
        for _ in 0..TURNS_MAX {
            let acted = self.act(now, out);
            self.travel.end_late(now);
            let ids: Vec<_> = self.travel.transfers.iter().map(|transfer| transfer.id).collect();
            for id in ids {
                self.transfer(id, now);
            }
            self.travel.stack.poll(now);
            let sent = self.send_stack(now, out);
            if !acted && !sent {
                return;
            }
        }
        // There is more: after others had their turn.
        self.travel.due = Some(now);
    }

    fn act(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let mut acted = false;
        while let Some(action) = self.travel.sync.poll_action() {
            acted = true;
            match action {
                Action::Tell(peer) if self.tunnels.is_connected(peer) => {
                    let entries = self.travel.sync.digest_for(self.owner_of(peer));
                    self.tell(peer, &entries, now, out);
                }
                Action::Greet(peer) if self.tunnels.is_connected(peer) => {
                    let entries = self.travel.sync.news_for(peer, self.owner_of(peer));
                    self.tell(peer, &entries, now, out);
                }
                Action::Tell(_) | Action::Greet(_) => {}
                Action::Fetch { peer, owner, hash } => self.fetch(peer, owner, hash, now),
            }
        }
        acted
    }

    fn tell(&mut self, peer: PeerId, entries: &[[u8; DigestEntry::LENGTH]], now: Instant, out: &mut Outbox) {
        for part in entries.chunks(Digest::ENTRIES_MAX) {
            if let Some(digest) = Digest::new(part)
                && let Err(reason) = self.send_control(peer, &Message::Digest(digest), now, out)
            {
                self.counters.drop(reason);
            }
        }
    }

    fn fetch(&mut self, peer: PeerId, owner: OwnerTag, hash: ShortHash, now: Instant) {
        let link = self.link_of(peer).map(|link| (link, LINK_PORT));
        let via = Via::Peer(peer);
        let id = link.and_then(|to| self.travel.stack.connect(via, self.own_link, to, now));
        let Some(id) = id else { return self.travel.sync.handle_failed(peer, owner, now) };
        let mut transfer = Transfer::new(id, via, Task::Fetch { peer, owner, hash }, now);
        transfer.sending = Some(Said::Get { owner, hash }.into_sending());
        self.travel.transfers.push(transfer);
    }

    /// Lets one transfer go on: what is to be sent, what came.
    fn transfer(&mut self, id: ConnectionId, now: Instant) {
        let Some(at) = self.travel.transfers.iter().position(|transfer| transfer.id == id) else { return };
        let (stack, transfer) = (&mut self.travel.stack, &mut self.travel.transfers[at]);
        let mut said = Ok(None);
        let open = stack.read(id, |bytes| {
            if matches!(said, Ok(None)) && matches!(transfer.task, Task::Fetch { .. } | Task::Serve) {
                said = transfer.hearing.hear(bytes);
            }
            bytes.len()
        });
        if let Some(sending) = &mut transfer.sending {
            while let Some(taken) = stack.write(id, sending.next()).filter(|&taken| taken > 0) {
                sending.advance(taken);
                transfer.sent += taken;
            }
            if sending.next().is_empty() && transfer.task == Task::Answer {
                stack.close(id);
            }
        }
        let (task, gone) = (transfer.task, !stack.is_open(id));
        match (task, said) {
            (Task::Fetch { peer, owner, hash }, Ok(Some(Said::Here { signature, roster }))) => {
                self.end(at);
                self.offer(peer, owner, hash, signature, roster, now);
            }
            (Task::Serve, Ok(Some(Said::Get { owner, hash }))) => self.hand_over(at, owner, hash, now),
            (Task::Serve, Ok(Some(Said::Bring { signature, roster }))) => {
                self.take_brought(at, signature, roster, now);
            }
            (Task::Answer, _) if gone => {
                self.travel.transfers.swap_remove(at);
            }
            (Task::Answer | Task::Await { .. }, _) if !gone => {}
            (_, Ok(None)) if open && !gone => {}
            (Task::Fetch { peer, owner, .. }, _) => {
                self.end(at);
                self.travel.sync.handle_failed(peer, owner, now);
            }
            _ => self.end(at),
        }
    }

    fn end(&mut self, at: usize) {
        let transfer = self.travel.transfers.swap_remove(at);
        // What was read whole is acknowledged by closing; else nobody is to hear more.
        if matches!(transfer.task, Task::Fetch { .. }) {
            self.travel.stack.close(transfer.id);
        } else {
            self.travel.stack.remove(transfer.id);
        }
    }

    fn hand_over(&mut self, at: usize, owner: OwnerTag, hash: ShortHash, now: Instant) {
        let via = self.travel.transfers[at].via;
        let content = match via {
            Via::Peer(peer) if self.link_of(peer).is_some() => {
                self.travel.sync.serve(self.owner_of(peer), owner, hash)
            }
            _ => None,
        };
        let said = content.map_or(Said::NotHere, |content| Said::Here {
            signature: content.signature.clone(),
            roster: content.roster.clone(),
        });
        let transfer = &mut self.travel.transfers[at];
        transfer.sending = Some(said.into_sending());
        transfer.task = Task::Answer;
        transfer.hearing = Hearing::default();
        transfer.begun = now;
        self.travel.due = Some(now);
    }

    fn offer(
        &mut self,
        peer: PeerId,
        owner: OwnerTag,
        hash: ShortHash,
        signature: Arc<[u8]>,
        roster: Arc<[u8]>,
        now: Instant,
    ) {
        let from = self.name_of_peer(peer);
        let Some(name) = self.travel.sync.owner(owner).cloned() else { return };
        if self.travel.sync.handle_fetched(peer, owner, hash, from.clone(), now) {
            self.push_event(Event::Offered(Offered { owner: name, signature, roster, from }));
        }
    }

    /// A station brought a roster: whose, says its signature; whether it is good is judged above.
    fn take_brought(&mut self, at: usize, signature: Arc<[u8]>, roster: Arc<[u8]>, now: Instant) {
        let via = self.travel.transfers[at].via;
        let from = match via {
            Via::Peer(peer) => self.name_of_peer(peer),
            Via::Kernel => "kernel".to_owned(),
        };
        let outcome = self.brought(&signature, &roster, &from, now);
        let transfer = &mut self.travel.transfers[at];
        transfer.hearing = Hearing::default();
        transfer.begun = now;
        match outcome {
            Ok((owner, hash, name)) => {
                transfer.task = Task::Await { owner, hash };
                self.push_event(Event::Offered(Offered { owner: name, signature, roster, from }));
            }
            Err(words) => {
                transfer.sending =
                    Some(Said::Verdict { accepted: false, words: words.to_owned() }.into_sending());
                transfer.task = Task::Answer;
                self.travel.due = Some(now);
            }
        }
    }

    fn brought(
        &mut self,
        signature: &[u8],
        roster: &[u8],
        from: &str,
        now: Instant,
    ) -> Result<(OwnerTag, [u8; 32], Name), &'static str> {
        const STRANGER: &str = "its signature is by no owner who is accepted here";
        if !self.travel.brought.take(now) {
            return Err("too many rosters are brought; try again in some seconds");
        }
        let signature = Signature::parse_file(signature).map_err(|_| STRANGER)?;
        let (tag, name) = self.travel.sync.signer(&signature, roster).ok_or(STRANGER)?;
        let (hash, name) = (hash(roster), name.clone());
        if self.travel.sync.handle_brought(tag, &hash, from.to_owned(), now) {
            Ok((tag, hash, name))
        } else {
            Err("another roster of this owner is being judged; try again")
        }
    }

    /// Sends what the stack has; whether it had something.
    fn send_stack(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let mut sent = false;
        while let Some((via, mut packet)) = self.travel.stack.poll_packet() {
            sent = true;
            let outcome = match via {
                Via::Peer(peer) if is_link(&packet) => self.send_link(Line::Peer(peer), &packet, now, out),
                // What this host says to a station goes the way of all that this host says.
                _ => self.forward(&mut packet, Via::Kernel, Ecn::NotCapable, now, out),
            };
            if let Err(reason) = outcome {
                self.counters.drop(reason);
            }
        }
        sent
    }
}

/// Whether an IPv6 packet is to a link-local address.
fn is_link(packet: &[u8]) -> bool {
    packet.get(24..26).is_some_and(|to| to == [0xfe, 0x80])
}
