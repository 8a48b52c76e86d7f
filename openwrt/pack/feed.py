"""A feed: a folder for one architecture with its packages and their signed indices.

opkg's is `Packages`, `Packages.gz` and `Packages.sig`, as scripts/ipkg-make-index.sh and package/Makefile of OpenWrt
make them, signed in usign's format, which is signify's. apk's is `packages.adb`, signed with a prime256v1 key.
"""

import hashlib
import subprocess
import tempfile
from pathlib import Path

import adb
import apk
import ipk

# What package/Makefile leaves out of the index.
LEFT_OUT = ("Maintainer", "LicenseFiles", "Source", "SourceName", "Require", "SourceDateEpoch")
SHA512 = 4  # APK_DIGEST_SHA512, src/apk_crypto.h


def opkg_index(packages):
    """`Packages` for {file name: bytes}."""
    paragraphs = []
    for name, data in sorted(packages.items()):
        _, control, _ = ipk.read(data)
        lines = [line for line in control["./control"].decode().splitlines() if not line.startswith(LEFT_OUT)]
        at = next(n for n, line in enumerate(lines) if line.startswith("Description:"))
        about = [f"Filename: {name}", f"Size: {len(data)}", f"SHA256sum: {hashlib.sha256(data).hexdigest()}"]
        paragraphs.append("\n".join(lines[:at] + about + lines[at:]) + "\n\n")
    return pad("".join(paragraphs).encode())


def pad(index):
    """Two newlines more where usign's SHA-512, which it takes over 64 bytes and the index, would be wrong."""
    return index + b"\n\n" if (64 + len(index)) % 128 in (110, 111) else index


def sign_opkg(index, key):
    """Writes INDEX.sig beside the index; the key is usign's or signify's, without a passphrase."""
    subprocess.run(["signify-openbsd", "-S", "-s", key, "-m", index, "-x", f"{index}.sig"], check=True)


def apk_index(packages, description="vpmesh"):
    """The database of `packages.adb` for {file name: bytes}."""
    writer = adb.Writer()
    entries = []
    for _, data in sorted(packages.items()):
        info, _, _ = apk.read(data)
        database = adb.read(data)[1][0][1]
        info[apk.PI_HASHES] = hashlib.sha256(database).digest()
        info[apk.PI_FILE_SIZE] = len(data)
        fields = {}
        for number, said in sorted(info.items()):
            if isinstance(said, list):
                fields[number] = apk.dependencies(writer, said)
            else:
                fields[number] = writer.number(said) if isinstance(said, int) else writer.blob(said)
        entries.append(writer.object(fields))
    root = {apk.NDX_DESCRIPTION: writer.blob(description), apk.NDX_PACKAGES: writer.list(entries)}
    return writer.finish(writer.object(root))


def apk_index_file(database, key=None):
    """The bytes of `packages.adb`; signed where there is a key, a PEM file of prime256v1."""
    blocks = [adb.block(adb.DATABASE_BLOCK, database)]
    if key:
        public = subprocess.check_output(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"])
        # The key's name is the hash of its point, the last 65 bytes.
        head = bytes([0, SHA512]) + hashlib.sha512(public[-65:]).digest()[:16]
        signed = adb.INDEX.to_bytes(4, "little") + head + hashlib.sha512(database).digest()
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(signed)
            signature = subprocess.check_output(["openssl", "dgst", "-sha512", "-sign", key, file.name])
        blocks.append(adb.block(adb.SIGNATURE_BLOCK, head + signature))
    return adb.file(adb.INDEX, blocks)
