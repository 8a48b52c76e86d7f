//! Floor 5: TUN, UDP, netlink, clock, files. Thin, no policy.

pub mod store;
pub mod whole_file;
