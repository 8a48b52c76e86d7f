//! Whether files changed: the rosters' folder and the configuration's.
//!
//! Folders are watched, not files, since whoever writes a file well writes another and renames it. What changed is not
//! told, only that something did: whoever asks reads all of it again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ready;

/// Which files of a folder matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// Rosters and their signatures.
    Rosters,
    /// One file.
    Named(OsString),
}

impl Files {
    fn contain(&self, name: &OsStr) -> bool {
        match self {
            Self::Named(own) => own == name,
            Self::Rosters => {
                // Editors leave `.alice.toml.swp` and `alice.toml~` behind.
                let name = name.as_encoded_bytes();
                !name.starts_with(b".") && (name.ends_with(b".toml") || name.ends_with(b".toml.sig"))
            }
        }
    }
}

/// Watches folders. Made inside a tokio runtime.
#[derive(Debug)]
pub struct Watcher {
    inotify: AsyncFd<Inotify>,
    folders: Vec<Folder>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    files: Files,
    /// `None`: the folder is not there.
    watch: Option<WatchDescriptor>,
}

impl Watcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The kernel's: it has no inotify, or no more of it to give.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: ready::watch(Inotify::init()?, Interest::READABLE)?,
            folders: Vec::new(),
            buffer: vec![0; 4096],
        })
    }

    /// Watches a folder's files. One that is not there is watched once [`Watcher::find_lost`] finds it.
    pub fn add(&mut self, folder: &Path, files: Files) {
        let mut folder = Folder { path: folder.to_owned(), files, watch: None };
        folder.find(self.inotify.get_ref());
        self.folders.push(folder);
    }

    /// Whether a folder is not there and has to be looked for.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.folders.iter().any(|folder| folder.watch.is_none())
    }

    /// Looks for folders that were not there; whether one was found.
    pub fn find_lost(&mut self) -> bool {
        let inotify = self.inotify.get_ref();
        self.folders.iter_mut().filter(|folder| folder.watch.is_none()).fold(false, |found, folder| {
            folder.find(inotify);
            found || folder.watch.is_some()
        })
    }

    /// Waits until a file that matters was written, came or went.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.inotify.readable_mut().await?;
            let buffer = &mut self.buffer;
            let folders = &mut self.folders;
            let outcome = guard.try_io(|inotify| {
                let mut matters = false;
                for event in inotify.get_mut().read_events(buffer)? {
                    matters |= matter(folders, &event);
                }
                Ok(matters)
            });
            match outcome {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}

impl Folder {
    fn find(&mut self, inotify: &Inotify) {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        self.watch = inotify.watches().add(&self.path, mask).ok();
    }
}

/// Whether an event matters; a folder that went is marked as lost.
fn matter(folders: &mut [Folder], event: &inotify::Event<&OsStr>) -> bool {
    if event.mask.contains(EventMask::Q_OVERFLOW) {
        return true;
    }
    let gone = EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF;
    let mut matters = false;
    // Two folders may be one, and then have one watch between them.
    for folder in folders.iter_mut().filter(|folder| folder.watch.as_ref() == Some(&event.wd)) {
        if event.mask.intersects(gone) {
            folder.watch = None;
            matters = true;
        }
        // A new file matters once it is written; a new link is there at once.
        matters |= event.name.is_some_and(|name| folder.files.contain(name));
    }
    matters
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn rosters(folder: &Path) -> Watcher {
        let mut watcher = Watcher::new().unwrap();
        watcher.add(folder, Files::Rosters);
        watcher
    }

    fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let limit = std::time::Duration::from_secs(10);
        runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("a change is told") });
    }

    #[test]
    fn a_roster_that_was_renamed_into_place_is_told() {
        in_runtime(async {
            let folder = tempfile::tempdir().unwrap();
            let mut watcher = rosters(folder.path()).await;
            fs::write(folder.path().join(".alice.toml.new"), "x").unwrap();
            fs::rename(folder.path().join(".alice.toml.new"), folder.path().join("alice.toml")).unwrap();
            watcher.changed().await.unwrap();
        });
    }

    #[test]
    fn what_editors_leave_behind_is_not_told() {
        in_runtime(async {
            let folder = tempfile::tempdir().unwrap();
            let mut watcher = rosters(folder.path()).await;
            for name in [".alice.toml.swp", "alice.toml~", "4913", "notes.txt"] {
                fs::write(folder.path().join(name), "x").unwrap();
            }
            let told = tokio::time::timeout(std::time::Duration::from_millis(50), watcher.changed()).await;
            assert!(told.is_err());
        });
    }

    #[test]
    fn a_folder_that_comes_back_is_watched_again() {
        in_runtime(async {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("rosters");
            let mut watcher = rosters(&folder).await;
            assert!(watcher.has_lost() && !watcher.find_lost());
            fs::create_dir(&folder).unwrap();
            assert!(watcher.find_lost() && !watcher.has_lost());
            fs::remove_dir(&folder).unwrap();
            watcher.changed().await.unwrap();
            assert!(watcher.has_lost());
            fs::create_dir(&folder).unwrap();
            assert!(watcher.find_lost());
            fs::write(folder.join("bob.toml.sig"), "x").unwrap();
            watcher.changed().await.unwrap();
        });
    }
}
