//! A program kept running: its output is kept too, and shown when the test fails.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::wait::poll_until;
use super::{Lab, reaper};

/// How much of the output a failed test shows.
const TAIL_LINES: usize = 60;

/// A running child, ended by its process id on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

/// What to send to a process.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    Hangup,
    Interrupt,
    Kill,
    Terminate,
}

impl Process {
    /// Starts it with both outputs in one file of the lab's folder.
    pub fn start(lab: &Lab, name: &str, command: &mut Command) -> Self {
        let output = lab.dir().join(format!("{name}-{}.log", reaper::number()));
        let file = File::create(&output).expect("a log file can be made");
        let copy = file.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        reaper::watch_process(child.id());
        Self { name: name.to_owned(), child, output }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Hangup => libc::SIGHUP,
            Signal::Interrupt => libc::SIGINT,
            Signal::Kill => libc::SIGKILL,
            Signal::Terminate => libc::SIGTERM,
        };
        reaper::signal(self.child.id(), number);
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its own end; the exit code, or `None` when killed or still running.
    pub fn end(&mut self, limit: Duration) -> Option<i32> {
        poll_until(limit, || self.child.try_wait().ok().flatten()).and_then(|status| status.code())
    }

    /// Waits until it has written a text.
    pub fn wait_for_output(&mut self, text: &str, limit: Duration) {
        let found = poll_until(limit, || {
            if self.output().contains(text) {
                return Some(true);
            }
            (!self.is_running()).then_some(false)
        });
        assert!(found == Some(true), "{} did not write {text:?} but:\n{}", self.name, self.output());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal(Signal::Terminate);
            if self.end(Duration::from_secs(3)).is_none() {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
        reaper::forget_process(self.child.id());
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!("--- {} wrote ({} lines):\n{}", self.name, lines.len(), tail.join("\n"));
        }
    }
}
