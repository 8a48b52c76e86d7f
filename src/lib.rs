//! vpmesh: the virtual private mesh for rooms, stations and applications.
//!
//! Modules are floors. Each imports lower floors only and siblings never import each other; `tests/layering.rs`
//! checks it. Everything up to [`engine`] is below the wall: no sockets, no clock, no threads, so that a hundred
//! engines run in one test under one clock. See ARCHITECTURE.md.

// floor 0
pub mod base;
// floor 1
pub mod config;
pub mod packet;
pub mod roster;
// floor 2
pub mod names;
pub mod policy;
pub mod table;
// floor 3
pub mod mesh;
mod netstack;
pub mod nft;
pub mod tunnel;
// floor 4
pub mod engine;
// ── the wall ──
#[cfg(feature = "os")]
pub mod cli;
#[cfg(feature = "os")]
pub mod daemon;
#[cfg(feature = "os")]
pub mod os;
