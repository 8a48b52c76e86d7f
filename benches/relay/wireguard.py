"""Keys, peers and plain WireGuard programs: what the stations and the candidates other than vpmesh are made of."""

import os
from dataclasses import dataclass
from functools import cache

from lab import run, wait_for

MTU = 1420
"""Of every tunnel device: WireGuard's default on a path of 1500."""

LISTEN = 51888
"""The relaying node's UDP port, whatever program it is."""

STATION_PORT = 51820

INSIDE = "10.88.0.0/15"
RELAY_ADDRESS = "10.88.255.254"
"""Inside the tunnels: everybody, and the relaying node where its program wants an address."""


@dataclass(frozen=True)
class Key:
    private: str
    public: str


@cache
def key(name):
    """The key of this name, the same during one run: making a thousand for every round would take longer than
    measuring."""
    private = run("wg", "genkey").strip()
    return Key(private, run("wg", "pubkey", text=private).strip())


@dataclass(frozen=True)
class Peer:
    """One peer of the relaying node, as the node is told of it."""
    name: str
    address: str
    """Its address inside, without a prefix."""
    endpoint: str | None = None
    lan: bool = False
    """A plain host behind the relaying node, which knows nothing of any tunnel."""

    @property
    def key(self):
        return key(self.name)


def bring_up(lab, namespace, device, process, address, config):
    """Configures a userspace WireGuard device once it is there."""
    socket = f"/run/wireguard/{device}.sock"
    wait_for(f"{device} in {namespace}", lambda: is_there(lab, namespace, device, socket), process)
    path = lab.path / f"{device}.conf"
    path.write_text(config)
    lab.run(namespace, "wg", "setconf", device, str(path))
    lab.run(namespace, "ip", "address", "add", f"{address}/32", "dev", device)
    lab.run(namespace, "ip", "link", "set", device, "mtu", str(MTU), "up")
    lab.run(namespace, "ip", "route", "add", INSIDE, "dev", device)


def is_there(lab, namespace, device, socket):
    return os.path.exists(socket) and device in lab.run(namespace, "ip", "-br", "link")


def section(head, **values):
    lines = [f"{name} = {value}" for name, value in values.items() if value is not None]
    return "\n".join([f"[{head}]", *lines, ""])


class StockStations:
    """A relaying node that speaks WireGuard: its stations run Debian's wireguard-go, whatever it runs itself."""

    def relay_public(self):
        return key("relay").public

    def join(self, lab, me, relay_address):
        """Station `me` in the namespace of its name, with one peer, the relaying node."""
        device = f"wg-{me.name}"
        process = lab.start(me.name, "wireguard-go", "-f", device)
        config = section("Interface", PrivateKey=me.key.private, ListenPort=STATION_PORT)
        config += section("Peer", PublicKey=self.relay_public(), Endpoint=f"{relay_address}:{LISTEN}",
                          AllowedIPs=INSIDE, PersistentKeepalive=25)
        bring_up(lab, me.name, device, process, me.address, config)
