"""Meshes with protocols of their own: the same Debian program on all three nodes, set up as its manual has it.

What passes from a to b has to go through r, for a and b have no route to each other but inside; each program forwards
it in the way it recommends, with the ciphers it takes by itself. The devices' MTU is the largest round one that none of
them has to fragment.
"""

import re
import shutil
import signal
import time
from functools import cache

from lab import run, wait_for
from machine import package
from wireguard import LISTEN, RELAY_ADDRESS, STATION_PORT

MTU = 1400


class Mesh:
    parts = ("stations",)

    def missing(self):
        if shutil.which(self.program):
            return None
        return f"{self.program} is not there; Debian's package {self.name} has it, and `make bench` installs it"

    def version(self):
        return f"{package(self.name)} ({self.setting})"

    def start(self, lab, peers):
        """The relaying node; its peers are stations of the same program, which join by themselves."""
        return self.launch(lab, "r", RELAY_ADDRESS, None, peers)

    def join(self, lab, me, relay_address):
        self.launch(lab, me.name, me.address, relay_address, [])

    def launch(self, lab, name, address, relay_address, peers):
        """One node in the namespace of its name; without `relay_address` it is the relaying one. Returns its
        process, with the device up."""
        folder = lab.path / name
        folder.mkdir()
        process = lab.start(name, *self.command(lab, folder, name, address, relay_address, peers))
        device = self.device(name)
        wait_for(f"{device} in {name}", lambda: device in lab.run(name, "ip", "-br", "link"), process)
        lab.run(name, "ip", "link", "set", device, "mtu", str(MTU), "up")
        lab.run(name, "ip", "address", "replace", f"{address}/15", "dev", device)
        self.settle(lab, name, process)
        return process

    def settle(self, lab, name, process):
        """Waits for what has to be there before a transfer can be measured."""

    def device(self, name):
        return f"{self.name}-{name}"


class Nebula(Mesh):
    """r is lighthouse and relay, for stations that cannot reach each other. It takes the packets' outer seal off and
    puts one on, and cannot open the inner one, which is from a to b."""

    name = "nebula"
    program = "nebula"
    setting = "lighthouse and relay, aes"
    parts = ("stations", "sealed")

    def command(self, lab, folder, name, address, relay_address, _peers):
        authority = lab.path / "ca"
        if relay_address is None:
            run("nebula-cert", "ca", "-name", "bench", "-out-crt", f"{authority}.crt", "-out-key", f"{authority}.key")
        run("nebula-cert", "sign", "-ca-crt", f"{authority}.crt", "-ca-key", f"{authority}.key", "-name", name,
            "-ip", f"{address}/15", "-out-crt", f"{folder}/host.crt", "-out-key", f"{folder}/host.key")
        config = f"""
            pki: {{ca: {authority}.crt, cert: {folder}/host.crt, key: {folder}/host.key}}
            tun: {{dev: {self.device(name)}, mtu: {MTU}}}
            firewall: {{outbound: [{ANYTHING}], inbound: [{ANYTHING}]}}
            logging: {{level: error, format: text}}
        """
        if relay_address is None:
            config += f"""
            lighthouse: {{am_lighthouse: true}}
            relay: {{am_relay: true, use_relays: false}}
            listen: {{host: 0.0.0.0, port: {LISTEN}}}
            """
        else:
            config += f"""
            static_host_map: {{"{RELAY_ADDRESS}": ["{relay_address}:{LISTEN}"]}}
            lighthouse: {{am_lighthouse: false, interval: 1, hosts: ["{RELAY_ADDRESS}"]}}
            relay: {{am_relay: false, use_relays: true, relays: ["{RELAY_ADDRESS}"]}}
            listen: {{host: 0.0.0.0, port: {STATION_PORT}}}
            """
        path = folder / "config.yml"
        path.write_text(config)
        return self.program, "-config", str(path)

    def join_without_device(self, lab, namespace, name, address, relay_address, port):
        """A node that is there and has nothing of its own to say."""
        folder = lab.path / name
        folder.mkdir()
        self.command(lab, folder, name, address, relay_address, [])
        path = folder / "config.yml"
        config = path.read_text().replace("tun: {", "tun: {disabled: true, ")
        path.write_text(config.replace(f"port: {STATION_PORT}}}", f"port: {port}}}"))
        return lab.start(namespace, self.program, "-config", str(path))


