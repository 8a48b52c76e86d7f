"""What speed is wanted of vpmesh, and what a run reached.

A goal is a bound on one figure, most of them a ratio to a peer in the same run. A run without the figure says nothing
about the goal.
"""

import operator
from dataclasses import dataclass

OURS = "vpmesh"


@dataclass(frozen=True)
class Goal:
    title: str
    bound: float
    reached: float | None
    decimals: int = 2
    at_least: bool = False
    remark: str = ""
    is_judged: bool = True
    """Whether what it is compared with is what the goal means."""

    @property
    def is_met(self):
        """`None` where the figure says nothing about the goal."""
        if self.reached is None or not self.is_judged:
            return None
        return (operator.ge if self.at_least else operator.le)(self.reached, self.bound)


def goals(medians):
    return [*bulk(medians), *small(medians), *round_trip(medians), *memory(medians), *tun(medians), *crowd(medians),
            *policy(medians)]


def figure(medians, part, metric, name=OURS):
    return medians.get(part, {}).get(name, {}).get(metric)


def divided(ours, theirs):
    return ours / theirs if ours is not None and theirs else None


def to_peer(medians, part, metric, peer):
    return divided(figure(medians, part, metric), figure(medians, part, metric, peer))


BULK = {"boringtun-cli": 0.20, "gotatun-cli": 0.20, "wireguard-go": 0.15, "nebula": 0.50, "tinc": 0.15, "fastd": 0.25}
GENERATED = ("boringtun-cli", "gotatun-cli", "wireguard-go")
"""Those that the generator can load."""


def bulk(medians):
    yield Goal("1,392 B in trains, CPU : ring alone", 1.5, figure(medians, "load", "load_1392_trains_to_ring"))
    for peer in GENERATED:
        yield Goal(f"1,392 B in trains, CPU : {peer}", BULK[peer],
                   to_peer(medians, "load", "load_1392_trains_cpu_s_per_gb", peer))
    for peer, bound in BULK.items():
        yield Goal(f"TCP between stations, CPU : {peer}", bound,
                   to_peer(medians, "stations", "tcp1_cpu_s_per_gb", peer))


def small(medians):
    for cell, title, bound in (("64_trains", "64 B in trains", 0.08), ("64_singles", "64 B one by one", 0.20)):
        yield Goal(f"{title}, CPU : boringtun-cli", bound,
                   to_peer(medians, "load", f"load_{cell}_cpu_us_per_packet", "boringtun-cli"), 3)


UNLIMITED_MS = 30
"""A relay that queues without limit takes longer than this: wireguard-go of 2025, which Debian does not have, 76 ms."""


def round_trip(medians):
    yield Goal("round trip under bulk load : boringtun-cli", 2,
               to_peer(medians, "stations", "rtt_load_ms", "boringtun-cli"))
    peers = {name: figures["rtt_load_ms"] for name, figures in medians.get("stations", {}).items()
             if not name.startswith(OURS) and "rtt_load_ms" in figures}
    worst = max(peers, key=peers.get, default=None)
    is_unlimited = worst is not None and peers[worst] > UNLIMITED_MS
    remark = "" if worst is None else f"{worst}, {peers[worst]:.1f} ms"
    remark += "" if worst is None or is_unlimited else ", which is no queue without limit"
    yield Goal("– : the worst peer", 0.1, to_peer(medians, "stations", "rtt_load_ms", worst), remark=remark,
               is_judged=is_unlimited)


def memory(medians):
    peaks = [figure(medians, "stations", "memory_peak_mb"), figure(medians, "load", "load_memory_peak_mb")]
    yield Goal("peak resident memory under load, MB", 8, max((peak for peak in peaks if peak), default=None), 1)
    yield Goal("1,000 idle peers, resident MB", 12, figure(medians, "idle", "idle_memory_mb"), 1)
    yield Goal("– CPU, % of a core", 0.2, figure(medians, "idle", "idle_cpu_percent"))


def tun(medians):
    for way, title in (("to_lan", "station to LAN"), ("from_lan", "LAN to station")):
        for peer in ("boringtun-cli", "gotatun-cli"):
            yield Goal(f"TCP through the TUN, {title}, CPU : {peer}", 0.30,
                       to_peer(medians, "tun", f"{way}_cpu_s_per_gb", peer))


def crowd(medians):
    yield Goal("one of 200 at full rate: another's packets lost, %", 0,
               figure(medians, "load", "probe_load_lost_percent"))
    loaded, idle = (figure(medians, "load", f"probe_{state}_median_us") for state in ("load", "idle"))
    yield Goal("– its way through : when idle", 5, divided(loaded, idle))


def policy(medians):
    yield Goal("200 rules : hardly one, established flow, CPU", 1.03, figure(medians, "policy", "policy_ratio"), 3)
    yield Goal("new flows judged per second, 1,000 nodes, 5,000 rules", 200_000,
               figure(medians, "judge", "judge_1000_per_s"), 0, at_least=True)
    remark = "log 10,000 : log 100 is 2"
    yield Goal("– CPU each, 10,000 nodes : 100, in the cache", 2, figure(medians, "judge", "judge_growth_few"),
               remark=remark)
    yield Goal("– CPU each, 10,000 nodes : 100, past the cache", 2, figure(medians, "judge", "judge_growth_many"),
               remark=remark)
