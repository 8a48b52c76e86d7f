//! The program `nft`, which puts a transaction of nftables in force, and reads counters.
//!
//! JSON goes in on its standard input. It is this process's child alone: it has a time to be done in, what it says is
//! kept within a bound, and it never outlives the call.

use std::io::{self, Read, Write as _};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::capabilities::spawn_with_net_admin;

/// Where it is beside PATH, which a service may not have whole.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];
/// How long a transaction may take: thousands of rules are seconds on a router's CPU.
const APPLY: Duration = Duration::from_secs(90);
const LIST: Duration = Duration::from_secs(20);
/// What is kept of its words, and of what it lists.
const WORDS_MAX: usize = 4096;
const LIST_MAX: usize = 16 * 1024 * 1024;
/// How often a child that closed its output is looked after.
const LOOK: Duration = Duration::from_millis(5);

/// Why nft did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("nft is not installed; install nftables-json (OpenWrt) or nftables")]
    NotFound,
    #[error("this nft reads no JSON; install nftables-json")]
    NoJson,
    #[error("nft is not permitted to change the kernel's rules; run as root, or with CAP_NET_ADMIN")]
    NotPermitted,
    #[error("the kernel or nft refuses the table: {0}")]
    Refused(String),
    #[error("nft was not done in {} s, and was ended", .0.as_secs())]
    Late(Duration),
    #[error("nft lists more than {LIST_MAX} bytes")]
    TooLong,
    #[error("nft cannot be run: {0}")]
    Io(#[from] io::Error),
}

/// The program, found.
#[derive(Debug, Clone)]
pub struct Nft {
    program: PathBuf,
}

impl Nft {
    /// Looks for it in PATH, then where it is on every system.
    ///
    /// # Errors
    /// [`NftError::NotFound`].
    pub fn find() -> Result<Self, NftError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
        let found = folders.map(|folder| folder.join("nft")).find(|program| is_program(program));
        found.map(|program| Self { program }).ok_or(NftError::NotFound)
    }

    /// Puts a transaction in force, all of it or nothing. Blocks.
    ///
    /// # Errors
    /// [`NftError`]; what was in force is.
    pub fn apply(&self, transaction: &str) -> Result<(), NftError> {
        // For `-` nft opens /dev/stdin, which not every system has (procd makes none).
        self.run(&["-j", "-f", "/proc/self/fd/0"], transaction.as_bytes(), APPLY).map(|_| ())
    }

    /// A table's named counters, as JSON. Blocks.
    ///
    /// # Errors
    /// [`NftError`]; `Refused` where there is no such table.
    pub fn counters(&self, family: &str, table: &str) -> Result<String, NftError> {
        self.run(&["-j", "list", "counters", "table", family, table], &[], LIST)
    }

    /// Whether there is such a table. Blocks.
    ///
    /// # Errors
    /// [`NftError`].
    pub fn has(&self, family: &str, table: &str) -> Result<bool, NftError> {
        // `nft list table` would list thousands of rules.
        match self.run(&["list", "tables", family], &[], LIST) {
            Ok(tables) => Ok(tables.lines().any(|line| line == format!("table {family} {table}"))),
            Err(error) => Err(error),
        }
    }

    fn run(&self, arguments: &[&str], input: &[u8], limit: Duration) -> Result<String, NftError> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(spawn_with_net_admin(&mut command)?);
        let deadline = Deadline::after(limit);
        let Some((output, words)) = running.converse(input, &deadline)? else {
            return Err(NftError::Late(limit));
        };
        let Some(status) = running.end(&deadline)? else { return Err(NftError::Late(limit)) };
        if !status.success() {
            return Err(refusal(&String::from_utf8_lossy(&words)));
        }
        if output.len() > LIST_MAX {
            return Err(NftError::TooLong);
        }
        Ok(String::from_utf8_lossy(&output).into_owned())
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// What nft's words mean.
fn refusal(words: &str) -> NftError {
    if words.contains("JSON support not compiled-in") {
        NftError::NoJson
    } else if words.contains("Operation not permitted") {
        NftError::NotPermitted
    } else {
        // The first lines say what; then it prints what it was given.
        let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
        let told = lines.join(" ").chars().filter(|c| !c.is_control()).take(300).collect::<String>();
        NftError::Refused(if told.is_empty() { "it does not say why".to_owned() } else { told })
    }
}

/// When it has to be done.
struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "how long a program takes is nobody's argument")]
    fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    #[expect(clippy::disallowed_methods, reason = "how long a program takes is nobody's argument")]
    fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// A child that ends with this value at the latest.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is not signalled: its number may be another's.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

