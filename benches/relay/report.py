"""Rounds into medians, and medians into Markdown: one table of figures, one of ratios, for each part of the bench,
and at the end the goals."""

import re
import statistics
from collections import defaultdict

from goals import goals

TITLES = {
    "stations": "Station A → relaying node → station B",
    "load": "The relaying node alone, fed by the sealed-packet generator",
    "sealed": "A relay with 200 gateways registered, forwarding what it can't read",
    "tun": "Station A ↔ relaying node's TUN device ↔ a host of its LAN",
    "policy": "An established flow: all rules against hardly one",
    "judge": "New flows, judged",
    "kernel": "The kernel's half of policy: 2,000 LAN stations and 5,000 rules",
    "idle": "Configured and idle",
    "memory": "A router's memory",
}

# Name in the raw numbers: what a reader sees, and the decimals.
METRICS = {
    "tcp1_gbit": ("TCP, one stream, Gbit/s", 2),
    "tcp1_cpu_s_per_gb": ("– CPU s/GB that arrived", 2),
    "tcp1_cpu_s_per_gb_left": ("– CPU s/GB that left R, headers and all", 2),
    "tcp4_gbit": ("TCP, four streams, Gbit/s", 2),
    "tcp4_cpu_s_per_gb": ("– CPU s/GB that arrived", 2),
    "tcp4_cpu_s_per_gb_left": ("– CPU s/GB that left R, headers and all", 2),
    "udp64_kpps": ("UDP 64 B, thousand packets/s delivered", 1),
    "udp64_cpu_us": ("– CPU µs/packet", 2),
    "memory_idle_mb": ("resident memory idle, MB", 1),
    "memory_peak_mb": ("– peak, MB", 1),
    "rtt_idle_ms": ("round trip idle, median ms", 2),
    "rtt_idle_p95_ms": ("– p95 ms", 2),
    "rtt_load_ms": ("round trip under one TCP stream, median ms", 2),
    "rtt_load_p95_ms": ("– p95 ms", 2),
    "rtt_load_lost_percent": ("– lost, %", 1),
    "rtt_load_full_r": ("– datagrams lost at R's full socket", 0),
    "rtt_load_full_b": ("– at station B's", 0),
    "load_1392_trains_cpu_s_per_gb": ("1392 B in trains of 32, CPU s/GB", 2),
    "load_1392_trains_ring_s_per_gb": ("– ring alone, CPU s/GB", 2),
    "load_1392_trains_to_ring": ("– to ring alone", 2),
    "load_1392_trains_cpu_us_per_packet": ("– CPU µs/packet", 2),
    "load_1392_trains_kpps": ("– thousand packets/s", 0),
    "load_1392_trains_lost_percent": ("– lost, %", 2),
    "load_64_trains_cpu_us_per_packet": ("64 B in trains of 32, CPU µs/packet", 2),
    "load_64_trains_ring_us_per_packet": ("– ring alone, CPU µs/packet", 2),
    "load_64_trains_to_ring": ("– to ring alone", 2),
    "load_64_trains_kpps": ("– thousand packets/s", 0),
    "load_64_trains_lost_percent": ("– lost, %", 2),
    "load_64_singles_cpu_us_per_packet": ("64 B one by one, CPU µs/packet", 2),
    "load_64_singles_ring_us_per_packet": ("– ring alone, CPU µs/packet", 2),
    "load_64_singles_to_ring": ("– to ring alone", 2),
    "load_64_singles_kpps": ("– thousand packets/s", 0),
    "load_64_singles_lost_percent": ("– lost, %", 2),
    "load_memory_peak_mb": ("resident memory, peak, MB", 1),
    "probe_idle_median_us": ("200 peers: way through, idle, median µs", 0),
    "probe_idle_p95_us": ("– p95 µs", 0),
    "probe_idle_lost_percent": ("– lost, %", 2),
    "probe_load_median_us": ("– while another sends at full rate, median µs", 0),
    "probe_load_p95_us": ("– p95 µs", 0),
    "probe_load_lost_percent": ("– lost, %", 2),
    "sealed_1392_trains_cpu_s_per_gb": ("1,392 B in trains of 32, CPU s/GB that left R, headers and all", 2),
    "sealed_1392_trains_gbit": ("– Gbit/s that left R", 2),
    "sealed_1392_trains_lost_percent": ("– lost, %", 2),
    "sealed_1392_singles_cpu_s_per_gb": ("1,392 B one by one, CPU s/GB that left R", 2),
    "sealed_1392_singles_gbit": ("– Gbit/s that left R", 2),
    "sealed_1392_singles_lost_percent": ("– lost, %", 2),
    "sealed_64_singles_cpu_s_per_gb": ("64 B one by one, CPU s/GB that left R", 2),
    "sealed_64_singles_gbit": ("– Gbit/s that left R", 2),
    "sealed_64_singles_lost_percent": ("– lost, %", 2),
    "sealed_memory_mb": ("resident memory, all registered, MB", 1),
    "sealed_memory_peak_mb": ("– peak, MB", 1),
    "to_lan_gbit": ("TCP from station to LAN, Gbit/s", 2),
    "to_lan_cpu_s_per_gb": ("– CPU s/GB that arrived", 2),
    "to_lan_cpu_s_per_gb_left": ("– CPU s/GB that left R, headers and all", 2),
    "from_lan_gbit": ("TCP from LAN to station, Gbit/s", 2),
    "from_lan_cpu_s_per_gb": ("– CPU s/GB that arrived", 2),
    "from_lan_cpu_s_per_gb_left": ("– CPU s/GB that left R, headers and all", 2),
    "policy_rules_us": ("64 B in trains of 32, all rules, CPU µs/packet", 3),
    "policy_open_us": ("– hardly a rule", 3),
    "policy_ratio": ("– ratio, median of the pairs", 3),
    "policy_ratio_low": ("– lower quartile", 3),
    "policy_ratio_high": ("– upper quartile", 3),
    "judge_100_per_s": ("100 nodes, 500 rules, judged per second", 0),
    "judge_1000_per_s": ("1,000 nodes, 5,000 rules", 0),
    "judge_10000_per_s": ("10,000 nodes, 50,000 rules", 0),
    "judge_growth_many": ("– CPU time each, 10,000 nodes : 100", 2),
    "judge_growth_few": ("– the same while the processor's cache holds what is asked for", 2),
    "judge_compile_s": ("– all rules compiled, s", 3),
    "kernel_compile_s": ("compiled, CPU s", 2),
    "kernel_load_user_s": ("`nft -j -f`: user s", 2),
    "kernel_load_system_s": ("– system s", 2),
    "kernel_json_mb": ("– MB of JSON", 1),
    "kernel_established_ratio": ("a forwarded packet of an established flow, CPU against a table with conntrack only", 2),
    "kernel_established_us": ("– CPU µs, sender included", 2),
    "kernel_first_ratio": ("a flow's first packet, CPU against the same", 2),
    "kernel_first_us": ("– CPU µs, sender included", 2),
    "memory_idle_50_mb": ("50 peers configured, idle: resident memory, MB", 1),
    "memory_loaded_mb": ("1,000 peers, 20,000 flows, full load: resident at most, MB", 1),
    "memory_loaded_flows": ("– flows at its end", 0),
    "memory_loaded_kpps": ("– 1,000 packets/s", 0),
    "idle_memory_mb": ("1,000 peers configured: resident memory, MB", 1),
    "idle_cpu_percent": ("– CPU, % of a core", 2),
    "idle_start_s": ("– start and configuration, s", 2),
}

