//! The kernel's half of policy: what hosts on the LAN send to the internet and to each other never enters the daemon,
//! and table `inet vpmesh` judges it.
//!
//! A task keeps the table as it should be: it is replaced in one transaction, put back when others take it away, and its
//! counters are read. What is slow is in blocking threads. When the daemon goes without a word, the fail-safe says what
//! becomes of the table: `closed` leaves it, and for `open` a [`guard`] outlives the daemon.

mod cut;
pub mod guard;
mod table;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::load::{Unconfirmed, load};
use super::notice::{Notice, Notices};
use super::status::KernelStatus;
use crate::config::{Config, FailSafe};
use crate::nft::{self, AdminGuard, Setting};
use crate::os::netfilter::TableChanges;
use crate::policy::Judge;
use crate::roster::model::NodeKind;
use crate::roster::{Model, NodeId};

pub(super) use cut::cut;
use guard::Guard;
use table::Table;

/// The table's family.
const FAMILY: &str = "inet";
/// How often counters are read when nobody asks.
const COUNT: Duration = Duration::from_secs(60);
/// Whoever asks again within this time gets what was read.
const FRESH: Duration = Duration::from_millis(500);
/// How long others get to finish what they do to nftables.
const SETTLE: Duration = Duration::from_millis(100);
/// The same, when they did something a moment ago: a fight is fought slowly.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);
/// How long a status waits for counters.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long taking the table away may last: procd waits 5 s.
const FAREWELL: Duration = Duration::from_secs(4);

/// What the kernel is to enforce.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) judge: Arc<Judge>,
    pub(super) gateway: NodeId,
    interface: String,
    admin: AdminGuard,
    pub(super) fail_safe: FailSafe,
    /// Hosts of the room that only the kernel can police.
    pub(super) lan_stations: u64,
}

impl Policy {
    /// What a gateway's kernel enforces. `None`: this node is no gateway, and has no room.
    pub(super) fn new(judge: &Arc<Judge>, config: &Config) -> Option<Self> {
        let model = judge.model();
        let is_gateway = |id: &NodeId| matches!(model.node(*id).kind, NodeKind::Gateway { .. });
        let gateway = model.find(&config.node).filter(is_gateway)?;
        Some(Self {
            judge: Arc::clone(judge),
            gateway,
            interface: config.interface.to_string(),
            admin: admin_guard(config),
            fail_safe: config.fail_safe,
            lan_stations: lan_stations(model, config),
        })
    }

    fn transaction(&self) -> String {
        let setting = Setting { interface: &self.interface, gateway: self.gateway, admin: self.admin };
        nft::compile(&self.judge, &setting).to_json()
    }
}

/// Whether the router's LAN reaches its ssh and web pages unjudged.
#[must_use]
pub fn admin_guard(config: &Config) -> AdminGuard {
    if config.lan_admin { AdminGuard::On } else { AdminGuard::Off }
}

/// How many stations of the served room are attached by `lan`.
pub fn lan_stations(model: &Model, config: &Config) -> u64 {
    let Some(room) = model.find(&config.node).and_then(|me| model.room_of(me)) else { return 0 };
    let inside = model.range(room).map(|id| model.node(NodeId(id)));
    inside.filter(|node| node.kind == NodeKind::LanStation).count() as u64
}

/// A daemon that can't start leaves its room policed all the same where the fail-safe is closed: the rosters that it
/// would have started with are put in force in the kernel, unless there is a table already. Blocks.
pub(super) fn enforce_without_daemon(config: &Config) {
    if config.fail_safe == FailSafe::Open {
        return;
    }
    // Where there are none, nobody can say what is to be enforced; the start has told why.
    let Ok(loaded) = load(config, None, &[], Unconfirmed::LeaveOut) else { return };
    let policy =
        Policy::new(&Arc::new(Judge::new(loaded.model)), config).filter(|policy| policy.lan_stations > 0);
    let Some(policy) = policy else { return };
    match table::put_unless_there(&policy) {
        Ok(true) => {
            tracing::warn!("vpmesh does not run, and policy is in force in the kernel: fail_safe is closed")
        }
        Ok(false) => {
            tracing::warn!("vpmesh does not run, and the policy of before stays in force in the kernel")
        }
        Err(error) => {
            tracing::error!(%error, "vpmesh does not run, and policy is NOT in force in the kernel")
        }
    }
}

