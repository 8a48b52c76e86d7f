"""The relaying node alone, fed by the sealed-packet generator (`benches/relay_load`), which plays all stations.

    generator ──── r      one veth, MTU 1500; every station has a UDP port of its own

One flow from the first station to the second: large packets in trains of 32, small ones in trains, small ones alone.
Then a crowd of stations, of which one sends at full rate while a third probes a fourth.
"""

import json
import os

from cost import memory_mb
from lab import Failure, Lab
from wireguard import LISTEN, Peer

WINDOW = 1024
CELLS = {"1392_trains": (1392, 32), "64_trains": (64, 32), "64_singles": (64, 1)}
FIRST_PORT = 40000


def stations(count):
    """The generator's stations; the second is on the other room's side, as station b is."""
    peers = [Peer("a", "10.88.0.1", f"192.0.2.2:{FIRST_PORT}"), Peer("b", "10.89.0.1", f"192.0.2.2:{FIRST_PORT + 1}")]
    for number in range(2, count):
        address = f"10.88.{1 + number // 250}.{1 + number % 250}"
        peers.append(Peer(f"c{number}", address, f"192.0.2.2:{FIRST_PORT + number}"))
    return peers


def measure(candidate, seconds, generator, crowd):
    found = one_flow(candidate, seconds, generator)
    if crowd:
        found |= probed_crowd(candidate, seconds, generator, crowd)
    return found


def one_flow(candidate, seconds, generator):
    alone, relay = generate(candidate, generator, seconds, 2, CELLS.values())
    found = {"load_memory_peak_mb": relay["peak_mb"]}
    for name, cell in zip(CELLS, alone):
        figures = ["kpps", "lost_percent", "cpu_us_per_packet"]
        if name.startswith("1392"):
            figures += ["cpu_s_per_gb", "ring_s_per_gb"]
        else:
            figures += ["ring_us_per_packet"]
        found |= {f"load_{name}_{figure}": cell[figure] for figure in figures}
        found[f"load_{name}_to_ring"] = cell["cpu_us_per_packet"] / cell["ring_us_per_packet"]
    return found


def probed_crowd(candidate, seconds, generator, count):
    found = {}
    [cell], _ = generate(candidate, generator, seconds, count, [CELLS["1392_trains"]], probe=[2, 3])
    for state in ("idle", "load"):
        probe = cell[f"probe_{state}"]
        found[f"probe_{state}_lost_percent"] = probe["lost_percent"]
        for figure in ("median_us", "p95_us"):
            if probe[figure] is not None:
                found[f"probe_{state}_{figure}"] = probe[figure]
    return found


def generate(candidate, generator, seconds, count, cells, pairs=((0, 1),), probe=None, ports=1):
    """What the generator says of each cell, and of the relaying process: its memory's peak in MB, and its flows."""
    if not os.path.exists(generator):
        raise Failure(f"{generator} is not built: cargo build --release --example relay_load")
    peers = stations(count)
    with Lab("g", "r") as lab:
        lab.wire("g", "192.0.2.2/24", "r", "192.0.2.1/24")
        relay = candidate.start(lab, peers)
        plan = {
            "relay": {"endpoint": f"192.0.2.1:{LISTEN}", "key": candidate.relay_public(), "pid": relay.pid},
            "stations": [{"key": peer.key.private, "address": peer.address, "port": FIRST_PORT + number}
                         for number, peer in enumerate(peers)],
            "flows": pairs,
            "probe": probe,
            "cells": [{"size": size, "train": train, "ports": ports} for size, train in cells],
            "seconds": seconds,
            "window": WINDOW,
        }
        said = lab.run("g", generator, text=json.dumps(plan), timeout=120 + 20 * seconds + count // 10)
        after = {"peak_mb": memory_mb(relay.pid, "VmHWM"), "flows": candidate.flows(lab) if ports > 1 else None}
        return json.loads(said)["cells"], after