# Figures of the machine, and those that are mostly zero, say nothing as a ratio.
NO_RATIO = re.compile("_lost_percent$|_full_|_ring_|_cpu_percent$|_start_s$")


def medians(rounds):
    """{part: {candidate: {metric: median over rounds}}}, in the order in which they were first seen."""
    seen = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for entry in rounds:
        for metric, value in entry.get("figures", {}).items():
            seen[entry["part"]][entry["candidate"]][metric].append(value)
    return {part: {name: {metric: statistics.median(values) for metric, values in figures.items()}
                   for name, figures in of_part.items()}
            for part, of_part in seen.items()}


def markdown(machine, rounds, absent):
    lines = ["# vpmesh and its peers as a relaying node", "", *describe(machine, rounds), ""]
    found = medians(rounds)
    for part, of_part in found.items():
        names = columns(found, of_part)
        lines += [f"## {TITLES[part]}", "", *figures_table(of_part, names), ""]
        lines += ratios_table(of_part)
    failures = [f"- {entry['candidate']}, {entry['part']}, round {entry['round']}: {entry['failure']}"
                for entry in rounds if "failure" in entry]
    lines += ["## Failed", "", *failures, ""] if failures else []
    lines += ["## Left out", "", *[f"- {name}: {why}" for name, why in absent.items()], ""] if absent else []
    told = list(goals(found)) if "vpmesh" in columns(found) else []
    if any(goal.reached is not None for goal in told):
        lines += ["## Goals", "", *goals_table(told), ""]
    return "\n".join(lines)


