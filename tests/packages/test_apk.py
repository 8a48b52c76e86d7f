"""apk's package: the writer against a reader that trusts nothing, and against what `apk mkpkg` 3.0.6 wrote."""

import hashlib
import unittest
import zlib
from pathlib import Path

import sample

import adb
import apk
import contents


class Apk(unittest.TestCase):
    def setUp(self):
        self.package = sample.package()
        self.packed = apk.pack(self.package)

    def test_every_file_is_there_with_its_mode_time_and_bytes(self):
        _, found, _ = apk.read(self.packed)
        files = {path: (mode, mtime, body) for path, mode, mtime, body in found if body is not None}
        for file in self.package.files:
            self.assertEqual(files.pop(file.path), (file.mode, sample.EPOCH, file.data), file.path)
        self.assertEqual(
            {path: body.decode() for path, (_, _, body) in files.items()},
            {
                "/lib/apk/packages/vpmesh.rusers": "vpmesh:vpmesh\n",
                "/lib/apk/packages/vpmesh.list": "".join(
                    f"{path}\n"
                    for path in sorted(["/lib/apk/packages/vpmesh.rusers", *(file.path for file in self.package.files)])
                ),
                "/lib/apk/packages/vpmesh.conffiles": "/etc/config/vpmesh\n",
                "/lib/apk/packages/vpmesh.conffiles_static": "/etc/config/vpmesh "
                + hashlib.sha256(next(f.data for f in self.package.files if f.is_conffile)).hexdigest() + "\n",
            },
        )

    def test_folders_come_in_order_and_are_roots(self):
        _, found, _ = apk.read(self.packed)
        folders = [(path, mode) for path, mode, _, body in found if body is None]
        self.assertEqual(folders[0], ("/", 0o755))
        self.assertEqual(folders, sorted(folders))
        self.assertTrue(all(mode == 0o755 for _, mode in folders))

    def test_the_information_is_what_openwrt_gives_to_mkpkg(self):
        info, _, _ = apk.read(self.packed)
        self.assertEqual(info[apk.PI_NAME], b"vpmesh")
        self.assertEqual(info[apk.PI_VERSION], b"1.2.3-r1")
        self.assertEqual(info[apk.PI_ARCHITECTURE], b"mips_24kc")
        self.assertEqual(info[apk.PI_LICENSE], b"Apache-2.0")
        self.assertEqual(info[apk.PI_DEPENDS], [[name.encode()] for name in contents.DEPENDS])
        _, found, _ = apk.read(self.packed)
        self.assertEqual(info[apk.PI_INSTALLED_SIZE], sum(len(body) for *_, body in found if body is not None))

    def test_an_upgrade_is_told_from_an_installation(self):
        _, _, scripts = apk.read(self.packed)
        self.assertEqual(sorted(scripts), [apk.SCRIPT_POST_INSTALL, apk.SCRIPT_PRE_DEINSTALL, apk.SCRIPT_POST_UPGRADE])
        self.assertTrue(scripts[apk.SCRIPT_POST_UPGRADE].startswith("#!/bin/sh\nexport PKG_UPGRADE=1\n"))
        self.assertNotIn("export PKG_UPGRADE", scripts[apk.SCRIPT_POST_INSTALL])
        for text in scripts.values():
            self.assertEqual(text.count("#!"), 1)

    def test_the_same_package_twice_is_the_same_bytes(self):
        self.assertEqual(self.packed, apk.pack(sample.package()))
        self.assertNotEqual(self.packed, apk.pack(sample.package(epoch=sample.EPOCH + 1)))

    def test_a_changed_byte_is_noticed(self):
        plain = bytearray(zlib.decompress(self.packed[4:], -15))
        for at in (plain.index(sample.PROGRAM), plain.index(b"kmod-tun"), plain.index(b"usr/bin")):
            changed = bytearray(plain)
            changed[at] ^= 1
            with self.assertRaises(ValueError, msg=at):
                apk.read(bytes(changed))

    def test_it_is_what_apk_mkpkg_writes(self):
        """Before compression it has the hash in `apk-mkpkg.sha256`: of what `apk mkpkg --compression none` of apk-tools
        3.0.6 (90b974f) wrote on 2026-11-22, given the same files, information and scripts."""
        fixed = contents.Package(
            architecture="mips_24kc", version="1.2.3-r1", license="Apache-2.0", epoch=sample.EPOCH,
            files=[
                contents.File("/etc/config/vpmesh", 0o600, b"config node 'main'\n", True),
                contents.File("/usr/bin/vpmesh", 0o755, sample.PROGRAM * 3000),
            ],
            postinst="#!/bin/sh\nexit 0\n", source="feeds/vpmesh/vpmesh", maintainer="somebody", user="",
            depends=["kmod-tun", "ca-bundle"], description=["one line", "and one more"],
        )
        plain = zlib.decompress(apk.pack(fixed)[4:], -15)
        known = Path(__file__).with_name("apk-mkpkg.sha256").read_text().split()[0]
        self.assertEqual(contents.sha256(plain), known)


class Database(unittest.TestCase):
    def test_values_of_every_width_come_back(self):
        for value in (0, 1, (1 << 28) - 1, 1 << 28, (1 << 32) - 1, 1 << 32, (1 << 64) - 1):
            writer = adb.Writer()
            self.assertEqual(adb.value(writer.finish(writer.number(value))), value)
        for value in (b"a", b"a" * 255, b"a" * 256, b"a" * 65535, b"a" * 65536):
            writer = adb.Writer()
            writer.blob(b"odd")
            self.assertEqual(adb.value(writer.finish(writer.blob(value))), value)

    def test_equal_pieces_are_written_once(self):
        writer = adb.Writer()
        self.assertEqual(writer.blob("root"), writer.blob(b"root"))
        self.assertNotEqual(writer.blob("root"), writer.blob("root", shared=False))

    def test_what_is_cut_short_is_refused(self):
        plain = b"ADB." + adb.PACKAGE.to_bytes(4, "little") + adb.block(adb.DATABASE_BLOCK, bytes(20))
        adb.read(plain)
        for length in (3, 7, 9, len(plain) - 8):
            with self.assertRaises((ValueError, adb.struct.error), msg=length):
                adb.read(plain[:length])


if __name__ == "__main__":
    unittest.main()
