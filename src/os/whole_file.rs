//! Whole files: read within a bound, written so that a power cut leaves the old one or the new one, never half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use zeroize::Zeroizing;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: is no regular file")]
    NotRegular { path: PathBuf },
    #[error("{path}: has {bytes} bytes; at most {most} are read")]
    TooLarge { path: PathBuf, bytes: u64, most: usize },
    #[error("{path}: others may read this secret (mode {mode:04o}); run `chmod 600 {path}`")]
    Readable { path: PathBuf, mode: u32 },
    #[error("{path}: is not UTF-8")]
    NotText { path: PathBuf },
    #[error("{path}: is there already; it is not overwritten")]
    Exists { path: PathBuf },
}

impl FileError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FileError {
    move |error| FileError::Io { path: path.to_owned(), error }
}

/// Opens a regular file. A FIFO in its place does not block.
fn open(path: &Path) -> Result<(File, fs::Metadata), FileError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed(path))?;
    let metadata = file.metadata().map_err(failed(path))?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular { path: path.to_owned() });
    }
    Ok((file, metadata))
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// See [`FileError`].
pub fn read(path: &Path, most: usize) -> Result<Vec<u8>, FileError> {
    let (file, metadata) = open(path)?;
    let too_large = |bytes| FileError::TooLarge { path: path.to_owned(), bytes, most };
    if metadata.len() > most as u64 {
        return Err(too_large(metadata.len()));
    }
    // It may grow while it is read.
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed(path))?;
    if bytes.len() > most { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Reads a regular file of text.
///
/// # Errors
/// See [`FileError`].
pub fn read_text(path: &Path, most: usize) -> Result<String, FileError> {
    String::from_utf8(read(path, most)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}

/// Reads a secret, which nobody but its owner may read, and wipes it when dropped.
///
/// # Errors
/// [`FileError::Readable`] when its mode lets others read it.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    const MOST: u64 = 4096;
    let (file, metadata) = open(path)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Readable { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::with_capacity(MOST as usize));
    file.take(MOST).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => FileError::NotText { path: path.to_owned() },
        _ => failed(path)(error),
    })?;
    Ok(text)
}

/// Replaces a file whole: a new one beside it, synced, renamed over it, and the folder synced. After a power cut there
/// is the old one or the new one.
///
/// # Errors
/// The system's; the old file is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    Staged::write(path, bytes, mode)?.commit()
}

/// A whole file on the disk that is not in its place yet; it is removed when dropped.
#[derive(Debug)]
pub struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

impl Staged {
    /// Writes the file that [`Staged::commit`] puts into the place of `path`.
    ///
    /// # Errors
    /// The system's; then there is none.
    pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<Self, FileError> {
        let (temporary, mut file) = beside(path, mode)?;
        let staged = Self { temporary, path: path.to_owned() };
        file.write_all(bytes)
            // The umask has taken its part of the mode away.
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
            .and_then(|()| file.sync_all())
            .map_err(failed(path))?;
        Ok(staged)
    }

    /// Puts it into its place.
    ///
    /// # Errors
    /// The system's.
    pub fn commit(self) -> Result<(), FileError> {
        fs::rename(&self.temporary, &self.path)
            .and_then(|()| sync_folder(&self.path))
            .map_err(failed(&self.path))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Once it is in its place there is nothing to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a file that must not be there yet. Nobody sees it with another mode than `mode`.
///
/// # Errors
/// [`FileError::Exists`] when it is; else the system's, and then there is none.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(mode).open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists { path: path.to_owned() },
            _ => failed(path)(error),
        })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_folder(path));
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        failed(path)(error)
    })
}

/// A new file in the same folder, hidden, so that renaming it is one step.
fn beside(path: &Path, mode: u32) -> Result<(PathBuf, File), FileError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_file_name(format!("{TEMPORARY}{}-{number}-{name}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let file = options.open(&temporary).or_else(|error| match error.kind() {
        // From a process of this number that was cut off.
        io::ErrorKind::AlreadyExists => fs::remove_file(&temporary).and_then(|()| options.open(&temporary)),
        _ => Err(error),
    });
    file.map(|file| (temporary, file)).map_err(failed(path))
}

/// What the names of files begin with that are being written.
pub const TEMPORARY: &str = ".vpmesh-tmp-";

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomic(&path, b"one", 0o644).unwrap();
        write_atomic(&path, b"two", 0o600).unwrap();
        assert_eq!((read(&path, 3).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        assert!(write_new(&path, b"three", 0o600).unwrap_err().to_string().ends_with("is not overwritten"));
        assert_eq!(read_text(&path, 3).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_atomic(&folder.path().join("no/folder"), b"", 0o600).is_err());
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path(), 9), Err(FileError::NotRegular { .. })));
        assert!(read(&folder.path().join("none"), 9).unwrap_err().is_not_found());
        let path = folder.path().join("large");
        fs::write(&path, "0123456789").unwrap();
        assert!(matches!(read(&path, 9), Err(FileError::TooLarge { bytes: 10, .. })));
        assert!(matches!(read(Path::new("/dev/zero"), 9), Err(FileError::NotRegular { .. })));
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_new(&path, b"hush", 0o640).unwrap();
        let said = read_secret(&path).unwrap_err().to_string();
        assert!(said.contains("mode 0640") && said.contains("chmod 600"), "{said}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_secret(&path).unwrap().as_str(), "hush");
    }
}
