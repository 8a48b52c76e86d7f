"""A package with a program that does nothing, so that the formats are tested without a cross build."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "openwrt" / "pack"))

import contents  # noqa: E402

EPOCH = 1_700_000_000
PROGRAM = b"#!/bin/sh\necho 'vpmesh 0.0'\n"


def package(target="mips_24kc", **changes):
    """The package as `make ipk` makes it, but for the program, the version and the time."""
    files = [
        contents.File(file.path, file.mode, PROGRAM if file.path == "/usr/bin/vpmesh" else file.data, file.is_conffile)
        for file in contents.files("/dev/null")
    ]
    fields = {
        "architecture": target,
        "version": "1.2.3-r1",
        "license": "Apache-2.0",
        "epoch": EPOCH,
        "files": files,
        "postinst": contents.script("postinst"),
        "prerm": contents.script("prerm"),
    }
    return contents.Package(**{**fields, **changes})
