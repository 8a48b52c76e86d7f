//! The folder of rosters: NAME.toml with NAME.toml.sig, and `.accepted/` with what was accepted of each owner.
//!
//! What was accepted is one file for each owner's key, so that it is replaced in one step: the serial and hash that a
//! node never goes back behind, and the copy that a start falls back to. It is written only when it changed, because
//! flash wears out. A damaged one is said aloud and not used.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::Name;
use crate::base::signify;
use crate::mesh::accept::{Kept, Offer, hash};
use crate::roster::{Fault, Line, ROSTER_BYTES_MAX};

use super::whole_file;
use super::whole_file::Staged;
pub use super::whole_file::{FileError, write_atomic};

/// The most files of a folder that are looked at.
const FILES_MAX: usize = 10_000;
/// What the first line of a kept file begins with, and the format's number.
const MAGIC: &str = "vpmesh-accepted 1 ";
/// The note of an installation that is under way, in `.accepted/`.
const UNDER_WAY: &str = ".under-way";
/// The file of what waits for its confirmation: a hash a line, and a line that is none.
const UNCONFIRMED: &str = ".unconfirmed";
/// Bytes of it that are read.
const UNCONFIRMED_MAX: usize = 64 * 1024;
/// The longest header of a kept file.
const HEADER_MAX: usize = 1024;

/// A folder of rosters.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// What is in the folder. Files that can't be read are in `notes`, and are not offered.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of their names.
    pub offers: Vec<Offer>,
    /// In the order of their keys.
    pub kept: Vec<Kept>,
    /// Contents that were put in force for a while and never confirmed ([`hash`]).
    pub unconfirmed: Vec<[u8; 32]>,
    /// For the log at WARN.
    pub notes: Vec<Fault>,
}

impl Store {
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads rosters, signatures and what was accepted.
    ///
    /// # Errors
    /// When the folder itself can't be read.
    pub fn read(&self) -> Result<Found, FileError> {
        let mut found = Found::default();
        for (path, name) in files(&self.folder)? {
            let Some(stem) = name.strip_suffix(".toml").filter(|stem| !stem.starts_with('.')) else {
                continue;
            };
            match stem.parse::<Name>() {
                Ok(owner) => self.offer(owner, &path, &mut found),
                Err(error) => {
                    let what = format!("is not read: {stem:?} is no owner's name: it {error}");
                    found.notes.push(note(&path, what, "name the file OWNER.toml"));
                }
            }
        }
        self.read_kept(&mut found)?;
        self.read_unconfirmed(&mut found);
        Ok(found)
    }

    fn offer(&self, owner: Name, path: &Path, found: &mut Found) {
        let signature = path.with_file_name(format!("{owner}.toml.sig"));
        let bytes = match whole_file::read(path, ROSTER_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => return found.notes.push(unread(path, &error)),
        };
        let signature = match whole_file::read(&signature, signify::FILE_MAX) {
            Ok(bytes) => Some(bytes.into()),
            Err(error) => {
                if !error.is_not_found() {
                    found.notes.push(unread(&signature, &error));
                }
                None
            }
        };
        let file = path.to_string_lossy().into();
        found.offers.push(Offer { owner, file, bytes: bytes.into(), signature });
    }

    fn accepted(&self) -> PathBuf {
        self.folder.join(".accepted")
    }

