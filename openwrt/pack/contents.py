"""What a package holds, in one table (openwrt/vpmesh/contents), and what it says of itself."""

import hashlib
import os
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import elf

ROOT = Path(__file__).resolve().parents[2]
FEED = ROOT / "openwrt" / "vpmesh"

NAME = "vpmesh"
RELEASE = 1
SECTION = "net"
SOURCE = "feeds/vpmesh/vpmesh"
# What the kernel's half needs beside the device: connections to end, a look at routes for spoofed sources, and nft.
DEPENDS = ["kmod-nf-conntrack-netlink", "kmod-nft-fib", "kmod-tun", "nftables-json"]
# USER:GROUP that the package makes, with numbers that are free on the router.
USER = "vpmesh:vpmesh"
MAINTAINER = "vpmesh maintainers"
DESCRIPTION = [
    "Virtual private mesh for rooms, stations and applications",
    "Joins rooms over WireGuard and polices both directions at every border. Many owners write policy; none can",
    "overrule another. Stock WireGuard apps join as they are.",
]
# opkg's releases call one of openwrt/cross/targets otherwise: 24.10 says riscv64_riscv64, 25.12 riscv64_generic.
OPKG_ARCHITECTURES = {"riscv64_generic": "riscv64_riscv64"}


@dataclass(frozen=True)
class File:
    path: str  # absolute
    mode: int
    data: bytes
    is_conffile: bool = False


@dataclass
class Package:
    """Everything but the format."""

    architecture: str
    version: str  # X-rN
    license: str
    epoch: int  # seconds: the time of every file
    files: list[File]  # by path
    postinst: str | None = None
    prerm: str | None = None
    name: str = NAME
    section: str = SECTION
    user: str = USER
    source: str = SOURCE
    maintainer: str = MAINTAINER
    depends: list[str] = field(default_factory=lambda: list(DEPENDS))
    # Of this version: whatever has one of these names cannot be installed beside it.
    provides: list[str] = field(default_factory=list)
    description: list[str] = field(default_factory=lambda: list(DESCRIPTION))

    @property
    def conffiles(self):
        return [file.path for file in self.files if file.is_conffile]

    def folders(self):
        """Every folder above a file, without the root: `usr`, `usr/bin`."""
        found = set()
        for file in self.files:
            parts = file.path.strip("/").split("/")[:-1]
            found.update("/".join(parts[: n + 1]) for n in range(len(parts)))
        return sorted(found)


def manifest():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]


def last_commit():
    """When the last commit was made, in seconds; SOURCE_DATE_EPOCH overrules it."""
    said = os.environ.get("SOURCE_DATE_EPOCH")
    if said:
        return int(said)
    return int(subprocess.check_output(["git", "-C", ROOT, "log", "-1", "--format=%ct"]))


def files(program, table=FEED / "contents"):
    """The files of the table; `program` is the path of the binary."""
    found = []
    for number, line in enumerate(table.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        if len(words) not in (3, 4) or words[3:] not in ([], ["conffile"]) or not words[0].startswith("/"):
            raise SystemExit(f"{table}:{number}: write PATH MODE FILE, and `conffile` or nothing")
        path, mode, origin = words[:3]
        is_program = origin == "-"
        data = Path(program if is_program else table.parent / origin).read_bytes()
        data = elf.loaded(data) if is_program else data
        found.append(File(path, int(mode, 8), data, words[3:] == ["conffile"]))
    return sorted(found, key=lambda file: file.path)


def script(name):
    path = FEED / "files" / f"{NAME}.{name}"
    return path.read_text() if path.exists() else None


def package(target, program, is_mini=False):
    about = manifest()
    return Package(
        name=f"{NAME}-mini" if is_mini else NAME,
        provides=[NAME] if is_mini else [],
        architecture=target,
        version=f"{about['version']}-r{RELEASE}",
        license=about["license"],
        epoch=last_commit(),
        files=files(program),
        postinst=script("postinst"),
        prerm=script("prerm"),
    )


def sha256(data):
    return hashlib.sha256(data).hexdigest()
