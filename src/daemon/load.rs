//! From files to the model that the engine serves.

use std::sync::Arc;

use crate::config::Config;
use crate::roster::Model;

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    pub model: Arc<Model>,
    /// What the operator should know: rosters that were left out, and why.
    pub notes: Vec<String>,
}

/// Why nothing was loaded: every fault, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Reads the rosters, accepts what is signed, and joins it. Takes its time: runs beside the event loop.
///
/// # Errors
/// [`Refusal`] when the node's own roster is not to be served.
pub fn load(config: &Config) -> Result<Loaded, Refusal> {
    Err(Refusal(format!("{}: nothing was loaded", config.rosters.display())))
}
