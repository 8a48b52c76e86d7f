//! What must be installed. A test that can't run fails with the mend.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;

/// Program and Debian package; `.ci/packages` lists the same for `make deps`.
const TOOLS: &[(&str, &str)] = &[
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("miniupnpd", "miniupnpd-nftables"),
    ("nft", "nftables"),
    ("nmap", "nmap"),
    ("ping", "iputils-ping"),
    ("signify-openbsd", "signify-openbsd"),
    ("wg", "wireguard-tools"),
    ("wireguard-go", "wireguard-go"),
];

/// # Panics
/// With what to do, when the machine can't hold a lab.
pub fn check() {
    static FAULT: OnceLock<Option<String>> = OnceLock::new();
    if let Some(fault) = FAULT.get_or_init(fault) {
        panic!("{fault}");
    }
}

fn fault() -> Option<String> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !root {
        return Some("network namespaces need root: run `sudo make test`".into());
    }
    let missing: Vec<_> =
        TOOLS.iter().filter(|(tool, _)| !is_installed(tool)).map(|&(_, package)| package).collect();
    if !missing.is_empty() {
        return Some(format!("run `make deps`, or: apt-get install {}", missing.join(" ")));
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun: load the kernel module `tun`".into());
    }
    None
}

fn is_installed(tool: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).exists()))
        || ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(tool).exists())
}
