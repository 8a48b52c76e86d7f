//! Bytes to a checked roster.

use super::Roster;
use super::line::{Fault, Faults, Line};

/// Reads and checks a roster. `file` is the name that faults print.
///
/// # Errors
/// Every fault with its line, what is wrong and the mend; at most fifty of them.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Roster, Faults> {
    let _ = bytes;
    Err(Faults(vec![Fault {
        file: file.into(),
        line: Line(0),
        what: "can't be read yet".into(),
        mend: "wait".into(),
    }]))
}
