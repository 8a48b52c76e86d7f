//! Floor 5: the seam to the kernel. TUN, UDP, netlink, nft, clock, files: each thin, with no policy, and each refusal an
//! error that says the mend. All `unsafe` of the project is in here.

pub mod batch;
pub(crate) mod capabilities;
pub(crate) mod clock;
pub(crate) mod key_file;
mod line;
pub mod multicast;
pub mod netfilter;
pub mod netlink;
mod news;
pub mod nft;
pub mod path_mtu;
#[cfg(feature = "portmap")]
pub mod portmap;
pub(crate) mod random;
mod ready;
pub(crate) mod session;
mod sockopt;
pub mod store;
pub(crate) mod syslog;
#[cfg(feature = "tls")]
pub mod tls;
pub mod tun;
pub mod udp;
pub(crate) mod unix_socket;
pub(crate) mod watch;
pub(crate) mod whole_file;