impl Running {
    /// Gives it its input and takes its output and words until it has closed both. `None`: it was not done in time.
    fn converse(&mut self, input: &[u8], deadline: &Deadline) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let (mut output, mut words) = (Kept::new(LIST_MAX + 1), Kept::new(WORDS_MAX));
        let mut stdin = self.0.stdin.take().map(|pipe| Feed { pipe, rest: input });
        let (mut stdout, mut stderr) = (self.0.stdout.take(), self.0.stderr.take());
        for fd in [
            stdin.as_ref().map(|feed| feed.pipe.as_raw_fd()),
            stdout.as_ref().map(AsRawFd::as_raw_fd),
            stderr.as_ref().map(AsRawFd::as_raw_fd),
        ]
        .into_iter()
        .flatten()
        {
            never_block(fd)?;
        }
        loop {
            if stdin.as_ref().is_some_and(|feed| feed.rest.is_empty()) {
                stdin = None;
            }
            if stdout.is_none() && stderr.is_none() {
                return Ok(Some((output.bytes, words.bytes)));
            }
            let mut watched = [
                watch(stdin.as_ref().map(|feed| feed.pipe.as_raw_fd()), libc::POLLOUT),
                watch(stdout.as_ref().map(AsRawFd::as_raw_fd), libc::POLLIN),
                watch(stderr.as_ref().map(AsRawFd::as_raw_fd), libc::POLLIN),
            ];
            if !poll(&mut watched, deadline.left())? {
                return Ok(None);
            }
            if watched[0].revents != 0 && !stdin.as_mut().is_some_and(Feed::write) {
                // It reads no further; its words say why.
                stdin = None;
            }
            if watched[1].revents != 0 && !output.take(stdout.as_mut())? {
                stdout = None;
            }
            if watched[2].revents != 0 && !words.take(stderr.as_mut())? {
                stderr = None;
            }
        }
    }

    /// Waits for its end.
    fn end(&mut self, deadline: &Deadline) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if deadline.left().is_zero() {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Input that is still to be written.
struct Feed<'a> {
    pipe: ChildStdin,
    rest: &'a [u8],
}

impl Feed<'_> {
    /// Writes some; whether the other end still reads.
    fn write(&mut self) -> bool {
        match self.pipe.write(self.rest) {
            Ok(written) => {
                self.rest = &self.rest[written..];
                true
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

/// Output, kept up to a bound. What is beyond is read and forgotten.
struct Kept {
    bytes: Vec<u8>,
    most: usize,
}

impl Kept {
    fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    /// Takes some; whether there may be more.
    fn take(&mut self, pipe: Option<&mut impl Read>) -> io::Result<bool> {
        let Some(pipe) = pipe else { return Ok(false) };
        let mut piece = [0; 8192];
        match pipe.read(&mut piece) {
            Ok(0) => Ok(false),
            Ok(length) => {
                let room = self.most.saturating_sub(self.bytes.len()).min(length);
                self.bytes.extend_from_slice(&piece[..room]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

fn never_block(fd: i32) -> io::Result<()> {
    // SAFETY: the descriptor is a pipe's that the caller holds open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    socket2::SockRef::from(&fd).set_nonblocking(true)
}

fn watch(fd: Option<i32>, events: libc::c_short) -> libc::pollfd {
    // poll(2) leaves out negative descriptors.
    libc::pollfd { fd: fd.unwrap_or(-1), events, revents: 0 }
}

/// Waits until one is ready; `false`: none was in time.
fn poll(watched: &mut [libc::pollfd], limit: Duration) -> io::Result<bool> {
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let count = watched.len() as libc::nfds_t;
    // SAFETY: `watched` has `count` entries, which live through the call.
    match unsafe { libc::poll(watched.as_mut_ptr(), count, milliseconds) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program in nft's place.
    fn standin(script: &str) -> (tempfile::TempDir, Nft) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("nft");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, Nft { program })
    }

    #[test]
    fn more_goes_in_and_out_than_a_pipe_holds() {
        let (_folder, nft) = standin("cat; echo words >&2");
        let long = "x".repeat(1 << 20);
        assert_eq!(nft.run(&[], long.as_bytes(), LIST).unwrap(), long);
    }

    #[test]
    fn one_that_is_not_done_in_time_is_ended() {
        let (_folder, nft) = standin("exec sleep 600");
        assert!(matches!(nft.run(&[], b"", Duration::from_millis(50)), Err(NftError::Late(_))));
        let (_folder, nft) = standin("exec >&- 2>&- sleep 600");
        assert!(matches!(nft.run(&[], b"", Duration::from_millis(50)), Err(NftError::Late(_))));
    }

    #[test]
    fn its_words_are_kept_within_a_bound_and_the_first_lines_told() {
        let (_folder, nft) = standin(
            "echo 'Error: no such thing' >&2; while :; do echo {}; done | head -c 100000 >&2; exit 1",
        );
        let error = nft.apply("not read").unwrap_err().to_string();
        assert_eq!(error, "the kernel or nft refuses the table: Error: no such thing {}");
        let (_folder, nft) = standin("echo 'Error: JSON support not compiled-in' >&2; exit 1");
        assert!(matches!(nft.apply("{}"), Err(NftError::NoJson)));
        let (_folder, nft) = standin("exit 3");
        assert_eq!(
            nft.apply("{}").unwrap_err().to_string(),
            "the kernel or nft refuses the table: it does not say why"
        );
    }
}
