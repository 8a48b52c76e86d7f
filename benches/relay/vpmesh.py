"""vpmesh as the relaying node, with a real policy in force.

The node is alice's gateway. Station a is an application in one of alice's stations, and b stands for bob's gateway,
behind which an application of bob's is; so a flow from a to b crosses eight borders:

    egress  of alice/attic/a/app, alice/attic/a, alice/attic, alice
    ingress of bob, bob/cellar, bob/cellar/b, bob/cellar/b/app

The rules are shared out among the eight. One at each border lets the measured flows pass; the others are about
other ports and prefixes, as rules mostly are. Any further peers are stations of alice's room, and a host of the LAN
has the policy of one border, inward.
"""

import json
import os
import subprocess

from lab import run, wait_for
from wireguard import LISTEN, MTU, StockStations, key

PASSING = '{ allow = ["tcp/5201", "udp/5201", "icmp"] }'
BORDERS = 8


class Vpmesh(StockStations):
    def __init__(self, name, program, rules):
        self.parts = ("stations", "load", "tun", "idle", "memory", *(("policy", "judge", "kernel", "sealed") if rules else ()))
        self.name = name
        self.program = program
        self.rules = rules

    def missing(self):
        if not os.path.exists(self.program):
            return f"{self.program} is not built"
        done = subprocess.run([self.program, "run", "--help"], capture_output=True, text=True)
        return None if done.returncode == 0 else f"{self.program} run: {done.stderr.strip() or 'not there yet'}"

    def version(self):
        return subprocess.run([self.program, "--version"], capture_output=True, text=True).stdout.split()[-1]

    def start(self, lab, peers):
        (lab.path / "rosters").mkdir()
        public = {owner: new_owner(lab, owner) for owner in ("alice", "bob")}
        sign(lab, "alice", alice(public, peers, self.policy()))
        sign(lab, "bob", bob(public, peers, self.policy()))
        return self.run(lab, "alice/attic/gw", public["alice"])

    def start_relay(self, lab, crowd):
        """A relay of alice's; each of the lists in `crowd` has the gateways of one owner more."""
        (lab.path / "rosters").mkdir()
        names = [f"owner{number}" for number in range(len(crowd))]
        public = {owner: new_owner(lab, owner) for owner in ["alice", *names]}
        relay = f'[[relay]]\nname = "hill"\nkey = "{key("relay").public}"\nendpoints = ["192.0.2.1:{LISTEN}"]\n'
        friends = "".join(f'[[friend]]\nowner = "{name}"\nkey = "{public[name]}"\n' for name in names)
        sign(lab, "alice", f'owner = "alice"\nserial = 1\n{friends}{relay}')
        for owner, gateways in zip(names, crowd):
            rooms = "".join(f'[[room]]\nname = "{name}"\n[[room.gateway]]\nname = "gw"\nkey = "{key(name).public}"\n'
                            for name in gateways)
            sign(lab, owner, f'owner = "{owner}"\nserial = 1\n{rooms}')
        return self.run(lab, "alice/hill", public["alice"])

    def run(self, lab, node, owner_key):
        rosters = lab.path / "rosters"
        control = lab.path / "vpmesh.sock"
        secret = lab.path / "node.key"
        secret.touch(mode=0o600)
        secret.write_text(key("relay").private + "\n")
        config = lab.path / "node.toml"
        config.write_text(f"""
            node = "{node}"
            private_key = "{secret}"
            owner_key = "{owner_key}"
            rosters = "{rosters}"
            interface = "vpm0"
            listen = {LISTEN}
            control = "{control}"
            mtu = {MTU}
        """)
        process = lab.start("r", os.path.abspath(self.program), "run", "--config", str(config))
        wait_for(f"{self.name}: control socket", control.exists, process)
        return process

    def flows(self, lab):
        """How many flows the running process has."""
        asked = (self.program, "--config", str(lab.path / "node.toml"), "status", "--json")
        return json.loads(lab.run("r", *asked))["flows"]

    def policy(self):
        """The rules of one border of an owner, and of one other border: TOML arrays, or nothing for no policy."""
        share = self.rules // BORDERS
        owners, others = (border(max(share, 1)), border(share))
        return owners, others


def border(count):
    """A border's rules: one for the measured flows, two in three of the others for other ports, one in three
    against."""
    if count == 0:
        return None
    rules = [PASSING]
    for number in range(1, count):
        action = "deny" if number % 3 == 0 else "allow"
        rules.append(f'{{ {action} = "tcp/{6000 + number}", to = "10.{88 + number % 2}.{100 + number}.0/24" }}')
    return "[" + ", ".join(rules) + "]"


def policy(direction, rules):
    return f"{direction} = {rules}\n" if rules else ""


def friend(owner, public):
    prefix = {"alice": "10.88.0.0/16", "bob": "10.89.0.0/16"}[owner]
    return f'[[friend]]\nowner = "{owner}"\nkey = "{public[owner]}"\nipv4 = ["{prefix}"]\n'


def station(name, public, address, rules=None, direction=None):
    text = f'[[room.station]]\nname = "{name}"\nkey = "{public}"\nipv4 = "{address}"\n'
    return text + policy(direction, rules)


def application(address, direction, rules):
    return f'[[room.station.application]]\nname = "app"\nipv4 = "{address}"\n' + policy(direction, rules)


def alice(public, peers, rules):
    owners, others = rules
    text = 'owner = "alice"\nserial = 1\nipv4 = "10.88.0.0/16"\n' + policy("egress", owners) + friend("bob", public)
    text += '[[room]]\nname = "attic"\n' + policy("egress", others)
    text += f'[[room.gateway]]\nname = "gw"\nkey = "{key("relay").public}"\nendpoints = ["192.0.2.1:{LISTEN}"]\n'
    for peer in peers:
        if peer.name == "a":
            text += station("a", peer.key.public, "10.88.254.1", others, "egress")
            text += application(peer.address, "egress", others)
        elif peer.lan:
            text += f'[[room.station]]\nname = "{peer.name}"\nlan = true\nipv4 = "{peer.address}"\n'
            text += policy("ingress", others)
        elif peer.name != "b":
            text += station(peer.name, peer.key.public, peer.address)
    return text


def bob(public, peers, rules):
    owners, others = rules
    gateway = next((peer for peer in peers if peer.name == "b"), None)
    address = gateway.address if gateway else "10.89.0.1"
    text = 'owner = "bob"\nserial = 1\nipv4 = "10.89.0.0/16"\n' + policy("ingress", owners) + friend("alice", public)
    text += '[[room]]\nname = "cellar"\n' + policy("ingress", others)
    if gateway:
        text += f'[[room.gateway]]\nname = "gw"\nkey = "{gateway.key.public}"\nendpoints = ["{gateway.endpoint}"]\n'
    text += station("b", key("bob's own b").public, "10.89.254.1", others, "ingress")
    return text + application(address, "ingress", others)


def new_owner(lab, owner):
    """A signing key without a passphrase; returns the public one as rosters write it."""
    public, secret = lab.path / f"{owner}.pub", lab.path / f"{owner}.sec"
    run("signify-openbsd", "-G", "-n", "-p", str(public), "-s", str(secret))
    return public.read_text().splitlines()[1]


def sign(lab, owner, roster):
    path = lab.path / "rosters" / f"{owner}.toml"
    path.write_text(roster)
    run("signify-openbsd", "-S", "-s", str(lab.path / f"{owner}.sec"), "-m", str(path), "-x", f"{path}.sig")
