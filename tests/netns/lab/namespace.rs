//! A network namespace: one host, router or wire of the lab.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::command::{LIMIT, Outcome, must, run, words};
use super::reaper;

/// Removed, with what runs in it, when the last holder drops it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new namespace with its loopback up, without rp_filter, and with IPv6 addresses that are good at once.
    pub fn new(label: &str) -> Arc<Self> {
        let name = format!("vpm-{}-{}-{label}", std::process::id(), reaper::number());
        reaper::watch_namespace(&name);
        must(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self { name };
        namespace.inside(|| {
            for (key, value) in [
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
                ("ipv6/conf/all/accept_dad", "0"),
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv6/conf/default/accept_ra", "0"),
                ("ipv6/conf/default/router_solicitations", "0"),
            ] {
                write_key(key, value);
            }
        });
        namespace.ip("link set lo up");
        Arc::new(namespace)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `ip` in this namespace; it has to succeed.
    pub fn ip(&self, line: &str) -> String {
        must(Command::new("ip").args(["-n", &self.name]).args(line.split_whitespace()))
    }

    /// A program in this namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// A command line in this namespace, whatever its exit code.
    pub fn run(&self, line: &str, limit: Duration) -> Outcome {
        let inner = words(line);
        let mut command = self.command(&inner.get_program().to_string_lossy());
        run(command.args(inner.get_args()), limit)
    }

    /// A command line in this namespace that has to succeed.
    pub fn must(&self, line: &str) -> String {
        let outcome = self.run(line, LIMIT);
        assert!(outcome.is_success(), "`{line}` failed in {}: {outcome:?}", self.name);
        outcome.stdout
    }

    /// An nftables script.
    pub fn nft(&self, script: &str) {
        let outcome = super::command::run_with_input(self.command("nft").args(["-f", "-"]), script, LIMIT);
        assert!(outcome.is_success(), "nft refused in {}: {outcome:?}\n{script}", self.name);
    }

    /// Writes `/proc/sys/net/KEY`.
    pub fn set(&self, key: &str, value: &str) {
        self.inside(|| write_key(key, value));
    }

    /// Writes the `/etc/hosts` that programs started in here see, now and later.
    pub fn set_hosts(&self, text: &str) {
        // What `ip netns exec` lays over /etc (ip-netns(8)). Written in place: the file that lies there already changes.
        let dir = std::path::Path::new("/etc/netns").join(&self.name);
        std::fs::create_dir_all(&dir).expect("a folder can be made in /etc/netns");
        std::fs::write(dir.join("hosts"), text).expect("a hosts file can be written");
        // Names that are not there are asked of nobody.
        std::fs::write(dir.join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            .expect("a resolv.conf can be written");
    }

    /// Makes a router of it.
    pub fn forward(&self) {
        self.set("ipv4/ip_forward", "1");
        self.set("ipv6/conf/all/forwarding", "1");
    }

    /// Bytes that an interface has received, or `None` when there is no such interface.
    pub fn received_bytes(&self, interface: &str) -> Option<u64> {
        let table = self.inside(|| std::fs::read_to_string("/proc/thread-self/net/dev")).ok()?;
        let line = table.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

fn write_key(key: &str, value: &str) {
    let path = format!("/proc/sys/net/{key}");
    std::fs::write(&path, value).unwrap_or_else(|e| panic!("{path} can't be set to {value}: {e}"));
}

impl Drop for Namespace {
    fn drop(&mut self) {
        reaper::remove_namespace(&self.name);
    }
}
