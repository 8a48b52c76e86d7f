//! The daemon as a process, in a network namespace of its own.

mod kernel;
#[path = "../os/namespace.rs"]
mod namespace;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use namespace::{in_namespace, ip};
use serde_json::Value;

const KEY: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n";
const OWNER: &str = "untrusted comment: alice\nRWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

/// A node's files, and the daemon that runs on them.
struct Node {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Node {
    /// Files for a node that has no roster yet, with these lines in its configuration.
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("node.key"), KEY).unwrap();
        fs::set_permissions(at("node.key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(at("alice.pub"), OWNER).unwrap();
        fs::create_dir(at("rosters")).unwrap();
        let config = format!(
            "node = \"alice/attic/gw\"\nprivate_key = \"node.key\"\nowner_key = \"alice.pub\"\nrosters = \"rosters\"\n\
             control = \"control\"\n{more}"
        );
        fs::write(at("node.toml"), config).unwrap();
        Self { folder, daemon: None }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `vpmesh ARGUMENTS` on this node's files.
    fn vpmesh(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vpmesh"));
        command.args(arguments).arg("--config").arg(self.at("node.toml")).env_remove("VPMESH_LOG");
        command
    }

    /// Starts the daemon and waits until it has read its files and answers.
    fn start(&mut self) {
        let log = fs::File::create(self.at("log")).unwrap();
        let daemon = self.vpmesh(&["run"]).stderr(log).stdin(Stdio::null()).spawn().unwrap();
        self.daemon = Some(daemon);
        wait_until("files were read", || self.log().contains("by=\"the start\""));
        wait_until("the daemon answers", || self.vpmesh(&["status"]).output().unwrap().status.success());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap()
    }

    fn status(&self) -> Value {
        let output = self.vpmesh(&["status", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Sends the daemon a signal.
    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.daemon.as_ref().unwrap().id()).unwrap();
        // SAFETY: kill(2) of a child that was not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for the daemon's end; its exit code.
    fn end(&mut self) -> i32 {
        let mut daemon = self.daemon.take().unwrap();
        let mut code = None;
        wait_until("the daemon ends", || {
            code = daemon.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test that waits has a limit")]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < limit, "{what}: not within 20 s");
        std::thread::yield_now();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_leaves_nothing_behind_when_it_is_told_to_stop() {
    in_namespace(|| async {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let mut node = Node::new("");
            node.start();
            assert!(ip("link show vpm0").contains("mtu 1420") && node.at("control").exists());
            node.signal(signal);
            assert_eq!(node.end(), 0, "{}", node.log());
            assert!(!ip("link").contains("vpm0") && !node.at("control").exists());
        }
    });
}

#[test]
fn a_killed_daemon_is_replaced_by_the_next() {
    in_namespace(|| async {
        let mut node = Node::new("");
        node.start();
        node.daemon.take().map(|mut daemon| daemon.kill().and_then(|()| daemon.wait())).unwrap().unwrap();
        assert!(node.at("control").exists(), "a stale socket");
        node.start();
        node.signal(libc::SIGTERM);
        assert_eq!(node.end(), 0);
    });
}

#[test]
fn a_start_that_fails_is_one_line_with_the_mend() {
    in_namespace(|| async {
        let fails = |node: &Node, expected: &str| {
            let output = node.vpmesh(&["run"]).output().unwrap();
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(expected), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        };
        let taken = UdpSocket::bind("0.0.0.0:51888").unwrap();
        fails(&Node::new(""), "UDP port 51888 is in use; stop the other program");
        drop(taken);

        ip("link add vpm0 type veth peer name other0");
        fails(&Node::new(""), "interface vpm0 exists and is no TUN device");
        ip("link del vpm0");

        let node = Node::new("");
        fs::set_permissions(node.at("node.key"), fs::Permissions::from_mode(0o644)).unwrap();
        fails(&node, "chmod 600");
        fs::remove_file(node.at("node.key")).unwrap();
        fails(&node, "vpmesh key new");

        fails(
            &Node::new("listen = 0\n"),
            "node.toml:6: listen = 0 is out of range; write a UDP port, 1 to 65535",
        );
        fails(&Node::new("metrics = \"192.0.2.1:9588\"\n"), "cannot serve metrics at 192.0.2.1:9588");

        let mut first = Node::new("");
        first.start();
        let second = Node::new("");
        fails(&second, "UDP port 51888 is in use");
        fails(&first, "another vpmesh answers there");
    });
}

#[test]
fn what_can_not_be_loaded_is_told_and_the_daemon_runs_on() {
    in_namespace(|| async {
        let mut node = Node::new("");
        node.start();
        let output = node.vpmesh(&["reload"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("not reloaded, and what ran before runs on"), "{}", said(&output));
        let refusal = node.status()["last_reload"]["refusal"].clone();
        assert!(refusal.is_string(), "{refusal}");

        fs::write(node.at("node.toml"), "node = 1\n").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_vpmesh"))
            .args(["reload", "--control"])
            .arg(node.at("control"))
            .output()
            .unwrap();
        assert!(said(&output).contains("node.toml:1: node is a whole number"), "{}", said(&output));
        node.signal(libc::SIGTERM);
        assert_eq!(node.end(), 0);
    });
}

#[test]
fn a_key_that_needs_a_restart_is_refused_by_name() {
    in_namespace(|| async {
        let mut node = Node::new("");
        node.start();
        let config = fs::read_to_string(node.at("node.toml")).unwrap();
        fs::write(node.at("node.toml"), config + "mtu = 1300\n").unwrap();
        let output = node.vpmesh(&["reload"]).output().unwrap();
        assert!(said(&output).contains("mtu changed; restart vpmesh"), "{}", said(&output));
    });
}

#[test]
fn sighup_and_changed_files_reload() {
    in_namespace(|| async {
        let mut node = Node::new("");
        node.start();
        node.signal(libc::SIGHUP);
        wait_until("SIGHUP reloads", || node.log().contains("by=\"SIGHUP\""));
        let before = node.log().matches("by=\"a changed file\"").count();
        assert_eq!(before, 0);
        fs::write(node.at("rosters/alice.toml"), "owner = \"alice\"\n").unwrap();
        wait_until("a file reloads", || node.log().contains("by=\"a changed file\""));
        fs::write(node.at("rosters/.alice.toml.swp"), "x").unwrap();
    });
}

#[test]
fn files_that_disagree_for_a_moment_are_no_error() {
    in_namespace(|| async {
        let mut node = Node::new("log = \"debug\"\n");
        node.start();
        let config = fs::read_to_string(node.at("node.toml")).unwrap();
        // A bad configuration that is mended within the grace.
        fs::write(node.at("node.toml"), "node = 1\n").unwrap();
        wait_until("it is refused", || node.log().contains("files disagree; trying again"));
        fs::write(node.at("node.toml"), &config).unwrap();
        wait_until("the file is read", || node.log().contains("by=\"a changed file\""));
        assert!(!node.log().contains("node is a whole number"), "{}", node.log());
    });
}

#[test]
fn an_interface_that_others_took_down_comes_up_again() {
    in_namespace(|| async {
        let mut node = Node::new("");
        node.start();
        ip("link set vpm0 down");
        wait_until("vpm0 is up", || ip("link show vpm0").contains(",UP"));
        ip("link set vpm0 mtu 9000");
        wait_until("vpm0 has its MTU", || ip("link show vpm0").contains("mtu 1420"));
    });
}

#[test]
fn without_its_interface_it_ends_and_says_so() {
    in_namespace(|| async {
        let mut node = Node::new("");
        node.start();
        ip("link del vpm0");
        assert_eq!(node.end(), 1);
        assert!(node.log().contains("interface vpm0 was deleted; start vpmesh again"), "{}", node.log());
    });
}

#[test]
fn what_comes_in_is_counted_and_told() {
    in_namespace(|| async {
        let mut node = Node::new("metrics = \"127.0.0.1:9588\"\n");
        node.start();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            stranger.send_to(b"not WireGuard at all", "127.0.0.1:51888").unwrap();
        }
        // A handshake by its length, but for another key.
        let handshake = [&[1, 0, 0, 0][..], &[7; 144]].concat();
        stranger.send_to(&handshake, "127.0.0.1:51888").unwrap();
        let drops = || node.status()["drops"]["bad_mac"].as_u64().unwrap_or(0);
        wait_until("datagrams are counted", || drops() == 1 && node.status()["socket_refused"] == 100);
        let shown = node.vpmesh(&["status"]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("the handshake's MAC is not for this gateway's key"), "{shown}");
        assert!(shown.contains("the kernel saw that it is no message for this gateway"), "{shown}");
        let scraped = get("127.0.0.1:9588", "GET /metrics HTTP/1.1\r\n\r\n");
        assert!(scraped.starts_with("HTTP/1.1 200 OK\r\n"), "{scraped}");
        assert!(scraped.contains("\nvpmesh_drops_total{reason=\"bad_mac\"} 1\n"), "{scraped}");
        assert!(scraped.contains("\nvpmesh_socket_refused_total 100\n"), "{scraped}");
        assert!(get("127.0.0.1:9588", "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(get("127.0.0.1:9588", "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    });
}

fn get(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_idle_daemon_sleeps() {
    in_namespace(|| async {
        let mut node = Node::new("");
        node.start();
        let pid = node.daemon.as_ref().unwrap().id();
        let switches = || {
            let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
            let line =
                status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        // The start's own work, the interface's news included, comes to rest first.
        let mut last = switches();
        wait_until("it comes to rest", || {
            // Longer than the keeper of the interface lets others finish.
            std::thread::sleep(Duration::from_millis(1500));
            let now = switches();
            let rests = now == last;
            last = now;
            rests
        });
        std::thread::sleep(Duration::from_secs(1));
        assert!(switches() - last <= 1, "{} wake-ups in a second", switches() - last);
    });
}

/// As OpenWrt's init script starts it.
#[test]
fn it_runs_from_uci_as_nobody_with_two_capabilities() {
    in_namespace(|| async {
        let mut node = Node::new("");
        let (folder, binary) = (node.folder.path().display().to_string(), node.at("vpmesh"));
        let uci = format!(
            "config node 'main'\n\toption enabled '1'\n\toption node 'alice/attic/gw'\n\toption listen '51888'\n\
             \toption private_key '{folder}/node.key'\n\toption owner_key '{folder}/alice.pub'\n\
             \toption rosters '{folder}/rosters'\n\toption control '{folder}/control'\n"
        );
        fs::write(node.at("node.toml"), uci).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_vpmesh"), &binary).unwrap();
        fs::set_permissions(node.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let owned = Command::new("chown").args(["-R", "nobody:nogroup", &folder]).status().unwrap();
        assert!(owned.success());
        let capabilities = "-all,+net_admin,+net_raw";
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs"])
            .args(["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}={capabilities}")))
            .arg(&binary)
            .args(["run", "--config"])
            .arg(node.at("node.toml"));
        let log = fs::File::create(node.at("log")).unwrap();
        node.daemon = Some(command.stderr(log).stdin(Stdio::null()).spawn().unwrap());
        wait_until("the daemon answers", || node.vpmesh(&["status"]).output().unwrap().status.success());
        assert_eq!(node.status()["node"], "alice/attic/gw");
        assert!(ip("-br link show vpm0").contains("UP"));
        assert_eq!(ip("-6 -br addr show vpm0 scope link").trim(), "", "the kernel gave it no address");
        assert!(!node.log().contains("WARN"), "{}", node.log());
    });
}
