//! Reload: rosters and configuration again, or nothing at all.
//!
//! It is asked for by a client, by SIGHUP, or by a file that changed. Files change one after the other: a roster and
//! its signature disagree for a moment, and what is refused then is tried again before anybody is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::watch::Sender;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::configuration;
use super::delivery::Delivery;
use super::kernel::{self, Kernel, Policy};
use super::load::{self, Loaded, Unstored, load};
use super::notice::{Notice, Notices};
use super::question::{Committed, Reloaded};
use super::status::LastReload;
use crate::config::Config;
use crate::engine::ReloadReport;
use crate::mesh::sync::Shelf;
use crate::names::Names;
use crate::os::netfilter::conntrack::ConntrackError;
use crate::os::netlink;
use crate::os::watch::{Files, Watcher};
use crate::policy::Judge;
use crate::roster::{Model, NodeId};

/// How long files must rest before they are read.
const REST: Duration = Duration::from_millis(200);
/// How long files may disagree before it is an error.
const GRACE: Duration = Duration::from_secs(1);
/// How often a folder that went is looked for.
const LOOK: Duration = Duration::from_secs(2);

/// What clients wish; the answer comes when it is done.
#[derive(Debug)]
pub(super) enum Wish {
    /// Seconds within which it has to be confirmed; `None`: it is for good.
    Reload(Option<u32>, oneshot::Sender<Result<Reloaded, String>>),
    Commit(oneshot::Sender<Result<Committed, String>>),
}

pub(super) type Reloads = mpsc::Sender<Wish>;

/// How a reload is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By a file or a signal: nobody looks.
    ByItself,
    /// Somebody asks, and means it.
    Asked,
    /// Until then, unless somebody says that they mean it.
    Until(Instant),
}

/// What is gone back to when nobody confirms, and when. Until then every reload is of this kind: files may be changed
/// after it began as well as before.
#[derive(Debug)]
struct Unconfirmed {
    until: Instant,
    config: Config,
    loaded: Loaded,
    /// Contents that were in force since, by hash.
    tried: Vec<[u8; 32]>,
}

/// The task that reloads.
pub(super) struct Reloader {
    path: PathBuf,
    pub(super) config: Config,
    wishes: mpsc::Receiver<Wish>,
    hangup: Signal,
    watcher: Option<Watcher>,
    pub(super) notices: Notices,
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    kernel: Kernel,
    /// What resolvers are told.
    names: Sender<Names>,
    /// What is in force.
    pub(super) running: Option<Loaded>,
    /// What of it the disk had no room for.
    pub(super) unstored: Vec<Unstored>,
    /// Whether the kernel enforces it too.
    is_enforced: bool,
    unconfirmed: Option<Unconfirmed>,
    /// That connections can't be judged again was said: once is enough.
    said_missing: bool,
}

impl Reloader {
    /// `path` is the configuration's file, `config` what was read from it at the start.
    pub(super) fn new(
        path: PathBuf,
        config: Config,
        hangup: Signal,
        deliveries: mpsc::Receiver<Delivery>,
        notices: Notices,
        kernel: Kernel,
        names: Sender<Names>,
    ) -> (Self, Reloads) {
        let (sender, wishes) = mpsc::channel(4);
        let watcher = watch(&path, &config);
        let reloader = Self {
            path,
            config,
            wishes,
            hangup,
            watcher,
            notices,
            deliveries,
            kernel,
            names,
            running: None,
            unstored: Vec::new(),
            is_enforced: false,
            unconfirmed: None,
            said_missing: false,
        };
        (reloader, sender)
    }

    /// Reloads whenever it is asked for. Ends with the event loop.
    pub(super) async fn run(mut self) {
        // A start that found nothing to load is told like a reload that did.
        let outcome = self.reload(How::ByItself).await;
        if outcome.is_err() {
            self.want().await;
        }
        self.tell(&outcome, "the start").await;
        loop {
            let until = self.unconfirmed.as_ref().map(|unconfirmed| unconfirmed.until);
            tokio::select! {
                wish = self.wishes.recv() => {
                    let Some(wish) = wish else { return };
                    self.answer(wish).await;
                }
                () = reached(until) => self.roll_back().await,
                _ = self.hangup.recv() => {
                    let outcome = self.reload(How::ByItself).await;
                    self.tell(&outcome, "SIGHUP").await;
                }
                () = changed(self.watcher.as_mut()) => self.settle().await,
                Some(delivery) = self.deliveries.recv() => self.take(delivery).await,
            }
            if self.notices.is_closed() {
                return;
            }
        }
    }