    fn read_kept(&self, found: &mut Found) -> Result<(), FileError> {
        let files = match files(&self.accepted()) {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        for (path, name) in files {
            if name.starts_with('.') {
                continue;
            }
            let most = ROSTER_BYTES_MAX + signify::FILE_MAX + HEADER_MAX;
            match whole_file::read(&path, most).map_err(|e| e.to_string()).and_then(|bytes| decode(&bytes)) {
                Ok(kept) => found.kept.push(kept),
                Err(error) => {
                    let what = format!("what was accepted before is lost: {error}");
                    let mend = "the disk may be failing; until the next roster is accepted an older one would be too";
                    found.notes.push(note(&path, what, mend));
                }
            }
        }
        Ok(())
    }

    fn read_unconfirmed(&self, found: &mut Found) {
        let path = self.accepted().join(UNCONFIRMED);
        match whole_file::read_text(&path, UNCONFIRMED_MAX) {
            Ok(text) => found.unconfirmed = text.lines().filter_map(unhex).collect(),
            Err(error) if error.is_not_found() => {}
            Err(error) => found.notes.push(unread(&path, &error)),
        }
    }

    /// Writes down which contents are put in force and not confirmed, so that no start takes them for good; `None`: a
    /// confirmation is waited for no more.
    ///
    /// # Errors
    /// The system's; what was written down before is.
    pub fn set_unconfirmed(&self, hashes: Option<&[[u8; 32]]>) -> Result<(), FileError> {
        let path = self.accepted().join(UNCONFIRMED);
        let Some(hashes) = hashes else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(FileError::Io { path, error })
                }
                _ => Ok(()),
            };
        };
        self.make_accepted()?;
        // A file without a byte could be written where nothing else can.
        let lines = hashes.iter().map(|hash| hex(hash) + "\n");
        let text: String = std::iter::once("# not confirmed\n".to_owned()).chain(lines).collect();
        write_atomic(&path, text.as_bytes(), 0o600)
    }

    fn make_accepted(&self) -> Result<PathBuf, FileError> {
        let folder = self.accepted();
        if !folder.is_dir() {
            fs::create_dir(&folder).map_err(|error| FileError::Io { path: folder.clone(), error })?;
        }
        Ok(folder)
    }

    /// Keeps what was accepted; the number of files that had to be written.
    ///
    /// # Errors
    /// The system's. Files written before it are whole.
    pub fn keep(&self, kept: &[Kept]) -> Result<usize, FileError> {
        let folder = self.make_accepted()?;
        remove_leftovers(&folder);
        let mut written = 0;
        for kept in kept {
            let path = folder.join(hex(kept.key.as_bytes()));
            let bytes = encode(kept);
            let most = bytes.len();
            if whole_file::read(&path, most).is_ok_and(|before| before == bytes) {
                continue;
            }
            write_atomic(&path, &bytes, 0o600)?;
            written += 1;
        }
        Ok(written)
    }
}

impl Store {
    /// Puts a roster that was accepted into the folder, with its signature, and keeps all of `kept`. Two files are not
    /// replaced in one step, so a note of what is under way is there until it is done: after a power cut at any instant
    /// [`Store::finish`] leaves the old pair or the new one.
    ///
    /// # Errors
    /// The system's. The pair is then as it was, or [`Store::finish`] makes it whole.
    pub fn install(&self, kept: &[Kept], which: &Kept) -> Result<(), FileError> {
        remove_leftovers(&self.folder);
        let note = self.begin(which)?;
        let staged = self.keep(kept).and_then(|_| self.stage(which));
        let staged = staged.inspect_err(|_| {
            // Nothing was replaced. A note that stays says nothing that is not kept.
            let _ = fs::remove_file(&note);
        })?;
        commit(staged)?;
        remove(&note)
    }

    fn begin(&self, which: &Kept) -> Result<PathBuf, FileError> {
        let folder = self.accepted();
        if !folder.is_dir() {
            fs::create_dir(&folder).map_err(|error| FileError::Io { path: folder.clone(), error })?;
        }
        let note = folder.join(UNDER_WAY);
        write_atomic(&note, under_way(which).as_bytes(), 0o600)?;
        Ok(note)
    }

    /// Ends an installation that was cut off.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(&self) -> Result<(), FileError> {
        let note = self.accepted().join(UNDER_WAY);
        let text = match whole_file::read_text(&note, HEADER_MAX) {
            Ok(text) => text,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(_) => return remove(&note),
        };
        let mut found = Found::default();
        self.read_kept(&mut found)?;
        if let Some(kept) = found.kept.iter().find(|kept| text == under_way(kept)) {
            commit(self.stage(kept)?)?;
        }
        remove(&note)
    }

    /// Writes both files, but for their names.
    fn stage(&self, kept: &Kept) -> Result<Vec<Staged>, FileError> {
        let mut staged = Vec::new();
        for (ending, bytes) in [("toml.sig", &kept.signature), ("toml", &kept.bytes)] {
            let path = self.folder.join(format!("{}.{ending}", kept.owner));
            if whole_file::read(&path, bytes.len()).is_ok_and(|before| before[..] == bytes[..]) {
                continue;
            }
            staged.push(Staged::write(&path, bytes, 0o644)?);
        }
        Ok(staged)
    }
}

