"""What a table of figures has to say of where it comes from."""

import os
import platform
import re
import subprocess
from pathlib import Path


def describe(candidates, command):
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory.group(1)) * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "load_before": os.getloadavg()[0],
        "programs": {c.name: c.version() for c in candidates} | tools(),
        "revision": said("git", "describe", "--always", "--dirty"),
        "command": command,
    }


def tools():
    return {
        "wireguard-go (stations)": package("wireguard-go"),
        "iperf3": package("iperf3"),
        "ping": package("iputils-ping"),
        "rustc": said("rustc", "--version"),
    }


def package(name):
    return said("dpkg-query", "-W", "-f", "${Version}", name)


def said(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
