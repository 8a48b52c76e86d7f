//! A home router that translates addresses and, where it runs miniupnpd, maps ports for who asks.
//!
//! Its outer address is 11.22.33.44, because miniupnpd maps nothing where that is from a documentation prefix; inside
//! is 192.168.77.0/24, and the router .1 there.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::command::LIMIT;
use super::internet::Place;
use super::link::{End, join};
use super::process::{Process, Signal};
use super::{Internet, Lab, Namespace, reaper};

pub const OUTER: Ipv4Addr = Ipv4Addr::new(11, 22, 33, 44);
pub const INNER: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);

/// As `nft_init.sh` of Debian's package makes it, with the translation that a router has anyway.
const RULES: &str = r#"
    table inet filter {
      chain miniupnpd {}
      chain prerouting_miniupnpd {}
      chain postrouting_miniupnpd {}
      chain forward {
        type filter hook forward priority 0; policy drop;
        iifname "lan" accept
        ct state established,related accept
        jump miniupnpd
      }
      chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
      chain postrouting {
        type nat hook postrouting priority 100;
        jump postrouting_miniupnpd
        oifname "eth0" ip saddr 192.168.77.0/24 masquerade
      }
    }
"#;

/// The router.
#[derive(Debug)]
pub struct HomeRouter {
    pub namespace: Arc<Namespace>,
    miniupnpd: Option<Process>,
}

impl HomeRouter {
    pub fn new(internet: &Internet) -> Self {
        let namespace = Namespace::new("router");
        namespace.forward();
        let place = internet.attach(&namespace);
        namespace.ip(&format!("address add {OUTER}/32 dev eth0"));
        internet.namespace().ip(&format!("route add {OUTER} via {}", place.v4));
        namespace.nft(RULES);
        Self { namespace, miniupnpd: None }
    }

    /// Gives a namespace `eth0` inside, with .2 there. One host fits.
    pub fn attach(&self, host: &Namespace) -> Place {
        let inside = End { namespace: &self.namespace, interface: "lan" };
        join(inside, End { namespace: host, interface: "eth0" }, 1500);
        self.namespace.ip(&format!("address add {INNER}/24 dev lan"));
        host.ip("address add 192.168.77.2/24 dev eth0");
        host.ip(&format!("route add default via {INNER}"));
        Place::inside(Ipv4Addr::new(192, 168, 77, 2), Ipv6Addr::LOCALHOST, "eth0")
    }

    /// Starts miniupnpd with these lines of configuration, and waits until it listens.
    pub fn start(&mut self, lab: &Lab, lines: &str) {
        let file = lab.dir().join(format!("miniupnpd-{}", reaper::number()));
        let config = format!(
            "ext_ifname=eth0\next_ip={OUTER}\nlistening_ip=lan\nipv6_disable=yes\nsecure_mode=yes\n\
             min_lifetime=120\nmax_lifetime=86400\nuuid=5f1e4a3c-0000-4000-8000-000000000001\n{lines}\n\
             allow 0-65535 192.168.77.0/24 0-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        );
        fs::write(&file, config).expect("a configuration can be written");
        let mut command = self.namespace.command("miniupnpd");
        command.arg("-d").arg("-f").arg(&file).arg("-P").arg(file.with_extension("pid"));
        let mut process = Process::start(lab, "miniupnpd", &mut command);
        process.wait_for_output("starting", LIMIT);
        self.miniupnpd = Some(process);
    }

    /// A power cut: the daemon is gone, and all that it had mapped.
    pub fn forget(&mut self) {
        if let Some(mut process) = self.miniupnpd.take() {
            process.signal(Signal::Kill);
            process.end(LIMIT);
        }
        for chain in ["miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"] {
            self.namespace.nft(&format!("flush chain inet filter {chain}"));
        }
    }

    /// Whether it forwards a UDP port to the host inside.
    pub fn forwards(&self, port: u16) -> bool {
        let rules = self.namespace.must("nft list chain inet filter prerouting_miniupnpd");
        rules.contains(&format!("dnat ip to 192.168.77.2:{port}"))
    }
}
