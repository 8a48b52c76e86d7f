//! The underlay: one router that everybody has a cable to, in both families.
//!
//! Everything on it has 192.0.2.N/24 and 2001:db8::N/64 (documentation prefixes). A place behind a home router has
//! 198.51.100.N and 2001:db8:N::2, and the cable between that router and the internet has an MTU of its own, which
//! neither end sees.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Namespace;
use super::link::{End, join};

/// The internet's router.
#[derive(Debug)]
pub struct Internet {
    namespace: Arc<Namespace>,
    next: AtomicU8,
}

/// Where something is on the underlay.
#[derive(Debug, Clone)]
pub struct Place {
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
    /// The host's own interface there.
    pub interface: String,
    /// The home router that it is behind.
    router: Option<Arc<Namespace>>,
}

impl Place {
    /// A place that others made.
    pub fn inside(v4: Ipv4Addr, v6: Ipv6Addr, interface: &str) -> Self {
        Self { v4, v6, interface: interface.to_owned(), router: None }
    }

    /// Its addresses, v4 first.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// The home router gives its own IPv4 address to what goes out, lets in what answers to that alone, and gives it ports
    /// by chance: another one for each who is spoken to.
    pub fn masquerade_by_chance(&self) {
        self.translate("masquerade random,fully-random");
    }

    /// The home router gives its own IPv4 address to what goes out, and lets in what answers to that alone.
    pub fn masquerade(&self) {
        self.translate("masquerade");
    }

    fn translate(&self, how: &str) {
        // What comes for the router itself is dropped: a flow that it takes has the port that another would be given.
        self.router().nft(&format!(
            "table inet home {{
               chain out {{ type nat hook postrouting priority 100; meta nfproto ipv4 oifname wan {how}; }}
               chain in {{ type filter hook input priority 0; iifname wan meta l4proto udp drop; }}
               chain through {{
                 type filter hook forward priority 0; policy drop;
                 iifname lan accept
                 ct state established,related accept
               }}
             }}",
        ));
    }

    /// The home router lets no UDP through.
    pub fn block_udp(&self) {
        self.router().nft(
            "table inet block {
               chain through { type filter hook forward priority -10; meta l4proto udp drop; }
             }",
        );
    }

    fn router(&self) -> &Namespace {
        self.router.as_ref().expect("the case has put it behind a home router")
    }
}

impl Internet {
    pub fn new() -> Self {
        let namespace = Namespace::new("internet");
        namespace.forward();
        // Else a bridge takes the lowest address of its ports, and all neighbours are wrong when a lower one joins.
        namespace.ip("link add br0 address 02:00:00:00:00:01 type bridge");
        namespace.ip("address add 192.0.2.1/24 dev br0");
        namespace.ip("address add 2001:db8::1/64 dev br0 nodad");
        namespace.ip("link set br0 up");
        // Neighbours here are far from each other.
        namespace.nft("add table bridge far\nadd chain bridge far forward { type filter hook forward priority 0; }\nadd rule bridge far forward ip6 daddr ff12::/16 drop\n");
        Self { namespace, next: AtomicU8::new(10) }
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn number(&self) -> u8 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives a namespace `eth0` with an address in each family and a default route.
    pub fn attach(&self, host: &Namespace) -> Place {
        let number = self.number();
        let port = format!("port{number}");
        join(
            End { namespace: &self.namespace, interface: &port },
            End { namespace: host, interface: "eth0" },
            1500,
        );
        self.namespace.ip(&format!("link set {port} master br0"));
        let place = Self::place(number, "eth0");
        Self::address(host, &place);
        place
    }

    fn place(number: u8, interface: &str) -> Place {
        Place {
            interface: interface.to_owned(),
            v4: Ipv4Addr::new(192, 0, 2, number),
            v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()),
            router: None,
        }
    }

    fn address(host: &Namespace, place: &Place) {
        host.ip(&format!("address add {}/24 dev {}", place.v4, place.interface));
        host.ip(&format!("address add {}/64 dev {} nodad", place.v6, place.interface));
        host.ip("route replace default via 192.0.2.1");
        host.ip("route replace default via 2001:db8::1");
    }

    /// Moves something attached to another cable with other addresses, as a phone goes from Wi-Fi to mobile data.
    ///
    /// The old interface stays, down and with its address: wireguard-go (0.0.20220316) asks the kernel for a new way
    /// from the source address that it last used, and never forgets that when it is taken away under its hands.
    pub fn move_host(&self, host: &Namespace, from: &Place) -> Place {
        let number = self.number();
        let (port, interface) = (format!("port{number}"), format!("eth{number}"));
        let end = End { namespace: host, interface: &interface };
        join(End { namespace: &self.namespace, interface: &port }, end, 1500);
        self.namespace.ip(&format!("link set {port} master br0"));
        host.ip(&format!("link set {} down", from.interface));
        let place = Self::place(number, &interface);
        Self::address(host, &place);
        place
    }

    /// Attaches a namespace behind a home router of its own, whose cable to the internet has this MTU.
    pub fn attach_behind(&self, host: &Namespace, mtu: u32) -> Place {
        let number = self.number();
        let router = Namespace::new("home");
        router.forward();
        let port = format!("home{number}");
        join(
            End { namespace: &self.namespace, interface: &port },
            End { namespace: &router, interface: "wan" },
            mtu,
        );
        join(End { namespace: &router, interface: "lan" }, End { namespace: host, interface: "eth0" }, 1500);
        let (v4, v6) =
            (Ipv4Addr::new(198, 51, 100, number), Ipv6Addr::new(0x2001, 0xdb8, number.into(), 0, 0, 0, 0, 2));
        let wan = format!("10.255.{number}");
        self.namespace.ip(&format!("address add {wan}.1/30 dev {port}"));
        self.namespace.ip(&format!("address add fe80::1/64 dev {port} nodad"));
        router.ip(&format!("address add {wan}.2/30 dev wan"));
        router.ip("address add fe80::2/64 dev wan nodad");
        router.ip("address add fe80::1/64 dev lan nodad");
        router.ip(&format!("address add 10.254.{number}.1/32 dev lan"));
        self.namespace.ip(&format!("route add {v4} via {wan}.2"));
        self.namespace.ip(&format!("route add {v6} via fe80::2 dev {port}"));
        router.ip(&format!("route add default via {wan}.1"));
        router.ip("route add default via fe80::1 dev wan");
        router.ip(&format!("route add {v4} dev lan"));
        router.ip(&format!("route add {v6} dev lan"));
        // A router answers from an address that the other side has a way to.
        router.ip(&format!("address add 2001:db8:{number:x}::1/128 dev lan nodad"));
        self.namespace.ip(&format!("route add 2001:db8:{number:x}::1 via fe80::2 dev {port}"));
        host.ip(&format!("address add {v4}/32 dev eth0"));
        host.ip(&format!("address add {v6}/128 dev eth0 nodad"));
        host.ip(&format!("route add default via 10.254.{number}.1 dev eth0 onlink"));
        host.ip("route add default via fe80::1 dev eth0");
        Place { v4, v6, interface: "eth0".to_owned(), router: Some(router) }
    }
}
