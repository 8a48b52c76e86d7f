//! vpmesh itself: a gateway on the underlay, run from its own folder.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vpmesh::base::PrivateKey;

use super::command::{LIMIT, Outcome, run};
use super::explanation::Explanation;
use super::internet::Place;
use super::owner::Signed;
use super::process::{Process, Signal};
use super::station::Uplink;
use super::usage::Usage;
use super::wait::wait_for;
use super::{Internet, Lab, Namespace, Node, Owner, reaper};

pub const PORT: u16 = 51888;
/// The program under test.
pub const VPMESH: &str = env!("CARGO_BIN_EXE_vpmesh");

/// A mesh node's host, its configuration, and the daemon when it runs.
#[derive(Debug)]
pub struct Gateway {
    pub node: Node,
    pub place: Place,
    daemon: Option<Process>,
    dir: PathBuf,
    pub namespace: Arc<Namespace>,
}

impl Gateway {
    /// A host on the internet with everything but rosters; nothing runs yet.
    pub fn new(lab: &Lab, internet: &Internet, owner: &Owner, node: &Node) -> Self {
        let namespace = Namespace::new(node.path.leaf().as_str());
        let place = internet.attach(&namespace);
        Self::on(lab, namespace, place, owner, node)
    }

    /// The same behind a home router whose cable has this MTU.
    pub fn new_behind(lab: &Lab, internet: &Internet, mtu: u32, owner: &Owner, node: &Node) -> Self {
        let namespace = Namespace::new(node.path.leaf().as_str());
        let place = internet.attach_behind(&namespace, mtu);
        Self::on(lab, namespace, place, owner, node)
    }

    /// A host that is somewhere already.
    pub fn on(lab: &Lab, namespace: Arc<Namespace>, place: Place, owner: &Owner, node: &Node) -> Self {
        let dir = lab.folder(&format!("gateway-{}", reaper::number()));
        fs::create_dir(dir.join("rosters")).expect("a folder can be made");
        write_key(&dir.join("node.key"), &node.key);
        let (path, public) = (&node.path, &owner.public);
        let folder = dir.display();
        let config = format!(
            "node        = \"{path}\"\n\
             private_key = \"{folder}/node.key\"\n\
             owner_key   = \"{public}\"\n\
             rosters     = \"{folder}/rosters\"\n\
             interface   = \"vpm0\"\n\
             listen      = {PORT}\n\
             control     = \"{folder}/vpmesh.sock\"\n"
        );
        fs::write(dir.join("vpmesh.toml"), config).expect("a configuration can be written");
        Self { node: node.clone(), place, daemon: None, dir, namespace }
    }

    /// Makes its configuration anew by `vpmesh join`, with the key that it has; the roster's entry.
    pub fn join(&self, line: &str) -> String {
        fs::remove_file(self.config()).expect("it was configured");
        let outcome = self.tool(&["join", line, "--endpoint", &self.endpoint().to_string()]);
        assert!(outcome.is_success(), "vpmesh join failed: {outcome:?}");
        let made = fs::read_to_string(self.config()).expect("vpmesh join wrote a configuration");
        // The usual socket would be every host's.
        let control = format!("control = \"{}/vpmesh.sock\"\n", self.dir.display());
        fs::write(self.config(), made + &control).expect("a configuration can be written");
        outcome.stdout
    }

    /// Adds lines to its configuration.
    pub fn configure(&self, lines: &str) {
        let text = fs::read_to_string(self.config()).expect("the configuration was written");
        fs::write(self.config(), format!("{text}{lines}\n")).expect("a configuration can be written");
    }

    /// Holds the key of its room too.
    pub fn configure_room_key(&self, key: &PrivateKey) {
        let file = self.dir.join("room.key");
        write_key(&file, key);
        self.configure(&format!("room_key = \"{}\"", file.display()));
    }

    /// Where rosters name it, in IPv4.
    pub fn endpoint(&self) -> SocketAddr {
        SocketAddr::from((self.place.v4, PORT))
    }

    pub fn endpoint6(&self) -> SocketAddr {
        SocketAddr::from((self.place.v6, PORT))
    }

    /// What a station's client is told: all prefixes of these owners lie behind this gateway.
    pub fn uplink(&self, owners: &[&Owner]) -> Uplink {
        let allowed = owners.iter().flat_map(|owner| owner.prefixes()).collect();
        Uplink { public: self.node.public, endpoint: self.endpoint(), allowed }
    }

