//! What the kernel's netfilter is asked and told without a program between: live connections ([`conntrack`]), and who
//! changed a table ([`TableChanges`]).
//!
//! Messages are few and small, and are read attribute by attribute, each with its length checked. Setting a table up is
//! `nft`'s work (`os::nft`).

pub mod conntrack;
mod tables;

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::line::{Line, Request};
pub use tables::{TableChanges, generation};

/// Bytes of `struct nfgenmsg` (`linux/netfilter/nfnetlink.h`), which messages begin with: the family, and what is not used.
const HEAD: usize = 4;

fn line() -> io::Result<Line> {
    Line::open(NETLINK_NETFILTER)
}

/// A message's kind, of a subsystem (`NFNL_SUBSYS_…`).
const fn kind(subsystem: u8, message: u8) -> u16 {
    u16::from_be_bytes([subsystem, message])
}

/// `family` is `AF_INET`, `NFPROTO_INET`, …
fn request(kind: u16, flags: i32, family: u8) -> Request {
    Request::new(kind, flags, &[family, 0, 0, 0])
}
