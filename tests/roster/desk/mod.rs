//! The tools at an owner's desk, run as a person runs them.

mod check;
mod join;
mod owner;
mod station;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use vpmesh::base::signify::OwnerKey;

/// A folder on the owner's computer.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With a key and a starter roster of alice's.
    fn of_alice() -> Self {
        let desk = Self::new();
        desk.good(&["owner", "new", "alice"]);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().mode() & 0o777
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_vpmesh")).args(args).current_dir(self.dir.path()).output().unwrap()
    }

    /// Runs a command that must succeed; its standard output.
    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with 1; its standard error.
    fn bad(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    fn signify(&self, args: &[&str]) -> bool {
        let mut signify = Command::new("signify-openbsd");
        signify.args(args).current_dir(self.dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
        signify.status().unwrap().success()
    }

    fn key(&self, file: &str) -> OwnerKey {
        OwnerKey::parse_file(&self.read(file)).unwrap()
    }
}
