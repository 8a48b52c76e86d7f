//! The kernel's half of policy: when table `inet vpmesh` is there, and what becomes of it when things fail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::namespace::{in_namespace, run};
use super::{Node, said, wait_until};

/// A node whose room has a LAN station, with a signed roster. Mounts that the test makes are its own.
fn router(more: &str) -> Node {
    // SAFETY: unshare(2) of the mounts concerns this thread alone, which nothing else shares files with.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) }, 0);
    run("mount", "--make-rprivate /");
    let node = Node::new(more);
    fs::remove_file(node.at("alice.pub")).unwrap();
    let made = node
        .vpmesh(&["owner", "new", "alice", "--dir", node.folder.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    node.sign(1, "tcp/443");
    node
}

impl Node {
    /// Signs a roster that lets one service out, into the folder of rosters.
    fn sign(&self, serial: u64, service: &str) {
        let public = self.vpmesh(&["key", "public", self.at("node.key").to_str().unwrap()]).output().unwrap();
        let key = String::from_utf8(public.stdout).unwrap();
        let roster = format!(
            "owner = \"alice\"\nserial = {serial}\nipv4 = \"10.88.0.0/16\"\n\
             egress = [{{ allow = \"{service}\", to = \"internet\" }}]\n\
             [[room]]\nname = \"attic\"\n[[room.gateway]]\nname = \"gw\"\nkey = \"{}\"\n\
             [[room.station]]\nname = \"nas\"\nlan = true\nipv4 = \"10.88.2.10\"\n",
            key.trim()
        );
        fs::write(self.at("alice.toml"), roster).unwrap();
        let signed = self.vpmesh(&["owner", "sign"]).arg(self.at("alice.toml")).output().unwrap();
        assert!(signed.status.success(), "{}", said(&signed));
        for name in ["alice.toml.sig", "alice.toml"] {
            fs::copy(self.at(name), self.at("rosters").join(name)).unwrap();
        }
    }

    /// Starts the daemon and waits until its rosters are loaded or refused.
    fn start_and_load(&mut self) {
        self.start();
        wait_until("the rosters are read", || !self.status()["last_reload"].is_null());
    }

    /// Ends the daemon without a word.
    fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().and_then(|()| daemon.wait()).unwrap();
    }

    fn reload(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.vpmesh(&[&["reload"], arguments].concat()).output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(said(&output))
        }
    }

    /// Whether the nas may use a service of the internet, as the running daemon judges.
    fn lets_out(&self, service: &str) -> bool {
        let asked = ["explain", "alice/attic/nas", "internet", service];
        self.vpmesh(&asked).output().unwrap().status.code() == Some(0)
    }

    fn kernel(&self) -> Value {
        self.status()["kernel"].clone()
    }
}

fn has_table() -> bool {
    run("nft", "list tables").contains("table inet vpmesh")
}

/// Puts another file in a path's place, for this test alone.
fn cover(path: &str, by: &str) {
    run("mount", &format!("--bind {by} {path}"));
}

#[test]
fn the_table_comes_with_the_rosters_and_goes_when_it_is_told_to_stop() {
    in_namespace(|| async {
        for more in ["", "fail_safe = \"open\"\n"] {
            let mut node = router(more);
            node.start_and_load();
            assert!(has_table(), "{}", node.log());
            assert_eq!(node.kernel()["in_force"], true);
            assert_eq!(node.kernel()["lan_stations"], 1);
            node.signal(libc::SIGTERM);
            assert_eq!(node.end(), 0);
            assert!(!has_table() && !node.log().contains("WARN"), "{}", node.log());
        }
    });
}

#[test]
fn a_killed_daemon_leaves_the_table_where_the_fail_safe_is_closed_and_the_next_one_takes_it_over() {
    in_namespace(|| async {
        let mut node = router("");
        node.start_and_load();
        node.kill();
        assert!(has_table());
        // From table to table: while the next one starts there is no moment without.
        let watch = Command::new("nft").args(["monitor", "tables"]).stdout(Stdio::piped()).spawn().unwrap();
        node.start_and_load();
        assert!(has_table());
        let mut watch = watch;
        watch.kill().unwrap();
        let told = watch.wait_with_output().unwrap().stdout;
        let told = String::from_utf8(told).unwrap();
        assert!(told.is_empty() || told.contains("add table inet vpmesh"), "{told}");
        node.signal(libc::SIGTERM);
        assert_eq!(node.end(), 0);
        assert!(!has_table());
    });
}

#[test]
fn a_killed_daemon_takes_the_table_along_where_the_fail_safe_is_open() {
    in_namespace(|| async {
        let mut node = router("fail_safe = \"open\"\n");
        node.start_and_load();
        assert!(has_table());
        node.kill();
        wait_until("the table is gone", || !has_table());
        wait_until("it is said", || node.log().contains("vpmesh ended without a word"));
    });
}

