//! Randomness from the kernel.

use std::io;

/// Thirty-two bytes for the engine's seed.
///
/// # Errors
/// The kernel's, when it has no randomness to give.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(seed)
}

/// Thirty-two random bits.
///
/// # Errors
/// As [`seed`].
pub fn word() -> io::Result<u32> {
    getrandom::u32().map_err(|error| io::Error::other(error.to_string()))
}
