//! What a peer says of where it is: an address told is worth a few probes, and not every address is.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::base::is_virtual;

/// Addresses that a peer may bring up at once, and how often it gets one more.
const AT_ONCE: u32 = 8;
const ONE_MORE: Duration = Duration::from_secs(10);
/// How often a peer's word is taken.
const EVERY: Duration = Duration::from_secs(1);

/// Whether an address that somebody else tells of may be sent a probe: one host's, elsewhere, on the underlay. Which
/// addresses are the mesh's own the caller knows.
#[must_use]
pub fn is_probeable(address: SocketAddr) -> bool {
    let is_host = match address.ip() {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first != 0 && first < 224 && !v4.is_loopback() && !v4.is_link_local()
        }
        IpAddr::V6(v6) => {
            !v6.is_loopback()
                && !v6.is_unspecified()
                && !v6.is_multicast()
                && !v6.is_unicast_link_local()
                && v6.to_ipv4_mapped().is_none()
        }
    };
    is_host && address.port() != 0 && !is_virtual(address.ip())
}

/// What one peer may still bring up.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    filled: Instant,
    heard: Option<Instant>,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, filled: now, heard: None }
    }

    /// Whether a list of addresses is looked at.
    pub(super) fn take_list(&mut self, now: Instant) -> bool {
        let takes = self.heard.is_none_or(|at| now.saturating_duration_since(at) >= EVERY);
        if takes {
            self.heard = Some(now);
        }
        takes
    }

    /// Whether one more new address is probed.
    pub(super) fn take_new(&mut self, now: Instant) -> bool {
        while self.left < AT_ONCE && now.saturating_duration_since(self.filled) >= ONE_MORE {
            self.left += 1;
            self.filled += ONE_MORE;
        }
        if self.left == AT_ONCE {
            self.filled = now;
        }
        let takes = self.left > 0;
        self.left -= u32::from(takes);
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hosts_address_on_the_underlay_is_probed() {
        for good in ["203.0.113.7:51888", "192.168.1.2:1", "[2001:db8::1]:51888", "[fd12::1]:9"] {
            assert!(is_probeable(good.parse().unwrap()), "{good}");
        }
        for bad in [
            "0.0.0.0:1",
            "0.1.2.3:1",
            "127.0.0.1:51888",
            "169.254.1.1:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "203.0.113.7:0",
            "[::]:1",
            "[::1]:1",
            "[ff02::1]:1",
            "[fe80::1]:1",
            "[::ffff:192.0.2.1]:1",
            "[100::1:0:0:1]:443",
        ] {
            assert!(!is_probeable(bad.parse().unwrap()), "{bad}");
        }
    }
}
