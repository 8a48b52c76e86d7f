"""coturn, the relay of WebRTC's world: what it takes to forward what can't be read, with another protocol."""

import shutil

from machine import package


class Coturn:
    name = "coturn"
    parts = ("sealed",)

    def missing(self):
        if shutil.which("turnserver") and shutil.which("turnutils_uclient"):
            return None
        return "turnserver is not there; Debian's package coturn has it, and `make bench` installs it"

    def version(self):
        return f"{package('coturn')} (UDP, channels)"