/// What the task is asked to do.
#[derive(Debug)]
enum Order {
    /// Puts a policy in force, or says why the kernel refuses it.
    Enforce(Box<Policy>, oneshot::Sender<Result<(), String>>),
    /// The engine serves the same model: counters can be told again.
    Settled,
    /// Reads the counters and tells the event loop.
    Count(oneshot::Sender<()>),
    /// The daemon ends: told to, or not.
    End { told: bool },
}

/// The task that keeps the table, as others see it.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    orders: mpsc::Sender<Order>,
}

/// The same for the event loop, which ends it.
#[derive(Debug)]
pub(super) struct KernelEnd {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Kernel {
    /// Starts the task. In the context of a tokio runtime.
    pub(super) fn begin(notices: Notices) -> (Self, KernelEnd) {
        let (orders, received) = mpsc::channel(8);
        let task = tokio::spawn(Task::new(notices).run(received));
        (Self { orders: orders.clone() }, KernelEnd { orders, task })
    }

    /// Puts a policy in force: all of it, or what was in force stays so.
    ///
    /// # Errors
    /// Why the kernel refuses it.
    pub(super) async fn enforce(&self, policy: Policy) -> Result<(), String> {
        let stopping = || "vpmesh is stopping".to_owned();
        let (reply, outcome) = oneshot::channel();
        self.orders.send(Order::Enforce(Box::new(policy), reply)).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())?
    }

    /// The engine serves what was last enforced.
    pub(super) async fn settled(&self) {
        let _ = self.orders.send(Order::Settled).await;
    }

    /// Has the event loop know the counters as they are now. Waits a moment for it, and no longer.
    pub(super) async fn count(&self) {
        let (reply, counted) = oneshot::channel();
        if self.orders.send(Order::Count(reply)).await.is_ok() {
            let _ = timeout(PATIENCE, counted).await;
        }
    }
}

impl KernelEnd {
    /// The daemon ends. `told`: somebody wants it gone, and the table with it; else the fail-safe decides.
    pub(super) async fn end(self, told: bool) {
        let _ = self.orders.send(Order::End { told }).await;
        if timeout(FAREWELL, self.task).await.is_err() {
            tracing::error!(
                "table inet vpmesh is still being removed; `nft delete table inet vpmesh` does it"
            );
        }
    }
}

struct Task {
    notices: Notices,
    table: Table,
    changes: Option<TableChanges>,
    guard: Option<Guard>,
    /// What is in force.
    policy: Option<Arc<Policy>>,
    /// Whether the engine serves the same.
    is_settled: bool,
    counted: Instant,
    status: KernelStatus,
}

