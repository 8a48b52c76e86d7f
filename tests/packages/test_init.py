"""The init script, run by busybox's ash under stand-ins of rc.common's and procd's functions, which write down what procd
would be told."""

import json
import unittest

import sample
from root import Router

INIT = sample.ROOT / "openwrt/vpmesh/files/vpmesh.init"

PROCD = """
tell() { echo "$*" >>/told; }
config_load() { :; }
config_get() { eval "local value=\\"\\$SET_$3\\""; eval "$1=\\"\\${value:-$4}\\""; }
config_get_bool() { config_get "$@"; }
for name in set_param open_instance close_instance open_data close_data set_config_changed send_signal \\
    add_reload_trigger add_reload_interface_trigger add_validation; do
    eval "procd_$name() { tell $name \\"\\$@\\"; }"
done
for name in string int; do eval "json_add_$name() { tell json \\"\\$@\\"; }"; done
json_add_array() { tell "array $1"; }; json_add_object() { :; }; json_close_array() { :; }; json_close_object() { :; }
procd_running() { [ -n "$RUNNING" ]; }
restart() { tell restart; }
chown() { tell chown "$@"; }
"""


# `uci` with one file of lines KEY=VALUE, in the words that the scripts use.
UCI = """#!/bin/sh
[ "$1" = -q ] && shift
at=/uci-values; touch $at; key="${2%%=*}"; value="${2#*=}"
case $1 in
get) found=; while read -r line; do case $line in "$2="*) echo "${line#*=}"; found=1 ;; esac; done <$at; [ -n "$found" ] ;;
set | add_list) echo "$2" >>$at ;;
del_list) while read -r line; do [ "$line" = "$2" ] || echo "$line"; done <$at >$at.new; cp $at.new $at ;;
delete) while read -r line; do case $line in "$2="* | "$2."*) ;; *) echo "$line" ;; esac; done <$at >$at.new; cp $at.new $at ;;
commit) echo "commit $2" >>/uci-commits ;;
esac
"""


