"""apk's database format (apk-tools 3: doc/apk-v3.5.scd, src/adb.h), as far as a package and an index need it.

A value is a little-endian word: four bits of type, 28 of a number or of an offset into the block. An array or object is
a row of values, the first of which counts the row. Equal pieces are written once. A file is `ADB.`, a schema, and
blocks padded to eight bytes: the database, signatures of it, and each file's bytes; all of it deflated behind `ADBd`.
"""

import struct
import zlib

import deflate

PACKAGE = 0x676B6370  # pckg
INDEX = 0x78646E69  # indx

INT, INT_32, INT_64 = 0x1, 0x2, 0x3
BLOB_8, BLOB_16, BLOB_32 = 0x8, 0x9, 0xA
ARRAY, OBJECT = 0xD, 0xE
NULL = 0
DATABASE_BLOCK, SIGNATURE_BLOCK, DATA_BLOCK = 0, 1, 2


class Writer:
    """A database in the making. Each method writes a value and gives its word."""

    def __init__(self):
        self.block = bytearray(8)  # version 0.0, then the root
        self.written = {}

    def place(self, data, alignment, shared=True):
        if shared and data in self.written and self.written[data] % alignment == 0:
            return self.written[data]
        self.block += bytes(-len(self.block) % alignment)
        offset = len(self.block)
        self.block += data
        if shared:
            self.written[data] = offset
        return offset

    def number(self, value):
        if value < 1 << 28:
            return INT << 28 | value
        if value < 1 << 32:
            return INT_32 << 28 | self.place(struct.pack("<I", value), 4)
        return INT_64 << 28 | self.place(struct.pack("<Q", value), 4)

    def blob(self, data, shared=True):
        if isinstance(data, str):
            data = data.encode()
        if not data:
            return NULL
        for kind, width, form in ((BLOB_8, 1, "<B"), (BLOB_16, 2, "<H"), (BLOB_32, 4, "<I")):
            if len(data) < 1 << 8 * width:
                return kind << 28 | self.place(struct.pack(form, len(data)) + data, width, shared)
        raise ValueError("too long")

    def list(self, values):
        """apk marks lists as objects where it builds them in place, and reads either."""
        while values and values[-1] == NULL:
            values = values[:-1]
        if not values:
            return NULL
        return OBJECT << 28 | self.place(struct.pack(f"<{len(values) + 1}I", len(values) + 1, *values), 4)

    def object(self, fields):
        """`fields` by their numbers, which count from 1."""
        return self.list([fields.get(n, NULL) for n in range(1, max(fields, default=0) + 1)])

    def finish(self, root):
        struct.pack_into("<I", self.block, 4, root)
        return bytes(self.block)


def block(kind, data):
    """One block. Files over a gigabyte, which take another header, have no place on a router."""
    raw = struct.pack("<I", kind << 30 | len(data) + 4) + data
    return raw + bytes(-len(raw) % 8)


def file(schema, blocks):
    plain = b"ADB." + struct.pack("<I", schema) + b"".join(blocks)
    return b"ADBd" + deflate.raw(plain)


def read(data):
    """The schema and [(kind, bytes)] of a file; ValueError where it is none."""
    if data[:4] == b"ADBd":
        data = zlib.decompress(data[4:], -15)
    if data[:4] != b"ADB.":
        raise ValueError("is no database of apk's")
    (schema,) = struct.unpack_from("<I", data, 4)
    blocks, at = [], 8
    while at < len(data):
        (head,) = struct.unpack_from("<I", data, at)
        kind, size = head >> 30, head & 0x3FFFFFFF
        if size < 4 or at + size > len(data) or any(data[at + size : at + size + -size % 8]):
            raise ValueError(f"the block at {at} does not fit")
        blocks.append((kind, data[at + 4 : at + size]))
        at += size + -size % 8
    kinds = [kind for kind, _ in blocks]
    if kinds != sorted(kinds) or kinds.count(DATABASE_BLOCK) != 1:
        raise ValueError(f"the blocks come as {kinds}")
    return schema, blocks


def value(database, word=None):
    """What a word stands for: None, an int, bytes, or a list whose item n is field n + 1."""
    if word is None:
        (word,) = struct.unpack_from("<I", database, 4)
    kind, rest = word >> 28, word & 0xFFFFFFF
    if word == NULL:
        return None
    if kind == INT:
        return rest
    if kind in (INT_32, INT_64):
        return struct.unpack_from("<I" if kind == INT_32 else "<Q", database, rest)[0]
    if kind in (BLOB_8, BLOB_16, BLOB_32):
        form = {BLOB_8: "<B", BLOB_16: "<H", BLOB_32: "<I"}[kind]
        size = struct.calcsize(form)
        (length,) = struct.unpack_from(form, database, rest)
        if rest % size or rest + size + length > len(database):
            raise ValueError(f"the bytes at {rest} do not fit")
        return bytes(database[rest + size : rest + size + length])
    if kind in (ARRAY, OBJECT):
        (count,) = struct.unpack_from("<I", database, rest)
        words = struct.unpack_from(f"<{count}I", database, rest)
        if rest % 4 or any(w & 0xFFFFFFF >= rest for w in words[1:] if w >> 28 >= BLOB_8):
            raise ValueError(f"the row at {rest} does not fit")
        return [value(database, w) if w else None for w in words[1:]]
    raise ValueError(f"{word:#x} is of no known kind")
