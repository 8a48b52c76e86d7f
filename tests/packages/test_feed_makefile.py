"""The feed's Makefile, expanded as OpenWrt's build does, under stand-ins of the files that it includes: it installs the
same files as openwrt/pack."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import sample

import contents

STAND_INS = {
    "rules.mk": "INCLUDE_DIR:=$(TOPDIR)/include\nINSTALL_DIR:=install -d -m0755\nCP:=cp -fpR\n",
    "feeds/packages/lang/rust/rust-package.mk": """
RUST_ARCH_DEPENDS:=@(mips)
CARGO_PKG_ARGS:=--offline --locked
CARGO_PKG_PROFILE:=release
define RustBinPackage
endef
Build/Compile=echo cargo install --profile $(CARGO_PKG_PROFILE) --features $(RUST_PKG_FEATURES) $(CARGO_PKG_ARGS)
""",
    # As include/package-pack.mk: sections are expanded once by `call`, and their recipes once more; scripts go through
    # the environment.
    "include/package.mk": """
define Build/Compile
	echo make
endef
define BuildPackage
  export CONFFILES=$$(Package/$(1)/conffiles)
  export POSTINST=$$(Package/$(1)/postinst)
  export PRERM=$$(Package/$(1)/prerm)
  all:
	$(call Build/Prepare,)
	$(Build/Compile)
	$(call Package/$(1)/install,$(DESTINATION))
	echo "$$$$CONFFILES" >$(DESTINATION)/conffiles
	echo "$$$$POSTINST" >$(DESTINATION)/postinst
	echo "$$$$PRERM" >$(DESTINATION)/prerm
endef
""",
}


class Makefile(unittest.TestCase):
    def test_it_installs_what_openwrt_pack_packs(self):
        with tempfile.TemporaryDirectory() as folder:
            top = Path(folder)
            for name, text in STAND_INS.items():
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                (top / name).write_text(text)
            (top / "built/bin").mkdir(parents=True)
            (top / "built/bin/vpmesh").write_bytes(sample.PROGRAM)
            destination = top / "root"
            said = subprocess.run(
                [
                    *("make", "--no-print-directory", "-s", "-C", contents.FEED, "all"),
                    *(f"TOPDIR={top}", f"DESTINATION={destination}"),
                    *(f"PKG_INSTALL_DIR={top}/built", f"PKG_BUILD_DIR={top}/source"),
                ],
                check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"},
            )
            self.assertIn(
                "cargo install --profile cross --features os,desk,portmap,inline --offline --locked --no-default-features",
                said.stdout,
            )
            package = sample.package()
            for file in package.files:
                path = destination / file.path[1:]
                self.assertEqual(path.read_bytes(), file.data, file.path)
                self.assertEqual(path.stat().st_mode & 0o7777, file.mode, file.path)
            scripts = {"postinst": package.postinst, "prerm": package.prerm}
            for name, text in {"conffiles": "/etc/config/vpmesh", **scripts}.items():
                self.assertEqual((destination / name).read_text().strip(), text.strip())
            installed = {path for path in destination.rglob("*") if path.is_file()}
            self.assertEqual(len(installed), len(package.files) + 3)
            self.assertTrue((top / "source/src/main.rs").exists())

    def test_it_depends_on_what_the_package_depends_on(self):
        text = (contents.FEED / "Makefile").read_text()
        for name in contents.DEPENDS:
            self.assertIn(f"+{name}", text)
        self.assertIn(f"USERID:={contents.USER}", text)


if __name__ == "__main__":
    unittest.main()
