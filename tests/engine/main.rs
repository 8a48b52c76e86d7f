//! Whole engines in one process: two rooms, their stations and a wire between them, all in memory. A station is the
//! project's own tunnels with one peer; that stock clients do the same is shown in `tests/netns`.

mod ip;
mod mesh;
mod passage;
mod paths;
mod relays;
mod room_key;
mod rooms;
mod town;
mod traffic;
mod travel;