    /// Its host is a router whose firewall gives its own address to what goes from this owner's nodes to the internet.
    pub fn masquerade(&self, owner: &Owner) {
        let [v4, v6] = owner.prefixes();
        self.namespace.forward();
        self.namespace.nft(&format!(
            "table inet nat {{
                chain postrouting {{
                    type nat hook postrouting priority srcnat;
                    ip saddr {v4} oifname eth0 masquerade
                    ip6 saddr {v6} oifname eth0 masquerade
                }}
            }}"
        ));
    }

    /// Its folder of rosters.
    pub fn rosters(&self) -> PathBuf {
        self.dir.join("rosters")
    }

    /// Puts rosters into its folder, signature first, each by a rename.
    pub fn take(&self, rosters: &[&Signed]) {
        for roster in rosters {
            let place = self.dir.join("rosters").join(&roster.name);
            let sig = place.with_extension("toml.sig");
            for (from, to) in [(&roster.signature, &sig), (&roster.toml, &place)] {
                if !from.exists() {
                    let _ = fs::remove_file(to);
                    continue;
                }
                let part = self.dir.join("part");
                fs::copy(from, &part).expect("a file can be copied");
                fs::rename(&part, to).expect("a file can be renamed");
            }
        }
    }

    /// Where it sends to a mesh node, as `vpmesh peers` has it.
    pub fn endpoint_of(&self, peer: &Node) -> Option<SocketAddr> {
        let peers = self.peers();
        let row = peers.as_array()?.iter().find(|row| row["peer"] == peer.path.to_string().as_str())?;
        row["endpoint"].as_str()?.parse().ok()
    }

    /// Starts the daemon with these rosters.
    pub fn start_with(&mut self, lab: &Lab, rosters: &[&Signed]) {
        self.take(rosters);
        self.start(lab);
    }

    /// Starts the daemon and waits until it answers, and has loaded what there is to load.
    pub fn start(&mut self, lab: &Lab) {
        let mut command = self.namespace.command(VPMESH);
        command.arg("run").arg("--config").arg(self.config()).env("RUST_BACKTRACE", "1");
        self.daemon = Some(Process::start(lab, "vpmesh", &mut command));
        self.wait_until_up();
    }

    fn wait_until_up(&mut self) {
        let up = super::wait::poll_until(LIMIT, || {
            let status = serde_json::from_str::<Value>(&self.tool(&["status", "--json"]).stdout);
            if status.is_ok_and(|status| !status["last_reload"].is_null()) {
                return Some(true);
            }
            (!self.is_running()).then_some(false)
        });
        assert!(up == Some(true), "the gateway does not come up; it wrote:\n{}", self.log());
    }

    /// Ends the daemon as procd would, and waits for it.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(Signal::Terminate);
            let code = daemon.end(LIMIT);
            assert!(code == Some(0), "the gateway ended with {code:?}:\n{}", daemon.output());
        }
    }

    /// Ends the daemon without a word.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(Signal::Kill);
            daemon.end(LIMIT);
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(Process::is_running)
    }

    pub fn signal(&self, signal: Signal) {
        self.daemon().signal(signal);
    }

    /// Whether a verdict comes to be so within a few seconds.
    pub fn wait_for_verdict(&self, from: &str, to: &str, service: &str, is_allowed: bool) {
        let what = format!("{from} to {to} {service} is allowed: {is_allowed}");
        wait_for(&what, LIMIT, || (self.explain(from, to, service).is_allowed == is_allowed).then_some(()));
    }

    fn daemon(&self) -> &Process {
        self.daemon.as_ref().expect("the case has started the gateway")
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Process::output).unwrap_or_default()
    }

    pub fn usage(&self) -> Usage {
        Usage::of(self.daemon().id())
    }

    fn config(&self) -> PathBuf {
        self.dir.join("vpmesh.toml")
    }

    /// `vpmesh TOOL … --config FILE`, whatever its exit code.
    pub fn tool(&self, arguments: &[&str]) -> Outcome {
        self.tool_within(arguments, LIMIT)
    }

    /// The same with a deadline of one's own.
    pub fn tool_within(&self, arguments: &[&str], limit: Duration) -> Outcome {
        let mut command = Command::new(VPMESH);
        run(command.args(arguments).arg("--config").arg(self.config()), limit)
    }

    fn json(&self, tool: &str) -> Value {
        let outcome = self.tool(&[tool, "--json"]);
        assert!(outcome.is_success(), "vpmesh {tool} failed: {outcome:?}\n{}", self.log());
        serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|e| panic!("vpmesh {tool}: {e}: {}", outcome.stdout))
    }

    pub fn status(&self) -> Value {
        self.json("status")
    }

    pub fn flows(&self) -> Value {
        self.json("flows")
    }

    pub fn peers(&self) -> Value {
        self.json("peers")
    }

    /// How many packets were turned away for this reason (`base::DropReason`'s name).
    pub fn drops(&self, reason: &str) -> u64 {
        self.status()["drops"][reason].as_u64().unwrap_or(0)
    }

    /// Waits until one more packet than `before` was turned away for this reason.
    pub fn wait_for_drops(&self, reason: &str, at_least: u64) {
        let what =
            format!("{at_least} packets are dropped as {reason}; drops are {}", self.status()["drops"]);
        wait_for(&what, LIMIT, || (self.drops(reason) >= at_least).then_some(()));
    }

    /// Gives the daemon new rosters. It has to take them.
    pub fn reload(&self, rosters: &[&Signed]) {
        self.take(rosters);
        let outcome = self.tool(&["reload"]);
        assert!(outcome.is_success(), "the reload was refused: {outcome:?}\n{}", self.log());
    }

    /// Gives the daemon new rosters that it has to refuse; its words.
    pub fn reload_in_vain(&self, rosters: &[&Signed]) -> String {
        self.take(rosters);
        let outcome = self.tool(&["reload"]);
        assert!(!outcome.is_success(), "the reload was to be refused: {outcome:?}\n{}", self.log());
        outcome.stdout + &outcome.stderr
    }

    /// `vpmesh explain`, asked of the running daemon. The exit code agrees with the verdict.
    pub fn explain(&self, from: &str, to: &str, service: &str) -> Explanation {
        let outcome = self.tool(&["explain", from, to, service, "--json"]);
        let explanation = Explanation::parse(&outcome.stdout);
        let code = if explanation.is_allowed { 0 } else { 1 };
        assert!(outcome.code == Some(code), "explain ended with {:?}: {}", outcome.code, outcome.stdout);
        explanation
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() && self.is_running() {
            for tool in ["status", "peers", "flows"] {
                eprintln!("--- vpmesh {tool} at {}:\n{}", self.node.path, self.tool(&[tool]).stdout);
            }
        }
    }
}

fn write_key(file: &Path, key: &PrivateKey) {
    fs::write(file, key.to_base64() + "\n").expect("a key can be written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
}
