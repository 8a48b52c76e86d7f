//! A reload that waits for its confirmation, and what is gone back to without one.

use tokio::time::{Instant, sleep_until};

use super::Reloader;
use super::kept::keep_for_good;
use crate::config::Config;
use crate::daemon::load::{self, Loaded};
use crate::daemon::notice::Notice;
use crate::daemon::question::{Committed, Reloaded};

/// What is gone back to when nobody confirms, and when. Until then every reload is of this kind: files may be changed
/// after it began as well as before.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pub(super) until: Instant,
    config: Config,
    loaded: Loaded,
    /// Contents that were in force since, by hash.
    tried: Vec<[u8; 32]>,
}

impl Reloader {
    /// Whether what is in force waits for its confirmation.
    pub(super) fn is_trial(&self) -> bool {
        self.unconfirmed.is_some()
    }

    /// Writes down that what is to be in force is not for good. What was in force before stays what is gone back to,
    /// however often something else is tried.
    pub(super) async fn doubt(&self, loaded: &Loaded, until: Instant) -> Result<Unconfirmed, String> {
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
    pub(super) async fn commit(&mut self) -> Result<Committed, String> {
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
    pub(super) async fn roll_back(&mut self) {
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
}

pub(super) async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
