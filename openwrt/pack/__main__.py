"""`make ipk`, `make apk`, `make feed`, `make size`: packages for OpenWrt, the same bytes from the same commit.

Python's own library only; compressing calls libdeflate-gzip, signing signify-openbsd (opkg) and openssl (apk).
"""

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # the tree stays as it was

import apk
import contents
import feed
import ipk

FORMATS = {"ipk": ipk, "apk": apk}
MB = 1_000_000
# What a 16 MB flash has room for, in bytes: the package, and what it installs.
BUDGET = {"": (1.8 * MB, 4.5 * MB), "mini": (1.0 * MB, 4.5 * MB)}  # by variant


def arguments():
    parser = argparse.ArgumentParser(prog="openwrt/pack", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*FORMATS, "feed", "size"])
    parser.add_argument("targets", nargs="+", help="names of openwrt/cross/targets")
    parser.add_argument("--built", type=Path, default=".work/cross", help="has TARGET/vpmesh, TARGET/mini/vpmesh, TARGET/tls/vpmesh")
    for variant in ("mini", "tls"):
        parser.add_argument(f"--{variant}", dest="variant", action="store_const", const=variant, default="",
                            help=f"what `make cross {variant.upper()}=1` made")
    parser.add_argument("--out", type=Path, default=".work/packages", help="the folder for packages")
    parser.add_argument("--key", type=Path, help="signs Packages: usign's or signify's, without a passphrase")
    parser.add_argument("--apk-key", type=Path, help="signs packages.adb: PEM, prime256v1")
    return parser.parse_args()


def main():
    options = arguments()
    if options.what == "size":
        return size(options)
    for target in options.targets:
        path = program(options, target, options.variant)
        if not path.exists():
            flag = f" {options.variant.upper()}=1" if options.variant else ""
            sys.exit(f"{path}: is not there; make cross TARGET={target}{flag}")
        package = contents.package(target, path, options.variant == "mini")
        if options.what == "feed":
            make_feed(package, options)
        else:
            write(package, options.what, options.out)
    return 0


def program(options, target, variant):
    return options.built / target / variant / "vpmesh"


def write(package, kind, out):
    """One package. apk's own name has no architecture, as each feed has one; in a folder of all it needs one."""
    form = FORMATS[kind]
    name = form.file_name(package)
    if kind == "apk":
        name = name.replace(".apk", f"_{package.architecture}.apk")
    put(out / name, form.pack(package))


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"{path}  {len(data):,} bytes  sha256 {contents.sha256(data)}")


def make_feed(package, options):
    folder = options.out / "feed" / package.architecture
    packed = {kind: {form.file_name(package): form.pack(package)} for kind, form in FORMATS.items()}
    for files in packed.values():
        for name, data in files.items():
            put(folder / name, data)
    index = feed.opkg_index(packed["ipk"])
    put(folder / "Packages", index)
    put(folder / "Packages.gz", ipk.squeeze(index))
    if options.key:
        feed.sign_opkg(folder / "Packages", options.key)
    put(folder / "packages.adb", feed.apk_index_file(feed.apk_index(packed["apk"]), options.apk_key))


def size(options):
    """Every program that was built, packed and installed, against what a router has room for."""
    rows = [
        (target, variant, path)
        for target in options.targets
        for variant in BUDGET
        if (path := program(options, target, variant)).exists()
    ]
    if not rows:
        sys.exit(f"{options.built}: has no program for {', '.join(options.targets)}; make cross TARGET=…")
    over = False
    print(f"{'target':<26}{'package':<14}{'ipk':>12}{'apk':>12}{'installed':>12}  bytes")
    for target, variant, path in rows:
        package_limit, installed_limit = BUDGET[variant]
        package = contents.package(target, path, variant == "mini")
        sizes = [len(ipk.pack(package)), len(apk.pack(package))]
        installed = sum(len(file.data) for file in package.files)
        is_over = max(sizes) > package_limit or installed > installed_limit
        over |= is_over
        mark = f"  over {package_limit / MB} or {installed_limit / MB} MB" if is_over else ""
        print(f"{target:<26}{package.name:<14}{sizes[0]:>12,}{sizes[1]:>12,}{installed:>12,}{mark}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
