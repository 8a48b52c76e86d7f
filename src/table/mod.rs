//! Floor 2: the tables of the packet path. Pure: time comes in, nothing blocks, every table has a bound.
//!
//! [`Routes`] says where an address is, and so who may send from it. [`FlowTable`] remembers what was let pass: the
//! first packet of a flow is judged, the rest is looked up.

mod copies;
mod flow;
mod flows;
mod fragments;
mod key;
mod lists;
mod routes;
mod shares;
mod state;
#[cfg(test)]
mod tests;

pub use flow::{Direction, Flow};
pub use flows::{FlowTable, Found, Keep};
pub use routes::{PeerId, Routes, Via};
pub use state::State;
