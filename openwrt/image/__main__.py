"""`make image`: OpenWrt's ImageBuilder makes an image with vpmesh in it, for a VM, an LXC container or a router.

The package goes into the builder's own packages, and what is only this node's into FILES: its configuration, a line of
`vpmesh invite` that it joins by, and a script that its first start runs. A private key is in no image unless --files
has one: `vpmesh join` makes it on the node. Every input is checked before the builder is started.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True  # the tree stays as it was

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "openwrt" / "pack"))

import apk  # noqa: E402
import contents  # noqa: E402
import ipk  # noqa: E402

from kinds import KINDS, Fault, describe  # noqa: E402

# As `vpmesh invite` prints it: a node or owner, the owner's key, and introducers.
JOIN = re.compile(r"vpmesh:[a-z0-9/-]+,RW[Q-T][A-Za-z0-9+/]{53}(,[A-Za-z0-9+/]{43}=@[A-Za-z0-9.:\[\]-]+)+")
SIZE_MB = range(32, 16385)


def arguments():
    parser = argparse.ArgumentParser(prog="openwrt/image", description=__doc__.splitlines()[0])
    parser.add_argument("--builder", default="", help="the folder of an unpacked ImageBuilder")
    parser.add_argument("--kind", default="vm", help=f"what the image is for: {', '.join(KINDS)}")
    parser.add_argument("--profile", default="", help="the router's, as the builder's `make info` lists it")
    parser.add_argument("--package", default="", help="the .ipk or .apk; else what `make ipk` or `make apk` made")
    parser.add_argument("--mini", action="store_true", help="vpmesh-mini")
    parser.add_argument("--config", default="", help="the node's /etc/config/vpmesh")
    parser.add_argument("--join", default="", help="the line that `vpmesh invite` printed")
    parser.add_argument("--with", dest="more", default="", help="more packages, as PACKAGES has them")
    parser.add_argument("--files", default="", help="a folder of further files, laid over the image's root")
    parser.add_argument("--size", default="", help="MB of the root file system's partition (vm)")
    parser.add_argument("--packages", type=Path, default=".work/packages", help="where `make ipk` put them")
    parser.add_argument("--out", default="", help="the folder for images; .work/images/KIND")
    return parser.parse_args()


def main():
    options = arguments()
    try:
        kind = chosen_kind(options.kind)
        builder = Builder(options.builder)
        kind.suits(builder)
        profile = chosen_profile(builder, kind, options.profile)
        package = chosen_package(builder, options)
        size = chosen_size(kind, options.size)
        out = Path(options.out or f".work/images/{options.kind}").resolve()
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder)
            lay_out(files, kind, options)
            name = builder.take(package)
            wanted = {"PROFILE": profile, "PACKAGES": " ".join([name, *kind.packages, *options.more.split()]),
                      "FILES": str(files), "BIN_DIR": str(out), "DISABLED_SERVICES": kind.disabled}
            wanted |= {"ROOTFS_PARTSIZE": size} if size else {}
            builder.make("image", **wanted)
        print(describe(kind, out))
    except Fault as fault:
        print(f"make image: {fault}", file=sys.stderr)
        return 1
    return 0


class Builder:
    """An unpacked ImageBuilder."""

    def __init__(self, path):
        if not path:
            raise Fault(
                "no ImageBuilder is given, and none can be had here: download openwrt-imagebuilder-RELEASE-TARGET for "
                "the router (x86-64 for VMs and containers) from OpenWrt, unpack it, and write BUILDER=FOLDER"
            )
        self.path = Path(path).resolve()
        if not self.path.is_dir():
            raise Fault(f"{path}: is no folder; unpack an ImageBuilder and write BUILDER=FOLDER")
        for name in (".config", "Makefile", "include/image.mk"):
            if not (self.path / name).is_file():
                raise Fault(f"{path}: has no {name}, so it is no ImageBuilder (an SDK has none either)")
        if re.search(r"\s", str(self.path)):
            raise Fault(f"{path}: the builder takes no blanks in its path; move it")
        lines = (self.path / ".config").read_text().splitlines()
        self.settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        self.architecture = self.setting("CONFIG_TARGET_ARCH_PACKAGES")
        if not self.architecture:
            raise Fault(f"{path}/.config: names no CONFIG_TARGET_ARCH_PACKAGES; unpack the builder again")
        # 24.10 and before install by opkg.
        self.form = "apk" if self.has("CONFIG_USE_APK") else "ipk"

    def setting(self, name):
        return self.settings.get(name, "").strip('"')

    def has(self, name):
        return self.setting(name) == "y"

    def profiles(self):
        return re.findall(r"^([A-Za-z0-9][\w.+-]*):$", self.make("info", quiet=True), re.MULTILINE)

    def take(self, package):
        """Puts the package among the builder's own, in the place of older ones, and gives its name."""
        name, _, version = read_package(package)
        packages = self.path / "packages"
        packages.mkdir(exist_ok=True)
        for older in packages.glob(f"{name}[_-][0-9]*.{self.form}"):
            older.unlink()
        # apk wants a package's file to have the name that its index gives it.
        to = f"{name}-{version}.apk" if self.form == "apk" else package.name
        shutil.copy(package, packages / to)
        return name

    def make(self, goal, quiet=False, **variables):
        command = ["make", "-C", str(self.path), goal, *(f"{name}={value}" for name, value in variables.items() if value)]
        # What this make was called with is not meant for the builder's.
        kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        done = subprocess.run(command, env=kept, text=True, capture_output=quiet, check=False)
        if done.returncode:
            said = f": {(done.stderr or done.stdout).strip()[-400:]}" if quiet else ", which says why above"
            raise Fault(f"the builder's `make {goal}` ended with {done.returncode}{said}")
        return done.stdout or ""


