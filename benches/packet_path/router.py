"""Instructions that a router executes for a packet: qemu-user counts them (symbols.c).

    router.py "qemu-mipsel -cpu 24Kc" PLUGIN PROGRAM [WORKLOAD…]

Inside `packet_path::counted` only. Functions are attributed as a whole: what is inlined counts for where it is.
"""

import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from counts import FOREIGN_CODE, PACKETS

MEMORY = re.compile(r"^_*mem(cpy|move|set|cmp)$")


def main():
    qemu, plugin, program, *names = sys.argv[1:]
    qemu = qemu.split()
    names = names or run([*qemu, program, "list"]).split()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(lambda name: count(qemu, plugin, program, name), names))
    print(f"{'instructions a packet':<22}{'all':>10}{'ours':>10}{'WireGuard, cipher':>20}{'memcpy and such':>18}")
    for name, row in zip(names, rows):
        print(f"{name:<22}{row.total():>10.0f}{row['ours']:>10.0f}{row['cipher']:>20.0f}{row['memory']:>18.0f}")


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def count(qemu, plugin, program, name):
    kinds = collections.Counter()
    for function, instructions in collect(qemu, plugin, program, name).items():
        kinds[kind(function)] += instructions / PACKETS
    if not kinds["ours"]:
        sys.exit(f"{name}: nothing was counted")
    return kinds


def kind(function):
    if MEMORY.search(function):
        return "memory"
    return "cipher" if "vpmesh" not in function and FOREIGN_CODE.search(function) else "ours"


def collect(qemu, plugin, program, name):
    costs = collections.Counter()
    with tempfile.NamedTemporaryFile() as out:
        run([*qemu, "-plugin", f"{plugin},out={out.name},counted=packet_path7counted", program, name, str(PACKETS)])
        names = subprocess.run(["c++filt"], stdin=open(out.name), capture_output=True, text=True, check=True).stdout
    for line in names.splitlines():
        instructions, function = line.split(" ", 1)
        costs[function] += int(instructions)
    return costs


if __name__ == "__main__":
    main()
