//! Sockets, TUN, netlink, clock, files.

pub mod store;
pub mod whole_file;
