//! Floor 2: the tables of the packet path. Pure: time comes in, nothing blocks, every table has a bound.

pub mod routes;

pub use routes::{PeerId, Routes, Via};
