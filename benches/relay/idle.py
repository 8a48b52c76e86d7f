"""A relaying node with a thousand peers configured and none of them there: what it costs to have them."""

import time

from cost import cpu_seconds, memory_mb
from lab import Lab
from wireguard import Peer, key

PEERS = 1000
SETTLE = 2
"""Seconds until start-up is over; wireguard-go starts its peers' routines after it has answered."""

SECONDS_MIN = 10
"""The kernel counts CPU in steps of 10 ms: in ten seconds, a thousandth of a core."""


def measure(candidate, seconds):
    seconds = max(seconds, SECONDS_MIN)
    peers = [Peer(f"c{number}", f"10.88.{number // 250 + 1}.{number % 250 + 1}") for number in range(PEERS)]
    for peer in peers:
        key(peer.name)  # made now, not while the clock runs
    with Lab("r") as lab:
        began = time.monotonic()
        relay = candidate.start(lab, peers)
        ready = time.monotonic() - began
        time.sleep(SETTLE)
        before = cpu_seconds(relay.pid)
        time.sleep(seconds)
        return {
            "idle_start_s": ready,
            "idle_cpu_percent": (cpu_seconds(relay.pid) - before) / seconds * 100,
            "idle_memory_mb": memory_mb(relay.pid, "VmRSS"),
        }
