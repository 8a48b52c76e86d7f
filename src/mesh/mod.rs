//! Floor 3: what mesh nodes agree on: which rosters are accepted (`accept`), how they travel (`sync`), which path to
//! a peer is used (`paths`), relays (`relay` and `legs`), which gateway of a room has a station (`attached`) and what flows it has (`copies`), and what nodes say to each other (`wire`, and over TCP `transfer`).

pub mod accept;
pub mod attached;
pub mod beacon;
pub mod copies;
mod dice;
pub mod frame;
pub(crate) mod legs;
pub mod paths;
pub mod probing;
pub(crate) mod relay;
pub mod relaying;
pub mod sync;
pub mod transfer;
pub mod wire;
