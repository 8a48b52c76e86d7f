"""`make image` against a stand-in of an ImageBuilder, which writes down what it is called with; and the first start."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import sample
from root import Router

import apk
import ipk

JOIN = f"vpmesh:alice/attic/gw2,RWQ{'w' * 53},{'K' * 43}=@192.0.2.1:51888"
CONFIG = "config node 'main'\n\toption enabled '1'\n"

BUILDER = """
info:
	@printf 'Current Target: "x86/64"\\nAvailable Profiles:\\n\\ngeneric:\\n    Generic x86/64\\n    Packages: a b\\nother-one:\\n'
image:
	@printf '%s\\n' '$(PROFILE)' '$(PACKAGES)' '$(DISABLED_SERVICES)' '$(ROOTFS_PARTSIZE)' >called
	@cp -R '$(FILES)' files
	@mkdir -p '$(BIN_DIR)'
	@for made in $(MADE); do echo image >'$(BIN_DIR)'/$$made; done
"""
SETTINGS = """\
CONFIG_TARGET_BOARD="x86"
CONFIG_TARGET_ARCH_PACKAGES="x86_64"
CONFIG_TARGET_ROOTFS_TARGZ=y
CONFIG_TARGET_IMAGES_GZIP=y
"""
MADE = "openwrt-x86-64-generic-squashfs-combined-efi.img.gz openwrt-x86-64-generic-rootfs.tar.gz openwrt-sysupgrade.bin"


class Image(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.builder = self.folder / "builder"
        self.packages = self.folder / "packages"
        self.packages.mkdir()
        (self.builder / "include").mkdir(parents=True)
        (self.builder / "include/image.mk").touch()
        (self.builder / "Makefile").write_text(f"MADE := {MADE}\n{BUILDER}")
        (self.builder / ".config").write_text(SETTINGS)
        for package in (sample.package("x86_64"), sample.package("mips_24kc")):
            (self.packages / ipk.file_name(package)).write_bytes(ipk.pack(package))
        package = sample.package("x86_64")
        (self.packages / "vpmesh-1.2.3-r1_x86_64.apk").write_bytes(apk.pack(package))

    def run_image(self, *arguments, builder=None):
        return subprocess.run(
            [
                *(sys.executable, sample.ROOT / "openwrt/image", "--builder", builder or self.builder),
                *("--packages", self.packages, "--out", self.folder / "out", *arguments),
            ],
            capture_output=True, text=True,
        )

    def make(self, *arguments):
        done = self.run_image(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, *arguments, builder=None):
        done = self.run_image(*arguments, builder=builder)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertFalse((self.builder / "called").exists(), "the builder was started")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def called(self):
        profile, packages, disabled, size = (self.builder / "called").read_text().splitlines()
        return profile, packages, disabled, size

    def baked(self):
        root = self.builder / "files"
        return {f"/{path.relative_to(root)}": path for path in root.rglob("*") if path.is_file()}

    def test_a_vms_disk_has_the_package_and_a_way_out_for_its_one_port(self):
        said = self.make("--kind", "vm", "--with", "luci-app-vpmesh tcpdump-mini")
        self.assertEqual(self.called(), ("generic", "vpmesh luci-app-vpmesh tcpdump-mini", "", "128"))
        self.assertEqual(sorted(self.baked()), ["/etc/uci-defaults/99-vpmesh-join", "/etc/uci-defaults/99-vpmesh-one-port"])
        self.assertTrue((self.builder / "packages/vpmesh_1.2.3-r1_x86_64.ipk").exists())
        self.assertRegex(said, r"combined-efi\.img\.gz  6 bytes\n    sha256 [0-9a-f]{64}\n    a disk for UEFI: ")
        self.assertNotIn("rootfs.tar.gz", said)

    def test_a_containers_root_leaves_the_clock_to_the_host(self):
        said = self.make("--kind", "lxc")
        self.assertEqual(self.called(), ("generic", "vpmesh", "sysntpd", ""))
        self.assertIn("rootfs.tar.gz  6 bytes", said)

    def test_a_router_keeps_its_ports(self):
        said = self.make("--kind", "router", "--profile", "other-one")
        self.assertEqual(self.called(), ("other-one", "vpmesh", "", ""))
        self.assertEqual(sorted(self.baked()), ["/etc/uci-defaults/99-vpmesh-join"])
        self.assertIn("sysupgrade FILE (keeps keys", said)

    def test_the_configuration_the_line_and_further_files_are_in_the_image(self):
        config = self.folder / "config"
        config.write_text(CONFIG)
        more = self.folder / "more"
        (more / "etc/dropbear").mkdir(parents=True)
        (more / "etc/dropbear/authorized_keys").write_text("ssh-ed25519 …\n")
        self.make("--config", config, "--join", JOIN, "--files", more)
        baked = self.baked()
        self.assertEqual(baked["/etc/config/vpmesh"].read_text(), CONFIG)
        self.assertEqual(baked["/etc/vpmesh/join"].read_text(), JOIN + "\n")
        self.assertIn("/etc/dropbear/authorized_keys", baked)
        self.assertTrue(os.access(baked["/etc/uci-defaults/99-vpmesh-join"], os.X_OK))
        self.assertEqual(baked["/etc/config/vpmesh"].stat().st_mode & 0o777, 0o644)

    def test_a_builder_of_25_12_takes_the_apk_under_the_name_of_its_index(self):
        (self.builder / ".config").write_text(SETTINGS + "CONFIG_USE_APK=y\n")
        (self.builder / "packages").mkdir()
        (self.builder / "packages/vpmesh-0.9.0-r1.apk").touch()
        self.make()
        self.assertEqual(os.listdir(self.builder / "packages"), ["vpmesh-1.2.3-r1.apk"])

    def test_a_second_image_takes_nothing_of_the_first(self):
        self.make("--join", JOIN)
        shutil.rmtree(self.builder / "files")
        self.make()
        self.assertNotIn("/etc/vpmesh/join", self.baked())

    def test_without_a_builder_it_says_what_to_fetch(self):
        done = subprocess.run(["make", "image"], cwd=sample.ROOT, capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no ImageBuilder is given", done.stderr)
        self.assertIn("write BUILDER=FOLDER", done.stderr)

    def test_every_wrong_input_is_named_with_its_mend_before_the_builder_is_started(self):
        empty = self.folder / "empty"
        empty.mkdir()
        no_config = self.folder / "no-config"
        no_config.write_text("hello\n")
        foreign = self.packages / "vpmesh_1.2.3-r1_mips_24kc.ipk"
        for arguments, said in {
            ("--kind", "tv"): "KIND=tv: write one of vm, lxc, router",
            ("--kind", "router"): "write PROFILE=, the router's name: generic, other-one",
            ("--kind", "router", "--profile", "other"): "no such profile; it has other-one",
            ("--package", str(empty / "x.ipk")): "x.ipk: is not there; make ipk TARGET=x86_64",
            ("--package", str(no_config)): "this builder installs .ipk",
            ("--package", str(foreign)): "is for mips_24kc, and this builder for x86_64; make ipk TARGET=x86_64",
            ("--mini",): "has no vpmesh-mini for x86_64; make ipk TARGET=x86_64 MINI=1",
            ("--config", str(empty / "none")): "cannot be read",
            ("--config", str(no_config)): "has no `config node 'main'`",
            ("--join", "vpmesh:alice"): "is no line of `vpmesh invite`",
            ("--join", JOIN + "'; reboot; '"): "is no line of `vpmesh invite`",
            ("--files", str(no_config)): "is no folder",
            ("--size", "1"): "SIZE=1: write MB, 32 to 16384",
            ("--size", "lots"): "SIZE=lots: write MB",
            ("--kind", "lxc", "--size", "64"): "SIZE is a VM's",
        }.items():
            with self.subTest(arguments):
                self.assertIn(said, self.refused(*arguments))
        self.assertIn("has no .config, so it is no ImageBuilder", self.refused(builder=empty))
        self.assertIn("is no folder; unpack", self.refused(builder=self.folder / "nowhere"))
        (self.builder / ".config").write_text(SETTINGS.replace("CONFIG_TARGET_ROOTFS_TARGZ=y\n", ""))
        self.assertIn("write CONFIG_TARGET_ROOTFS_TARGZ=y into", self.refused("--kind", "lxc"))
        (self.builder / ".config").write_text(SETTINGS.replace('"x86"', '"ath79"').replace("x86_64", "mips_24kc"))
        self.assertIn("this builder is for mips_24kc; take the one for x86-64", self.refused("--kind", "vm"))

    def test_a_builder_that_fails_or_makes_nothing_is_a_failure(self):
        (self.builder / "Makefile").write_text(f"MADE := notes.txt\n{BUILDER}")
        done = self.run_image()
        self.assertEqual(done.returncode, 1)
        self.assertIn("the builder made no file that ends in combined-efi.img.gz", done.stderr)
        (self.builder / "Makefile").write_text(BUILDER.replace("@cp -R", "@false && cp -R"))
        self.assertIn("`make image` ended with 2", self.run_image().stderr)


class FirstStart(unittest.TestCase):
    """The scripts, by busybox's ash, in a root with stand-ins of uci, vpmesh and logger."""

    def setUp(self):
        self.router = Router(self, ("cat", "mv"), ("etc/vpmesh", "tmp", "usr/bin", "sys/class/net/eth0"))
        self.router.write("bin/logger", '#!/bin/sh\necho "$*" >>/log\n')

    def first_start(self, name):
        text = (sample.ROOT / "openwrt/image/files" / name).read_text()
        try:
            return self.router.run(text).returncode
        except subprocess.CalledProcessError as error:
            return error.returncode

    def test_a_node_joins_once_and_its_entry_is_kept(self):
        (self.router.root / "etc/vpmesh/join").write_text(JOIN + "\n")
        self.router.write("usr/bin/vpmesh", '#!/bin/sh\nprintf "%s|" "$@" >>/asked\necho "[[room.gateway]]"\n')
        self.assertEqual(self.first_start("99-vpmesh-join"), 0)
        self.assertEqual((self.router.root / "asked").read_text(), f"--config|/etc/config/vpmesh|join|{JOIN}|")
        self.assertEqual((self.router.root / "etc/vpmesh/entry").read_text(), "[[room.gateway]]\n")
        self.assertFalse((self.router.root / "etc/vpmesh/join").exists())
        self.assertEqual(self.router.called(), ["enable"])
        self.assertIn("daemon.notice", self.router.called("log")[0])
        self.assertEqual(self.first_start("99-vpmesh-join"), 0)
        self.assertEqual(len(self.router.called("log")), 1, "nothing more to do")

    def test_a_line_that_is_refused_is_told_and_tried_again(self):
        (self.router.root / "etc/vpmesh/join").write_text(JOIN + "\n")
        self.router.write("usr/bin/vpmesh", "#!/bin/sh\necho 'vpmesh: no such owner' >&2\nexit 1\n")
        self.assertEqual(self.first_start("99-vpmesh-join"), 1, "so the script stays for the next start")
        self.assertTrue((self.router.root / "etc/vpmesh/join").exists())
        self.assertEqual(self.router.called("log"), ["-t vpmesh -p daemon.err did not join: vpmesh: no such owner"])

    def test_one_port_is_the_way_out_and_serves_no_dhcp(self):
        self.assertEqual(self.first_start("99-vpmesh-one-port"), 0)
        text = "\n".join(self.router.called("uci"))
        self.assertIn("delete network.@device[0].ports", text)
        (self.router.root / "uci").unlink()
        (self.router.root / "sys/class/net/eth1").mkdir()
        self.assertEqual(self.first_start("99-vpmesh-one-port"), 0)
        self.assertEqual(self.router.called("uci"), [], "with two ports nothing is changed")


if __name__ == "__main__":
    unittest.main()