def describe(machine, rounds):
    count = max((entry["round"] for entry in rounds), default=0)
    programs = ", ".join(f"{name} {version}" for name, version in machine["programs"].items())
    return [
        f"{machine['date']}, revision {machine['revision']}, `{machine['command']}`; medians of {count} interleaved "
        f"round{'' if count == 1 else 's'}.",
        "",
        f"{machine['cores']} × {machine['cpu']}, {machine['memory_gb']} GB, Linux {machine['kernel']}, "
        f"{machine['system']}; load before the run {machine['load_before']:.1f}.",
        "",
        f"{programs}.",
        "",
        "CPU is user and system time of the relaying process; a GB is 10⁹ bytes. Absolute figures drift with the "
        "machine; ratios inside one run hold.",
    ]


def columns(found, of_part=None):
    """Everybody who was measured at all, so that a dash says who cannot take part; vpmesh alone where it is alone."""
    if of_part is not None and all(name.startswith("vpmesh") for name in of_part):
        return list(of_part)
    return list(dict.fromkeys(name for part in found.values() for name in part))


def figures_table(of_part, names):
    rows = []
    for metric in in_order(of_part.values()):
        title, decimals = METRICS[metric]
        figures = [of_part.get(name, {}).get(metric) for name in names]
        rows.append([title, *["–" if figure is None else f"{figure:,.{decimals}f}" for figure in figures]])
    return table(["", *names], rows)


def ratios_table(of_part):
    """vpmesh : each peer."""
    ours = of_part.get("vpmesh")
    peers = [name for name in of_part if name != "vpmesh"]
    if ours is None or not peers:
        return []
    rows = []
    for metric in in_order([ours]):
        if NO_RATIO.search(metric):
            continue
        cells = [ratio(ours[metric], of_part[name].get(metric)) for name in peers]
        rows.append([METRICS[metric][0], *cells])
    return table(["vpmesh :", *peers], rows) + [""]


def goals_table(found):
    rows = []
    for goal in found:
        bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:,g}"
        reached = "–" if goal.reached is None else f"{goal.reached:,.{goal.decimals}f}"
        met = {None: "–", True: "yes", False: "**no**"}[goal.is_met]
        rows.append([f"{goal.title} ({goal.remark})" if goal.remark else goal.title, bound, reached, met])
    return table(["", "goal", "reached", "met"], rows)


def in_order(figures):
    """The metrics that occur, in the order of METRICS."""
    occurring = {metric for one in figures for metric in one}
    return [metric for metric in METRICS if metric in occurring]


def ratio(ours, theirs):
    return f"{ours / theirs:.2f}" if theirs else "–"


def table(head, rows):
    return ["| " + " | ".join(row) + " |" for row in [head, ["---", *["---:"] * (len(head) - 1)], *rows]]
