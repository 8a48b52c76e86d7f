"""The lab: network namespaces, the wires between them, and the processes inside.

The whole bench runs in a mount, process and network namespace of its own (`seal`), so namespaces, devices and
WireGuard's control sockets cannot clash with the machine's, and all of it dies with the bench, however that ends.
A `Lab` is one topology inside it, built for one candidate and torn down after.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEALED = "VPMESH_BENCH_SEALED"


class Failure(Exception):
    """A candidate or a tool did not do its part; the text says which, and what it printed."""


def seal(argv):
    """Runs this program again, sealed off, and returns its exit status."""
    inner = [sys.executable, *argv]
    wrapper = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
               "--mount-proc"]
    child = subprocess.Popen(wrapper + inner, env={**os.environ, SEALED: "1"})
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        return child.wait()
    finally:
        child.kill()


def is_sealed():
    return os.environ.get(SEALED) == "1"


def furnish():
    """Gives the sealed bench a /run of its own: `ip netns` and WireGuard's control sockets live there."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for folder in ("/run/netns", "/run/wireguard"):
        os.makedirs(folder)


def run(*command, text=None, timeout=60):
    """Runs a command to its end and returns what it printed."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout)
    except FileNotFoundError:
        raise Failure(f"{command[0]} is not installed; .ci/packages* list what the bench needs") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(command)}: no end after {timeout} s") from None
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


class Lab:
    """Namespaces and processes of one candidate; a context manager that leaves nothing."""

    def __init__(self, *namespaces):
        self.namespaces = namespaces
        self.processes = []
        self.wires = 0

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(dir="/run")
        self.path = Path(self.folder.name)
        for name in self.namespaces:
            run("ip", "netns", "add", name)
            self.run(name, "ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            stop(process)
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        self.folder.cleanup()

    def run(self, namespace, *command, **options):
        return run("ip", "netns", "exec", namespace, *command, **options)

    def start(self, namespace, *command):
        """Starts a process that stays; its output goes to a file that `complain` quotes. `ip netns exec` becomes
        the command, so the process id is the command's own."""
        log = self.path / f"{len(self.processes)}-{Path(command[0]).name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(["ip", "netns", "exec", namespace, *command], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.STDOUT)
        process.log = log
        self.processes.append(process)
        return process

    def wire(self, left, left_address, right, right_address):
        """A veth pair of MTU 1500; returns the names of its ends."""
        self.wires += 1
        ends = (f"{right}{self.wires}", f"{left}{self.wires}")
        run("ip", "link", "add", ends[0], "netns", left, "type", "veth", "peer", "name", ends[1], "netns", right)
        for namespace, end, address in ((left, ends[0], left_address), (right, ends[1], right_address)):
            self.run(namespace, "ip", "address", "add", address, "dev", end)
            self.run(namespace, "ip", "link", "set", end, "up")
        return ends


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(what, condition, process=None, seconds=20):
    """Asks until the condition holds. Fails early, with its last words, when the process it depends on ends."""
    end = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise Failure(f"{what}: the process ended with {process.returncode}: {last_words(process)}")
        if time.monotonic() > end:
            words = f": {last_words(process)}" if process is not None else ""
            raise Failure(f"{what}: not after {seconds} s{words}")
        time.sleep(0.02)


def last_words(process):
    return process.log.read_text(errors="replace").strip()[-400:] or "it printed nothing"
