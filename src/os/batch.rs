//! What one read of a device gave.

/// How much was read, and whether to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// Nothing waits.
    Empty,
    /// Everything that waited.
    Last,
    /// As much as fits a batch: more may wait.
    More,
}
