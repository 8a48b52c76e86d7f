"""The kernel's half of policy at its largest: 2,000 LAN stations and 5,000 rules, compiled, loaded and forwarded through,
against a table that has only conntrack.

The sender is in the router's own kernel (a veth pair), so forwarding is on its CPU time. Figures are ratios of medians of
interleaved rounds.
"""

import os
import socket
import statistics
import struct
import sys
import time

STATIONS, RULES = 2_000, 5_000
PACKETS, ROUNDS = 40_000, 5
EMPTY = "table inet vpmesh { chain forward { type filter hook forward priority 0; ct state established,related accept; }; }"
GATEWAY_KEY = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="


def roster():
    """Half of the rules are the owner's, the other half are of stations, two each; one of each lets the flow pass."""
    lines = ['owner = "alice"', "serial = 1", 'ipv4 = "10.88.0.0/16"', ""]
    for number in range(RULES // 2):
        service = '["udp/9000"]\nto = "internet"' if number == 0 else f'["tcp/{number + 1}", "udp/{20000 + number}"]\nto = "internet"'
        lines.append(f"[[egress]]\nallow = {service}")
    lines.append(f'[[room]]\nname = "attic"\n[[room.gateway]]\nname = "gw"\nkey = "{GATEWAY_KEY}"\nipv4 = "10.88.0.1"')
    for number in range(STATIONS):
        lines.append(f'[[room.station]]\nname = "s{number}"\nlan = true\nipv4 = "{address(number)}"')
        if number < RULES // 4:
            lines.append('[[room.station.egress]]\nallow = ["udp/9000", "tcp/443"]')
            lines.append(f'[[room.station.egress]]\nallow = ["tcp/{1000 + number}", "tcp/{3000 + number}", "udp/53"]\nto = "internet"')
    return "\n".join(lines) + "\n"


def address(number):
    return f"10.88.{1 + number // 250}.{1 + number % 250}"


def cpu_of(*command, **options):
    """What a command printed, and its CPU time, user and system, in seconds."""
    before = os.times()
    said = run(*command, **options)
    after = os.times()
    return said, after.children_user - before.children_user, after.children_system - before.children_system


def measure(program):
    with Lab("lan", "router", "wan") as lab:
        file = lab.path / "alice.toml"
        file.write_text(roster())
        ruleset, user, system = cpu_of(program, "ruleset", "--node", "alice/attic/gw", "--roster", str(file), "--json")
        found = {"kernel_compile_s": user + system, "kernel_json_mb": len(ruleset) / 1e6}
        inside, outside = lab.wire("router", "10.88.0.1/32", "lan", "10.88.0.2/32")
        far, near = lab.wire("router", "198.51.100.2/24", "wan", "198.51.100.1/24")
        lab.run("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_max=1000000")
        lab.run("router", "ip", "tuntap", "add", "vpm0", "mode", "tun")
        lab.run("router", "ip", "route", "add", "10.88.0.0/16", "dev", inside)
        lab.run("wan", "ip", "route", "add", "default", "via", "198.51.100.2")
        lab.start("wan", sys.executable, __file__, "answer")
        nft = ["ip", "netns", "exec", "router", "nft", "-j", "-f", "-"]
        _, user, system = cpu_of(*nft, text=ruleset)
        found |= {"kernel_load_user_s": user, "kernel_load_system_s": system}
        taken = {kind: {"full": [], "empty": []} for kind in ("established", "first")}
        for _ in range(ROUNDS):
            for table, load in (("full", lambda: cpu_of(*nft, text=ruleset)),
                                ("empty", lambda: lab.run("router", "nft", f"flush ruleset; {EMPTY}"))):
                load()
                for kind, by_table in taken.items():
                    lab.run("router", "conntrack", "-F")
                    mac = lab.run("router", "cat", f"/sys/class/net/{inside}/address").strip()
                    said = lab.run("lan", sys.executable, __file__, outside, mac, kind, timeout=120)
                    by_table[table].append(float(said))
                    passed = int(lab.run("wan", "cat", f"/sys/class/net/{near}/statistics/rx_packets"))
                    if passed < PACKETS:
                        raise Failure(f"{passed} packets passed the {table} table")
        for kind, by_table in taken.items():
            full, empty = (statistics.median(by_table[table]) for table in ("full", "empty"))
            found[f"kernel_{kind}_ratio"] = full / empty
            found[f"kernel_{kind}_us"] = full / PACKETS * 1e6
        return found


def send(interface, mac, kind):
    """Sends from the first station to the internet; prints this process's CPU time in seconds."""
    own = open(f"/sys/class/net/{interface}/address").read().strip()
    frame = bytearray(bytes.fromhex(mac.replace(":", "") + own.replace(":", "")) + b"\x08\x00")
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + 18, 1, 0, 64, 17, 0, socket.inet_aton(address(0)),
                     socket.inet_aton("198.51.100.1"))
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + ip[12:]
    frame += ip + struct.pack("!HHHH", 10_000, 9_000, 8 + 18, 0) + bytes(18)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        # The answer makes it a flow that is established.
        wire.send(frame)
        time.sleep(0.3)
        before = time.process_time()
        for number in range(PACKETS):
            if kind == "first":
                struct.pack_into("!H", frame, 34, 10_001 + number)
            wire.send(frame)
        print(time.process_time() - before)


def answer():
    """Answers the sender's first port, and takes the rest."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind(("0.0.0.0", 9_000))
        while True:
            said, source = echo.recvfrom(64)
            if source[1] == 10_000:
                echo.sendto(said, source)


if __name__ == "__main__":
    answer() if sys.argv[1:] == ["answer"] else send(*sys.argv[1:])
else:
    from lab import Failure, Lab, run
