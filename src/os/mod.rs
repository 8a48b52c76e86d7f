//! Floor 5: TUN, UDP, netlink, clock, files. Thin, no policy.

pub mod store;
