"""Instructions of the packet path, under callgrind, against the committed counts.

    counts.py PROGRAM             a table; fails when a workload takes more than 3 % over counts.toml
    counts.py PROGRAM --update    writes counts.toml
    counts.py PROGRAM --runs 3    and how far apart so many runs are, each with other seeds of hash tables
    counts.py PROGRAM --functions relay-64    what it is made of

What is held is *ours*: all instructions but those of WireGuard and its ciphers (boringtun, ring) and of the C library,
which choose their code by what the CPU has. Inlined code counts for the file that it is from. Counts are of one
architecture and one compiler; on any other the table is shown and nothing is compared.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import tomllib

FILE = pathlib.Path(__file__).with_name("counts.toml")
COUNTED = "packet_path::counted"
# A packet more or less makes no difference at this many, and a run is seconds.
PACKETS = 4096
TOLERANCE = 3.0

FOREIGN_CODE = re.compile(r"\b(boringtun|ring|ring_core_\w+|chacha20\w*|poly1305|curve25519_dalek|x25519_dalek|aead)\b"
                          r"|^(poly_hash_\w+|_*mem(cpy|move|set|cmp)\w*)$")
FOREIGN_FILE = re.compile(r"/(boringtun|ring|chacha20(poly1305)?|poly1305|curve25519-dalek|x25519-dalek|aead)(-[\d.]+)?/")
OWN_OBJECT = re.compile(r"/packet_path$")


def main():
    arguments = parse_arguments()
    names = run([arguments.program, "list"]).split()
    if arguments.functions:
        return functions(arguments.program, arguments.functions)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [list(pool.map(lambda name: count(arguments.program, name, turn), names))
                for turn in range(arguments.runs)]
    counts = dict(zip(names, runs[0]))
    if arguments.runs > 1:
        spread(names, runs)
    here = {"architecture": platform.machine(), "compiler": compiler(arguments.program)}
    if arguments.update:
        write(here, counts)
        print(f"{FILE} is written")
        return 0
    committed = tomllib.loads(FILE.read_text())
    same = all(committed[key] == value for key, value in here.items())
    return compare(counts, committed["ours"] if same else {}, here, committed)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--functions", metavar="WORKLOAD")
    return parser.parse_args()


def run(command, turn=0):
    # The environment lies on the stack, whose addresses seed hash tables: always the same ones in the first turn, and
    # others in each further one.
    environment = {"PATH": os.environ["PATH"], "TURN": turn * 777 * "x"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def compiler(program):
    """The compiler's version as it stands in what it made."""
    text = run(["readelf", "--string-dump=.comment", program])
    found = re.search(r"rustc version (\S+)", text)
    return found[1] if found else "unknown"


def count(program, name, turn):
    """Instructions a packet: (ours, theirs)."""
    ours = theirs = 0
    for place, instructions in collect(program, name, turn).items():
        if is_ours(*place):
            ours += instructions
        else:
            theirs += instructions
    if ours == 0:
        sys.exit(f"{name}: callgrind saw nothing inside {COUNTED}")
    return ours / PACKETS, theirs / PACKETS


def is_ours(object_file, function, source):
    foreign = FOREIGN_FILE.search(source) or ("vpmesh" not in function and FOREIGN_CODE.search(function))
    return bool(OWN_OBJECT.search(object_file)) and not foreign


def collect(program, name, turn=0):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "out")
        run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--collect-atstart=no",
             f"--toggle-collect={COUNTED}", program, name, str(PACKETS)], turn)
        return read(out.read_text())


def read(text):
    """Instructions by (object, function, source file): callgrind's format, "Format reference" of its manual."""
    costs = collections.Counter()
    names = {}
    at = {"ob": "", "fn": "", "fl": ""}
    is_call = False
    for line in text.splitlines():
        entry = re.match(r"(ob|fl|fi|fe|fn|cob|cfi|cfl|cfn)=\((\d+)\)(?: (.*))?$", line)
        if entry:
            kind, number, name = entry.groups()
            table = kind.removeprefix("c")[:2] if kind in ("cob", "cfn") else {"ob": "ob", "fn": "fn"}.get(kind, "fl")
            if name is not None:
                names[table, number] = name
            if not kind.startswith("c"):
                at[table] = names[table, number]
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[+*\d-]", line):
            # What follows a `calls=` is the callee's, counted there.
            if not is_call:
                costs[at["ob"], at["fn"], at["fl"]] += int(line.split()[1])
            is_call = False
    return costs


def spread(names, runs):
    for name, of_name in zip(names, zip(*runs)):
        ours = [ours for ours, _ in of_name]
        print(f"{name:<22}{min(ours):>10.1f} to {max(ours):.1f}, {100 * (max(ours) / min(ours) - 1):.2f} % apart")


def compare(counts, committed, here, wanted):
    print(f"{'instructions a packet':<22}{'ours':>10}{'committed':>11}{'':>9}{'cipher, libc':>14}")
    over, under = [], []
    for name, (ours, theirs) in counts.items():
        before = committed.get(name)
        change = None if before is None else round(100 * (ours / before - 1), 2) + 0.0
        shown = f"{'-':>11}{'':>9}" if change is None else f"{before:>11.1f}{change:>+7.1f} %"
        print(f"{name:<22}{ours:>10.1f}{shown}{theirs:>14.1f}")
        if change is not None and abs(change) > TOLERANCE:
            (over if change > 0 else under).append(name)
    if not committed:
        print(f"NOT compared: this is {here}, and {FILE.name} is of {wanted['architecture']}, {wanted['compiler']}")
        return 0
    if set(counts) != set(committed):
        print(f"workloads and {FILE.name} differ: {', '.join(sorted(set(counts) ^ set(committed)))}; make counts-update")
        return 1
    if under:
        print(f"{', '.join(under)}: less than was committed; keep it with `make counts-update`")
    if over:
        print(f"{', '.join(over)}: more than {TOLERANCE:.0f} % over what was committed; `make counts-update` if it is"
              " worth it, and say why in the commit")
        return 1
    return 0


def write(here, counts):
    lines = ["# Instructions a packet takes in our own code; `make counts` holds them, `make counts-update` writes them."]
    lines += [f'{key} = "{value}"' for key, value in here.items()]
    lines += ["", "[ours]"]
    lines += [f"{name} = {ours:.1f}" for name, (ours, _) in counts.items()]
    FILE.write_text("\n".join(lines) + "\n")


def functions(program, name):
    costs = collections.Counter()
    for (object_file, function, source), instructions in collect(program, name).items():
        costs["ours" if is_ours(object_file, function, source) else "", function] += instructions
    for (whose, function), instructions in costs.most_common(40):
        print(f"{instructions / PACKETS:>10.1f}  {whose:<5} {function}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
