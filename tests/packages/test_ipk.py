"""opkg's package, byte for byte where OpenWrt's own builder fixes a byte."""

import gzip
import io
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

import sample

import contents
import ipk

CONTROL = """\
Package: vpmesh
Version: 1.2.3-r1
Depends: kmod-nf-conntrack-netlink, kmod-nft-fib, kmod-tun, nftables-json
Source: feeds/vpmesh/vpmesh
SourceName: vpmesh
License: Apache-2.0
Section: net
Require-User: vpmesh:vpmesh
SourceDateEpoch: 1700000000
Maintainer: vpmesh maintainers
Architecture: mips_24kc
Installed-Size: {size}
Description:  Virtual private mesh for rooms, stations and applications
 Joins rooms over WireGuard and polices both directions at every border. Many owners write policy; none can
 overrule another. Stock WireGuard apps join as they are.
"""


def listing(packed):
    """[(name, mode, is a folder)] of a tar.gz; owners and times are asserted on the way."""
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        entries = list(archive)
    for entry in entries:
        assert (entry.uid, entry.gid, entry.mtime) == (0, 0, sample.EPOCH), entry.name
        assert (entry.uname, entry.gname) == ("", ""), entry.name
    return [(entry.name, entry.mode, entry.isdir()) for entry in entries]


def body(packed, name):
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        return archive.extractfile(name).read()


class Ipk(unittest.TestCase):
    def setUp(self):
        self.package = sample.package()
        self.packed = ipk.pack(self.package)

    def test_the_outer_archive_has_the_three_members_in_opkgs_order(self):
        self.assertEqual(
            listing(self.packed),
            [("./debian-binary", 0o644, False), ("./data.tar.gz", 0o644, False), ("./control.tar.gz", 0o644, False)],
        )
        self.assertEqual(body(self.packed, "./debian-binary"), b"2.0\n")

    def test_every_layer_is_a_gnu_tar_in_a_gzip_without_name_and_time(self):
        for layer in (self.packed, body(self.packed, "./data.tar.gz"), body(self.packed, "./control.tar.gz")):
            self.assertEqual(layer[:8], b"\x1f\x8b\x08\x00\x00\x00\x00\x00")
            self.assertEqual(gzip.decompress(layer)[257:265], b"ustar  \x00")

    def test_the_data_are_sorted_with_their_folders_and_modes(self):
        self.assertEqual(
            [entry for entry in listing(body(self.packed, "./data.tar.gz")) if not entry[2]],
            [(f".{file.path}", file.mode, False) for file in self.package.files],
        )
        names = [name for name, _, _ in listing(body(self.packed, "./data.tar.gz"))]
        self.assertEqual(names[0], ".")
        self.assertEqual(names[1:], sorted(names[1:], key=lambda name: name.split("/")))
        for name, mode, is_folder in listing(body(self.packed, "./data.tar.gz")):
            if is_folder:
                self.assertEqual(mode, 0o755, name)
            else:
                self.assertIn(name.rpartition("/")[0], names, "a file comes after its folder")

    def test_the_program_and_the_init_script_may_run_and_the_daemon_reads_the_configuration(self):
        modes = {name: mode for name, mode, _ in listing(body(self.packed, "./data.tar.gz"))}
        self.assertEqual(modes["./usr/bin/vpmesh"], 0o755)
        self.assertEqual(modes["./etc/init.d/vpmesh"], 0o755)
        self.assertEqual(modes["./etc/config/vpmesh"], 0o644)
        self.assertEqual(modes["./lib/upgrade/keep.d/vpmesh"], 0o644)

    def test_the_control_fields_are_openwrts_in_its_order(self):
        inner = body(self.packed, "./control.tar.gz")
        data = gzip.decompress(body(self.packed, "./data.tar.gz"))
        self.assertEqual(body(inner, "./control").decode(), CONTROL.format(size=len(data)))
        self.assertEqual(body(inner, "./conffiles"), b"/etc/config/vpmesh\n")
        self.assertEqual(
            [(name, mode) for name, mode, _ in listing(inner)],
            [(".", 0o755), ("./conffiles", 0o644), ("./control", 0o644)]
            + [(f"./{name}", 0o755) for name in ("postinst", "postinst-pkg", "prerm", "prerm-pkg")],
        )

    def test_no_field_is_empty(self):
        bare = ipk.control(sample.package(depends=[], maintainer=""), 1)
        self.assertNotIn("Depends", bare)
        self.assertNotIn("Maintainer", bare)

    def test_the_same_package_twice_is_the_same_bytes(self):
        self.assertEqual(self.packed, ipk.pack(sample.package()))
        self.assertNotEqual(self.packed, ipk.pack(sample.package(epoch=sample.EPOCH + 1)))

    def test_tar_unpacks_it_as_a_router_would(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "p.ipk").write_bytes(self.packed)
            subprocess.run(
                "tar xzf p.ipk && mkdir root && tar xzpf data.tar.gz -C root && root/usr/bin/vpmesh >said",
                shell=True, check=True, cwd=folder,
            )
            self.assertEqual(Path(folder, "said").read_text(), "vpmesh 0.0\n")

    def test_riscv_has_the_name_that_opkgs_releases_know(self):
        self.assertEqual(ipk.file_name(sample.package("riscv64_generic")), "vpmesh_1.2.3-r1_riscv64_riscv64.ipk")
        self.assertEqual(ipk.file_name(self.package), "vpmesh_1.2.3-r1_mips_24kc.ipk")


class Table(unittest.TestCase):
    def test_every_file_of_the_feed_is_in_the_table_or_a_maintainers_script(self):
        lines = (contents.FEED / "contents").read_text().splitlines()
        named = {line.split()[2] for line in lines if line.startswith("/")}
        for path in (contents.FEED / "files").iterdir():
            if path.suffix not in (".postinst", ".prerm"):
                self.assertIn(f"files/{path.name}", named)

    def test_a_conffile_is_a_file_and_keys_are_kept_by_sysupgrade(self):
        package = sample.package()
        self.assertEqual(package.conffiles, ["/etc/config/vpmesh"])
        kept = next(file.data for file in package.files if file.path == "/lib/upgrade/keep.d/vpmesh")
        self.assertIn(b"/etc/vpmesh/\n", kept)

    def test_a_line_that_is_wrong_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder, "contents")
            table.write_text("# fine\nusr/bin/vpmesh 0755 -\n")
            with self.assertRaisesRegex(SystemExit, "contents:2: write PATH MODE FILE"):
                contents.files("/dev/null", table)

    def test_the_feeds_makefile_has_the_crates_version_and_licence(self):
        lines = (contents.FEED / "Makefile").read_text().splitlines()
        about = contents.manifest()
        self.assertIn(f"PKG_VERSION:={about['version']}", lines)
        self.assertIn(f"PKG_RELEASE:={contents.RELEASE}", lines)
        self.assertIn(f"PKG_LICENSE:={about['license']}", lines)


if __name__ == "__main__":
    unittest.main()
