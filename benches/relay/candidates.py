"""The relaying node's candidates: vpmesh (in `vpmesh.py`), the plain WireGuard programs here, and meshes with
protocols of their own (in `meshes.py`).

A candidate says why it cannot run (`missing`), what it is (`version`) and which `parts` of the bench it can do; it
starts as the relaying node in namespace `r` for a list of peers (`start`), and lets a station join it (`join`).
"""

import re
import shutil
import subprocess

from meshes import Fastd, Nebula, Tinc
from turn import Coturn
from wireguard import LISTEN, RELAY_ADDRESS, StockStations, bring_up, key, section


class KernelForwarding(StockStations):
    """A WireGuard program that owns one device with all peers; the kernel routes from it and back into it."""

    parts = ("stations", "load", "tun", "idle")

    def __init__(self, name, program, flags):
        self.name = name
        self.program = program
        self.flags = flags

    def missing(self):
        if shutil.which(self.program):
            return None
        return f"{self.program} is not there; where it should have been built, .work/bench/*.log say why it was not"

    def version(self):
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True)
        found = re.search(r"v?\d+(\.\d+)+\S*", done.stdout + done.stderr)
        return found.group().lstrip("v") if found else "unknown"

    def start(self, lab, peers):
        """The process of the relaying node, with every peer configured."""
        process = lab.start("r", self.program, *self.flags, "wg-r")
        config = section("Interface", PrivateKey=key("relay").private, ListenPort=LISTEN)
        for peer in (peer for peer in peers if not peer.lan):
            config += section("Peer", PublicKey=peer.key.public, AllowedIPs=f"{peer.address}/32",
                              Endpoint=peer.endpoint)
        lab.run("r", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        bring_up(lab, "r", "wg-r", process, RELAY_ADDRESS, config)
        return process


PEERS = [
    KernelForwarding("wireguard-go", "wireguard-go", ["-f"]),
    KernelForwarding("boringtun-cli", "boringtun-cli", ["--foreground", "--disable-drop-privileges"]),
    KernelForwarding("gotatun-cli", "gotatun", ["--foreground", "--disable-drop-privileges", "--verbosity", "error"]),
    Nebula(),
    Tinc(),
    Fastd(),
    Coturn(),
]
