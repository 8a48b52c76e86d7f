//! Programs that run to their end, within a deadline.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::wait::poll_until;

/// Most programs in a lab are done in milliseconds; a loaded machine gets more.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `None`: killed, by a signal or by the deadline.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

/// A command line split at blanks; no quoting.
pub fn words(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a command line has a word"));
    command.args(words);
    command
}

/// Runs to the end or to the deadline, whatever the exit code.
pub fn run(command: &mut Command, limit: Duration) -> Outcome {
    run_with_input(command, "", limit)
}

/// The same, with a text on standard input.
pub fn run_with_input(command: &mut Command, input: &str, limit: Duration) -> Outcome {
    use std::io::Write as _;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    // A program that doesn't read its input may close it first.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    std::thread::scope(|scope| {
        let stdout = scope.spawn(move || text(stdout));
        let stderr = scope.spawn(move || text(stderr));
        let code = end_of(&mut child, limit);
        Outcome { code, stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() }
    })
}

/// Runs and insists on exit code 0; the standard output.
///
/// # Panics
/// With the program's own words when it fails.
pub fn must(command: &mut Command) -> String {
    let outcome = run(command, LIMIT);
    assert!(outcome.is_success(), "{command:?} failed: {outcome:?}");
    outcome.stdout
}

fn end_of(child: &mut Child, limit: Duration) -> Option<i32> {
    let ended = poll_until(limit, || child.try_wait().expect("a child can be waited for"));
    match ended {
        Some(status) => status.code(),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            None
        }
    }
}

fn text(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
