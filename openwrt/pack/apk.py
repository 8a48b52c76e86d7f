"""apk's packages (OpenWrt from 25.12): the same package as a v3 .apk, as `apk mkpkg` and include/package-pack.mk of
OpenWrt make it. Unsigned: it is the index that is signed. Numbers of fields: apk-tools, src/apk_adb.h."""

import hashlib

import adb
import contents

# The fields of a package, of its information, of a folder, a file, an owner and mode, a dependency, the scripts.
PKG_INFO, PKG_PATHS, PKG_SCRIPTS = 1, 2, 3
(PI_NAME, PI_VERSION, PI_HASHES, PI_DESCRIPTION, PI_ARCHITECTURE, PI_LICENSE, PI_ORIGIN, PI_MAINTAINER) = range(1, 9)
PI_INSTALLED_SIZE, PI_FILE_SIZE, PI_DEPENDS, PI_PROVIDES = 0x0C, 0x0D, 0x0F, 0x10
DI_NAME, DI_ACL, DI_FILES = 1, 2, 3
FI_NAME, FI_ACL, FI_SIZE, FI_MTIME, FI_HASHES = 1, 2, 3, 4, 5
ACL_MODE, ACL_USER, ACL_GROUP = 1, 2, 3
DEP_NAME = 1  # and its version, 2
SCRIPT_POST_INSTALL, SCRIPT_PRE_DEINSTALL, SCRIPT_POST_UPGRADE = 3, 4, 7
NDX_DESCRIPTION, NDX_PACKAGES = 1, 2

IDENTITY = 20  # bytes: of the SHA-256 over the database in which they are zero


def file_name(package):
    return f"{package.name}-{package.version}.apk"


def pack(package):
    """The bytes of the .apk."""
    paths = with_lists(package)
    writer = adb.Writer()
    info = information(writer, package)
    folders = [folder(writer, name, inside, package.epoch) for name, inside in paths]
    info[PI_INSTALLED_SIZE] = writer.number(sum(len(file.data) for _, inside in paths for file in inside))
    info[PI_HASHES] = writer.blob(bytes(IDENTITY), shared=False)
    root = {PKG_INFO: writer.object(info), PKG_PATHS: writer.list(folders)}
    said = scripts(package)
    root[PKG_SCRIPTS] = writer.object({number: writer.blob(said[number]) for number in sorted(said)})
    database = bytearray(writer.finish(writer.object(root)))
    at = (info[PI_HASHES] & 0xFFFFFFF) + 1
    database[at : at + IDENTITY] = hashlib.sha256(database).digest()[:IDENTITY]

    blocks = [adb.block(adb.DATABASE_BLOCK, bytes(database))]
    for path_number, (_, inside) in enumerate(paths, 1):
        for file_number, file in enumerate(inside, 1):
            if file.data:
                head = path_number.to_bytes(4, "little") + file_number.to_bytes(4, "little")
                blocks.append(adb.block(adb.DATA_BLOCK, head + file.data))
    return adb.file(adb.PACKAGE, blocks)


def with_lists(package):
    """[(folder, [File])] by name, the root being "", with the lists that OpenWrt's scripts and sysupgrade read."""
    name = f"/lib/apk/packages/{package.name}"
    listed = [file.path for file in package.files]
    lists = {}
    if package.user:
        lists[".rusers"] = f"{package.user}\n"
        listed = sorted([*listed, f"{name}.rusers"])
    lists[".list"] = "".join(f"{path}\n" for path in listed)
    if package.conffiles:
        lists[".conffiles"] = "".join(f"{path}\n" for path in package.conffiles)
        lists[".conffiles_static"] = "".join(
            f"{file.path} {contents.sha256(file.data)}\n" for file in package.files if file.is_conffile
        )
    added = [contents.File(name + ending, 0o644, text.encode()) for ending, text in lists.items()]
    everything = contents.Package(**{**vars(package), "files": sorted(package.files + added, key=lambda f: f.path)})
    inside = {folder: [] for folder in ["", *everything.folders()]}
    for file in everything.files:
        inside[file.path[1:].rpartition("/")[0]].append(file)
    return sorted((name, sorted(found, key=base_name)) for name, found in inside.items())


def base_name(file):
    return file.path.rpartition("/")[2]


