"""What rules cost a flow that passes: vpmesh with all its rules, and with hardly one, in turns.

The load part's small packets in trains, one established flow. The difference is smaller than what a machine drifts
by in a minute, so short pairs follow each other, each begun by the other one, and the median of their ratios counts.
"""

import statistics

from load import CELLS, generate
from vpmesh import Vpmesh

PAIRS = 5
SECONDS_MAX = 1
CELL = CELLS["64_trains"]


def measure(candidate, seconds, generator):
    seconds = min(seconds, SECONDS_MAX)
    ways = {"rules": candidate, "open": Vpmesh(candidate.name, candidate.program, 0)}
    spent = {name: [] for name in ways}
    for number in range(PAIRS):
        for name in sorted(ways, reverse=number % 2 == 1):
            [cell], _ = generate(ways[name], generator, seconds, 2, [CELL])
            spent[name].append(cell["cpu_us_per_packet"])
    ratios = [rules / without for rules, without in zip(spent["rules"], spent["open"])]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "policy_rules_us": statistics.median(spent["rules"]),
        "policy_open_us": statistics.median(spent["open"]),
        "policy_ratio": middle,
        "policy_ratio_low": low,
        "policy_ratio_high": high,
    }
