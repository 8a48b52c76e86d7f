"""A picture of one run: `python3 benches/relay/chart.py FILE.json > chart.svg`, from the JSON that a run wrote.

Bars for every candidate: CPU per GB, and smaller below it the round trip under load and the peak of memory. All of it
is better when it is less. It follows the reader's light or dark scheme, and needs nothing but Python.
"""

import json
import sys
from html import escape

WIDTH = 800
MARGIN = 24
GAP = 32
STYLE = """
    text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
    .title { font-size: 17px; font-weight: 600 }
    .head { font-weight: 600 }
    .small { font-size: 11px; fill: #57606a }
    .paper { fill: #ffffff }
    .peer { fill: #b4bac2 }
    .ours { fill: #1a7f5a }
    .axis { stroke: #8c959f }
    .bold { font-weight: 600 }
    @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3 }
        .small { fill: #9aa4af }
        .paper { fill: #14181d }
        .peer { fill: #5a636e }
        .ours { fill: #3fb685 }
        .axis { stroke: #6e7781 }
    }
"""


BETWEEN_STATIONS = [
    ("CPU of the relaying process, s per GB of TCP between two stations", "stations", "tcp1_cpu_s_per_gb"),
    ("Round trip under that load, median ms", "stations", "rtt_load_ms"),
    ("Peak resident memory, MB", "stations", "memory_peak_mb"),
]
FROM_GENERATOR = [
    ("CPU of the relaying process, s per GB in trains of 1,392-byte packets", "load", "load_1392_trains_cpu_s_per_gb"),
    ("64-byte packets in trains, CPU µs each", "load", "load_64_trains_cpu_us_per_packet"),
    ("Peak resident memory, MB", "load", "load_memory_peak_mb"),
]
"""For a run without stations."""


def svg(raw):
    medians, machine = raw["medians"], raw["machine"]
    parts = [
        text(MARGIN, 34, "vpmesh and its peers as a relaying node", "title"),
        text(MARGIN, 54, f"{machine['date'][:10]}, revision {machine['revision']}; {machine['cores']} × "
                         f"{machine['cpu']}, Linux {machine['kernel']}. Less is better.", "small"),
    ]
    bottom = 84
    panels = BETWEEN_STATIONS if "stations" in medians else FROM_GENERATOR
    found = [(heading, figures(medians, part, metric)) for heading, part, metric in panels]
    large, *small = [(heading, values) for heading, values in found if values] or [("Nothing of this was measured", {})]
    parts += bars(MARGIN, bottom, WIDTH - 2 * MARGIN, 26, *large)
    bottom += height(26, large[1])
    half = (WIDTH - 2 * MARGIN - GAP) / 2
    for number, (heading, values) in enumerate(small):
        parts += bars(MARGIN + number * (half + GAP), bottom, half, 20, heading, values)
    bottom += max((height(20, values) for _, values in small), default=0)
    programs = ", ".join(f"{name} {machine['programs'].get(name, '')}" for name in named(medians))
    for line in wrapped(programs + ".", 120):
        parts.append(text(MARGIN, bottom, line, "small"))
        bottom += 15
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 8}" width="{WIDTH}" '
            f'height="{bottom + 8}" role="img" aria-label="vpmesh and its peers as a relaying node">\n'
            f'<style>{STYLE}</style>\n<rect class="paper" width="100%" height="100%"/>\n{body}\n</svg>\n')


def named(medians):
    return list(dict.fromkeys(name for of_part in medians.values() for name in of_part))


def figures(medians, part, metric):
    """Of every candidate that has one, the smallest first."""
    found = {name: of_one[metric] for name, of_one in medians.get(part, {}).items() if metric in of_one}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def height(row, values):
    return 34 + row * len(values)


def bars(left, top, width, row, heading, values):
    """One panel: its heading, and a bar with its name and figure for each."""
    names, room = 104, 52
    widest = max(values.values(), default=0) or 1
    parts = [text(left, top, heading, "head")]
    start, first = left + names, top + 12
    for number, (name, value) in enumerate(values.items()):
        is_ours = name.startswith("vpmesh")
        y = first + number * row
        middle = y + row / 2 + 4.5
        length = max((width - names - room) * value / widest, 1)
        bold = "bold" if is_ours else ""
        parts.append(text(start - 8, middle, name, bold, anchor="end"))
        parts.append(f'<rect class="{"ours" if is_ours else "peer"}" x="{start:.1f}" y="{y + 3:.1f}" '
                     f'width="{length:.1f}" height="{row - 6}" rx="2"/>')
        parts.append(text(start + length + 6, middle, short(value), bold))
    parts.append(f'<line class="axis" x1="{start:.1f}" x2="{start:.1f}" y1="{first}" '
                 f'y2="{first + row * len(values)}"/>')
    return parts


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def short(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def wrapped(words, width):
    line = ""
    for word in words.split(" "):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 benches/relay/chart.py FILE.json > chart.svg")
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.stdout.write(svg(json.load(file)))
