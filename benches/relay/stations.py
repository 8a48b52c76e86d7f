"""Two stations through the relaying node.

    station a ──── r ──── station b      veth, MTU 1500; nothing but r's program leads from one wire to the other
    10.88.0.1             10.89.0.1      inside the tunnels

The stations are Debian's wireguard-go where r speaks WireGuard, and else the same program as r.

Everything that is measured goes from a to b. CPU is the relaying process's own, user and system, over the whole of
a transfer; `GB` is 10^9 bytes of TCP payload that arrived.
"""

import json
import re
import statistics
import time

from cost import cpu_seconds, memory_mb
from lab import Failure, Lab, last_words, wait_for
from wireguard import STATION_PORT, Peer

A = Peer("a", "10.88.0.1")
B = Peer("b", "10.89.0.1", f"198.51.100.2:{STATION_PORT}")


def measure(candidate, seconds):
    with Lab("a", "r", "b") as lab:
        lab.wire("a", "192.0.2.2/24", "r", "192.0.2.1/24")
        out, _ = lab.wire("r", "198.51.100.1/24", "b", "198.51.100.2/24")
        relay = candidate.start(lab, [A, B])
        candidate.join(lab, A, "192.0.2.1")
        candidate.join(lab, B, "198.51.100.1")
        wait_for(f"{candidate.name}: ping from a to b", lambda: ping(lab, 1)["times"], relay)
        return measure_relay(lab, relay, out, seconds)


def measure_relay(lab, relay, out, seconds):
    found = {"memory_idle_mb": memory_mb(relay.pid, "VmRSS")}
    found |= round_trips("rtt_idle", ping(lab, min(200, int(seconds * 50))))
    for streams in (1, 4):
        figures = tcp(lab, relay.pid, seconds, "b", B.address, out, "-P", str(streams))
        found |= {f"tcp{streams}_{name}": figure for name, figure in figures.items()}
    found |= udp(lab, relay.pid, seconds)
    found |= loaded_ping(lab, seconds)
    found["memory_peak_mb"] = memory_mb(relay.pid, "VmHWM")
    return found


def tcp(lab, pid, seconds, to, address, out, *options):
    """One transfer; `out` is r's device on which the data leaves it. A station that cannot keep up loses what r has
    worked for, and TCP sends it again: that counts in the CPU per GB that arrived, and not in that per GB that left."""
    left, before = sent_bytes(lab, out), cpu_seconds(pid)
    client, _ = iperf(lab, seconds, to, address, *options)
    cpu, left = cpu_seconds(pid) - before, sent_bytes(lab, out) - left
    got = client["end"]["sum_received"]
    return {
        "gbit": got["bits_per_second"] / 1e9,
        "cpu_s_per_gb": cpu / got["bytes"] * 1e9,
        "cpu_s_per_gb_left": cpu / left * 1e9,
    }


def sent_bytes(lab, device):
    """What has left r by this device, headers and all."""
    [link] = json.loads(lab.run("r", "ip", "-j", "-s", "link", "show", device))
    return link["stats64"]["tx"]["bytes"]


def udp(lab, pid, seconds):
    """64 bytes of UDP payload, as fast as iperf3 sends; what counts is what the server saw."""
    before = cpu_seconds(pid)
    _, server = iperf(lab, seconds, "b", B.address, "-u", "-l", "64", "-b", "0")
    cpu = cpu_seconds(pid) - before
    total = server["end"]["sum"]
    arrived = total["packets"] - total["lost_packets"]
    if arrived <= 0:
        raise Failure("no UDP packet arrived")
    return {"udp64_kpps": arrived / total["seconds"] / 1e3, "udp64_cpu_us": cpu / arrived * 1e6}


def loaded_ping(lab, seconds):
    """Round trips while one TCP stream fills the way; the first half second, when it starts, is left out."""
    server = serve(lab, "b", B.address)
    client = lab.start("a", "iperf3", "-c", B.address, "-t", str(seconds + 1))
    time.sleep(0.5)
    before = {place: full_sockets(lab, place) for place in ("r", "b")}
    pings = ping(lab, int(seconds * 50))
    lost = {f"rtt_load_full_{place}": full_sockets(lab, place) - count for place, count in before.items()}
    wait_for("iperf3 under ping", lambda: client.poll() is not None, seconds=seconds + 20)
    if client.returncode != 0:
        raise Failure(f"iperf3 under ping: {last_words(client)}")
    wait_for("iperf3 server", lambda: server.poll() is not None)
    return round_trips("rtt_load", pings) | lost


def full_sockets(lab, namespace):
    """Datagrams that came to a UDP socket without room for them, since the namespace was made: where losses under
    load happen, at the relaying node or at a station that cannot keep up with it."""
    names, values = [line.split() for line in lab.run(namespace, "cat", "/proc/net/snmp").splitlines()
                     if line.startswith("Udp:")]
    return int(values[names.index("RcvbufErrors")])


def iperf(lab, seconds, to, address, *options):
    """One transfer from a to namespace `to`: what the client and the server say of it."""
    server = serve(lab, to, address)
    said = lab.run("a", "iperf3", "-J", "-c", address, "-t", str(seconds), *options, timeout=seconds + 30)
    wait_for("iperf3 server", lambda: server.poll() is not None)
    return json.loads(said), json.loads(server.log.read_text())


def serve(lab, namespace, address):
    server = lab.start(namespace, "iperf3", "-J", "-s", "-1", "-B", address)
    wait_for("iperf3 server", lambda: ":5201" in lab.run(namespace, "ss", "-Hltn"), server)
    return server


def ping(lab, count, address=B.address):
    """Pings every 20 ms, without failing when none comes back."""
    said = lab.run("a", "sh", "-c", f"ping -n -i 0.02 -c {count} -W 1 {address} || true")
    return {"sent": count, "times": [float(time) for time in re.findall(r"time=([\d.]+)", said)]}


def round_trips(name, pings):
    times = pings["times"]
    found = {f"{name}_lost_percent": 100 * (1 - len(times) / pings["sent"])}
    if len(times) > 1:
        found |= {f"{name}_ms": statistics.median(times), f"{name}_p95_ms": statistics.quantiles(times, n=20)[-1]}
    return found
