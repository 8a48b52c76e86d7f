"""What a router has to give: resident memory of vpmesh, idle and under full load. Above its budget the part fails.

Idle: 50 peers configured and none of them there. Loaded: 1,000 stations with sessions, in 500 pairs; each sends the
other's large packets from 40 ports in turn, as fast as they come out, so that 20,000 flows are alive at once.
"""

import time

from cost import memory_mb
from lab import Failure, Lab
from load import generate, stations

PEERS_IDLE, IDLE_MB_MAX = 50, 10
PEERS, FLOWS, LOADED_MB_MAX = 1000, 20_000, 40
CELL = (1392, 1)
SETTLE = 2
"""Seconds until start-up is over."""


def measure(candidate, seconds, generator):
    pairs = [(number, number + 1) for number in range(0, PEERS, 2)]
    [cell], after = generate(candidate, generator, seconds, PEERS, [CELL], pairs, ports=FLOWS // len(pairs))
    found = {
        "memory_idle_50_mb": idle(candidate),
        "memory_loaded_mb": after["peak_mb"],
        "memory_loaded_flows": after["flows"],
        "memory_loaded_kpps": cell["kpps"],
    }
    # On a machine that does other things too, a few flows' packets are all lost.
    if after["flows"] < FLOWS * 99 // 100:
        raise Failure(f"{after['flows']} flows were alive, not {FLOWS}")
    for figure, budget in (("memory_idle_50_mb", IDLE_MB_MAX), ("memory_loaded_mb", LOADED_MB_MAX)):
        if found[figure] > budget:
            raise Failure(f"{figure}: {found[figure]:.1f} MB, over the budget of {budget}")
    return found


def idle(candidate):
    with Lab("r") as lab:
        relay = candidate.start(lab, stations(PEERS_IDLE))
        time.sleep(SETTLE)
        return memory_mb(relay.pid, "VmRSS")
