//! What of a reload is kept on disk. Only what is served is, and a disk that takes nothing more stops nothing.

use super::Reloader;
use crate::config::Config;
use crate::daemon::load::{self, Loaded, Unstored};

impl Reloader {
    /// What the disk had no room for may fit now.
    pub(super) async fn store_again(&mut self, loaded: &Loaded) {
        let unstored = std::mem::take(&mut self.unstored);
        let (config, loaded) = (self.config.clone(), loaded.clone());
        let rest = tokio::task::spawn_blocking(move || {
            let still = |unstored: &Unstored| loaded.install(&config, unstored.owner()).is_err();
            unstored.into_iter().filter(still).collect()
        });
        self.unstored = rest.await.unwrap_or_default();
    }
}

/// Keeps on disk what is in force; what is wrong with the disk.
pub(super) async fn keep(loaded: &Loaded, config: &Config) -> Option<String> {
    let (loaded, config) = (loaded.clone(), config.clone());
    match tokio::task::spawn_blocking(move || loaded.keep(&config)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("accepted rosters can't be kept on disk: {error}")),
        Err(error) => Some(error.to_string()),
    }
}

/// The same, and nothing is in doubt any more. After a power cut in between, what was in doubt is what is kept.
pub(super) async fn keep_for_good(loaded: &Loaded, config: &Config) -> Option<String> {
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
