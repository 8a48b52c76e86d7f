//! The loop that moves bytes.
//!
//! A turn: read the clock; one batch from UDP, one from the TUN device, each handed to the engine and its answers sent;
//! timers that are due; what the engine asks of the host. Then wait for readiness, unless more is waiting already.
//! One batch each and in turns, so that neither side starves the other, nor both the timers and the tasks.

use std::future::ready;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep_until};

use super::delivery::{Deliveries, Delivery};
use super::interface::Keeper;
use super::kernel::KernelEnd;
use super::neighbours::Neighbours;
use super::notice::Notice;
use super::passages::{Arrival, Passages, datagrams};
use super::port_mapper::PortMapper;
use super::question::{Answer, Question};
use super::resolver::Resolver;
use super::status::{DaemonStatus, KernelStatus, LastReload, Mapped, OwnStatus};
use crate::base::{DropReason, PrivateKey, is_virtual};
use crate::engine::{Engine, Event, Now, Offered, Outbox, ReloadReport};
use crate::mesh::accept::{self, Meaning};
use crate::mesh::sync::{Shelf, Verdict};
use crate::os::batch::Batch;
use crate::os::clock::Clock;
use crate::os::netlink::Wanted;
use crate::os::path_mtu::path_mtu;
use crate::os::tun::{TunDevice, is_gone};
use crate::os::udp::{ReceiveSlots, UdpPort};
use crate::policy::Judge;
use crate::table::PeerId;

/// Reads of the socket that may fail one after the other before the daemon gives up.
const FAILURES_MAX: u32 = 100;
/// What the engine may ask of the host in one turn.
const EVENTS_MAX: usize = 64;
/// Batches from passages in one turn, each of one read.
const PASSAGES_MAX: usize = 8;
/// The longest sleep when no timer is set.
const IDLE: Duration = Duration::from_secs(3600);

/// What a running daemon is made of.
pub(super) struct EventLoop {
    pub(super) engine: Engine,
    pub(super) udp: UdpPort,
    pub(super) passages: Passages,
    /// A relay has none.
    pub(super) tun: Option<TunDevice>,
    pub(super) clock: Clock,
    pub(super) slots: ReceiveSlots,
    pub(super) outbox: Outbox,
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) resolver: Resolver,
    pub(super) deliveries: Deliveries,
    pub(super) keeper: Option<Keeper>,
    pub(super) neighbours: Neighbours,
    pub(super) port_mapper: PortMapper,
    pub(super) kernel: KernelEnd,
    pub(super) facts: Facts,
    /// Reads of the socket that failed since one succeeded.
    pub(super) failures: u32,
    /// Whether the kernel sorts what comes into queues.
    pub(super) sorts: bool,
}

/// What stays, and what `status` tells of it.
pub(super) struct Facts {
    pub(super) started: Instant,
    pub(super) listen: u16,
    pub(super) mtu: u16,
    pub(super) fwmark: Option<NonZeroU32>,
    pub(super) last_reload: Option<(Instant, LastReload)>,
    pub(super) mapped: Option<Mapped>,
    /// When what was reloaded is rolled back.
    pub(super) unconfirmed: Option<Instant>,
    pub(super) kernel: KernelStatus,
}

/// Why the loop ends.
enum End {
    Stop,
    Fail(String),
}