impl Task {
    fn new(notices: Notices) -> Self {
        Self {
            notices,
            table: Table::default(),
            changes: None,
            guard: None,
            policy: None,
            is_settled: false,
            counted: Instant::now(),
            status: KernelStatus::default(),
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut ticks = interval_at(Instant::now() + COUNT, COUNT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut put_back: Option<Instant> = None;
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Enforce(policy, reply)) => {
                        let outcome = self.enforce(*policy).await;
                        self.tell().await;
                        let _ = reply.send(outcome);
                    }
                    Some(Order::Settled) => self.is_settled = true,
                    Some(Order::Count(reply)) => {
                        self.count(FRESH).await;
                        let _ = reply.send(());
                    }
                    Some(Order::End { told }) => return self.end(told).await,
                    // Nobody is left to say that it was told to.
                    None => return self.end(false).await,
                },
                outcome = changed(self.changes.as_mut()) => {
                    if let Err(error) = outcome {
                        tracing::warn!(%error, "no news of nftables; a table that others delete is found missing by and by");
                        self.changes = None;
                    }
                    let is_fight = put_back.is_some_and(|before| before.elapsed() < SETTLE_AGAIN * 5);
                    sleep(if is_fight { SETTLE_AGAIN } else { SETTLE }).await;
                    put_back = Some(Instant::now());
                    self.put_back().await;
                }
                // Without a table there is nothing to look after.
                _ = ticks.tick(), if self.policy.is_some() => self.look_after().await,
            }
        }
    }

    async fn enforce(&mut self, policy: Policy) -> Result<(), String> {
        let policy = Arc::new(policy);
        // Before the table: there is no moment when nobody would take it away.
        self.guard(policy.fail_safe);
        self.status.fail_safe = policy.fail_safe.name().to_owned();
        self.status.lan_stations = policy.lan_stations;
        match self.apply(&policy).await {
            Ok(()) => {
                // The engine numbers rules as before until it serves the same.
                self.is_settled = false;
                self.policy = Some(policy);
                self.status.in_force = true;
                self.status.why = None;
                Ok(())
            }
            Err(error) => {
                if let Some(before) = &self.policy {
                    self.status.fail_safe = before.fail_safe.name().to_owned();
                    self.status.lan_stations = before.lan_stations;
                    let before = before.fail_safe;
                    self.guard(before);
                } else {
                    self.status.why = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    /// Puts the table in force. What others did meanwhile is undone.
    async fn apply(&mut self, policy: &Arc<Policy>) -> Result<(), String> {
        if self.changes.is_none() {
            self.changes = TableChanges::open(nft::TABLE)
                .map_err(|error| tracing::warn!(%error, "no news of nftables"))
                .ok();
        }
        let compiled = Arc::clone(policy);
        let transaction = spawn_blocking(move || compiled.transaction()).await;
        let transaction: Arc<str> = transaction.map_err(|error| error.to_string())?.into();
        // What the table counted goes with it, so it is read as late as can be; what it counts while nft reads the new
        // one is lost.
        self.count(Duration::ZERO).await;
        for _ in 0..3 {
            let was_alone = self.table.apply(&transaction).await?;
            if let Some(changes) = &mut self.changes {
                changes.forget();
            }
            if was_alone {
                break;
            }
        }
        Ok(())
    }

    /// A guard where the fail-safe is open, and none where it is closed.
    fn guard(&mut self, fail_safe: FailSafe) {
        match fail_safe {
            FailSafe::Closed => {
                if let Some(guard) = self.guard.take() {
                    guard.dismiss();
                }
            }
            FailSafe::Open if self.guard.as_mut().is_some_and(Guard::is_awake) => {}
            FailSafe::Open => match Guard::post() {
                Ok(guard) => self.guard = Some(guard),
                Err(error) => {
                    tracing::error!(%error, "fail_safe = \"open\" needs a second process: closed until then")
                }
            },
        }
    }

    async fn put_back(&mut self) {
        let Some(policy) = self.policy.clone() else { return };
        match self.apply(&policy).await {
            Ok(()) => {
                self.status.put_back += 1;
                tracing::warn!("table inet vpmesh was changed by others and is put back");
                self.status.in_force = true;
                self.status.why = None;
            }
            Err(error) => {
                tracing::error!(%error, "table inet vpmesh was changed by others and can't be put back");
                self.status.in_force = false;
                self.status.why = Some(error);
            }
        }
        self.tell().await;
    }

    /// Every now and then: counters, a guard that was killed, a table that went unseen.
    async fn look_after(&mut self) {
        let Some(policy) = self.policy.clone() else { return };
        self.guard(policy.fail_safe);
        if !self.status.in_force || (self.changes.is_none() && self.table.is_gone().await) {
            self.put_back().await;
        }
        self.count(FRESH).await;
    }

    /// Reads the counters, unless they were read a moment ago, and tells the event loop what is new.
    async fn count(&mut self, fresh: Duration) {
        if self.policy.is_none() || !self.is_settled || self.counted.elapsed() < fresh {
            return;
        }
        self.counted = Instant::now();
        let Some(more) = self.table.count().await else { return };
        for (reason, packets) in &more.drops {
            *self.status.drops.entry(reason.name().to_owned()).or_default() += packets;
        }
        if !more.rules.is_empty() {
            let _ = self.notices.send(Notice::Counted(more.rules)).await;
        }
        self.tell().await;
    }

    async fn tell(&self) {
        let _ = self.notices.send(Notice::Kernel(Box::new(self.status.clone()))).await;
    }

    async fn end(mut self, told: bool) {
        let open = self.policy.as_ref().is_some_and(|policy| policy.fail_safe == FailSafe::Open);
        if told || open {
            self.table.remove().await;
        } else if self.policy.is_some() {
            tracing::warn!("table inet vpmesh stays in force: fail_safe is closed");
        }
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
    }
}

async fn changed(changes: Option<&mut TableChanges>) -> std::io::Result<()> {
    match changes {
        Some(changes) => changes.changed().await,
        None => std::future::pending().await,
    }
}
