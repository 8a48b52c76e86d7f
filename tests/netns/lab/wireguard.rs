//! Stock WireGuard, configured with `wg`, as a user's machine has it: `wireguard-go`, or the kernel's own where
//! [`KERNEL`] is in the environment (`make test-vm`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use vpmesh::base::{PrivateKey, PublicKey};

use super::command::{LIMIT, run_with_input};
use super::process::Process;
use super::wait::wait_for;
use super::{Lab, Namespace, reaper};

/// Tells stations to be the kernel's.
const KERNEL: &str = "VPMESH_LAB_KERNEL_WIREGUARD";

/// A tunnel interface and the process behind it.
#[derive(Debug)]
pub struct WireGuard {
    /// Unlike in any other namespace: wireguard-go's sockets all lie in one folder.
    pub interface: String,
    /// The kernel's interface has none.
    process: Option<Process>,
    namespace: Arc<Namespace>,
}

/// What a peer is configured with.
#[derive(Debug, Clone)]
pub struct Peer {
    pub public: PublicKey,
    pub endpoint: Option<SocketAddr>,
    pub allowed: Vec<String>,
    /// Seconds; 0 is off.
    pub keepalive: u16,
}

impl WireGuard {
    /// Starts it with a key, on a port (0: any). The interface is up and has no address.
    pub fn start(lab: &Lab, namespace: &Arc<Namespace>, key: &PrivateKey, port: u16) -> Self {
        let interface = format!("w{}-{}", std::process::id(), reaper::number());
        let mut tunnel = Self { interface, process: None, namespace: Arc::clone(namespace) };
        if std::env::var_os(KERNEL).is_some() {
            namespace.ip(&format!("link add {} type wireguard", tunnel.interface));
        } else {
            let mut command = namespace.command("wireguard-go");
            command.arg(&tunnel.interface).env("WG_PROCESS_FOREGROUND", "1");
            tunnel.process = Some(Process::start(lab, "wireguard-go", &mut command));
            wait_for("wireguard-go opens its socket", LIMIT, || tunnel.socket().exists().then_some(()));
        }
        tunnel.wg(&format!("private-key /proc/self/fd/0 listen-port {port}"), &key.to_base64());
        tunnel.namespace.ip(&format!("link set {} up", tunnel.interface));
        tunnel
    }

    /// Starts it from a wg-quick file, and does what wg-quick would do: addresses, MTU, routes.
    pub fn from_file(lab: &Lab, namespace: &Arc<Namespace>, file: &str) -> Self {
        let is_quick = |line: &&str| ["Address", "DNS", "MTU"].iter().any(|key| line.starts_with(key));
        let values = |key: &'static str| {
            let lines =
                file.lines().filter_map(|line| line.split_once('=')).filter(move |(k, _)| k.trim() == key);
            lines.flat_map(|(_, value)| value.split(',')).map(|value| value.trim().to_owned())
        };
        let key = values("PrivateKey").next().and_then(|key| key.parse().ok()).expect("the file has a key");
        let tunnel = Self::start(lab, namespace, &key, 0);
        let plain: Vec<_> = file.lines().filter(|line| !is_quick(line)).collect();
        let mut setconf = namespace.command("wg");
        setconf.args(["setconf", &tunnel.interface, "/proc/self/fd/0"]);
        let outcome = run_with_input(&mut setconf, &(plain.join("\n") + "\n"), LIMIT);
        assert!(outcome.is_success(), "wg setconf failed: {outcome:?}\n{file}");
        let interface = &tunnel.interface;
        for address in values("Address") {
            namespace.ip(&format!("address add {address} dev {interface}"));
        }
        for mtu in values("MTU") {
            namespace.ip(&format!("link set {interface} mtu {mtu}"));
        }
        for prefix in values("AllowedIPs") {
            namespace.ip(&format!("route replace {prefix} dev {interface}"));
        }
        tunnel
    }

    /// Adds or changes a peer.
    pub fn set_peer(&self, peer: &Peer) {
        let mut line = format!("peer {} allowed-ips {}", peer.public, peer.allowed.join(","));
        if let Some(endpoint) = peer.endpoint {
            line += &format!(" endpoint {endpoint}");
        }
        line += &format!(" persistent-keepalive {}", peer.keepalive);
        self.wg(&line, "");
    }

    /// Takes a peer away.
    pub fn remove_peer(&self, public: &PublicKey) {
        self.wg(&format!("peer {public} remove"), "");
    }

    /// Forgets all sessions, as a client that starts anew.
    pub fn renew(&self, key: &PrivateKey) {
        // Setting a key clears the sessions of all peers, but only when it is another one.
        let other = PrivateKey::generate().expect("the system has random bytes");
        for key in [&other, key] {
            self.wg("private-key /proc/self/fd/0", &key.to_base64());
        }
    }

    /// When the last handshake was, in seconds since 1970; `None` before the first.
    pub fn last_handshake(&self) -> Option<u64> {
        let output = self.namespace.must(&format!("wg show {} latest-handshakes", self.interface));
        output.split_whitespace().last()?.parse().ok().filter(|&time| time > 0)
    }

    /// Where its last peer is.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        let output = self.namespace.must(&format!("wg show {} endpoints", self.interface));
        output.split_whitespace().last()?.parse().ok()
    }

    /// Resident memory and CPU of its process are for comparison.
    ///
    /// # Panics
    /// When it is the kernel's.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("wireguard-go is a process").id()
    }

    fn wg(&self, line: &str, input: &str) {
        let mut command: Command = self.namespace.command("wg");
        command.args(["set", &self.interface]).args(line.split_whitespace());
        let outcome = run_with_input(&mut command, input, Duration::from_secs(10));
        assert!(outcome.is_success(), "wg set {line} failed: {outcome:?}");
    }

    fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/var/run/wireguard/{}.sock", self.interface))
    }
}
