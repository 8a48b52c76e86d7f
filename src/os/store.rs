//! Rosters on disk: the ones that are offered, and the ones that were accepted.
//!
//! Owners' files are `NAME.toml` and `NAME.toml.sig` in the rosters' folder; people and programs put them there. What was
//! accepted is kept in `.accepted/NAME` below it, one file an owner: a header with serial, key and lengths, then the
//! roster's and the signature's bytes, then a hash over it all. A power cut at any instant leaves the old file or the
//! new one; a file that does not check is no file. Flash wears out: nothing is written that has not changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use blake2::{Blake2s256, Digest};

use crate::base::Name;
use crate::base::signify::OwnerKey;
use crate::mesh::accept::{Kept, Offer};
use crate::roster::ROSTER_BYTES_MAX;

/// A signature file: a comment line and a hundred bytes of base64.
const SIGNATURE_BYTES_MAX: u64 = 4 * 1024;
/// Roster files looked at in one folder.
const OFFERS_MAX: usize = 1_024;
const FOLDER: &str = ".accepted";
const MAGIC: &str = "vpmesh accepted roster 1";

/// The rosters' folder.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// What can't be read, and why; the rest can.
#[derive(Debug)]
pub struct Unreadable {
    pub path: PathBuf,
    pub error: io::Error,
}

impl Store {
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Every roster that is offered, by name, and the files that can't be read.
    ///
    /// # Errors
    /// When the folder itself can't be read.
    pub fn offers(&self) -> io::Result<(Vec<Offer>, Vec<Unreadable>)> {
        let (mut offers, mut unreadable) = (Vec::new(), Vec::new());
        let mut owners: Vec<_> =
            fs::read_dir(&self.folder)?.filter_map(|entry| owner_of(&entry.ok()?.path())).collect();
        owners.sort_unstable();
        for owner in owners.into_iter().take(OFFERS_MAX) {
            let path = self.folder.join(format!("{owner}.toml"));
            match read_offer(owner, &path) {
                Ok(offer) => offers.push(offer),
                Err(error) => unreadable.push(Unreadable { path, error }),
            }
        }
        Ok((offers, unreadable))
    }

    /// What was accepted before. A folder that is not there is an empty one.
    #[must_use]
    pub fn kept(&self) -> (Vec<Kept>, Vec<Unreadable>) {
        let (mut kept, mut unreadable) = (Vec::new(), Vec::new());
        let Ok(entries) = fs::read_dir(self.folder.join(FOLDER)) else { return (kept, unreadable) };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).take(OFFERS_MAX) {
            let Some(owner) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            let limit = ROSTER_BYTES_MAX as u64 + 2 * SIGNATURE_BYTES_MAX;
            let read = read_bounded(&path, limit)
                .and_then(|bytes| decode(owner, &bytes).ok_or_else(|| io::Error::other("is damaged")));
            match read {
                Ok(entry) => kept.push(entry),
                Err(error) => unreadable.push(Unreadable { path, error }),
            }
        }
        (kept, unreadable)
    }

    /// Keeps what was accepted; writes the files that differ.
    ///
    /// # Errors
    /// The first write that failed. What was kept before is still there, old or new, file by file.
    pub fn keep(&self, kept: &[Kept]) -> io::Result<()> {
        let folder = self.folder.join(FOLDER);
        for entry in kept {
            let path = folder.join(entry.owner.as_str());
            let bytes = encode(entry);
            if fs::read(&path).is_ok_and(|old| old == bytes) {
                continue;
            }
            if !folder.is_dir() {
                fs::create_dir_all(&folder)?;
                sync_folder(&self.folder)?;
            }
            write_atomic(&path, &bytes, 0o600)?;
        }
        Ok(())
    }
}

/// The owner that a file `NAME.toml` is of.
fn owner_of(path: &Path) -> Option<Name> {
    (path.extension()? == "toml").then(|| path.file_stem()?.to_str()?.parse().ok())?
}

