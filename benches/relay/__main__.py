"""`make bench`: vpmesh and its peers as the relaying node, one after another, on this machine, in one run.

Rounds are interleaved (A B C D, A B C D, …) so that a machine that drifts drifts for all. Figures go to Markdown
tables, a chart and, raw, to a JSON file. Needs root, and the packages of `.ci/packages` and `.ci/packages.bench`. Nothing here
judges by wall time.
"""

import argparse
import datetime
import json
import os
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # the tree stays as it was

import chart
import idle
import judge
import kernel
import lab
import load
import machine
import memory
import policy
import report
import sealed
import stations
import tun
from candidates import PEERS
from vpmesh import Vpmesh

PARTS = {
    "stations": lambda candidate, options: stations.measure(candidate, options.seconds),
    "load": lambda candidate, options: load.measure(candidate, options.seconds, options.generator, options.crowd),
    "sealed": lambda candidate, options: sealed.measure(candidate, options.seconds, options.gateways, options.crowd),
    "tun": lambda candidate, options: tun.measure(candidate, options.seconds),
    "policy": lambda candidate, options: policy.measure(candidate, options.seconds, options.generator),
    "judge": lambda candidate, options: judge.measure(options.judge),
    "kernel": lambda candidate, options: kernel.measure(options.vpmesh),
    "idle": lambda candidate, options: idle.measure(candidate, options.seconds),
    "memory": lambda candidate, options: memory.measure(candidate, options.seconds, options.generator),
}
# A budget of vpmesh's own, which `make size` asks for, and no comparison.
APART = "memory"


def arguments():
    parser = argparse.ArgumentParser(prog="benches/relay", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each transfer")
    parser.add_argument("--parts", default=",".join(part for part in PARTS if part != APART),
                        help="which of %(default)s; memory joins only so")
    parser.add_argument("--only", help="candidates, with commas; vpmesh-open, vpmesh with hardly a rule, joins only so")
    parser.add_argument("--rules", type=int, default=200, help="in force at vpmesh")
    parser.add_argument("--vpmesh", default="target/release/vpmesh")
    parser.add_argument("--crowd", type=int, default=200, help="stations in the load part's last cell (0 leaves it out), and gateways in sealed")
    parser.add_argument("--generator", default="target/release/examples/relay_load")
    parser.add_argument("--gateways", default="target/release/examples/gateways")
    parser.add_argument("--judge", default="target/release/examples/judge")
    parser.add_argument("--out", default=".work/bench", help="the folder for DATE.md and DATE.json")
    return parser.parse_args()


def main():
    if os.geteuid() != 0:
        sys.exit("make bench needs root: it makes network namespaces and TUN devices")
    options = arguments()
    if not lab.is_sealed():
        return lab.seal(sys.argv)
    lab.furnish()
    candidates = chosen(options)
    absent = {c.name: why for c in candidates if (why := c.missing())}
    candidates = [c for c in candidates if c.name not in absent]
    facts = machine.describe(candidates, " ".join(["python3", *sys.argv]))
    facts["date"] = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    rounds = run_rounds(candidates, options)
    write(Path(options.out), facts, rounds, absent)
    return 1 if any("failure" in entry for entry in rounds) else 0


def chosen(options):
    ours = Vpmesh("vpmesh", options.vpmesh, options.rules)
    if not options.only:
        return [ours, *PEERS]
    known = {c.name: c for c in [ours, Vpmesh("vpmesh-open", options.vpmesh, 0), *PEERS]}
    unknown = [name for name in options.only.split(",") if name not in known]
    if unknown:
        sys.exit(f"no candidate {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in options.only.split(",")]


def run_rounds(candidates, options):
    entries = []
    for number in range(1, options.rounds + 1):
        for part in options.parts.split(","):
            for candidate in (candidate for candidate in candidates if part in candidate.parts):
                entry = {"round": number, "part": part, "candidate": candidate.name}
                started = time.monotonic()
                try:
                    entry["figures"] = PARTS[part](candidate, options)
                except lab.Failure as failure:
                    entry["failure"] = str(failure)
                entries.append(entry)
                done = entry.get("failure", "done")
                print(f"round {number}, {part}, {candidate.name}: {done} in {time.monotonic() - started:.0f} s",
                      file=sys.stderr, flush=True)
    return entries


def write(folder, facts, rounds, absent):
    folder.mkdir(parents=True, exist_ok=True)
    raw = {"machine": facts, "rounds": rounds, "medians": report.medians(rounds), "absent": absent}
    text = report.markdown(facts, rounds, absent)
    name = facts["date"].replace(":", "")[:17]
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.json").write_text(json.dumps(raw, indent=1))
    (folder / f"{name}.svg").write_text(chart.svg(raw))
    print(text)
    print(f"written: {folder / name}.md, .json and .svg", file=sys.stderr)


sys.exit(main())