    async fn answer(&mut self, wish: Wish) {
        let (within, reply) = match wish {
            Wish::Reload(within, reply) => (within, reply),
            Wish::Commit(reply) => {
                let outcome = self.commit().await;
                // Whoever asked may be gone; what they said holds.
                let _ = reply.send(outcome);
                return;
            }
        };
        let outcome = match within {
            None => self.reload(How::Asked).await,
            Some(0) => Err("0 seconds leave no time to confirm; write 1 or more".to_owned()),
            Some(within) => {
                self.reload(How::Until(Instant::now() + Duration::from_secs(within.into()))).await
            }
        };
        self.tell(&outcome, "a client").await;
        let _ = reply.send(outcome);
    }

    /// Files changed: waits for them to rest and to agree, and reloads.
    async fn settle(&mut self) {
        let patience = Instant::now() + GRACE;
        let mut rested = Instant::now() + REST;
        loop {
            tokio::select! {
                () = sleep_until(rested.min(patience)) => {}
                () = changed(self.watcher.as_mut()) => {
                    rested = Instant::now() + REST;
                    continue;
                }
                wish = self.wishes.recv() => {
                    // Somebody can't wait; what they get is what the files give.
                    return if let Some(wish) = wish { self.answer(wish).await };
                }
            }
            let outcome = match self.reload_unless(How::ByItself, true).await {
                // What was put there by this node itself.
                Ok(None) => return,
                Ok(Some(reloaded)) => Ok(reloaded),
                Err(refusal) => Err(refusal),
            };
            if outcome.is_ok() || Instant::now() >= patience {
                return self.tell(&outcome, "a changed file").await;
            }
            tracing::debug!("files disagree; trying again");
            rested = Instant::now() + REST;
        }
    }

    /// Reads everything again, beside the event loop, and puts it in force in both halves.
    async fn reload(&mut self, how: How) -> Result<Reloaded, String> {
        self.reload_unless(how, false).await.map(Option::unwrap_or_default)
    }

    /// The same, but `None` when it would change nothing and `same` is to be left alone.
    async fn reload_unless(&mut self, how: How, same: bool) -> Result<Option<Reloaded>, String> {
        let how = match (how, &self.unconfirmed) {
            (How::ByItself | How::Asked, Some(unconfirmed)) => How::Until(unconfirmed.until),
            _ => how,
        };
        let (path, old, running) = (self.path.clone(), self.config.clone(), self.running.clone());
        let unstored = self.unstored.clone();
        let left_out =
            if how == How::ByItself { load::Unconfirmed::LeaveOut } else { load::Unconfirmed::Take };
        let read = tokio::task::spawn_blocking(move || {
            let config = configuration::read(&path).map_err(|faults| faults.to_string())?;
            if let Some(key) = needs_restart(&old, &config) {
                return Err(format!("{}: {key} changed; restart vpmesh to apply it", config.file));
            }
            let loaded = load(&config, running.as_ref(), &unstored, left_out);
            let loaded = loaded.map_err(|refusal| refusal.to_string())?;
            let changes = config != old || running.is_none_or(|running| !running.is_same(&loaded));
            Ok((changes || !same).then_some((config, loaded)))
        });
        let Some((config, loaded)) = read.await.map_err(|error| error.to_string())?? else { return Ok(None) };
        let unconfirmed = match how {
            How::Until(until) => Some(self.doubt(&loaded, until).await?),
            How::ByItself | How::Asked => None,
        };
        let (reloaded, mut errors) = match self.put_in_force(&config, &loaded).await {
            Ok(taken) => taken,
            Err(refusal) => {
                if how != How::ByItself && self.unconfirmed.is_none() {
                    // Nothing was tried, so nothing is in doubt that was not; it may well come again by itself.
                    let _ = tokio::task::spawn_blocking(move || load::trust(&config)).await;
                }
                return Err(refusal);
            }
        };
        self.follow(&config);
        self.config = config;
        self.running = Some(loaded.clone());
        let until = unconfirmed.as_ref().map(|unconfirmed| unconfirmed.until);
        match how {
            How::ByItself => errors.extend(keep(&loaded, &self.config).await),
            // Somebody means it, whatever was in doubt.
            How::Asked => errors.extend(keep_for_good(&loaded, &self.config).await),
            How::Until(_) => {}
        }
        if !matches!(how, How::Until(_)) {
            self.store_again(&loaded).await;
        }
        self.unconfirmed = unconfirmed;
        let _ = self.notices.send(Notice::Unconfirmed(until.map(Instant::into_std))).await;
        errors.extend(loaded.errors.iter().cloned());
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let within = left.and_then(|left| u32::try_from(left.as_secs_f64().ceil() as u64).ok());
        Ok(Some(Reloaded { reloaded, errors, notes: loaded.notes, within }))
    }