#[test]
fn a_daemon_that_is_out_of_memory_does_as_the_fail_safe_says() {
    in_namespace(|| async {
        for (more, stays) in [("", true), ("fail_safe = \"open\"\n", false)] {
            let mut node = router(more);
            node.start_and_load();
            assert!(has_table());
            let pid = node.daemon.as_ref().unwrap().id();
            run("prlimit", &format!("--pid {pid} --as=1"));
            // A reload needs memory, and there is none.
            let _ = node.reload(&[]);
            let mut daemon = node.daemon.take().unwrap();
            wait_until("the daemon ends", || daemon.try_wait().unwrap().is_some());
            if stays {
                assert!(has_table());
                run("nft", "delete table inet vpmesh");
            } else {
                wait_until("the table is gone", || !has_table());
            }
        }
    });
}

#[test]
fn the_fail_safe_is_changed_without_a_restart() {
    in_namespace(|| async {
        let mut node = router("fail_safe = \"open\"\n");
        node.start_and_load();
        let config = fs::read_to_string(node.at("node.toml")).unwrap();
        fs::write(node.at("node.toml"), config.replace("open", "closed")).unwrap();
        wait_until("it is closed", || node.kernel()["fail_safe"] == "closed");
        node.kill();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(has_table());
    });
}

#[test]
fn a_table_that_others_flush_is_put_back() {
    in_namespace(|| async {
        let mut node = router("");
        node.start_and_load();
        for times in 1..=2 {
            run("nft", "flush ruleset");
            wait_until("the table is back", has_table);
            wait_until("it is counted", || node.kernel()["put_back"] == times);
        }
        assert!(node.log().contains("changed by others and is put back"), "{}", node.log());
        let shown = String::from_utf8(node.vpmesh(&["status"]).output().unwrap().stdout).unwrap();
        assert!(shown.contains("put back 2 times"), "{shown}");
    });
}

#[test]
fn without_nft_the_mesh_works_and_everybody_is_told_what_is_not_enforced() {
    in_namespace(|| async {
        let mut node = router("");
        cover("/usr/sbin/nft", "/dev/null");
        node.start_and_load();
        assert!(node.lets_out("tcp/443"), "the rosters are in force");
        let told = "nft is not installed; install nftables-json (OpenWrt) or nftables";
        assert_eq!(node.kernel()["in_force"], false);
        assert!(node.kernel()["why"].as_str().unwrap().contains(told));
        let shown = String::from_utf8(node.vpmesh(&["status"]).output().unwrap().stdout).unwrap();
        assert!(shown.contains("NOT in force, 1 LAN station unpoliced towards the internet"), "{shown}");
        let error = node.log().lines().find(|line| line.contains("ERROR")).unwrap().to_owned();
        assert!(error.contains("policy is NOT enforced") && error.contains(told), "{error}");
        let check = node.vpmesh(&["check"]).output().unwrap();
        assert_eq!(check.status.code(), Some(1));
        assert!(said(&check).contains(told), "{}", said(&check));
        // As soon as there is one, the next reload takes it.
        run("umount", "/usr/sbin/nft");
        node.reload(&[]).unwrap();
        assert!(has_table() && node.kernel()["in_force"] == true);
    });
}