class Init(unittest.TestCase):
    def setUp(self):
        self.router = Router(self, ("mkdir", "chmod", "touch"), ("sbin", "etc/capabilities"))
        self.router.write("sbin/ujail", "#!/bin/sh\n")
        (self.router.root / "etc/capabilities/vpmesh.json").touch()

    def service(self, action, **environment):
        self.router.run(f"{PROCD}\n{INIT.read_text()}\n{action}", **environment)
        return self.router.called("told")

    def test_a_service_that_is_not_enabled_does_not_start(self):
        self.assertEqual(self.service("start_service"), [])

    def test_procd_runs_it_as_a_user_of_its_own_with_two_capabilities_and_again_when_it_dies(self):
        told = self.service("start_service", SET_enabled="1")
        for line in (
            "set_param command /usr/bin/vpmesh run --config /etc/config/vpmesh",
            "set_param respawn 3600 5 0",
            "set_param user vpmesh",
            "set_param group vpmesh",
            "set_param capabilities /etc/capabilities/vpmesh.json",
            "set_param no_new_privs 1",
            "set_param env VPMESH_SYSLOG=/dev/log",
        ):
            self.assertIn(line, told)
        capabilities = json.loads((INIT.parent / "vpmesh.capabilities.json").read_text())
        self.assertEqual({tuple(names) for names in capabilities.values()}, {("CAP_NET_ADMIN", "CAP_NET_RAW")})
        self.assertTrue((self.router.root / "etc/vpmesh/rosters").is_dir())

    def test_what_it_runs_never_changes_with_the_configuration(self):
        one = [line for line in self.service("start_service", SET_enabled="1") if "command" in line]
        (self.router.root / "told").unlink()
        other = self.service("start_service", SET_enabled="1", SET_listen="1234", SET_interface="vpm7", SET_mtu="1300")
        self.assertEqual([line for line in other if "command" in line], one)

    def test_the_wans_port_is_data_of_the_service_and_the_firewall_hears_of_it(self):
        told = self.service("start_service; service_started", SET_enabled="1", SET_listen="1234")
        at = told.index("array firewall")
        self.assertLess(told.index("open_data"), at)
        self.assertEqual(told[at + 1 : at + 7], [
            "json type rule", "json name Allow-vpmesh", "json src wan", "json proto udp", "json dest_port 1234",
            "json target ACCEPT",
        ])
        self.assertEqual(told[-1], "set_config_changed firewall")
        self.assertEqual(self.service("service_stopped")[-1], "set_config_changed firewall")

    def test_a_reload_is_a_signal_to_what_runs(self):
        told = self.service("reload_service", SET_enabled="1", RUNNING="1")
        self.assertEqual(told[-1], "send_signal vpmesh * HUP")
        self.assertNotIn("restart", told)

    def test_a_reload_starts_what_was_enabled_and_stops_what_no_longer_is(self):
        self.assertEqual(self.service("reload_service", SET_enabled="1")[-1], "restart")
        self.assertEqual(self.service("reload_service", RUNNING="1")[-1], "restart")

    def test_it_hears_of_configuration_and_of_the_ways_out(self):
        self.assertEqual(self.service("service_triggers"), [
            "add_reload_trigger vpmesh", "add_reload_interface_trigger wan", "add_reload_interface_trigger wan6",
            "add_validation validate_node",
        ])

    def dnsmasq(self, action, **environment):
        """What /etc/config/dhcp has after it, besides the section itself."""
        self.router.write("bin/uci", UCI)
        self.router.write("etc/init.d/dnsmasq", "#!/bin/sh\necho dnsmasq-$1 >>/called\n")
        values = self.router.root / "uci-values"
        if not values.exists():
            values.write_text("dhcp.@dnsmasq[0]=dnsmasq\ndhcp.@dnsmasq[0].server=/lan/192.0.2.1\n")
        self.service(action, **environment)
        return values.read_text().splitlines()[1:]

    def test_dnsmasq_is_told_where_the_meshs_names_are_and_only_when_that_changed(self):
        theirs = ["dhcp.@dnsmasq[0].server=/lan/192.0.2.1"]
        told = self.dnsmasq("start_service", SET_enabled="1", SET_dns="127.0.0.1:5358")
        self.assertEqual(told[:3], [*theirs, "dhcp.@dnsmasq[0].server=/mesh/127.0.0.1#5358",
                                    "dhcp.@dnsmasq[0].rebind_domain=/mesh/"])
        self.assertEqual(self.router.called(), ["dnsmasq-reload"])
        self.assertEqual(self.dnsmasq("start_service", SET_enabled="1", SET_dns="127.0.0.1:5358"), told)
        self.assertEqual(self.router.called(), ["dnsmasq-reload"], "nothing changed")
        other = self.dnsmasq("reload_service", RUNNING="1", SET_enabled="1", SET_dns="[::1]:53", SET_domain="home.example")
        self.assertEqual(other[:3], [*theirs, "dhcp.@dnsmasq[0].server=/home.example/::1#53",
                                     "dhcp.@dnsmasq[0].rebind_domain=/home.example/"])
        self.assertEqual(self.dnsmasq("start_service", SET_dns="[::1]:53"), theirs, "disabled")
        self.assertEqual(self.router.called(), ["dnsmasq-reload"] * 3)

    def test_removal_takes_away_what_dnsmasq_was_told(self):
        self.dnsmasq("start_service", SET_enabled="1", SET_dns="127.0.0.1:5358")
        self.router.run((INIT.parent / "vpmesh.prerm").read_text())
        left = (self.router.root / "uci-values").read_text().splitlines()
        self.assertEqual(left, ["dhcp.@dnsmasq[0]=dnsmasq", "dhcp.@dnsmasq[0].server=/lan/192.0.2.1"])
        self.assertEqual(self.router.called()[-1], "dnsmasq-reload")

    def test_without_names_and_without_dnsmasq_nothing_is_told(self):
        theirs = ["dhcp.@dnsmasq[0].server=/lan/192.0.2.1"]
        self.assertEqual(self.dnsmasq("start_service", SET_enabled="1"), theirs)
        (self.router.root / "uci-values").write_text("")
        self.assertEqual(self.dnsmasq("start_service", SET_enabled="1", SET_dns="127.0.0.1:5358"), [])
        self.assertEqual(self.router.called(), [])


if __name__ == "__main__":
    unittest.main()