def information(writer, package):
    """Name to dependencies, in the order of their numbers, as `apk mkpkg` writes them."""
    return {
        PI_NAME: writer.blob(package.name),
        PI_VERSION: writer.blob(package.version),
        PI_DESCRIPTION: writer.blob(" ".join(package.description)),
        PI_ARCHITECTURE: writer.blob(package.architecture),
        PI_LICENSE: writer.blob(package.license),
        PI_ORIGIN: writer.blob(package.source),
        PI_MAINTAINER: writer.blob(package.maintainer),
        PI_DEPENDS: dependencies(writer, [[name] for name in package.depends]),
        PI_PROVIDES: dependencies(writer, [[name, package.version] for name in package.provides]),
    }


def dependencies(writer, wanted):
    """[[name] or [name, its one version]]."""
    return writer.list(
        [writer.object({n: writer.blob(said) for n, said in enumerate(row, DEP_NAME)}) for row in sorted(wanted)]
    )


def owner(writer, mode):
    return {ACL_MODE: writer.number(mode), ACL_USER: writer.blob("root"), ACL_GROUP: writer.blob("root")}


def folder(writer, name, inside, epoch):
    files = []
    for file in inside:
        fields = {
            FI_NAME: writer.blob(base_name(file)),
            FI_HASHES: writer.blob(hashlib.sha256(file.data).digest()),
            FI_MTIME: writer.number(epoch),
            FI_SIZE: writer.number(len(file.data)),
        }
        fields[FI_ACL] = writer.object(owner(writer, file.mode))
        files.append(writer.object(fields))
    fields = {DI_NAME: writer.blob(name)}
    fields[DI_ACL] = writer.object(owner(writer, 0o755))
    fields[DI_FILES] = writer.list(files)
    return writer.object(fields)


def scripts(package):
    """apk runs no `…-pkg` scripts: they are the tail of its own, and an upgrade is told from an installation here."""

    def tail(text):
        lines = (text or "").splitlines(keepends=True)
        return "".join(line for line in lines if not line.lstrip().startswith("#!"))

    begin = '[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0\n. "${IPKG_INSTROOT}/lib/functions.sh"\n'
    begin += f'export root="${{IPKG_INSTROOT}}"\nexport pkgname="{package.name}"\n'
    post = '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0\n' + begin + "add_group_and_user\ndefault_postinst\n"
    post += tail(package.postinst)
    return {
        SCRIPT_POST_INSTALL: "#!/bin/sh\n" + post,
        SCRIPT_PRE_DEINSTALL: "#!/bin/sh\n" + begin + "default_prerm\n" + tail(package.prerm),
        SCRIPT_POST_UPGRADE: "#!/bin/sh\nexport PKG_UPGRADE=1\n" + post,
    }


def read(data):
    """An .apk, checked: ({field number: value} of its information, [(path, mode, mtime, bytes or None for a folder)],
    {script number: text}). ValueError where it contradicts itself."""
    schema, blocks = adb.read(data)
    if schema != adb.PACKAGE:
        raise ValueError("is no package")
    database = blocks[0][1]
    package = dict(enumerate(adb.value(database), 1))
    info = dict(enumerate(package[PKG_INFO], 1))
    if database.count(info[PI_HASHES]) != 1 or identity(database, info[PI_HASHES]) != info[PI_HASHES]:
        raise ValueError("its identity is not that of its database")
    bodies = {}
    for kind, body in blocks[1:]:
        if kind == adb.DATA_BLOCK:
            bodies[int.from_bytes(body[:4], "little"), int.from_bytes(body[4:8], "little")] = body[8:]
    found = []
    for path_number, (name, acl, *inside) in enumerate(package[PKG_PATHS], 1):
        name = (name or b"").decode()
        found.append((f"/{name}", mode_of(acl), None, None))
        for file_number, entry in enumerate((inside or [None])[0] or [], 1):
            file_name, acl, size, mtime, digest = entry
            body = bodies.pop((path_number, file_number), b"")
            path = f"/{name}/{file_name.decode()}"
            if len(body) != size or hashlib.sha256(body).digest() != digest:
                raise ValueError(f"{path} is not what its hash says")
            found.append((path, mode_of(acl), mtime, body))
    if bodies:
        raise ValueError(f"files of no name: {sorted(bodies)}")
    said = {number: text.decode() for number, text in enumerate(package[PKG_SCRIPTS], 1) if text}
    return {number: field for number, field in info.items() if field is not None}, found, said


def mode_of(acl):
    mode, user, group = acl
    if (user, group) != (b"root", b"root"):
        raise ValueError(f"{user}:{group} is not root")
    return mode


def identity(database, written):
    return hashlib.sha256(database.replace(written, bytes(IDENTITY))).digest()[:IDENTITY]
