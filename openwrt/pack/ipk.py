"""opkg's packages (OpenWrt up to 24.10), as scripts/ipkg-build and include/package-pack.mk of OpenWrt make them: a
gzip'd GNU tar of ./debian-binary, ./data.tar.gz and ./control.tar.gz. All is root's, sorted, and of one time."""

import io
import re
import tarfile

import contents
import deflate

POSTINST = """#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "${IPKG_INSTROOT}/lib/functions.sh"
default_postinst "$0" "$@"
"""
PRERM = """#!/bin/sh
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "${IPKG_INSTROOT}/lib/functions.sh"
default_prerm "$0" "$@"
"""


def architecture(package):
    return contents.OPKG_ARCHITECTURES.get(package.architecture, package.architecture)


def file_name(package):
    return f"{package.name}_{package.version}_{architecture(package)}.ipk"


def pack(package):
    """The bytes of the .ipk."""
    folders = [(f"./{folder}", 0o755, None) for folder in package.folders()]
    data = tar(folders + [(f".{file.path}", file.mode, file.data) for file in package.files], package.epoch)
    return squeeze(
        tar(
            [
                ("./debian-binary", 0o644, b"2.0\n"),
                ("./data.tar.gz", 0o644, squeeze(data)),
                ("./control.tar.gz", 0o644, squeeze(tar(control_files(package, len(data)), package.epoch))),
            ],
            package.epoch,
            root=False,
        )
    )


def control_files(package, installed_size):
    conffiles = "".join(f"{path}\n" for path in package.conffiles)
    found = [
        ("./conffiles", 0o644, conffiles),
        ("./control", 0o644, control(package, installed_size)),
        ("./postinst", 0o755, POSTINST),
        ("./postinst-pkg", 0o755, package.postinst),
        ("./prerm", 0o755, PRERM),
        ("./prerm-pkg", 0o755, package.prerm),
    ]
    return [(name, mode, text.encode()) for name, mode, text in found if text]


def control(package, installed_size):
    """The control file. A field without a value is left out: an empty `Depends:` crashes opkg."""
    fields = [
        ("Package", package.name),
        ("Version", package.version),
        ("Depends", ", ".join(package.depends)),
        ("Conflicts", ", ".join(package.provides)),
        ("Provides", ", ".join(package.provides)),
        ("Source", package.source),
        ("SourceName", contents.NAME),
        ("License", package.license),
        ("Section", package.section),
        ("Require-User", package.user),
        ("SourceDateEpoch", str(package.epoch)),
        ("Maintainer", package.maintainer),
        ("Architecture", architecture(package)),
        ("Installed-Size", str(installed_size)),
        ("Description", " " + "\n ".join(package.description)),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields if value)


def tar(members, epoch, root=True):
    """A GNU tar of (name, mode, bytes or None for a folder): with a root, as `tar --sort=name .`, or as given."""
    if root:
        members = [(".", 0o755, None), *sorted(members, key=lambda member: member[0].split("/"))]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, mode, data in members:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = mode, epoch
            if data is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(data)
            archive.addfile(entry, None if data is None else io.BytesIO(data))
    return out.getvalue()


def squeeze(data):
    return deflate.gzip(data)


def read(data):
    """An .ipk: (control fields, {path: bytes} of control.tar, [TarInfo] of data.tar)."""
    outer = members(data)
    control_tar = {entry.name: body for entry, body in members(outer_body(outer, "./control.tar.gz"))}
    data_tar = [entry for entry, _ in members(outer_body(outer, "./data.tar.gz"))]
    return parse_control(control_tar["./control"].decode()), control_tar, data_tar


def members(packed):
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        return [(entry, archive.extractfile(entry).read() if entry.isfile() else b"") for entry in archive]


def outer_body(outer, name):
    return next(body for entry, body in outer if entry.name == name)


def parse_control(text):
    """One paragraph as {field: value}; continuation lines keep their newline."""
    return dict(re.findall(r"^([A-Za-z0-9-]+): ?(.*(?:\n .*)*)", text, re.MULTILINE))
