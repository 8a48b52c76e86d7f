"""A plain host of the LAN behind the relaying node, and a station: everything passes r's TUN device.

    station a ──── r ──── host h         veth, MTU 1500; the station is Debian's wireguard-go
    10.88.0.1             10.88.2.10     a's inside the tunnel; h's on the wire, its default route is r

TCP from a to h, which r writes to the device, and from h to a, which r reads from it.
"""

from lab import Lab, wait_for
from stations import A, ping, tcp
from wireguard import Peer

H = Peer("h", "10.88.2.10", lan=True)
ROUTER = "172.31.0.1"


def measure(candidate, seconds):
    with Lab("a", "r", "h") as lab:
        _, uplink = lab.wire("a", "192.0.2.2/24", "r", "192.0.2.1/24")
        port, plug = lab.wire("r", f"{ROUTER}/32", "h", f"{H.address}/32")
        lab.run("r", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        lab.run("r", "ip", "route", "add", H.address, "dev", port)
        lab.run("h", "ip", "route", "add", "default", "via", ROUTER, "dev", plug, "onlink")
        relay = candidate.start(lab, [A, H])
        candidate.join(lab, A, "192.0.2.1")
        wait_for(f"{candidate.name}: ping from a to h", lambda: ping(lab, 1, H.address)["times"], relay)
        found = {}
        for way, options in (("to_lan", (port,)), ("from_lan", (uplink, "-R"))):
            figures = tcp(lab, relay.pid, seconds, "h", H.address, *options)
            found |= {f"{way}_{name}": figure for name, figure in figures.items()}
        return found
