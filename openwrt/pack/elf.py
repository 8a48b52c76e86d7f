"""What a program needs to run, of its file: what the kernel reads into memory. Section headers, and sections that only
debuggers read (`.pdr` of mips is a tenth of a program, and the linker's --strip-all leaves it), are for others."""

import struct

MAGIC = b"\x7fELF"


def loaded(data):
    """The program up to the end of its last segment; what is no ELF file as it is."""
    if data[:4] != MAGIC:
        return data
    is_64, order = data[4] == 2, "<" if data[5] == 1 else ">"
    # e_phoff, e_shoff: where the headers of segments and sections are (elf.h).
    segments_at, _ = struct.unpack_from(order + ("QQ" if is_64 else "II"), data, 32 if is_64 else 28)
    each, count = struct.unpack_from(order + "HH", data, 54 if is_64 else 42)
    ends = []
    for number in range(count):
        at = segments_at + number * each
        offset, size = struct.unpack_from(order + ("8xQ16xQ" if is_64 else "4xI8xI"), data, at)
        ends.append(offset + size)
    end = max([segments_at + each * count, *ends])
    head = bytearray(data[:end])
    struct.pack_into(order + ("Q" if is_64 else "I"), head, 40 if is_64 else 32, 0)  # e_shoff
    struct.pack_into(order + "HH", head, 60 if is_64 else 48, 0, 0)  # e_shnum, e_shstrndx
    return bytes(head)