#[test]
fn what_the_kernel_refuses_is_in_force_in_neither_half() {
    in_namespace(|| async {
        let mut node = router("");
        let script = node.at("nft");
        let text = format!(
            "#!/bin/sh\n[ ! -e {} ] || {{ echo 'Error: no room' >&2; exit 1; }}\nexec /usr/bin/nft.real \"$@\"\n",
            node.at("refuse").display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        // The real one under another name.
        run("mount", "-t tmpfs tmpfs /mnt");
        fs::copy("/usr/sbin/nft", "/mnt/nft").unwrap();
        let text = fs::read_to_string(&script).unwrap().replace("/usr/bin/nft.real", "/mnt/nft");
        fs::write(&script, text).unwrap();
        cover("/usr/sbin/nft", script.to_str().unwrap());
        node.start_and_load();
        assert!(has_table());
        fs::write(node.at("refuse"), "").unwrap();
        node.sign(2, "tcp/80");
        let refused = node.reload(&[]).unwrap_err();
        assert!(refused.contains("the kernel or nft refuses the table: Error: no room"), "{refused}");
        assert!(refused.contains("neither half was changed"), "{refused}");
        assert!(node.lets_out("tcp/443") && !node.lets_out("tcp/80"));
        fs::remove_file(node.at("refuse")).unwrap();
        assert!(has_table());
        node.reload(&[]).unwrap();
        assert!(!node.lets_out("tcp/443") && node.lets_out("tcp/80"));
    });
}

#[test]
fn a_start_that_fails_leaves_the_room_policed_where_the_fail_safe_is_closed() {
    in_namespace(|| async {
        let fails = |node: &Node| {
            let output = node.vpmesh(&["run"]).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            said(&output)
        };
        let (closed, open) = (router(""), router("fail_safe = \"open\"\n"));
        let mut taken = Some(std::net::UdpSocket::bind("0.0.0.0:51888").unwrap());
        for (what, mend) in [("port", "UDP port 51888 is in use"), ("tun", "cannot make interface vpm0")] {
            if what == "tun" {
                cover("/dev/net/tun", "/dev/null");
            }
            let told = fails(&open);
            assert!(told.contains(mend) && !has_table(), "{told}");
            let told = fails(&closed);
            assert!(told.contains(mend), "{told}");
            assert!(told.contains("vpmesh does not run, and policy is in force in the kernel"), "{told}");
            assert!(has_table());
            let told = fails(&closed);
            assert!(told.contains("the policy of before stays in force"), "{told}");
            run("nft", "delete table inet vpmesh");
            taken = None;
        }
        drop(taken);
    });
}

#[test]
fn a_flash_that_is_full_or_read_only_keeps_nobody_unpoliced() {
    in_namespace(|| async {
        let mut node = router("");
        let rosters = node.at("rosters");
        let folder = rosters.to_str().unwrap().to_owned();
        run("mount", &format!("-t tmpfs -o size=32k tmpfs {folder}"));
        node.sign(1, "tcp/443");
        let fill = || {
            let filled = fs::write(rosters.join("filler"), vec![0; 1 << 20]);
            assert!(filled.is_err(), "the flash is small");
        };
        fill();
        node.start_and_load();
        assert!(has_table() && node.lets_out("tcp/443"), "{}", node.log());
        assert!(node.log().contains("accepted rosters can't be kept on disk"), "{}", node.log());
        let refused = node.reload(&["--commit-within", "60"]).unwrap_err();
        assert!(refused.contains("it can't be written down that this is not for good"), "{refused}");
        assert!(has_table());

        run("mount", &format!("-o remount,ro {folder}"));
        let told = node.reload(&[]).unwrap();
        assert!(told.contains("can't be kept on disk"), "{told}");
        assert!(has_table() && node.kernel()["in_force"] == true);
        node.signal(libc::SIGTERM);
        assert_eq!(node.end(), 0);
        node.start_and_load();
        assert!(has_table() && node.lets_out("tcp/443"));
    });
}

#[test]
fn a_clock_in_1970_keeps_nobody_unpoliced() {
    in_namespace(|| async {
        let mut node = router("");
        let log = fs::File::create(node.at("log")).unwrap();
        // A router without a battery: seconds after the epoch, and going on. By the library, because the program
        // `faketime` would be the one that is ended, and not the daemon.
        let mut command = Command::new(env!("CARGO_BIN_EXE_vpmesh"));
        command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1").env("TZ", "UTC");
        command.env("FAKETIME", "@1970-01-01 00:00:09");
        command.args(["run", "--config"]).arg(node.at("node.toml")).stderr(log).stdin(Stdio::null());
        let daemon = command.spawn().unwrap();
        let maps = format!("/proc/{}/maps", daemon.id());
        node.daemon = Some(daemon);
        wait_until("the daemon answers", || node.vpmesh(&["status"]).output().unwrap().status.success());
        wait_until("the rosters are read", || !node.status()["last_reload"].is_null());
        assert!(
            fs::read_to_string(maps).unwrap().contains("libfaketime"),
            "faketime is missing: `make deps`"
        );
        assert!(has_table() && node.lets_out("tcp/443"), "{}", node.log());
        assert_eq!(node.kernel()["in_force"], true);
        assert!(!node.log().contains("ERROR"), "{}", node.log());
    });
}

#[test]
fn a_reload_that_is_not_confirmed_is_rolled_back_in_both_halves() {
    in_namespace(|| async {
        let mut node = router("");
        node.start_and_load();
        let refused = node.reload(&["--commit"]).unwrap_err();
        assert!(refused.contains("nothing waits for a confirmation"), "{refused}");
        // By a client that is gone before the answer comes: that is the point.
        let mut client = std::os::unix::net::UnixStream::connect(node.at("control")).unwrap();
        std::io::Write::write_all(&mut client, b"{\"cmd\":\"reload\",\"within\":4}\n").unwrap();
        drop(client);
        wait_until("a confirmation is waited for", || node.status()["unconfirmed"].is_u64());
        let kept = fs::read_dir(node.at("rosters/.accepted")).unwrap().count();
        node.sign(2, "tcp/80");
        wait_until("the new roster is in force", || node.lets_out("tcp/80") && !node.lets_out("tcp/443"));
        assert_eq!(node.status()["owners"][0]["serial"], 2);
        let shown = String::from_utf8(node.vpmesh(&["status"]).output().unwrap().stdout).unwrap();
        assert!(shown.contains("not confirmed: rolled back in"), "{shown}");
        wait_until("it is rolled back", || node.lets_out("tcp/443") && !node.lets_out("tcp/80"));
        assert!(node.status()["unconfirmed"].is_null() && has_table());
        assert_eq!(node.status()["owners"][0]["serial"], 1);
        assert_eq!(fs::read_dir(node.at("rosters/.accepted")).unwrap().count(), kept);

        // It stays so: a signal and a restart do not take what was never confirmed, and somebody who asks does.
        node.signal(libc::SIGHUP);
        wait_until("SIGHUP reloads", || node.log().contains("by=\"SIGHUP\""));
        assert!(node.lets_out("tcp/443") && node.log().contains("never confirmed"), "{}", node.log());
        node.signal(libc::SIGTERM);
        assert_eq!(node.end(), 0);
        node.start_and_load();
        assert!(node.lets_out("tcp/443") && !node.lets_out("tcp/80"), "{}", node.log());
        node.reload(&[]).unwrap();
        assert!(node.lets_out("tcp/80") && !node.lets_out("tcp/443"));
    });
}

#[test]
fn a_restart_while_a_confirmation_is_waited_for_starts_with_what_was_confirmed() {
    in_namespace(|| async {
        let mut node = router("");
        node.start_and_load();
        let told = node.reload(&["--commit-within", "600"]).unwrap();
        assert!(told.contains("not confirmed: in 10 min it is rolled back"), "{told}");
        node.sign(2, "tcp/80");
        wait_until("the new roster is in force", || node.lets_out("tcp/80"));
        node.kill();
        node.start_and_load();
        assert!(node.lets_out("tcp/443") && !node.lets_out("tcp/80"), "{}", node.log());
        assert!(node.log().contains("put in force for a while and never confirmed"), "{}", node.log());
    });
}

#[test]
fn a_reload_that_is_confirmed_stays() {
    in_namespace(|| async {
        let mut node = router("");
        node.start_and_load();
        let first = ["alice.toml.sig", "alice.toml"].map(|name| fs::read(node.at(name)).unwrap());
        node.reload(&["--commit-within", "3"]).unwrap();
        node.sign(2, "tcp/80");
        wait_until("the new roster is in force", || node.lets_out("tcp/80"));
        assert!(node.reload(&["--commit"]).unwrap().contains("confirmed: what is in force stays"));
        assert!(node.status()["unconfirmed"].is_null());
        node.signal(libc::SIGTERM);
        assert_eq!(node.end(), 0);
        node.start_and_load();
        assert!(node.lets_out("tcp/80"));
        for (name, text) in ["alice.toml.sig", "alice.toml"].iter().zip(first) {
            fs::write(node.at("rosters").join(name), text).unwrap();
        }
        let refused = node.reload(&[]).unwrap_err();
        assert!(refused.contains("has serial 1, and 2 was accepted before"), "{refused}");
    });
}

/// As a service's user with two capabilities: handed on (procd, systemd), or from the file, where nothing is handed on.
#[test]
fn nft_has_the_right_that_the_daemon_has_whoever_it_runs_as() {
    in_namespace(|| async {
        for is_handed_on in [true, false] {
            let mut node = router("");
            let (folder, binary) = (node.folder.path().display().to_string(), node.at("vpmesh"));
            fs::copy(env!("CARGO_BIN_EXE_vpmesh"), &binary).unwrap();
            fs::set_permissions(node.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            run("chown", &format!("-R nobody:nogroup {folder}"));
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
            if is_handed_on {
                let sets = ["inh-caps", "ambient-caps", "bounding-set"];
                command
                    .arg("--no-new-privs")
                    .args(sets.map(|set| format!("--{set}=-all,+net_admin,+net_raw")));
            } else {
                run("setcap", &format!("cap_net_admin,cap_net_raw=ep {}", binary.display()));
            }
            command.arg(&binary).args(["run", "--config"]).arg(node.at("node.toml"));
            let log = fs::File::create(node.at("log")).unwrap();
            node.daemon = Some(command.stderr(log).stdin(Stdio::null()).spawn().unwrap());
            wait_until("the rosters are read", || {
                let status = node.vpmesh(&["status", "--json"]).output().unwrap().stdout;
                String::from_utf8(status).unwrap().contains("\"last_reload\":{")
            });
            assert!(has_table(), "{is_handed_on}: {}", node.log());
            node.signal(libc::SIGTERM);
            assert_eq!(node.end(), 0);
            assert!(!has_table());
        }
    });
}