fn read_offer(owner: Name, path: &Path) -> io::Result<Offer> {
    let bytes = read_bounded(path, ROSTER_BYTES_MAX as u64)?;
    let signature = match read_bounded(&signature_path(path), SIGNATURE_BYTES_MAX) {
        Ok(signature) => Some(signature.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Offer { owner, file: path.to_string_lossy().into(), bytes: bytes.into(), signature })
}

/// Where the signature of a roster's file is: the same name and `.sig`.
#[must_use]
pub fn signature_path(roster: &Path) -> PathBuf {
    let mut name = roster.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn encode(kept: &Kept) -> Vec<u8> {
    let header =
        format!("{MAGIC}\n{}\n{}\n{} {}\n", kept.key, kept.serial, kept.bytes.len(), kept.signature.len());
    let mut bytes = header.into_bytes();
    bytes.extend_from_slice(&kept.bytes);
    bytes.extend_from_slice(&kept.signature);
    let hash = Blake2s256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

fn decode(owner: Name, bytes: &[u8]) -> Option<Kept> {
    let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Blake2s256::digest(body).as_slice() != hash {
        return None;
    }
    let mut parts = body.splitn(5, |&byte| byte == b'\n');
    let mut line = || std::str::from_utf8(parts.next()?).ok();
    if line()? != MAGIC {
        return None;
    }
    let key: OwnerKey = line()?.parse().ok()?;
    let serial = line()?.parse().ok()?;
    let (roster_len, signature_len) = line()?.split_once(' ')?;
    let (roster_len, signature_len) = (roster_len.parse().ok()?, signature_len.parse::<usize>().ok()?);
    let (roster, signature) = parts.next()?.split_at_checked(roster_len)?;
    if signature.len() != signature_len {
        return None;
    }
    let hash = Blake2s256::digest(roster).into();
    Some(Kept { owner, key, serial, hash, bytes: roster.into(), signature: signature.into() })
}

/// Reads a regular file of at most `max` bytes.
///
/// # Errors
/// The system's; and when it is no regular file, or longer.
pub fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    // Not blocking: a pipe in the place of a file must not hold up the daemon.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    if metadata.len() > max {
        return Err(io::Error::other(format!("is {} bytes long; at most {max} are read", metadata.len())));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("grows while it is read; at most {max} bytes are")));
    }
    Ok(bytes)
}

/// Writes a whole file so that a power cut at any instant leaves the old one or the new one: a new file, synced, renamed
/// over the old one, and its folder synced.
///
/// # Errors
/// The system's; the old file is as it was then, and nothing is left over.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new.{}", std::process::id()));
    let new = PathBuf::from(name);
    let written = write_synced(&new, bytes, mode).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The mode of `open` is masked.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// What is told of a roster file that can't be read.
impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::signify::OwnerSecret;

    fn kept(serial: u64) -> Kept {
        let bytes: Arc<[u8]> = format!("owner = \"alice\"\nserial = {serial}\n").into_bytes().into();
        Kept {
            owner: "alice".parse().unwrap(),
            key: OwnerSecret::from_seed([1; 8], &[2; 32]).public(),
            serial,
            hash: Blake2s256::digest(&bytes).into(),
            bytes,
            signature: b"untrusted comment: x\nRWQ\n".as_slice().into(),
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_a_damaged_file_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert!(store.kept().0.is_empty());
        store.keep(&[kept(7)]).unwrap();
        assert_eq!(store.kept().0, [kept(7)]);
        let path = folder.path().join(FOLDER).join("alice");
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            fs::write(&path, &bad).unwrap();
            let (kept, unreadable) = store.kept();
            assert!(kept.is_empty() && unreadable.len() == 1, "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(store.kept().0.is_empty(), "cut at {at}");
        }
    }

    #[test]
    fn nothing_is_written_that_has_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.keep(&[kept(7)]).unwrap();
        let path = folder.path().join(FOLDER).join("alice");
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        let before = inode(&path);
        store.keep(&[kept(7)]).unwrap();
        assert_eq!(inode(&path), before);
        store.keep(&[kept(8)]).unwrap();
        assert_ne!(inode(&path), before);
        assert_eq!(store.kept().0, [kept(8)]);
    }

    #[test]
    fn offers_are_regular_files_with_an_owners_name() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        for name in ["alice.toml", "alice.toml.sig", "bob.toml", "Carol.toml", "notes.txt", ".alice.toml.swp"]
        {
            put(name);
        }
        fs::create_dir(folder.path().join("dave.toml")).unwrap();
        let (offers, unreadable) = Store::new(folder.path()).offers().unwrap();
        let told: Vec<_> = offers.iter().map(|o| (o.owner.as_str(), o.signature.is_some())).collect();
        assert_eq!(told, [("alice", true), ("bob", false)]);
        assert_eq!(unreadable.len(), 1, "a folder is no roster");
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, b"old", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let inside_a_file = path.join("x");
        assert!(write_atomic(&inside_a_file, b"new", 0o600).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