impl EventLoop {
    /// Moves bytes until told to stop.
    ///
    /// # Errors
    /// Why there was no going on.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let mut timer = pin!(sleep_until((self.facts.started + IDLE).into()));
        let mut more = false;
        let end = loop {
            if more {
                // Tasks get their share, and the runtime looks at its descriptors.
                tokio::task::yield_now().await;
            }
            if let Some(notice) = self.wait(timer.as_mut(), more).await
                && let Some(end) = self.handle_notice(notice)
            {
                break end;
            }
            match self.turn() {
                Ok(again) => more = again,
                Err(failure) => break End::Fail(failure),
            }
        };
        // Nobody is told any more.
        self.notices.close();
        let keeper = async {
            if let Some(keeper) = self.keeper {
                keeper.end().await;
            }
        };
        tokio::join!(keeper, self.port_mapper.end());
        self.kernel.end(matches!(end, End::Stop)).await;
        match end {
            End::Stop => Ok(()),
            End::Fail(why) => Err(why),
        }
    }

    /// Waits until there is something to do; a task's word where that is what there is. With `more` waiting, only looks.
    async fn wait(&mut self, mut timer: Pin<&mut Sleep>, more: bool) -> Option<Notice> {
        let deadline = self.engine.poll_timeout().map_or(timer.deadline().into_std(), |(at, _why)| at);
        if timer.deadline().into_std() != deadline {
            timer.as_mut().reset(deadline.into());
        }
        tokio::select! {
            biased;
            notice = self.notices.recv() => Some(notice.unwrap_or(Notice::Stop)),
            () = ready(()), if more => None,
            _ = self.udp.readable() => None,
            () = self.passages.ready() => None,
            // While the backlog lasts, `turn` leaves the device alone.
            _ = readable(self.tun.as_ref()), if !self.udp.has_backlog() => None,
            _ = self.udp.writable(), if self.udp.has_backlog() => None,
            () = &mut timer => {
                // A timer that was let go by rests until the engine sets it again.
                timer.as_mut().reset((deadline + IDLE).into());
                None
            }
        }
    }

    /// One turn; whether more waits.
    fn turn(&mut self) -> Result<bool, String> {
        let now = self.clock.read();
        if self.clock.take_step() {
            tracing::info!("the wall clock was set; tunnels begin anew");
            self.engine.handle_clock_step(now);
        }
        if self.udp.has_backlog() {
            self.udp.flush(now.instant);
        }
        let more_udp = self.turn_udp(now)?;
        let more_passages = self.turn_passages(now);
        let more_tun = self.turn_tun(now)?;
        if self.engine.poll_timeout().is_some_and(|(at, _why)| at <= now.instant) {
            self.engine.handle_timeout(now, &mut self.outbox);
            self.send(now);
        }
        self.steer(now);
        let mut events = 0;
        while events < EVENTS_MAX
            && let Some(event) = self.engine.poll_event()
        {
            self.handle_event(event);
            events += 1;
        }
        Ok(more_udp || more_passages || more_tun || events == EVENTS_MAX)
    }

    /// One batch from each queue.
    fn turn_udp(&mut self, now: Now) -> Result<bool, String> {
        let mut more = false;
        for queue in self.udp.queues() {
            let (engine, outbox) = (&mut self.engine, &mut self.outbox);
            let read = self.udp.receive(queue, &mut self.slots, now.instant, |datagrams| {
                engine.handle_udp(datagrams, now, outbox);
            });
            match read {
                Ok(Batch::Empty) => continue,
                Ok(batch) => more |= batch == Batch::More,
                Err(error) => {
                    tracing::debug!(%error, "UDP read failed");
                    self.failures += 1;
                    if self.failures > FAILURES_MAX {
                        return Err(format!("UDP port {} fails: {error}", self.facts.listen));
                    }
                    return Ok(true);
                }
            }
            self.failures = 0;
            self.send(now);
        }
        self.engine.handle_batch(more, now);
        Ok(more)
    }

    /// What came through passages, as much as a batch; whether more waits.
    fn turn_passages(&mut self, now: Now) -> bool {
        for _ in 0..PASSAGES_MAX {
            let Some(arrival) = self.passages.take() else { return false };
            match arrival {
                Arrival::Datagrams { from, mut frames } => {
                    let mut datagrams = datagrams(from, &mut frames);
                    self.engine.handle_passage(&mut datagrams, now, &mut self.outbox);
                    self.send(now);
                }
                Arrival::Dialled { peer, endpoint } => self.engine.handle_dialled(peer, Some(endpoint), now),
                Arrival::Refused { peer } => self.engine.handle_dialled(peer, None, now),
                Arrival::Ended { endpoint } => self.engine.handle_hung_up(endpoint, now),
            }
        }
        true
    }

    /// Tells the kernel what the engine knows of the datagrams to come.
    fn steer(&mut self, now: Now) {
        if self.sorts
            && let Some(steering) = self.engine.poll_steering(now)
            && let Err(error) = self.udp.steer(&steering)
        {
            tracing::warn!(%error, "the kernel can't sort datagrams; all wait in one queue");
            self.sorts = false;
        }
    }

    fn turn_tun(&mut self, now: Now) -> Result<bool, String> {
        // What the kernel sends would only wait in the backlog.
        if self.udp.has_backlog() {
            return Ok(false);
        }
        let Some(tun) = &mut self.tun else { return Ok(false) };
        let (engine, outbox) = (&mut self.engine, &mut self.outbox);
        let outcome = tun.receive(|packets| engine.handle_tun(packets, now, outbox));
        let malformed = tun.take_malformed();
        if malformed > 0 {
            self.engine.count_drop(DropReason::Malformed, malformed);
        }
        match outcome {
            Ok(batch) => {
                self.send(now);
                Ok(batch == Batch::More)
            }
            Err(error) if is_gone(&error) => {
                Err(format!("interface {} was deleted; start vpmesh again", tun.name()))
            }
            Err(error) => {
                tracing::debug!(%error, "TUN read failed");
                Ok(false)
            }
        }
    }

    /// Sends what the engine gave out.
    fn send(&mut self, now: Now) {
        if self.outbox.is_empty() {
            return;
        }
        for transmit in self.outbox.transmits() {
            if is_virtual(transmit.destination.ip()) {
                self.passages.send(&transmit);
            } else {
                self.udp.send(&transmit, now.instant);
            }
        }
        let refused = self.tun.as_mut().map_or(0, |tun| tun.send(self.outbox.tun_packets()));
        self.outbox.clear();
        let (losses, inside) = (self.udp.take_losses(), self.passages.take_losses());
        let (refused, full) = (losses.refused + inside.refused + refused, losses.full + inside.full);
        if refused > 0 {
            self.engine.count_drop(DropReason::SendFailed, refused);
        }
        if full > 0 {
            self.engine.count_drop(DropReason::QueueFull, full);
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Resolve { peer, endpoints } => self.resolver.resolve(peer, endpoints),
            Event::Beacon(beacon) => self.neighbours.send(beacon),
            Event::Dial { peer, endpoints } => self.passages.dial(peer, endpoints, self.resolver.looker()),
            Event::PathMtu { peer, endpoint } => match path_mtu(endpoint, self.facts.fwmark) {
                Ok(mtu) => self.engine.handle_path_mtu(peer, mtu),
                Err(error) => tracing::debug!(%error, "no path MTU"),
            },
            Event::Offered(offered) => self.offer(offered),
        }
    }

    /// Has a roster judged, beside the loop.
    fn offer(&mut self, offered: Offered) {
        let (owner, hash) = (offered.owner.clone(), accept::hash(&offered.roster));
        if self.deliveries.try_send(Delivery::from(offered)).is_err() {
            let why = "too many rosters are being judged".to_owned();
            let now = self.clock.read();
            let verdict = Verdict::Refused { why, meaning: Meaning::NotNow };
            self.engine.handle_verdict(&owner, &hash, &verdict, now);
        }
    }

    fn handle_notice(&mut self, notice: Notice) -> Option<End> {
        match notice {
            Notice::Ask(question, reply) => {
                let answer = self.answer(question);
                // A client that went away is no matter.
                let _ = reply.send(answer);
            }
            Notice::Serve(judge, shelf, room_key, reply) => self.serve(judge, shelf, room_key, reply),
            Notice::Try(model, reply) => {
                let outcome = self.engine.would_take(&model).map_err(|error| error.to_string());
                let _ = reply.send(outcome);
            }
            Notice::Unconfirmed(until) => self.facts.unconfirmed = until,
            Notice::Kernel(status) => self.facts.kernel = *status,
            Notice::Counted(rules) => self.engine.count_matches(&rules),
            Notice::Want(shelf) => {
                let now = self.clock.read();
                self.engine.set_shelf(shelf, now);
            }
            Notice::Judged(owner, hash, verdict) => {
                let now = self.clock.read();
                self.engine.handle_verdict(&owner, &hash, &verdict, now);
            }
            Notice::Reloaded(last) => self.facts.last_reload = Some((self.clock.read().instant, last)),
            Notice::Resolved { peer, addresses } => self.resolved(peer, addresses),
            Notice::Beacon { source, bytes } => {
                let now = self.clock.read();
                self.engine.handle_beacon(source, &bytes, now);
            }
            Notice::Addresses(addresses) => {
                let now = self.clock.read();
                self.engine.handle_addresses(addresses, now);
            }
            Notice::LinkUp => {
                let now = self.clock.read();
                self.engine.handle_link_up(now);
            }
            Notice::Mapped(mapped) => self.mapped(mapped),
            Notice::Stop => return Some(End::Stop),
            Notice::Fail(why) => return Some(End::Fail(why)),
        }
        None
    }

    /// Has the engine serve a judge's model, and the interface what the engine serves.
    fn serve(
        &mut self,
        judge: Arc<Judge>,
        shelf: Shelf,
        room_key: Option<Arc<PrivateKey>>,
        reply: oneshot::Sender<Result<ReloadReport, String>>,
    ) {
        let now = self.clock.read();
        self.engine.set_room_key(room_key);
        let outcome = self.engine.serve(judge, now).map_err(|error| error.to_string());
        if outcome.is_ok() {
            self.engine.set_shelf(shelf, now);
            if let Some(keeper) = &self.keeper {
                keeper.want(wanted(&self.engine, self.facts.mtu));
            }
        }
        let _ = reply.send(outcome);
    }

    fn resolved(&mut self, peer: PeerId, addresses: Vec<SocketAddr>) {
        self.resolver.answered(peer);
        let now = self.clock.read();
        self.engine.handle_resolved(peer, addresses, now);
    }

    /// Keeps what a router forwards; only what the internet reaches is of use to others.
    fn mapped(&mut self, mapped: Option<Mapped>) {
        let public = mapped.as_ref().filter(|mapped| mapped.public).map(|mapped| mapped.address);
        self.facts.mapped = mapped;
        let now = self.clock.read();
        self.engine.handle_mapped(public, now);
    }

    fn answer(&mut self, question: Question) -> Answer {
        let now = self.clock.read();
        match question {
            Question::Status => Answer::Status(Box::new(DaemonStatus {
                daemon: OwnStatus {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    uptime: now.instant.saturating_duration_since(self.facts.started).as_secs(),
                    interface: self.tun.as_ref().map(|tun| tun.name().to_string()).unwrap_or_default(),
                    listen: self.facts.listen,
                    mapped: self.facts.mapped.clone(),
                    last_reload: self.facts.last_reload.as_ref().map(|(at, last)| LastReload {
                        ago: now.instant.saturating_duration_since(*at).as_secs(),
                        ..last.clone()
                    }),
                    socket_overflows: self.udp.overflows(),
                    socket_refused: self.udp.refused(),
                    oversized: self.tun.as_ref().map_or(0, TunDevice::oversized),
                    unconfirmed: self
                        .facts
                        .unconfirmed
                        .map(|until| until.saturating_duration_since(now.instant).as_secs()),
                    kernel: self.facts.kernel.clone(),
                },
                engine: self.engine.status(now),
            })),
            Question::Flows => Answer::Flows(self.engine.flows(now)),
            Question::Peers => Answer::Peers(self.engine.peers(now)),
            Question::Explain { from, to, service } => {
                Answer::Explain(self.engine.explain(&from, &to, service))
            }
        }
    }
}

/// Waits until the device has something to read; for ever where there is none.
async fn readable(tun: Option<&TunDevice>) {
    match tun {
        Some(tun) => _ = tun.readable().await,
        None => std::future::pending().await,
    }
}

/// What the interface has when the engine serves what it serves.
pub(super) fn wanted(engine: &Engine, mtu: u16) -> Wanted {
    Wanted { up: true, mtu, addresses: engine.addresses(), routes: engine.routes() }
}