def chosen_kind(name):
    if name not in KINDS:
        raise Fault(f"KIND={name}: write one of {', '.join(KINDS)}")
    return KINDS[name]


def chosen_profile(builder, kind, name):
    name = name or kind.profile
    known = builder.profiles()
    if not name:
        raise Fault(f"write PROFILE=, the router's name: {some(known)}")
    if name not in known:
        near = [profile for profile in known if name.lower() in profile.lower()] or known
        raise Fault(f"PROFILE={name}: this builder has no such profile; it has {some(near)}")
    return name


def some(names):
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more (`make info` there)" if len(names) > 12 else "")


def chosen_package(builder, options):
    wanted = contents.NAME + ("-mini" if options.mini else "")
    # opkg's releases have another name for some of our targets.
    targets = [target for target, known in contents.OPKG_ARCHITECTURES.items() if known == builder.architecture]
    target = targets[0] if targets and builder.form == "ipk" else builder.architecture
    mend = f"make {builder.form} TARGET={target}{' MINI=1' if options.mini else ''}"
    path = Path(options.package)
    if not options.package:
        found = sorted(options.packages.glob(f"{wanted}[_-][0-9]*_{builder.architecture}.{builder.form}"))
        if not found:
            raise Fault(f"{options.packages}: has no {wanted} for {builder.architecture}; {mend}")
        path = max(found, key=lambda file: file.stat().st_mtime)
    if not path.is_file():
        raise Fault(f"{path}: is not there; {mend}")
    if path.suffix != f".{builder.form}":
        raise Fault(f"{path}: this builder installs .{builder.form}; {mend}")
    try:
        name, architecture, _ = read_package(path)
    except Exception as error:
        raise Fault(f"{path}: is no package ({error}); {mend}") from None
    if name not in (contents.NAME, f"{contents.NAME}-mini"):
        raise Fault(f"{path}: is the package {name}; {mend}")
    if architecture != builder.architecture:
        raise Fault(f"{path}: is for {architecture}, and this builder for {builder.architecture}; {mend}")
    return path


def read_package(path):
    """Name, architecture and version."""
    data = path.read_bytes()
    if path.suffix == ".apk":
        info, _, _ = apk.read(data)
        return tuple(info[number].decode() for number in (apk.PI_NAME, apk.PI_ARCHITECTURE, apk.PI_VERSION))
    control, _, _ = ipk.read(data)
    return control["Package"], control["Architecture"], control["Version"]


def chosen_size(kind, text):
    if not text:
        return kind.size
    if not kind.size:
        raise Fault("SIZE is a VM's; a router's flash and a container's folder have theirs")
    if not text.isdigit() or int(text) not in SIZE_MB:
        raise Fault(f"SIZE={text}: write MB, {SIZE_MB[0]} to {SIZE_MB[-1]}")
    return text


def lay_out(files, kind, options):
    """What FILES has: further files first, so that the rest is as it was asked for."""
    if options.files:
        if not Path(options.files).is_dir():
            raise Fault(f"{options.files}: is no folder; write FILES=FOLDER, laid out as the router's root")
        shutil.copytree(options.files, files, dirs_exist_ok=True, symlinks=True)
    defaults = files / "etc/uci-defaults"
    defaults.mkdir(parents=True, exist_ok=True)
    for name in ("99-vpmesh-join", *kind.defaults):
        shutil.copy(HERE / "files" / name, defaults / name)
        (defaults / name).chmod(0o755)
    if options.config:
        text = read_text(options.config, "CONFIG")
        if not re.search(r"^\s*config\s+node\b", text, re.MULTILINE):
            raise Fault(f"{options.config}: has no `config node 'main'`; write it as /etc/config/vpmesh is written")
        write(files / "etc/config/vpmesh", text)
    if options.join:
        if not JOIN.fullmatch(options.join):
            raise Fault("JOIN: is no line of `vpmesh invite`; write JOIN='vpmesh:OWNER/ROOM/GATEWAY,RWQ…,KEY@HOST:PORT'")
        write(files / "etc/vpmesh/join", options.join + "\n")


def read_text(path, what):
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{what}={path}: cannot be read ({error})") from None


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main())
