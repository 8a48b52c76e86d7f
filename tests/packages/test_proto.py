"""netifd's protocol handler, run by busybox's ash as netifd runs it, with netifd's functions as stubs that write down
what they are told."""

import subprocess
import unittest

import sample
from root import Router

HANDLER = sample.ROOT / "openwrt/vpmesh/files/vpmesh.proto"

FUNCTIONS = """
init_proto() { command=$2; config=$3; }
add_protocol() {
    available=; no_device=
    proto_$1_init_config
    echo "protocol $1 available=$available no_device=$no_device" >>/told
    [ "$command" = dump ] || proto_$1_$command "$config"
}
json_get_vars() { device=$DEVICE; }
for name in config_add_string init_update add_ipv4_address add_ipv6_address send_update notify_error setup_failed; do
    eval "proto_$name() { echo \\"$name \\$*\\" >>/told; }"
done
"""
# Functions: busybox' own applets come before what is in PATH.
FUNCTIONS += r"""
sleep() { :; }
ip() {
    echo '2: vpm0    inet 10.88.1.1/32 scope global vpm0\       valid_lft forever preferred_lft forever'
    echo '2: vpm0    inet6 fdaa:bb:cc::1/128 scope global \       valid_lft forever preferred_lft forever'
}
"""


class Protocol(unittest.TestCase):
    def setUp(self):
        self.router = Router(self, ("awk",), ("lib/netifd/proto", "sys/class/net/vpm0"))
        self.router.write("lib/netifd/netifd-proto.sh", FUNCTIONS)
        self.router.write("lib/netifd/proto/vpmesh.sh", HANDLER.read_text())

    def netifd(self, command, **environment):
        self.router.run(f"cd /lib/netifd/proto && ./vpmesh.sh vpmesh {command} mesh", **{"DEVICE": "", **environment})
        return self.router.called("told")

    def test_it_is_listed_as_a_protocol_that_brings_its_device(self):
        self.assertIn("protocol vpmesh available=1 no_device=1", self.netifd("dump"))

    def test_it_starts_the_service_and_tells_the_device_and_its_addresses_as_somebody_elses(self):
        told = self.netifd("setup")
        self.assertEqual(self.router.called(), ["running", "start"])
        self.assertEqual(told[2:], [
            "init_update vpm0 1 1", "add_ipv4_address 10.88.1.1 32", "add_ipv6_address fdaa:bb:cc::1 128",
            "send_update mesh",
        ])

    def test_a_device_that_does_not_come_is_an_error_that_netifd_shows(self):
        with self.assertRaises(subprocess.CalledProcessError):
            self.netifd("setup", DEVICE="vpm7")
        told = self.router.called("told")
        self.assertEqual(told[2:], ["notify_error mesh NO_DEVICE", "setup_failed mesh"])

    def test_taking_the_interface_down_leaves_the_service_running(self):
        told = self.netifd("teardown")
        self.assertEqual(told[2:], ["init_update * 0", "send_update mesh"])
        self.assertEqual(self.router.called(), [])


if __name__ == "__main__":
    unittest.main()
