//! Reload: rosters and configuration again, or nothing at all.
//!
//! It is asked for by a client, by SIGHUP, or by a file that changed. Files change one after the other: a roster and
//! its signature disagree for a moment, and what is refused then is tried again before anybody is told.

mod halves;
mod judgement;
mod kept;
mod trial;
mod watched;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::watch::Sender;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use self::kept::{keep, keep_for_good};
use self::trial::{Unconfirmed, reached};
use self::watched::{changed, watch};
use super::configuration::{self, needs_restart};
use super::delivery::Delivery;
use super::kernel::Kernel;
use super::load::{self, Loaded, Unstored, load};
use super::notice::{Notice, Notices};
use super::question::{Committed, Reloaded};
use super::status::LastReload;
use crate::config::Config;
use crate::mesh::sync::Shelf;
use crate::names::Names;
use crate::os::watch::Watcher;

/// How long files must rest before they are read.
const REST: Duration = Duration::from_millis(200);
/// How long files may disagree before it is an error.
const GRACE: Duration = Duration::from_secs(1);

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

/// The task that reloads.
pub(super) struct Reloader {
    path: PathBuf,
    config: Config,
    wishes: mpsc::Receiver<Wish>,
    hangup: Signal,
    watcher: Option<Watcher>,
    notices: Notices,
    deliveries: mpsc::Receiver<Delivery>,
    kernel: Kernel,
    /// What resolvers are told.
    names: Sender<Names>,
    /// What is in force.
    running: Option<Loaded>,
    /// What of it the disk had no room for.
    unstored: Vec<Unstored>,
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

    /// With nothing in force the own owner's roster is looked for.
    async fn want(&self) {
        if let Ok(own) = load::own(&self.config) {
            let _ = self.notices.send(Notice::Want(Shelf::of(&own, None))).await;
        }
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
