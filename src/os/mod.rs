//! Floor 5: the seam to the kernel. TUN, UDP, netlink, nft, clock, files: each thin, with no policy, and each refusal an
//! error that says the mend. All `unsafe` of the project is in here.

pub mod batch;
pub mod capabilities;
pub mod clock;
pub mod key_file;
mod line;
pub mod multicast;
pub mod netfilter;
pub mod netlink;
mod news;
pub mod nft;
pub mod path_mtu;
#[cfg(feature = "portmap")]
pub mod portmap;
pub mod random;
mod ready;
pub mod session;
mod sockopt;
pub mod store;
pub mod syslog;
#[cfg(feature = "tls")]
pub mod tls;
pub mod tun;
pub mod udp;
pub mod unix_socket;
pub mod watch;
pub mod whole_file;