ANYTHING = "{port: any, proto: any, host: any}"


class Tinc(Mesh):
    """tinc 1.0 in router mode with internal forwarding: r opens what a sealed for it, and seals it for b."""

    name = "tinc"
    program = "tincd"
    setting = "aes-256-cbc, sha256"

    def __init__(self):
        self.relay = None

    def command(self, lab, folder, name, address, relay_address, peers):
        hosts = folder / "hosts"
        hosts.mkdir()
        # IndirectData: nobody sends to this node but those connected to it, so never a to b past r.
        port = LISTEN if relay_address is None else STATION_PORT
        (hosts / name).write_text(host(name, address, port))
        config = f"Name = {name}\nInterface = {self.device(name)}\nForwarding = internal\n"
        if relay_address is None:
            for peer in peers:
                (hosts / peer.name).write_text(host(peer.name, peer.address, STATION_PORT))
        else:
            config += "ConnectTo = r\n"
            (hosts / "r").write_text(f"Address = {relay_address}\n" + host("r", RELAY_ADDRESS, LISTEN))
        (folder / "tinc.conf").write_text(config)
        (folder / "rsa_key.priv").touch(mode=0o600)
        (folder / "rsa_key.priv").write_text(rsa_key(name)[0])
        return self.program, "-D", "-c", str(folder), f"--pidfile={folder}/pid"

    def settle(self, lab, name, process):
        """Until both have measured the path between them, packets go through tinc's TCP connection."""
        if name == "r":
            self.relay = process
            return
        def is_measured():
            lab.run(name, "sh", "-c", f"ping -n -c 1 -W 1 -s 1000 {RELAY_ADDRESS} || true")
            return path_is_measured(process, "r") and path_is_measured(self.relay, name)
        wait_for(f"tinc on {name}: path MTU to r and back", is_measured, process, seconds=30)


def host(name, address, port):
    return f"Port = {port}\nSubnet = {address}/32\nIndirectData = yes\n{rsa_key(name)[1]}"


def path_is_measured(process, to):
    """tincd tells what it knows of other nodes when it gets SIGUSR2."""
    process.send_signal(signal.SIGUSR2)
    time.sleep(0.1)
    found = re.findall(rf"^ *{to} at .* pmtu \d+ \(min (\d+) max (\d+)\)", process.log.read_text(), re.MULTILINE)
    return bool(found) and found[-1][0] == found[-1][1]


@cache
def rsa_key(name):
    """The private and the public half, the same during one run, as tinc's files have them."""
    private = run("openssl", "genrsa", "-traditional", "2048")
    return private, run("openssl", "rsa", "-RSAPublicKey_out", text=private)


class Fastd(Mesh):
    """fastd with a TAP device and `forward`: r opens what a sealed for it, and seals it for b."""

    name = "fastd"
    program = "fastd"
    setting = "salsa2012+umac"

    def command(self, lab, folder, name, address, relay_address, peers):
        if relay_address is None:
            known = "forward yes;\n" + "".join(f'peer "{peer.name}" {{ key "{fastd_key(peer.name)[1]}"; }}\n'
                                               for peer in peers)
        else:
            known = f'peer "r" {{ key "{fastd_key("r")[1]}"; remote {relay_address}:{LISTEN}; }}\n'
        config = folder / "fastd.conf"
        config.write_text(f'interface "{self.device(name)}";\nmode tap;\nmtu {MTU};\nmethod "{self.setting}";\n'
                          f'bind 0.0.0.0:{LISTEN if relay_address is None else STATION_PORT};\nlog level warn;\n'
                          f'secret "{fastd_key(name)[0]}";\n{known}')
        return self.program, "--config", str(config)


@cache
def fastd_key(name):
    """The secret and the public key, the same during one run."""
    secret, public = re.findall(r"(?:Secret|Public): (\w+)", run("fastd", "--generate-key"))
    return secret, public
