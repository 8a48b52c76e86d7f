//! Floor 2: the tables of the packet path. Pure: time comes in, nothing blocks, every table has a bound.
//!
//! [`Routes`] says where an address is. [`FlowTable`] knows the flows that were let pass: one hash lookup finds a flow
//! from either side, and a flow is bound to the peer on each side as well as to its addresses and ports. A peer that
//! opens too many flows loses its own, never another's.

pub mod flow;
pub mod routes;

pub use flow::{FlowId, FlowLimits, FlowTable, FlowView, Found, Hit, Keep, Note, State, Way};
pub use routes::{PeerId, Routes, Via};
