//! What outlives the daemon where the fail-safe is open: a process that waits at a pipe's end, and takes the table away
//! when the daemon goes without a word.
//!
//! It is this program again, so that a table is removed the same way everywhere, and it does nothing but wait: however
//! short memory is, others go before it.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::table;
use crate::os::capabilities::spawn_with_net_admin;
use crate::os::session;

/// The command, which nobody types.
pub const COMMAND: &str = "guard";
/// What the daemon says when the guard can go.
const WORD: &[u8] = b".";

/// The guard, as the daemon has it.
#[derive(Debug)]
pub(super) struct Guard {
    process: Child,
    pipe: ChildStdin,
}

impl Guard {
    /// Starts one.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn post() -> io::Result<Self> {
        // Not by its name: an upgrade may have put another program there.
        let mut command = Command::new("/proc/self/exe");
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut process = spawn_with_net_admin(&mut command)?;
        let pipe = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, pipe })
    }

    pub(super) fn is_awake(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Lets it go, with the table as it is.
    pub(super) fn dismiss(self) {
        let Self { mut process, mut pipe } = self;
        // One that is gone needs no word.
        let _ = pipe.write_all(WORD);
        drop(pipe);
        let _ = process.wait();
    }
}

/// Waits until the daemon has gone, and takes the table away unless it said a word. What `vpmesh guard` does.
///
/// # Errors
/// Why the table can't be taken away.
pub fn keep_watch() -> Result<(), String> {
    session::stand_apart();
    let mut words = Vec::new();
    // An error is an end too.
    let _ = io::stdin().take(1).read_to_end(&mut words);
    if words == WORD {
        return Ok(());
    }
    table::remove().map_err(|error| format!("table inet vpmesh is not removed: {error}"))?;
    eprintln!("vpmesh ended without a word: table inet vpmesh is removed, as fail_safe = \"open\" says");
    Ok(())
}
