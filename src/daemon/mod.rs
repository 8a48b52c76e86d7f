//! The event loop.
pub mod load;
