"""The maintainers' scripts, run by busybox's ash in a root of its own; and every shell file of openwrt/, read by
shellcheck."""

import subprocess
import unittest

import sample
from root import FUNCTIONS, Router

import apk
import ipk


class Scripts(unittest.TestCase):
    def setUp(self):
        self.router = Router(self)
        package = sample.package()
        self.opkg = {name: data.decode() for name, _, data in ipk.control_files(package, 0)}
        _, _, self.apk = apk.read(apk.pack(package))

    def install_opkg(self):
        for name in ("postinst-pkg", "prerm-pkg"):
            if f"./{name}" in self.opkg:
                self.router.write(f"usr/lib/opkg/info/vpmesh.{name}", self.opkg[f"./{name}"])
        self.router.run(self.opkg["./postinst"], "configure")

    def test_opkg_installs_enables_and_starts(self):
        self.install_opkg()
        self.assertEqual(self.router.called(), ["rpcd-reload", "enable", "start"])
        self.assertEqual(self.router.running(), "old")

    def test_opkgs_upgrade_leaves_the_new_program_running(self):
        self.install_opkg()
        self.router.run(self.opkg["./prerm"], "upgrade", PKG_UPGRADE="1")
        self.assertIsNone(self.router.running())
        self.assertEqual(self.router.called("uci"), [], "the firewall's zone stays")
        self.router.upgrade_program()
        self.router.run(self.opkg["./postinst"], "configure", PKG_UPGRADE="1")
        self.assertEqual(self.router.running(), "new")

    def test_opkg_removes_and_stops(self):
        self.install_opkg()
        self.router.run(self.opkg["./prerm"], "remove")
        self.assertIsNone(self.router.running())
        self.assertIn("-q delete firewall.vpmesh", self.router.called("uci"))

    def test_apk_installs_enables_and_starts(self):
        self.router.run(self.apk[apk.SCRIPT_POST_INSTALL])
        self.assertEqual(self.router.called(), ["enable", "start", "rpcd-reload"])
        self.assertEqual(self.router.running(), "old")

    def test_apks_upgrade_which_stops_nothing_leaves_the_new_program_running(self):
        self.router.run(self.apk[apk.SCRIPT_POST_INSTALL])
        self.router.upgrade_program()
        self.router.run(self.apk[apk.SCRIPT_POST_UPGRADE])
        self.assertEqual(self.router.running(), "new")

    def test_an_upgrade_enables_nothing(self):
        self.router.run(self.apk[apk.SCRIPT_POST_UPGRADE])
        self.assertNotIn("enable", self.router.called())

    def test_apk_removes_and_stops(self):
        self.router.run(self.apk[apk.SCRIPT_POST_INSTALL])
        self.router.run(self.apk[apk.SCRIPT_PRE_DEINSTALL])
        self.assertIsNone(self.router.running())
        self.assertIn("disable", self.router.called())
        self.assertIn("-q delete firewall.vpmesh", self.router.called("uci"))

    def test_an_image_build_starts_nothing(self):
        """The image builder runs the scripts on its own machine, under bash: nothing of the service may be called."""
        (self.router.root / "image/lib").mkdir(parents=True)
        (self.router.root / "image/lib/functions.sh").write_text(FUNCTIONS)
        for script in (self.opkg["./postinst"], self.opkg["./prerm"], *self.apk.values()):
            self.router.run(script, "configure", IPKG_INSTROOT="/image")
        self.assertEqual(self.router.called() + self.router.called("uci"), [])

    def test_a_root_without_openwrts_functions_is_left_alone(self):
        (self.router.root / "lib/functions.sh").unlink()
        for script in (self.opkg["./postinst"], self.opkg["./prerm"], *self.apk.values()):
            self.router.run(script, "configure")
        self.assertEqual(self.router.called(), [])

    def test_no_script_means_no_script(self):
        for script in (self.opkg["./postinst"], self.apk[apk.SCRIPT_POST_INSTALL], self.apk[apk.SCRIPT_POST_UPGRADE]):
            self.router.run(script, "configure", IPKG_NO_SCRIPT="1")
        self.assertEqual(self.router.called(), [])


class Shell(unittest.TestCase):
    def shell_files(self):
        """{path: dialect} of every script under openwrt/; a router's are ash, which shellcheck knows as dash."""
        found = {}
        for path in sorted((sample.ROOT / "openwrt").rglob("*")):
            if path.is_file():
                first = path.read_bytes()[:40].split(b"\n")[0]
                if first.startswith(b"#!"):
                    dialect = {b"bash": "bash", b"sh": "dash"}.get(first[2:].split()[-1].rpartition(b"/")[2])
                    found[path] = "dash" if first.startswith(b"#!/bin/sh") else dialect
        return {path: dialect for path, dialect in found.items() if dialect}

    def test_shellcheck_finds_nothing(self):
        for path, dialect in self.shell_files().items():
            # rc.common reads variables that a script only sets, and functions.sh is the router's.
            done = subprocess.run(
                ["shellcheck", "--shell", dialect, "--exclude", "SC1091,SC2034,SC3043", path],
                capture_output=True, text=True,
            )
            self.assertEqual(done.stdout, "", path)

    def test_what_opkg_and_apk_are_given_is_clean_too(self):
        package = sample.package()
        _, _, scripts = apk.read(apk.pack(package))
        for text in (ipk.POSTINST, ipk.PRERM, *scripts.values()):
            done = subprocess.run(
                ["shellcheck", "--shell", "dash", "--exclude", "SC1091,SC2034,SC2317", "-"],
                input=text, capture_output=True, text=True,
            )
            self.assertEqual(done.stdout, "")

    def test_the_routers_scripts_name_no_program_that_its_busybox_lacks(self):
        missing = {"timeout", "nohup", "stat", "base64", "od", "install", "pkill", "diff", "tc", "ss", "su", "tac"}
        missing |= {"whoami", "curl", "openssl"}
        for path in (sample.ROOT / "openwrt/vpmesh/files").iterdir():
            if path.read_bytes().startswith(b"#!/bin/sh"):
                code = "\n".join(line.partition("#")[0] for line in path.read_text().splitlines())
                used = set(code.replace("(", " ").replace(";", " ").replace("|", " ").split()) & missing
                self.assertEqual(used, set(), path)


if __name__ == "__main__":
    unittest.main()
