//! The node's private key, on disk.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::whole_file::{self, FileError};
use crate::base::{KeyError, PrivateKey};

/// Why a private key can't be read or made. The key itself is in none of them.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{path}: there is no private key; make one with `vpmesh key new`")]
    Missing { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path}: the private key {error}; make one with `vpmesh key new`")]
    Key { path: PathBuf, error: KeyError },
    #[error("the system has no randomness to give: {0}")]
    NoRandomness(getrandom::Error),
}

/// Reads a private key, unless anybody but its owner may read it too.
///
/// # Errors
/// [`KeyFileError`], with the mend.
pub fn read_private_key(path: &Path) -> Result<PrivateKey, KeyFileError> {
    match whole_file::read_secret(path) {
        Ok(text) => text.parse().map_err(|error| KeyFileError::Key { path: path.to_owned(), error }),
        Err(error) if error.is_not_found() => Err(KeyFileError::Missing { path: path.to_owned() }),
        Err(error) => Err(error.into()),
    }
}

/// Makes a private key in a new file of mode 0600.
///
/// # Errors
/// [`KeyFileError::File`] when there is a file already.
pub fn new_private_key(path: &Path) -> Result<PrivateKey, KeyFileError> {
    let key = PrivateKey::generate().map_err(KeyFileError::NoRandomness)?;
    let text = Zeroizing::new(format!("{}\n", Zeroizing::new(key.to_base64()).as_str()));
    whole_file::write_new(path, text.as_bytes(), 0o600)?;
    Ok(key)
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
    fn a_key_that_is_made_is_the_one_that_is_read_and_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let made = new_private_key(&path).unwrap().public();
        assert_eq!(read_private_key(&path).unwrap().public(), made);
        assert!(new_private_key(&path).unwrap_err().to_string().contains("is not overwritten"));
        assert_eq!(read_private_key(&path).unwrap().public(), made);
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_printed() {
        let (_folder, path) = file("secret, but no key", 0o600);
        let said = read_private_key(&path).unwrap_err().to_string();
        assert!(said.contains("is not base64") && !said.contains("secret"), "{said}");
        let (folder, _) = file(KEY, 0o600);
        assert!(matches!(read_private_key(folder.path()), Err(KeyFileError::File(_))));
        assert!(matches!(read_private_key(&folder.path().join("none")), Err(KeyFileError::Missing { .. })));
    }
}
