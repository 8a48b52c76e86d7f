//! Floor 6: the daemon. One thread owns the engine and moves bytes; everything slow is a task beside it.
//!
//! The event loop (`event_loop`) reads the clock once a turn, hands batches to the engine and sends what comes out.
//! It never waits for anything but readiness. The control socket, metrics, host names, the home router's port, the interface's
//! addresses and the rosters' reload are tasks of their own; they talk to the loop through one bounded channel of [`notice::Notice`]s,
//! and no packet ever goes through it.

pub(crate) mod configuration;
mod control;
mod delivery;
mod event_loop;
mod interface;
pub(crate) mod kernel;
pub(crate) mod load;
mod log;
mod metrics;
mod names;
mod neighbours;
mod notice;
#[cfg_attr(not(feature = "tls"), path = "passages_absent.rs")]
mod passages;
#[cfg_attr(not(feature = "portmap"), path = "no_port_mapper.rs")]
mod port_mapper;
pub mod question;
mod reload;
mod resolver;
pub(crate) mod room_key;
mod start;
pub(crate) mod status;
mod whereabouts;

pub(crate) use start::{RunError, run};