fn commit(staged: Vec<Staged>) -> Result<(), FileError> {
    staged.into_iter().try_for_each(Staged::commit)
}

/// What the note of an installation says: whose roster, and which.
fn under_way(kept: &Kept) -> String {
    format!("{} {}\n", hex(kept.key.as_bytes()), hex(&kept.hash))
}

fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::Io { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// The files of a folder with their names, sorted. Names that are not UTF-8 are nobody's.
fn files(folder: &Path) -> Result<Vec<(PathBuf, String)>, FileError> {
    let failed = |error| FileError::Io { path: folder.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)?.take(FILES_MAX) {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().into_string() {
            files.push((entry.path(), name));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Removes what a power cut left half-written.
fn remove_leftovers(folder: &Path) {
    let Ok(files) = files(folder) else { return };
    for (path, _) in files.iter().filter(|(_, name)| name.starts_with(whole_file::TEMPORARY)) {
        // It is a leftover still if it stays.
        let _ = fs::remove_file(path);
    }
}

fn note(path: &Path, what: String, mend: &str) -> Fault {
    Fault { file: path.to_string_lossy().into(), line: Line(0), what, mend: mend.into() }
}

fn unread(path: &Path, error: &FileError) -> Fault {
    // The error begins with the path, and so does the note.
    let error = error.to_string();
    let what = error.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&error).to_owned();
    note(path, format!("is not read: {what}"), "put a regular file there, or remove it")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(line: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if line.len() != 64 || !line.is_ascii() {
        return None;
    }
    for (byte, two) in bytes.iter_mut().zip(line.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A header of text lines, the first with a hash of all that follows; then the signature; then the roster.
fn encode(kept: &Kept) -> Vec<u8> {
    let Kept { owner, key, serial, bytes, signature, .. } = kept;
    let mut rest =
        format!("owner {owner}\nkey {key}\nserial {serial}\nsignature {}\n\n", signature.len()).into_bytes();
    rest.extend_from_slice(signature);
    rest.extend_from_slice(bytes);
    let mut file = format!("{MAGIC}{}\n", hex(&hash(&rest))).into_bytes();
    file.extend_from_slice(&rest);
    file
}

fn decode(file: &[u8]) -> Result<Kept, String> {
    let damaged = || "the file is damaged".to_owned();
    let rest = file.strip_prefix(MAGIC.as_bytes()).ok_or("the file is of another format")?;
    let (sum, rest) = rest.split_at_checked(64).ok_or_else(damaged)?;
    let rest = rest.strip_prefix(b"\n").ok_or_else(damaged)?;
    if sum != hex(&hash(rest)).as_bytes() {
        return Err(damaged());
    }
    let end = rest.windows(2).take(HEADER_MAX).position(|two| two == b"\n\n").ok_or_else(damaged)?;
    let header = std::str::from_utf8(&rest[..end]).map_err(|_| damaged())?;
    let value = |name: &str| {
        let line = header.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.ok_or_else(|| format!("the file has no {name}"))
    };
    let length = value("signature")?.parse::<usize>().map_err(|_| damaged())?;
    let (signature, bytes) = rest[end + 2..].split_at_checked(length).ok_or_else(damaged)?;
    let (signature, bytes): (Arc<[u8]>, Arc<[u8]>) = (signature.into(), bytes.into());
    Ok(Kept {
        owner: value("owner")?.parse().map_err(|_| damaged())?,
        key: value("key")?.parse().map_err(|_| damaged())?,
        serial: value("serial")?.parse().map_err(|_| damaged())?,
        hash: hash(&bytes),
        bytes,
        signature,
    })
}