    /// Has both halves enforce a model, or neither: what ran before runs on. What is wrong all the same.
    ///
    /// The engine's word comes first, because it is given without a change; then the kernel's, because it is what most
    /// likely refuses, and a transaction that is refused changed nothing.
    pub(super) async fn put_in_force(
        &mut self,
        config: &Config,
        loaded: &Loaded,
    ) -> Result<(ReloadReport, Vec<String>), String> {
        let model = &loaded.model;
        let own = load::own(config).map_err(|refusal| refusal.to_string())?;
        let shelf = loaded.shelf(&own);
        self.ask(|reply| Notice::Try(Arc::clone(model), reply)).await?;
        let mut errors = Vec::new();
        let (judge, policy) = compiled(model, config).await?;
        let (hosts, gateway) =
            policy.as_ref().map_or((0, None), |policy| (policy.lan_stations, Some(policy.gateway)));
        let outcome = match policy {
            Some(policy) => self.kernel.enforce(policy).await.map(|()| true),
            // A node without a room has nothing that only the kernel can police.
            None => Ok(false),
        };
        let enforced = match outcome {
            Ok(enforced) => enforced,
            Err(refusal) if self.is_enforced => {
                return Err(format!(
                    "{refusal}\nneither half was changed: what the kernel enforced before stays in force"
                ));
            }
            // There is nothing to go back to, and the mesh needs nothing of the kernel.
            Err(refusal) if hosts > 0 => {
                errors.push(format!(
                    "policy is NOT enforced between the internet and {} of this room: {refusal}",
                    amount(hosts, "LAN station")
                ));
                false
            }
            Err(refusal) => {
                tracing::warn!("the kernel's own half of policy is not in force: {refusal}");
                false
            }
        };
        let served = self.ask(|reply| Notice::Serve(Arc::clone(&judge), shelf, reply)).await;
        let mut report = match served {
            Ok(report) => report,
            Err(refusal) => {
                self.enforce_again().await;
                return Err(refusal);
            }
        };
        self.is_enforced = enforced;
        self.names.send_replace(Names::of(model, &config.domain));
        self.kernel.settled().await;
        let cut = match gateway {
            Some(gateway) => cut(judge, gateway).await,
            None => Ok(0),
        };
        match cut {
            Ok(cut) => report.kernel_flows_cut = cut,
            Err(ConntrackError::Missing) if self.said_missing => {}
            Err(error) => {
                self.said_missing |= matches!(error, ConntrackError::Missing);
                let warning =
                    format!("connections that the kernel goes on with are not judged again: {error}");
                if hosts > 0 { errors.push(warning) } else { tracing::debug!("{warning}") }
            }
        }
        Ok((report, errors))
    }

    /// With nothing in force the own owner's roster is looked for.
    async fn want(&self) {
        if let Ok(own) = load::own(&self.config) {
            let _ = self.notices.send(Notice::Want(Shelf::of(&own, None))).await;
        }
    }

    /// What the disk had no room for may fit now.
    async fn store_again(&mut self, loaded: &Loaded) {
        let unstored = std::mem::take(&mut self.unstored);
        let (config, loaded) = (self.config.clone(), loaded.clone());
        let rest = tokio::task::spawn_blocking(move || {
            let still = |unstored: &Unstored| loaded.install(&config, unstored.owner()).is_err();
            unstored.into_iter().filter(still).collect()
        });
        self.unstored = rest.await.unwrap_or_default();
    }

    /// Whether what is in force waits for its confirmation.
    pub(super) fn is_trial(&self) -> bool {
        self.unconfirmed.is_some()
    }

    /// The kernel enforces again what is in force.
    async fn enforce_again(&mut self) {
        if !self.is_enforced {
            return;
        }
        let Some(running) = &self.running else { return };
        let again = match compiled(&running.model, &self.config).await {
            Ok((_, Some(policy))) => self.kernel.enforce(policy).await,
            Ok((_, None)) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = again {
            tracing::error!(%error, "the kernel refuses what it enforced before");
        }
        self.kernel.settled().await;
    }

    /// Asks the event loop.
    async fn ask<T>(
        &self,
        notice: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Notice,
    ) -> Result<T, String> {
        let stopping = || "vpmesh is stopping".to_owned();
        let (reply, outcome) = oneshot::channel();
        self.notices.send(notice(reply)).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())?
    }

    /// Watches what the configuration names.
    fn follow(&mut self, config: &Config) {
        if config.rosters != self.config.rosters {
            self.watcher = watch(&self.path, config);
        }
    }

    /// Writes down that what is to be in force is not for good. What was in force before stays what is gone back to,
    /// however often something else is tried.
    async fn doubt(&self, loaded: &Loaded, until: Instant) -> Result<Unconfirmed, String> {
        let (config, before, mut tried) = match (&self.unconfirmed, &self.running) {
            (Some(earlier), _) => (earlier.config.clone(), earlier.loaded.clone(), earlier.tried.clone()),
            (None, Some(running)) => (self.config.clone(), running.clone(), Vec::new()),
            (None, None) => {
                return Err("nothing is in force that could be gone back to; run `vpmesh reload`".to_owned());
            }
        };
        tried.extend(loaded.new_against(&before));
        tried.sort_unstable();
        tried.dedup();
        let (told, hashes) = (config.clone(), tried.clone());
        match tokio::task::spawn_blocking(move || load::doubt(&told, &hashes)).await {
            Ok(Ok(())) => Ok(Unconfirmed { until, config, loaded: before, tried }),
            Ok(Err(error)) => Err(format!(
                "it can't be written down that this is not for good, and a restart would take it: {error}"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What is in force is for good.
    async fn commit(&mut self) -> Result<Committed, String> {
        let Some(running) = self.running.clone().filter(|_| self.unconfirmed.is_some()) else {
            return Err(
                "nothing waits for a confirmation; it was rolled back, or confirmed already".to_owned()
            );
        };
        self.unconfirmed = None;
        let _ = self.notices.send(Notice::Unconfirmed(None)).await;
        let errors: Vec<String> = keep_for_good(&running, &self.config).await.into_iter().collect();
        tracing::info!("what was reloaded is confirmed");
        errors.iter().for_each(|error| tracing::error!("{error}"));
        Ok(Committed { committed: true, errors })
    }

    /// Nobody confirmed: both halves enforce what was in force before.
    async fn roll_back(&mut self) {
        let Some(Unconfirmed { config, loaded, .. }) = self.unconfirmed.take() else { return };
        let _ = self.notices.send(Notice::Unconfirmed(None)).await;
        tracing::warn!("what was reloaded was not confirmed; what was in force before is again");
        let outcome = match self.put_in_force(&config, &loaded).await {
            Ok((reloaded, errors)) => {
                self.follow(&config);
                self.config = config;
                let notes = vec!["rolled back: it was not confirmed in time".to_owned()];
                self.running = Some(loaded);
                Ok(Reloaded { reloaded, errors, notes, within: None })
            }
            Err(refusal) => {
                Err(format!("it can't be rolled back, and stays in force until a restart: {refusal}"))
            }
        };
        self.tell(&outcome, "no confirmation").await;
    }

    /// Logs how a reload ended, and keeps it for `status`.
    async fn tell(&self, outcome: &Result<Reloaded, String>, by: &str) {
        let last = match outcome {
            Ok(Reloaded { reloaded: report, errors, notes, .. }) => {
                tracing::info!(
                    by,
                    owners = report.owners,
                    nodes = report.nodes,
                    peers_added = report.peers_added,
                    peers_removed = report.peers_removed,
                    flows_cut = report.flows_cut,
                    kernel_flows_cut = report.kernel_flows_cut,
                    "rosters loaded"
                );
                for error in errors {
                    tracing::error!("{error}");
                }
                for note in notes {
                    tracing::warn!("{note}");
                }
                LastReload { ago: 0, report: Some(*report), refusal: None, notes: notes.clone() }
            }
            Err(refusal) => {
                tracing::error!(by, "nothing was loaded, and what ran before runs on");
                for line in refusal.lines() {
                    tracing::error!("{line}");
                }
                LastReload { ago: 0, report: None, refusal: Some(refusal.clone()), notes: Vec::new() }
            }
        };
        let _ = self.notices.send(Notice::Reloaded(last)).await;
    }
}

/// What each half enforces of a model, compiled.
async fn compiled(model: &Arc<Model>, config: &Config) -> Result<(Arc<Judge>, Option<Policy>), String> {
    let (model, config) = (Arc::clone(model), config.clone());
    let compiled = tokio::task::spawn_blocking(move || {
        let judge = Arc::new(Judge::new(model));
        let policy = Policy::new(&judge, &config);
        (judge, policy)
    });
    compiled.await.map_err(|error| error.to_string())
}

/// Ends the kernel's connections that the judge denies; how many.
async fn cut(judge: Arc<Judge>, gateway: NodeId) -> Result<u64, ConntrackError> {
    let own = netlink::own_addresses().await.unwrap_or_default();
    let cut = tokio::task::spawn_blocking(move || kernel::cut(&judge, gateway, &own)).await;
    let looked = cut.unwrap_or_else(|error| Err(ConntrackError::Other(std::io::Error::other(error))))?;
    Ok(looked.deleted)
}

/// Keeps on disk what is in force. Only what is served is kept, and a disk that takes nothing more stops nothing.
async fn keep(loaded: &Loaded, config: &Config) -> Option<String> {
    let (loaded, config) = (loaded.clone(), config.clone());
    match tokio::task::spawn_blocking(move || loaded.keep(&config)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("accepted rosters can't be kept on disk: {error}")),
        Err(error) => Some(error.to_string()),
    }
}

/// The same, and nothing is in doubt any more. After a power cut in between, what was in doubt is what is kept.
async fn keep_for_good(loaded: &Loaded, config: &Config) -> Option<String> {
    let kept = keep(loaded, config).await;
    let config = config.clone();
    let trusted = tokio::task::spawn_blocking(move || load::trust(&config)).await;
    let untold = match trusted {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("a restart takes what was accepted before this: {error}")),
        Err(error) => Some(error.to_string()),
    };
    kept.or(untold)
}

async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn amount(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The first key that changed and that a running daemon can't take.
fn needs_restart(old: &Config, new: &Config) -> Option<&'static str> {
    let differs = [
        ("node", old.node != new.node),
        ("private_key", old.private_key != new.private_key),
        ("interface", old.interface != new.interface),
        ("listen", old.listen != new.listen),
        ("control", old.control != new.control),
        ("metrics", old.metrics != new.metrics),
        ("tls_listen", old.tls_listen != new.tls_listen),
        ("dns", old.dns != new.dns),
        ("mtu", old.mtu != new.mtu),
        ("fwmark", old.fwmark != new.fwmark),
        ("flows", old.flows != new.flows),
        ("log", old.log != new.log),
        ("receive_buffer", old.receive_buffer != new.receive_buffer),
        ("send_buffer", old.send_buffer != new.send_buffer),
        ("introducers", old.introducers != new.introducers),
        ("port_mapping", old.port_mapping != new.port_mapping),
    ];
    differs.into_iter().find(|(_, differs)| *differs).map(|(key, _)| key)
}

/// Watches the rosters' folder and the configuration's file. `None`: the kernel can't.
fn watch(path: &Path, config: &Config) -> Option<Watcher> {
    let mut watcher = match Watcher::new() {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "files are not watched; run `vpmesh reload` when they change");
            return None;
        }
    };
    watcher.add(&config.rosters, Files::Rosters);
    if let (Ok(path), Some(name)) = (std::path::absolute(path), path.file_name())
        && let Some(folder) = path.parent()
    {
        watcher.add(folder, Files::Named(name.to_owned()));
    }
    Some(watcher)
}

/// Waits until a file changed or a folder came back; for ever where nothing is watched.
async fn changed(watcher: Option<&mut Watcher>) {
    let Some(watcher) = watcher else { return std::future::pending().await };
    loop {
        if !watcher.has_lost() {
            match watcher.changed().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "files are not watched any more; run `vpmesh reload` when they change");
                    return std::future::pending().await;
                }
            }
        }
        tokio::select! {
            outcome = watcher.changed() => if outcome.is_ok() { return },
            () = sleep(LOOK) => {}
        }
        if watcher.find_lost() {
            return;
        }
    }
}
