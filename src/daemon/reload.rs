//! Reload: rosters and configuration again, or nothing at all.
//!
//! It is asked for by a client, by SIGHUP, or by a file that changed. Files change one after the other: a roster and
//! its signature disagree for a moment, and what is refused then is tried again before anybody is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::delivery::Delivery;
use super::load::{self, Unstored, load};
use super::notice::{Notice, Notices};
use super::question::Reloaded;
use super::status::LastReload;
use super::{Loaded, configuration};
use crate::config::Config;
use crate::engine::ReloadReport;
use crate::mesh::sync::Shelf;
use crate::os::watch::{Files, Watcher};

/// How long files must rest before they are read.
const REST: Duration = Duration::from_millis(200);
/// How long files may disagree before it is an error.
const GRACE: Duration = Duration::from_secs(1);
/// How often a folder that went is looked for.
const LOOK: Duration = Duration::from_secs(2);

/// Asks for a reload; the answer comes when it is done.
pub(super) type Reloads = mpsc::Sender<oneshot::Sender<Result<Reloaded, String>>>;

/// The task that reloads.
pub(super) struct Reloader {
    path: PathBuf,
    pub(super) config: Config,
    requests: mpsc::Receiver<oneshot::Sender<Result<Reloaded, String>>>,
    hangup: Signal,
    watcher: Option<Watcher>,
    pub(super) notices: Notices,
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    /// What is in force.
    pub(super) running: Option<Loaded>,
    /// What of it the disk had no room for.
    pub(super) unstored: Vec<Unstored>,
}

impl Reloader {
    /// `path` is the configuration's file, `config` what was read from it at the start.
    pub(super) fn new(
        path: PathBuf,
        config: Config,
        hangup: Signal,
        deliveries: mpsc::Receiver<Delivery>,
        notices: Notices,
    ) -> (Self, Reloads) {
        let (sender, requests) = mpsc::channel(4);
        let watcher = watch(&path, &config);
        let (running, unstored) = (None, Vec::new());
        (Self { path, config, requests, hangup, watcher, notices, deliveries, running, unstored }, sender)
    }

    /// Reloads whenever it is asked for. Ends with the event loop.
    pub(super) async fn run(mut self) {
        // A start that found nothing to load is told like a reload that did.
        let outcome = self.reload().await;
        if outcome.is_err() {
            self.want().await;
        }
        self.tell(&outcome, "the start").await;
        loop {
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(request) = request else { return };
                    self.answer(request).await;
                }
                _ = self.hangup.recv() => {
                    let outcome = self.reload().await;
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

    async fn answer(&mut self, request: oneshot::Sender<Result<Reloaded, String>>) {
        let outcome = self.reload().await;
        self.tell(&outcome, "a client").await;
        let _ = request.send(outcome);
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
                request = self.requests.recv() => {
                    // Somebody can't wait; what they get is what the files give.
                    return if let Some(request) = request { self.answer(request).await };
                }
            }
            let outcome = match self.reload_unless(true).await {
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

    /// Reads everything again, beside the event loop, and has the engine serve it.
    async fn reload(&mut self) -> Result<Reloaded, String> {
        self.reload_unless(false).await.map(Option::unwrap_or_default)
    }

    /// The same, but `None` when it would change nothing and `same` is to be left alone.
    async fn reload_unless(&mut self, same: bool) -> Result<Option<Reloaded>, String> {
        let (path, old, running) = (self.path.clone(), self.config.clone(), self.running.clone());
        let unstored = self.unstored.clone();
        let read = tokio::task::spawn_blocking(move || {
            let config = configuration::read(&path).map_err(|faults| faults.to_string())?;
            if let Some(key) = needs_restart(&old, &config) {
                return Err(format!("{}: {key} changed; restart vpmesh to apply it", config.file));
            }
            let loaded = load(&config, running.as_ref(), &unstored).map_err(|refusal| refusal.to_string())?;
            let changes = config != old || running.is_none_or(|running| !running.is_same(&loaded));
            Ok((changes || !same).then_some((config, loaded)))
        });
        let Some((config, loaded)) = read.await.map_err(|error| error.to_string())?? else { return Ok(None) };
        let reloaded = self.serve(&config, &loaded).await?;
        if config.rosters != self.config.rosters {
            self.watcher = watch(&self.path, &config);
        }
        self.config = config.clone();
        self.running = Some(loaded.clone());
        // Only what is served is kept, and a disk that takes nothing more stops nothing.
        let unstored = std::mem::take(&mut self.unstored);
        let keep = tokio::task::spawn_blocking(move || {
            let still = |unstored: &Unstored| loaded.install(&config, unstored.owner()).is_err();
            (loaded.keep(&config), unstored.into_iter().filter(still).collect::<Vec<_>>())
        });
        let mut errors = Vec::new();
        match keep.await {
            Ok((kept, unstored)) => {
                let failed = |error| format!("accepted rosters can't be kept on disk: {error}");
                errors.extend(kept.err().map(failed));
                self.unstored = unstored;
            }
            Err(error) => errors.push(error.to_string()),
        }
        let served = self.running.as_ref();
        errors.extend(served.iter().flat_map(|loaded| loaded.errors.clone()));
        let notes = served.map(|loaded| loaded.notes.clone()).unwrap_or_default();
        Ok(Some(Reloaded { reloaded, errors, notes }))
    }

    /// Has the engine serve what was loaded, and others have it.
    pub(super) async fn serve(&self, config: &Config, loaded: &Loaded) -> Result<ReloadReport, String> {
        let stopping = |_| "vpmesh is stopping".to_owned();
        let own = load::own(config).map_err(|refusal| refusal.to_string())?;
        let (reply, report) = oneshot::channel();
        let notice = Notice::Serve(Arc::clone(&loaded.model), loaded.shelf(&own), reply);
        self.notices.send(notice).await.map_err(|_| "vpmesh is stopping".to_owned())?;
        report.await.map_err(stopping)?
    }

    /// With nothing in force the own owner's roster is looked for.
    async fn want(&self) {
        if let Ok(own) = load::own(&self.config) {
            let _ = self.notices.send(Notice::Want(Shelf::of(&own, None))).await;
        }
    }

    /// Logs how a reload ended, and keeps it for `status`.
    async fn tell(&self, outcome: &Result<Reloaded, String>, by: &str) {
        let last = match outcome {
            Ok(Reloaded { reloaded: report, errors, notes }) => {
                tracing::info!(
                    by,
                    owners = report.owners,
                    nodes = report.nodes,
                    peers_added = report.peers_added,
                    peers_removed = report.peers_removed,
                    flows_cut = report.flows_cut,
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
