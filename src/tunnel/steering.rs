//! What the kernel may know of receiver indices, so that it turns away what can be for nobody and keeps apart from the
//! others those who crowd them.

use std::net::SocketAddr;

/// Which datagrams are worth reading, and which ones wait in a queue of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steering {
    /// A receiver index is of this gateway only where `index & mask == bits`.
    pub mask: u32,
    pub bits: u32,
    /// At most [`CROWDING_MAX`].
    pub crowding: Vec<Crowding>,
}

/// Data messages that crowd others out of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowding {
    /// The peer's receiver indices, less their low eight bits.
    pub index: u32,
    /// `Some`: the peer is here and innocent; only what comes from elsewhere under its indices is meant.
    pub except_from: Option<SocketAddr>,
}

/// The most entries of [`Steering::crowding`]: the program that the kernel runs for each datagram stays short.
pub const CROWDING_MAX: usize = 32;
