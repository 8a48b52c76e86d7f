"""A router's root of its own, in which scripts are run by busybox's ash."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# What of OpenWrt's functions.sh the scripts meet, in its order: opkg's postinst-pkg is sourced before the start.
FUNCTIONS = """
add_group_and_user() { :; }
default_postinst() {
    if [ -f /usr/lib/opkg/info/vpmesh.postinst-pkg ]; then ( . /usr/lib/opkg/info/vpmesh.postinst-pkg ); fi
    [ -z "$IPKG_INSTROOT" ] || return 0
    [ "$PKG_UPGRADE" = 1 ] || /etc/init.d/vpmesh enable
    /etc/init.d/vpmesh start
}
default_prerm() {
    if [ -f /usr/lib/opkg/info/vpmesh.prerm-pkg ]; then ( . /usr/lib/opkg/info/vpmesh.prerm-pkg ); fi
    [ -z "$IPKG_INSTROOT" ] || return 0
    [ "$PKG_UPGRADE" = 1 ] || /etc/init.d/vpmesh disable
    /etc/init.d/vpmesh stop
}
"""
# A service as procd keeps it: what runs is the program that was there at the start, and a second start changes nothing.
INIT = """#!/bin/sh
echo "$1" >>/called
case $1 in
    start) [ -f /running ] || cp /program /running ;;
    stop) rm -f /running ;;
    restart) cp /program /running ;;
    running) [ -f /running ] ;;
esac
"""


class Router:
    """A root with busybox and the stubs above, for as long as the test lasts."""

    def __init__(self, test, applets=(), folders=()):
        folder = tempfile.TemporaryDirectory()
        test.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for name in ("bin", "lib", "etc/init.d", "usr/lib/opkg/info", *folders):
            (self.root / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.root / "bin")
        for applet in ("sh", "cp", "rm", "echo", *applets):
            (self.root / "bin" / applet).symlink_to("busybox")
        (self.root / "lib/functions.sh").write_text(FUNCTIONS)
        self.write("etc/init.d/vpmesh", INIT)
        self.write("etc/init.d/rpcd", "#!/bin/sh\necho rpcd-$1 >>/called\n")
        self.write("bin/uci", '#!/bin/sh\necho "$*" >>/uci\n')
        (self.root / "program").write_text("old")

    def write(self, name, text):
        path = self.root / name
        path.write_text(text)
        path.chmod(0o755)

    def run(self, text, *arguments, **environment):
        self.write("script", text)
        as_root = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
        return subprocess.run(
            [*as_root, "chroot", self.root, "/bin/sh", "/script", *arguments],
            env={"PATH": "/bin:/usr/bin:/usr/sbin", **environment},
            check=True, capture_output=True, text=True, timeout=10,
        )

    def upgrade_program(self):
        (self.root / "program").write_text("new")

    def running(self):
        path = self.root / "running"
        return path.read_text() if path.exists() else None

    def called(self, name="called"):
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []
