//! Floor 3: what mesh nodes agree on: which rosters are accepted (`accept`), how they travel (`sync`), and what nodes say to
//! each other (`wire`, and over TCP `transfer`).

pub mod accept;
pub mod beacon;
pub mod frame;
pub mod legs;
pub mod relay;
pub mod relaying;
pub mod sync;
pub mod transfer;
pub mod wire;
