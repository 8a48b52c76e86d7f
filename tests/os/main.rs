//! The seam to the kernel, tried on a real one: UDP in trains, the TUN device, netlink, nft. Each test that changes a
//! network does it in a namespace that is its thread's own and goes with it.

mod multicast;
mod namespace;
mod netfilter;
mod netlink;
#[cfg(feature = "tls")]
mod tls;
mod tun;
mod udp;
