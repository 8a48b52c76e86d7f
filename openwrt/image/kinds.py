"""What an image is for, and what becomes of what the builder made."""

import hashlib
from dataclasses import dataclass


class Fault(Exception):
    """What a person can mend; the text says how."""


@dataclass(frozen=True)
class Kind:
    name: str
    profile: str  # where it is always the same
    packages: tuple  # beside vpmesh
    disabled: str  # services
    defaults: tuple  # scripts of files/ that the first start runs, beside the joining
    size: str  # MB of the root's partition; none: no partition is made
    setting: str  # of the builder's .config: without it no such image is made
    use: tuple  # (how a file's name ends, what to do with it)

    def suits(self, builder):
        if self.profile and builder.setting("CONFIG_TARGET_BOARD") != "x86":
            raise Fault(f"KIND={self.name}: this builder is for {builder.architecture}; take the one for x86-64")
        if self.setting and not builder.has(self.setting):
            raise Fault(f"KIND={self.name}: write {self.setting}=y into {builder.path}/.config, and try again")


KINDS = {kind.name: kind for kind in (
    Kind(
        "vm", "generic", (), "", ("99-vpmesh-one-port",), "128", "CONFIG_TARGET_IMAGES_GZIP",
        (
            ("combined-efi.img.gz", "a disk for UEFI: gunzip it, then as openwrt/VM.md says"),
            ("combined.img.gz", "a disk for BIOS: gunzip it, then as openwrt/VM.md says"),
        ),
    ),
    Kind(
        "lxc", "generic", (), "sysntpd", ("99-vpmesh-one-port",), "", "CONFIG_TARGET_ROOTFS_TARGZ",
        (("rootfs.tar.gz", "a container's root: unpack it as root, then as openwrt/VM.md says"),),
    ),
    Kind(
        "router", "", (), "", (), "", "",
        (
            ("sysupgrade.bin", "for a router that runs OpenWrt: sysupgrade FILE (keeps keys and configuration)"),
            ("sysupgrade.itb", "for a router that runs OpenWrt: sysupgrade FILE (keeps keys and configuration)"),
            ("sysupgrade.img.gz", "for an SD card or a running system: gunzip and dd, or sysupgrade FILE"),
            ("factory.bin", "for the maker's own firmware page, the first time"),
            ("factory.img.gz", "for an SD card, the first time: gunzip and dd"),
        ),
    ),
)}


def describe(kind, out):
    """A line for each image, with what to do with it."""
    found = sorted(path for path in out.rglob("*") if path.is_file())
    told = []
    for ending, use in kind.use:
        for path in found:
            # `combined-efi` ends otherwise than `combined`.
            if path.name.endswith(ending):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                told.append(f"{path}  {path.stat().st_size:,} bytes\n    sha256 {digest}\n    {use}")
    if not told:
        endings = ", ".join(ending for ending, _ in kind.use)
        raise Fault(f"{out}: the builder made no file that ends in {endings}; look at what it said above")
    return "\n".join(told)
