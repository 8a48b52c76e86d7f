//! `vpmesh run`.

use std::path::Path;
use std::process::ExitCode;

use super::output::{complain, plain};
use crate::daemon::{self, RunError};

/// Runs the daemon until it is told to stop.
pub(super) fn run(config: &Path) -> ExitCode {
    match daemon::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        // Every line names the file itself.
        Err(RunError::Configuration(faults)) => {
            eprintln!("{}", plain(&faults.to_string()));
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}
