//! Takes everything down when drops don't run: on a signal, and after a test process that was killed.
//!
//! Names carry the test process's id, so that what a dead one left is told from what a living one uses.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

#[derive(Debug, Default)]
struct Register {
    namespaces: BTreeSet<String>,
    processes: BTreeSet<u32>,
}

static REGISTER: Mutex<Register> =
    Mutex::new(Register { namespaces: BTreeSet::new(), processes: BTreeSet::new() });
static NUMBER: AtomicU32 = AtomicU32::new(0);
static ALARM: AtomicI32 = AtomicI32::new(-1);

fn register<T>(change: impl FnOnce(&mut Register) -> T) -> T {
    change(&mut REGISTER.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A number that nothing else in this process has.
pub fn number() -> u32 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The folder of this test process.
pub fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("vpm-{}", std::process::id()))
}

pub fn watch_namespace(name: &str) {
    register(|r| r.namespaces.insert(name.to_owned()));
}

pub fn watch_process(id: u32) {
    register(|r| r.processes.insert(id));
}

pub fn forget_process(id: u32) {
    register(|r| r.processes.remove(&id));
}

/// Ends what still runs in a namespace, then removes it.
pub fn remove_namespace(name: &str) {
    if let Ok(pids) = Command::new("ip").args(["netns", "pids", name]).output() {
        let pids = String::from_utf8_lossy(&pids.stdout).into_owned();
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // A thread that is inside for a moment counts as this process.
            if pid != std::process::id() {
                signal(pid, libc::SIGKILL);
            }
        }
    }
    let _ = Command::new("ip").args(["netns", "delete", name]).output();
    let _ = std::fs::remove_dir_all(Path::new("/etc/netns").join(name));
    register(|r| r.namespaces.remove(name));
}

/// Once per process: sweeps what dead test processes left, and listens for signals.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        sweep();
        listen();
    });
}

fn sweep() {
    let names = Command::new("ip").args(["netns", "list"]).output().expect("iproute2 is installed");
    for name in String::from_utf8_lossy(&names.stdout).lines().filter_map(|line| line.split(' ').next()) {
        let owner = name.strip_prefix("vpm-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(is_dead) {
            remove_namespace(name);
        }
    }
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_prefix("vpm-")).is_some_and(is_dead) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    remove_sockets(is_dead);
}

/// wireguard-go's sockets, which it leaves behind when it is killed.
fn remove_sockets(is_ours: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir("/var/run/wireguard").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix('w')?.split_once('-')).map(|(pid, _)| pid);
        if owner.is_some_and(&is_ours) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn is_dead(pid: &str) -> bool {
    pid.parse::<u32>().is_ok_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// A signal handler may only write a byte; a thread at the pipe's other end does the work.
fn listen() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe can be made");
    ALARM.store(writer.as_raw_fd(), Ordering::SeqCst);
    let _ = writer.into_raw_fd();
    std::thread::spawn(move || {
        if reader.read_exact(&mut [0]).is_ok() {
            take_down();
            std::process::exit(130);
        }
    });
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: `alarm` has the type of a handler and calls only write(2), which is async-signal-safe.
        unsafe { libc::signal(number, alarm as *const () as libc::sighandler_t) };
    }
}

extern "C" fn alarm(_signal: libc::c_int) {
    // SAFETY: the byte lives for the call, and the descriptor is the pipe's or -1, which write(2) refuses.
    unsafe { libc::write(ALARM.load(Ordering::SeqCst), [1_u8].as_ptr().cast(), 1) };
}

fn take_down() {
    let (namespaces, processes) =
        register(|r| (std::mem::take(&mut r.namespaces), std::mem::take(&mut r.processes)));
    for pid in processes {
        signal(pid, libc::SIGKILL);
    }
    for name in namespaces {
        remove_namespace(&name);
    }
    let me = std::process::id().to_string();
    remove_sockets(|owner| owner == me);
    let _ = std::fs::remove_dir_all(scratch());
}

/// kill(2) for one process.
pub fn signal(pid: u32, number: i32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    if pid > 1 {
        // SAFETY: kill(2) takes numbers only; above 1 it means one process and no group.
        unsafe { libc::kill(pid, number) };
    }
}
