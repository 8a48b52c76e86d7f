//! Which addresses a forwarded packet may bear.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::DropReason;

/// Refuses a packet whose source or destination is no unicast address that a router forwards (RFC 1812, 5.3.7; RFC
/// 4291, 2.4 to 2.7), or that is from an address to itself.
pub(super) fn check(src: IpAddr, dst: IpAddr) -> Result<(), DropReason> {
    if !is_forwarded(src) || src == dst {
        return Err(DropReason::BadSource);
    }
    if is_forwarded(dst) { Ok(()) } else { Err(DropReason::BadDestination) }
}

/// Whether a router forwards to and from the address.
fn is_forwarded(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_forwarded_v4(address),
        IpAddr::V6(address) => is_forwarded_v6(address),
    }
}

/// Not "this network", loopback, link-local, multicast, reserved or broadcast.
fn is_forwarded_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    !(matches!(first, 0 | 127 | 224..) || (first == 169 && second == 254))
}

/// Not multicast, link-local, or anything with an IPv4 address in it: v4-mapped, or `::/96`, which holds the
/// unspecified address, loopback and the old v4-compatible ones.
fn is_forwarded_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embeds_v4 = segments[..5] == [0; 5] && matches!(segments[5], 0 | 0xffff);
    !(address.is_multicast() || address.is_unicast_link_local() || embeds_v4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(src: &str, dst: &str) -> Result<(), DropReason> {
        check(src.parse().unwrap(), dst.parse().unwrap())
    }

    #[test]
    fn only_unicast_addresses_are_forwarded() {
        for good in ["10.88.1.10", "192.0.2.1", "223.255.255.255", "1.0.0.0", "169.253.0.1"] {
            assert_eq!(verdict(good, "10.0.0.1"), Ok(()), "{good}");
            assert_eq!(verdict("10.0.0.1", good), Ok(()), "{good}");
        }
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
        ] {
            assert_eq!(verdict(bad, "10.0.0.1"), Err(DropReason::BadSource), "{bad}");
            assert_eq!(verdict("10.0.0.1", bad), Err(DropReason::BadDestination), "{bad}");
        }
        for good in ["fd00::1", "2001:db8::1", "::1:0:0:1", "fec0::1", "64:ff9b::1.2.3.4"] {
            assert_eq!(verdict(good, "fd00::2"), Ok(()), "{good}");
            assert_eq!(verdict("fd00::2", good), Ok(()), "{good}");
        }
        for bad in
            ["::", "::1", "::10.88.1.10", "::ffff:10.88.1.10", "fe80::1", "febf::1", "ff02::1", "ff0e::1"]
        {
            assert_eq!(verdict(bad, "fd00::2"), Err(DropReason::BadSource), "{bad}");
            assert_eq!(verdict("fd00::2", bad), Err(DropReason::BadDestination), "{bad}");
        }
        assert_eq!(verdict("fd00::1", "fd00::1"), Err(DropReason::BadSource));
    }
}
