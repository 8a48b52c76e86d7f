"""New flows judged per second, by the judge alone: `benches/judge` builds meshes of three sizes and times it."""

import json
import os

from lab import Failure, run

FEWEST, MOST = 100, 10_000


def measure(program):
    if not os.path.exists(program):
        raise Failure(f"{program} is not built: cargo build --release --example judge")
    sizes = {size["nodes"]: size for size in json.loads(run(program))["sizes"]}
    found = {}
    for nodes, size in sizes.items():
        found[f"judge_{nodes}_per_s"] = size["many_per_second"]
        found[f"judge_{nodes}_few_per_s"] = size["few_per_second"]
    for kind in ("many", "few"):
        found[f"judge_growth_{kind}"] = sizes[FEWEST][f"{kind}_per_second"] / sizes[MOST][f"{kind}_per_second"]
    return found | {"judge_compile_s": sizes[MOST]["compile_s"]}
