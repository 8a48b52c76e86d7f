//! Floor 3: what mesh nodes agree on: which rosters are accepted (`accept`), and what they say to each other (`wire`).

pub mod accept;
pub mod beacon;
pub mod frame;
pub mod legs;
pub mod relay;
pub mod relaying;
pub mod wire;
