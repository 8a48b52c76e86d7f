//! The node's private key, on disk.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::base::{KeyError, PrivateKey};

/// A key's file is read this far.
const BYTES_MAX: u64 = 4096;

/// Why a private key can't be read. The key itself is in none of them.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{path}: there is no private key; make one with `vpmesh key new`")]
    Missing { path: PathBuf },
    #[error("{path}: cannot read the private key: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: is no file; write the path of the private key's file")]
    NoFile { path: PathBuf },
    #[error("{path}: others may read the private key (mode {mode:04o}); run `chmod 600 {path}`")]
    Open { path: PathBuf, mode: u32 },
    #[error("{path}: the private key {error}; make one with `vpmesh key new`")]
    Key { path: PathBuf, error: KeyError },
}

/// Reads a private key, unless anybody but its owner may read it too.
///
/// # Errors
/// [`KeyFileError`], with the mend.
pub fn read_private_key(path: &Path) -> Result<PrivateKey, KeyFileError> {
    let at = || path.to_owned();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: at() },
        _ => KeyFileError::Io { path: at(), error },
    };
    // A FIFO in its place must not hold the daemon up.
    let mut options = File::options();
    let mut file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NoFile { path: at() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open { path: at(), mode });
    }
    let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX as usize));
    file.by_ref().take(BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    text.parse().map_err(|error| KeyFileError::Key { path: at(), error })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const KEY: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n";

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_key_that_only_its_owner_reads_is_read() {
        let (_folder, path) = file(KEY, 0o600);
        // RFC 7748, section 6.1: Alice's key pair.
        let public = read_private_key(&path).unwrap().public();
        assert_eq!(public.to_string(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        for mode in [0o644, 0o640, 0o604] {
            let (_folder, path) = file(KEY, mode);
            let said = read_private_key(&path).unwrap_err().to_string();
            assert!(said.contains(&format!("mode {mode:04o}")) && said.contains("chmod 600"), "{said}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_printed() {
        let (_folder, path) = file("secret, but no key", 0o600);
        let said = read_private_key(&path).unwrap_err().to_string();
        assert!(said.contains("is not base64") && !said.contains("secret"), "{said}");
        let (folder, _) = file(KEY, 0o600);
        assert!(matches!(
            read_private_key(folder.path()),
            Err(KeyFileError::NoFile { .. } | KeyFileError::Io { .. })
        ));
        assert!(matches!(read_private_key(&folder.path().join("none")), Err(KeyFileError::Missing { .. })));
    }
}
