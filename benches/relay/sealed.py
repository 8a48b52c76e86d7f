"""A relay with a crowd of gateways registered, which forwards what it can't read.

    crowd ──── r      one veth, MTU 1500; every member of the crowd has a UDP port of its own

vpmesh: `benches/gateways` plays all gateways, in pairs that each send through R in a closed loop. coturn: its own client
plays as many TURN clients, which send to one echoing peer and have it sent back. Nebula: as many nodes without a device
(`tun.disabled`), which have a tunnel with R, and a pair more with devices, which R relays a TCP transfer between.

What counts is R's CPU for each GB that left R, headers and all, as its interface counts them, while bytes flow.
"""

import json
import os
import time

from cost import cpu_seconds, memory_mb
from lab import Failure, Lab, last_words, wait_for
from stations import sent_bytes
from wireguard import LISTEN, Peer, key

FIRST_PORT = 20000
WINDOW = 1024
CELLS = {"1392_trains": (1392, 32), "1392_singles": (1392, 1), "64_singles": (64, 1)}
OWNERS = 10
"""Of vpmesh's gateways: an owner's share of a relay is 125 MB a second."""

SETTLE = 1
"""Seconds until a transfer runs as it will."""


def measure(candidate, seconds, program, count):
    if not count:
        raise Failure("--crowd 0: there is no crowd to measure")
    return {"vpmesh": vpmesh, "coturn": coturn, "nebula": nebula}[candidate.name](candidate, seconds, program, count)


def sample(lab, device, relay, seconds, name):
    """What R spends and sends while bytes flow."""
    time.sleep(SETTLE)
    before, cpu = sent_bytes(lab, device), cpu_seconds(relay.pid)
    time.sleep(seconds)
    octets, cpu = sent_bytes(lab, device) - before, cpu_seconds(relay.pid) - cpu
    if octets < 1e6 * seconds:
        raise Failure(f"{name}: {octets} bytes left R in {seconds} s")
    return {f"sealed_{name}_cpu_s_per_gb": cpu / octets * 1e9, f"sealed_{name}_gbit": octets * 8 / 1e9 / seconds}


def memory(relay, found):
    return {"sealed_memory_mb": found, "sealed_memory_peak_mb": memory_mb(relay.pid, "VmHWM")}


def vpmesh(candidate, seconds, program, count):
    if not os.path.exists(program):
        raise Failure(f"{program} is not built: cargo build --release --example gateways")
    count -= count % (2 * OWNERS)
    with Lab("g", "r") as lab:
        device = lab.wire("g", "192.0.2.2/24", "r", "192.0.2.1/24")[1]
        crowd = [f"g{number}" for number in range(count)]
        relay = candidate.start_relay(lab, [crowd[at::OWNERS] for at in range(OWNERS)])
        # Both of a pair are of one owner.
        order = [name for at in range(OWNERS) for name in crowd[at::OWNERS]]
        plan = lab.path / "plan.json"
        plan.write_text(json.dumps({
            "relay": {"endpoint": f"192.0.2.1:{LISTEN}", "key": key("relay").public},
            "gateways": [key(name).private for name in order],
            "port": FIRST_PORT,
            "cells": [{"size": size, "train": train} for size, train in CELLS.values()],
            "seconds": seconds + 2 * SETTLE,
            "window": WINDOW,
        }))
        crowd = lab.start("g", "sh", "-c", f"exec {os.path.abspath(program)} <{plan}")
        found, idle = {}, None
        for number, name in enumerate(CELLS):
            begins(crowd, f"cell {number}", 90)
            idle = idle or memory_mb(relay.pid, "VmRSS")
            found |= sample(lab, device, relay, seconds, name)
        begins(crowd, '"arrived"', 60, len(CELLS))
        words = [json.loads(line) for line in crowd.log.read_text().splitlines() if line.startswith("{")]
        for name, cell in zip(CELLS, words):
            found[f"sealed_{name}_lost_percent"] = cell["lost_percent"]
        return found | memory(relay, idle)


def begins(process, word, seconds, times=1):
    """Waits for a word of the process's."""
    def is_said():
        if process.log.read_text(errors="replace").count(word) >= times:
            return True
        if process.poll() not in (None, 0):
            raise Failure(f"ended: {last_words(process)}")
        return False
    wait_for(word, is_said, seconds=seconds)


def coturn(_candidate, seconds, _program, count):
    with Lab("g", "r") as lab:
        device = lab.wire("g", "192.0.2.2/24", "r", "192.0.2.1/24")[1]
        relay = lab.start("r", "turnserver", "-n", "--no-auth", "--listening-ip", "192.0.2.1", "--relay-ip",
                          "192.0.2.1", "--no-tls", "--no-dtls", "--no-cli", "--log-file", "stdout", "--pidfile",
                          str(lab.path / "turn.pid"), "--userdb", str(lab.path / "turn.db"))
        wait_for("turnserver listens", lambda: ":3478" in lab.run("r", "ss", "-Hlun"), relay)
        lab.start("g", "turnutils_peer", "-L", "192.0.2.2", "-p", "3480")
        wait_for("turnutils_peer listens", lambda: ":3480" in lab.run("g", "ss", "-Hlun"))
        found, idle = {}, None
        # A client sends one message in each interval; more would be lost at the clients, which are one thread.
        for name, size in (("1392_singles", 1392), ("64_singles", 64)):
            client = lab.start("g", "turnutils_uclient", "-c", "-m", str(count), "-n", "100000000", "-l", str(size),
                               "-z", "5", "-e", "192.0.2.2", "-r", "3480", "192.0.2.1")
            before = sent_bytes(lab, device)
            wait_for("clients send", lambda: sent_bytes(lab, device) > before + 3_000_000, client, 60)
            idle = idle or memory_mb(relay.pid, "VmRSS")
            found |= sample(lab, device, relay, seconds, name)
            client.kill()
            client.wait()
            time.sleep(SETTLE)
        return found | memory(relay, idle)


def nebula(candidate, seconds, _program, count):
    with Lab("g", "a", "b", "r") as lab:
        lab.wire("g", "192.0.2.2/24", "r", "192.0.2.1/24")
        device = lab.wire("a", "198.51.100.2/24", "r", "198.51.100.1/24")[1]
        devices = [device, lab.wire("b", "203.0.113.2/24", "r", "203.0.113.1/24")[1]]
        relay = candidate.start(lab, [])
        crowd = [candidate.join_without_device(lab, "g", f"g{number}", f"10.89.{number // 250}.{1 + number % 250}",
                                               "192.0.2.1", FIRST_PORT + number) for number in range(count)]
        for name, address, at in (("a", "10.88.0.1", "198.51.100.1"), ("b", "10.88.0.2", "203.0.113.1")):
            candidate.join(lab, Peer(name, address), at)
        wait_for("a reaches b", lambda: lab.run("a", "sh", "-c", "ping -n -c 1 -W 1 10.88.0.2 >&2 && echo yes || true"),
                 relay, 60)
        # Every node asks the lighthouse every second.
        time.sleep(3)
        if any(member.poll() is not None for member in crowd):
            raise Failure("some of the crowd ended")
        idle = memory_mb(relay.pid, "VmRSS")
        lab.start("b", "iperf3", "-s", "-1")
        wait_for("iperf3 listens", lambda: ":5201" in lab.run("b", "ss", "-Hltn"))
        lab.start("a", "iperf3", "-c", "10.88.0.2", "-t", str(seconds + 3 * SETTLE))
        found = sample(lab, devices[1], relay, seconds, "1392_singles")
        return found | memory(relay, idle)
