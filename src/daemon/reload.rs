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

use super::notice::{Notice, Notices};
use super::question::Reloaded;
use super::status::LastReload;
use super::{Loaded, configuration, load};
use crate::config::Config;
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
    config: Config,
    requests: mpsc::Receiver<oneshot::Sender<Result<Reloaded, String>>>,
    hangup: Signal,
    watcher: Option<Watcher>,
    notices: Notices,
    /// What is in force.
    running: Option<Loaded>,
}

impl Reloader {
    /// `path` is the configuration's file, `config` what was read from it at the start.
    pub(super) fn new(path: PathBuf, config: Config, hangup: Signal, notices: Notices) -> (Self, Reloads) {
        let (sender, requests) = mpsc::channel(4);
        let watcher = watch(&path, &config);
        (Self { path, config, requests, hangup, watcher, notices, running: None }, sender)
    }

    /// Reloads whenever it is asked for. Ends with the event loop.
    pub(super) async fn run(mut self) {
        // A start that found nothing to load is told like a reload that did.
        let outcome = self.reload().await;
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
            let outcome = self.reload().await;
            if outcome.is_ok() || Instant::now() >= patience {
                return self.tell(&outcome, "a changed file").await;
            }
            tracing::debug!("files disagree; trying again");
            rested = Instant::now() + REST;
        }
    }

    /// Reads everything again, beside the event loop, and has the engine serve it.
    async fn reload(&mut self) -> Result<Reloaded, String> {
        let (path, old, running) = (self.path.clone(), self.config.clone(), self.running.clone());
        let read = tokio::task::spawn_blocking(move || {
            let config = configuration::read(&path).map_err(|faults| faults.to_string())?;
            if let Some(key) = needs_restart(&old, &config) {
                return Err(format!("{}: {key} changed; restart vpmesh to apply it", config.file));
            }
            let loaded = load(&config, running.as_ref()).map_err(|refusal| refusal.to_string())?;
            Ok((config, loaded))
        });
        let (config, loaded) = read.await.map_err(|error| error.to_string())??;
        let (reply, report) = oneshot::channel();
        self.notices
            .send(Notice::Serve(Arc::clone(&loaded.model), reply))
            .await
            .map_err(|_| "vpmesh is stopping".to_owned())?;
        let reloaded = report.await.map_err(|_| "vpmesh is stopping".to_owned())??;
        if config.rosters != self.config.rosters {
            self.watcher = watch(&self.path, &config);
        }
        self.config = config.clone();
        self.running = Some(loaded.clone());
        // Only what is served is kept, and a disk that takes nothing more stops nothing.
        let keep = tokio::task::spawn_blocking(move || loaded.keep(&config).map(|()| loaded));
        let mut errors = Vec::new();
        match keep.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => errors.push(format!("accepted rosters can't be kept on disk: {error}")),
            Err(error) => errors.push(error.to_string()),
        }
        let served = self.running.as_ref();
        errors.extend(served.iter().flat_map(|loaded| loaded.errors.clone()));
        let notes = served.map(|loaded| loaded.notes.clone()).unwrap_or_default();
        Ok(Reloaded { reloaded, errors, notes })
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
