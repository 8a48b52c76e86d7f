//! The files that a reload reads, watched.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::Reloader;
use crate::config::Config;
use crate::os::watch::{Files, Watcher};

/// How often a folder that went is looked for.
const LOOK: Duration = Duration::from_secs(2);

impl Reloader {
    /// Watches what the configuration names.
    pub(super) fn follow(&mut self, config: &Config) {
        if config.rosters != self.config.rosters {
            self.watcher = watch(&self.path, config);
        }
    }
}

/// Watches the rosters' folder and the configuration's file. `None`: the kernel can't.
pub(super) fn watch(path: &Path, config: &Config) -> Option<Watcher> {
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
pub(super) async fn changed(watcher: Option<&mut Watcher>) {
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
