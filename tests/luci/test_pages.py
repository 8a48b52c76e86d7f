"""What somebody sees on the pages. LUCI names a checkout of LuCI to see them on instead of the stand-in; VPMESH a program to
hold the form's checks against."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

from browser import Browser
from router import NOT_FOUND, PERMISSION_DENIED, ROOT, Router, answer

PICTURES = ROOT / ".work/luci"
VPMESH = os.environ.get("VPMESH") or str(ROOT / "target/debug/vpmesh")
HOSTILE = '<img src=x onerror="window.hit=1">'
KEY = "RWQ" + "A" * 53
PEER = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.router, cls.browser = Router(os.environ.get("LUCI")), Browser()
        PICTURES.mkdir(parents=True, exist_ok=True)

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.router.reset()
        self.router.readonly = False
        self.browser.errors.clear()
        self.browser.size(1100, 900)

    def tearDown(self):
        self.assertEqual(self.browser.errors, [])

    def open(self, page):
        # LuCI keeps how tables are sorted.
        self.browser.send("Storage.clearDataForOrigin", origin=self.router.url, storageTypes="all")
        self.browser.open(f"{self.router.url}/page/vpmesh/{page}")
        self.browser.wait("document.querySelector('#view h2')")

    def asked(self, method):
        return [call for call in self.router.calls if call[1] == method]

    def told(self, method):
        """What such calls had to say, once there is one."""
        deadline = time.monotonic() + 10
        while not self.asked(method) and time.monotonic() < deadline:
            time.sleep(0.02)
        return [call[2] for call in self.asked(method)]

    def next_poll(self):
        """Makes the page ask again, as a browser does when its tab comes back, and waits until it shows the answer."""
        status = self.router.ubus["status"]
        status["version"] = f"{status['version']}."
        self.browser.run("document.dispatchEvent(new Event('visibilitychange'))")
        self.browser.wait(f"document.querySelector('#node').innerText.includes({json.dumps(status['version'])})")

    def ask(self, *words):
        for name, word in zip(("from", "to", "service"), words):
            self.browser.type(f"#{name}", word)


class Status(Pages):
    def test_one_screen_says_what_the_node_is_and_how_it_does(self):
        self.open("status")
        node = self.browser.text("#node")
        for part in ("alice/attic/gw", "0.1.0", "3 h 12 min", "vpm0, MTU 1420", "51888", "5, of them 3 up",
                     "3 min 12 s ago: owners 2, nodes 14; peers added 1, removed 0; flows cut 3"):
            self.assertIn(part, node)
        self.assertEqual(self.browser.rows("#owners"), [["alice", "7", "12", "fdaa:bb:cc::/48, 10.88.0.0/16"],
                                                        ["bob", "123", "2", "fdbb:cc:dd::/48"]])
        self.assertIn("carol: roster has no signature; left out", self.browser.text("#banner"))

    def test_peers_have_names_states_in_words_and_no_keys(self):
        self.open("status")
        rows = self.browser.rows("#peers")
        self.assertEqual([row[2].lower() for row in rows], ["up", "down", "down"])
        rows = [row[:2] + row[3:] for row in rows]
        self.assertEqual(rows, [
            ["alice/attic/laptop", "station", "direct", "-", "192.0.2.10:40000", "1 min 15 s ago", "12.3 kB", "54.3 kB",
             "43 (spoofed 3, denied 40)"],
            ["bob/cellar/gw", "gateway", "direct", "-", "[2001:db8::1]:51888", "2 h 30 min ago", "12.3 kB", "54.3 kB", "0"],
            ["alice/attic/phone", "station", "direct", "-", "unknown", "never", "0 B", "0 B", "0"]])
        self.assertNotIn(answer("peers-json")["rows"][0]["key"], self.browser.text("body"))

    def test_a_path_and_a_relay_are_shown_when_the_mesh_has_them(self):
        relayed = {"address": "192.0.2.4:51888", "kind": "relay", "relay": "alice/hill", "in_use": True,
                   "round_trip": 80123, "loss": 62}
        silent = {"address": "203.0.113.9:51888", "kind": "reflexive", "in_use": False, "round_trip": None, "loss": 1000}
        self.router.ubus["peers"]["rows"][1] |= {
            "endpoint": "[100::1:7:0:0]:443", "paths": {"why": "silent", "since": 185, "candidates": [relayed, silent]}}
        self.open("status")
        self.assertEqual([row[3:6] for row in self.browser.rows("#peers")],
                         [["direct", "-", "192.0.2.10:40000"], ["by a relay", "alice/hill", "192.0.2.4:51888"],
                          ["direct", "-", "unknown"]])
        self.assertEqual(self.browser.rows("#paths"), [
            ["bob/cellar/gw", "relay", "192.0.2.4:51888", "alice/hill", "80.1 ms", "6.2 %",
             "yes, since 3 min 5 s: the one before fell silent"],
            ["bob/cellar/gw", "reflexive", "203.0.113.9:51888", "-", "no answer", "100.0 %", "no"]])

    def test_a_station_of_several_gateways_is_at_one(self):
        self.router.ubus["peers"]["rows"][2]["attached"] = {"gateway": "alice/attic/gw2", "epoch": 4}
        self.open("status")
        self.assertEqual([row[3] for row in self.browser.rows("#peers")], ["direct", "direct", "at alice/attic/gw2"])

    def test_what_was_turned_away_comes_first_with_its_sentence(self):
        self.open("status")
        self.assertEqual(self.browser.rows("#drops"), [
            ["70000", "socket_refused", "the kernel saw that it is no message for this gateway"],
            ["1200", "denied", "a border's policy denies it"],
            ["17", "socket_overflows", "the UDP socket's buffer was full"],
            ["3", "spoofed", "the peer does not own the packet's source address"],
            ["1", "new_reason", ""]])
        self.browser.click("#never-section summary")
        never = self.browser.rows("#never")
        self.assertIn(["0", "replayed", "the datagram's counter was seen before or is too old"], never)
        self.assertEqual(self.browser.text("#never-section summary"), f"{len(never)} reasons that never occurred")

    def test_every_reason_has_the_sentence_of_the_daemon(self):
        source = (ROOT / "src/base/reason.rs").read_text() + (ROOT / "src/cli/status.rs").read_text()
        daemon = dict(re.findall(r'^\s+\w+, "(\w+)", "([^"]+)";$', source, re.M))
        self.assertGreater(len(daemon), 20)
        daemon |= dict(re.findall(r'"(socket_overflows|socket_refused|oversized)",\s+"([^"]+)"', source))
        self.router.ubus["status"]["drops"] = {name: i + 1 for i, name in enumerate(daemon)}
        self.open("status")
        self.browser.click("#never-section summary")
        shown = {row[1]: row[2] for row in self.browser.rows("#drops") + self.browser.rows("#never")}
        self.assertEqual(shown, daemon)

    def test_rules_have_their_hits_and_their_place(self):
        self.open("status")
        self.assertEqual(self.browser.rows("#rules"), [
            ["12", "alice/attic/nas", "ingress", "allow tcp/445 from alice, bob", "/etc/vpmesh/rosters/alice.toml:31"],
            ["1", "bob", "egress", "staged: deny udp/any", "/etc/vpmesh/rosters/bob.toml:9"]])

    def test_a_refused_reload_stands_at_the_top_with_every_line(self):
        self.router.ubus["status"] = answer("status-refused")
        self.open("status")
        banner = self.browser.text("#banner [role=alert]")
        for line in ("The last reload was refused 4 s ago; what ran before runs on", "alice.toml:3: what", "is wrong; the mend",
                     "/etc/vpmesh/rosters/alice.toml:9: more; and its mend"):
            self.assertIn(line, banner)
        self.assertLess(self.browser.run("document.querySelector('#banner').getBoundingClientRect().top"), 200)

    def test_text_of_other_peoples_rosters_stays_text(self):
        status, peers, flows = (self.router.ubus[name] for name in ("status", "peers", "flows"))
        hostile_path = {"address": HOSTILE, "kind": HOSTILE, "relay": HOSTILE, "in_use": True, "round_trip": 1, "loss": 0}
        status["owners"][0]["owner"] = HOSTILE
        status["owners"][0]["prefixes"] = [HOSTILE]
        status["node"] = status["version"] = status["interface"] = HOSTILE
        status["addresses"] = [HOSTILE]
        status["drops"] = {HOSTILE: 5}
        status["rules"][0] |= {"rule": HOSTILE, "file": HOSTILE, "border": HOSTILE, "direction": HOSTILE}
        status["last_reload"] = {"ago": 1, "report": None, "refusal": HOSTILE, "notes": [HOSTILE]}
        peers["rows"][0] |= {"peer": HOSTILE, "kind": HOSTILE, "endpoint": HOSTILE,
                             "paths": {"why": HOSTILE, "since": 1, "candidates": [hostile_path]},
                             "drops": {HOSTILE: 1}}
        flows["rows"][0] |= {"from": HOSTILE, "to": HOSTILE, "state": HOSTILE, "source": HOSTILE}
        self.open("status")
        self.next_poll()
        self.assertEqual(self.browser.rows("#owners")[0][0], HOSTILE)
        self.assertEqual(self.browser.rows("#peers")[0][0], HOSTILE)
        self.assertIn(HOSTILE, self.browser.text("#banner"))
        self.router.ubus["reload"] = {"error": HOSTILE}
        self.browser.click("#reload")
        self.browser.wait("document.body.innerText.includes('Not reloaded')")
        self.assertEqual(self.browser.run("document.querySelectorAll('img').length"), 0)
        self.assertIsNone(self.browser.run("window.hit ?? null"))

    def test_when_the_daemon_stops_its_words_appear_and_the_tables_stay(self):
        self.open("status")
        for name in ("status", "peers", "flows"):
            self.router.ubus[name] = {"error": "no vpmesh answers at /var/run/vpmesh.sock; is it running?"}
        self.browser.run("document.dispatchEvent(new Event('visibilitychange'))")
        self.browser.wait("document.querySelector('#banner [role=alert]')?.innerText.includes('is it running?')")
        self.assertEqual(len(self.browser.rows("#peers")), 3)
        self.router.reset()
        self.next_poll()
        self.assertFalse(self.browser.run("!!document.querySelector('#banner [role=alert]')"))

    def test_without_the_plugin_or_the_right_the_page_says_so(self):
        for code, words in ((NOT_FOUND, "not found"), (PERMISSION_DENIED, "denied")):
            self.router.ubus = {name: code for name in self.router.ubus}
            self.open("status")
            self.assertIn(words, self.browser.text("#banner").lower())

    def test_flows_are_filtered_and_at_most_50_are_shown(self):
        flow = self.router.ubus["flows"]["rows"][0]
        rows = [flow | {"source_port": 1000 + i, "to": f"bob/cellar/n{i}"} for i in range(200)]
        self.router.ubus["flows"] = {"total": 4321, "rows": rows}
        self.open("status")
        self.assertEqual(len(self.browser.rows("#flows")), 50)
        self.assertIn("50 of 4321 shown, the largest", self.browser.text("body"))
        self.browser.type("#flow-filter", "CELLAR/n19")
        self.browser.wait("document.body.innerText.includes('11 match among the 200 largest of 4321')")
        self.assertEqual(self.browser.rows("#flows")[1][3], "bob/cellar/n190")
        self.next_poll()
        self.assertEqual(len(self.browser.rows("#flows")), 11)
        self.browser.type("#flow-filter", "nobody")
        self.browser.wait("document.querySelector('#flows').innerText.includes('No flows.')")

    def test_a_table_is_sorted_by_the_keyboard_and_stays_sorted(self):
        self.open("status")
        self.browser.run("document.querySelector('#peers th').focus()")
        names = ["alice/attic/laptop", "alice/attic/phone", "bob/cellar/gw"]
        self.browser.key("Enter", 13, "\r")
        self.assertEqual([row[0] for row in self.browser.rows("#peers")], names)
        self.assertEqual(self.browser.run("document.querySelector('#peers th').getAttribute('aria-sort')"), "ascending")
        self.browser.key(" ", 32, " ")
        self.assertEqual([row[0] for row in self.browser.rows("#peers")], names[::-1])
        self.next_poll()
        self.assertEqual([row[0] for row in self.browser.rows("#peers")], names[::-1])
        self.assertEqual(self.browser.run("document.activeElement.innerText.toLowerCase()"), "peer")

    def test_numbers_are_sorted_as_numbers(self):
        for row, octets in zip(self.router.ubus["peers"]["rows"], (900, 10_000, 2_000)):
            row["received"]["bytes"] = octets
        self.open("status")
        self.browser.run("[...document.querySelectorAll('#peers th')].find(th => th.innerText.trim() == 'Received').click()")
        self.assertEqual([row[7] for row in self.browser.rows("#peers")], ["900 B", "2.0 kB", "10.0 kB"])

    def test_nothing_is_asked_while_nobody_looks(self):
        self.open("status")
        self.next_poll()
        self.browser.run("Object.defineProperty(document, 'hidden', { get: () => true, configurable: true })")
        before = len(self.router.calls)
        # Longer than one interval: that nothing comes can't be waited for.
        self.browser.run("new Promise(done => setTimeout(done, 5600))")
        self.assertEqual(self.router.calls[before:], [])
        self.browser.run("delete document.hidden")
        self.next_poll()

    def test_a_poll_moves_nothing(self):
        self.open("status")
        self.browser.click("#never-section summary")
        self.browser.run("scrollTo(0, 300)")
        measure = "JSON.stringify([...document.querySelectorAll('h3')].map(h => h.getBoundingClientRect().top))"
        before = self.browser.run(measure)
        self.router.ubus["status"]["uptime"] += 5
        self.router.ubus["status"]["last_reload"]["ago"] += 5
        self.next_poll()
        self.assertEqual(self.browser.run(measure), before)

    def test_the_reload_button_says_what_came_of_it_and_readers_have_none(self):
        self.open("status")
        self.browser.click("#reload")
        self.browser.wait("document.body.innerText.includes('owners 2, nodes 1; peers added 1, removed 2; flows cut 1')")
        self.router.readonly = True
        self.open("status")
        self.assertTrue(self.browser.run("document.querySelector('#reload').disabled"))

    def test_tables_have_headings_and_fields_have_labels(self):
        for page in ("status", "explain", "configuration"):
            self.open(page)
            self.assertEqual(self.browser.run("""[...document.querySelectorAll('#view table')]
                .filter(table => !table.querySelector('th[scope]')).length"""), 0)
            self.assertEqual(self.browser.run("""[...document.querySelectorAll('#view input:not([type=hidden])')]
                .filter(field => !field.labels.length).map(field => field.id)"""), [])


class Explain(Pages):
    def test_every_border_is_listed_and_the_first_denial_stands_out(self):
        border = {"border": "bob", "direction": "ingress", "verdict": "deny", "rule": "deny any", "file": "bob.toml", "line": 9,
                  "reason": "a rule denies it"}
        self.router.ubus["explain"]["borders"] = [border | {"verdict": "allow", "border": "alice"}, border,
                                                  border | {"border": "bob/cellar", "staged": ["deny any bob.toml:12"]}]
        self.open("explain")
        self.ask("internet", "alice/attic/nas", "tcp/22")
        self.browser.key("Enter", 13, "\r")
        self.browser.wait("document.querySelector('#borders')")
        self.assertEqual(self.router.calls[-1],
                         ("vpmesh", "explain", {"from": "internet", "to": "alice/attic/nas", "service": "tcp/22"}))
        self.assertIn("internet → alice/attic/nas, tcp/22: deny", self.browser.text("#verdict"))
        rows = self.browser.rows("#borders")
        self.assertEqual([row[:3] for row in rows], [["1", "alice", "ingress"], ["2", "bob", "ingress"], ["3", "bob/cellar", "ingress"]])
        self.assertEqual([row[3].lower() for row in rows], ["allow", "deny ← the first denial", "deny"])
        self.assertEqual(rows[1][4:], ["a rule denies it", "deny any", "bob.toml:9"])
        self.assertIn("staged: deny any bob.toml:12", rows[2][4])
        self.assertEqual(self.browser.run("document.querySelectorAll('[data-first-denial]').length"), 1)
        self.assertEqual(self.browser.text("#line"), "vpmesh explain internet alice/attic/nas tcp/22")

    def test_the_command_line_can_be_copied(self):
        self.open("explain")
        self.ask("internet", "alice", "any")
        self.browser.click("#ask")
        self.browser.wait("document.querySelector('#verdict')")
        self.browser.run("document.addEventListener('copy', () => { window.copied = getSelection().toString(); })")
        self.browser.send("Runtime.evaluate", expression="document.querySelector('#copy').click()", userGesture=True)
        self.browser.wait("document.body.innerText.includes('copied')")
        self.assertEqual(self.browser.run("copied.trim()"), "vpmesh explain internet alice any")

    def test_no_verdict_and_no_border_are_said_in_words(self):
        self.open("explain")
        for name, words in (("explain-unknown", "cannot tell"), ("explain-unknown", "no accepted roster has carol/loft/pc"),
                            ("explain-inside", "No border lies between them.")):
            self.router.ubus["explain"] = answer(name)
            self.ask("alice", "alice", "any")
            self.browser.click("#ask")
            self.browser.wait(f"document.querySelector('#answer').innerText.includes({json.dumps(words)})")

    def test_text_of_rosters_and_errors_stays_text(self):
        self.router.ubus["explain"]["borders"][0] |= dict.fromkeys(("border", "direction", "rule", "file", "reason"), HOSTILE)
        self.router.ubus["explain"]["borders"][0]["staged"] = [HOSTILE]
        self.router.ubus["peers"]["rows"][0]["peer"] = HOSTILE
        self.open("explain")
        for reply in (self.router.ubus["explain"], {"error": HOSTILE}, {"verdict": "unknown", "why": HOSTILE}, {"verdict": HOSTILE}):
            self.router.ubus["explain"] = reply
            self.ask("internet", "alice", "any")
            self.browser.run("document.querySelector('#answer').replaceChildren()")
            self.browser.click("#ask")
            self.browser.wait("document.querySelector('#answer').innerText.includes('<img')")
        self.assertEqual(self.browser.run("document.querySelectorAll('img').length"), 0)

    def test_what_is_no_party_and_no_service_is_not_sent(self):
        self.open("explain")
        for words in (("", "alice", "any"), ("--roster=x", "alice", "any"), ("alice", "a b", "any"), ("alice", "bob", "$(id)")):
            self.ask(*words)
            self.browser.click("#ask")
        self.assertEqual(self.asked("explain"), [])
        self.assertFalse(self.browser.run("document.querySelector('#question').checkValidity()"))


class Configuration(Pages):
    # What src/config/parse.rs takes and what it refuses, by key.
    VALUES = {
        "node": (["alice/attic/gw", "alice/hill", "a/b-1"], ["alice", "a/b/c/d", "Alice/attic/gw", "alice//gw", "any/attic/gw",
                                                            "a/-b", "a/b-", "a/" + "b" * 64]),
        "private_key": (["/etc/vpmesh/node.key", "node.key"], []),
        "room_key": (["/etc/vpmesh/room.key", "room.key"], []),
        "owner_key": ([KEY, "/etc/vpmesh/alice.pub", "alice.pub"], [KEY[:-1] + "=", "RWZ" + KEY[3:], "RWQ!" + KEY[4:]]),
        "rosters": (["/etc/vpmesh/rosters", "rosters"], []),
        "interface": (["vpm0", "a.b-c_D", "x" * 15], ["x" * 16, "a/b", "lo", "all", "a b"]),
        "listen": (["1", "51888", "65535"], ["0", "70000", "65536", "-1", "x", "1.5"]),
        "control": (["/var/run/vpmesh.sock", "/" + "a" * 106], ["/" + "a" * 107]),
        "metrics": (["127.0.0.1:9588", "[::1]:9588", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:80"],
                    ["127.0.0.1", "127.0.0.1:0", "localhost:9588", "::1:9588", "[::1]", "256.0.0.1:80", "1.2.3:80", "[1::2::3]:80",
                     "127.0.0.1:65536", "01.2.3.4:80", "[1:2:3:4:5:6:7]:1", "[12345::]:1"]),
        "tls_listen": (["[::]:443", "0.0.0.0:8443"], ["443", "[::]:0", "localhost:443"]),
        "dns": (["127.0.0.1:5358", "[::1]:53"], ["127.0.0.1", "mesh:53", "127.0.0.1:0"]),
        "domain": (["mesh", "home.example.net", "a-1"], ["Mesh", "home..mesh", "-a", "a.", "any"]),
        "mtu": (["1280", "1420", "9000"], ["100", "1279", "9001"]),
        "fwmark": (["0x51000000", "255", "0xff"], ["0", "0x10000", "0x100", "0x100000000", "x"]),
        "flows": (["256", "65536", "4194304"], ["255", "4194305"]),
        "log": (["info", "off", "info,vpmesh::os=debug"], ["loud", "info,", "a b=info", "vpmesh=", "=info"]),
        "fail_safe": (["closed", "open"], ["ajar", "Closed"]),
        "introducers": ([f"{PEER}@attic.example.net:51888", f"{PEER}@[2001:db8::1]:1", f"{PEER}@192.0.2.1:65535"],
                        ["attic.example.net:51888", PEER, f"{PEER}@attic", f"{PEER}@attic:0", f"{PEER}@attic:65536", f"{PEER}@-a:1",
                         f"{PEER[1:]}@attic:1", f"{PEER}@1.2.3:4", f"{PEER}@2001:db8::1:51888", f"{PEER}@:1"]),
        "lan_admin": (["0", "1", "on", "no", "disabled"], ["2", "maybe"]),
        "receive_buffer": (["65536", "67108864"], ["65535", "67108865"]),
        "send_buffer": (["65536", "67108864"], ["65535", "67108865"]),
    }

    def field(self, key):
        return f'[id="widget.cbid.vpmesh.main.{key}"]'

    def refused(self, key, value):
        self.browser.type(self.field(key), value)
        self.browser.run(f"document.querySelector('{self.field(key)}').dispatchEvent(new Event('keyup', {{ bubbles: true }}))")
        return self.browser.run(f"""(field => !!(field.closest('.cbi-input-invalid') ||
            field.classList.contains('cbi-input-invalid')))(document.querySelector('{self.field(key)}'))""")

    def save(self):
        self.browser.run("""(button => { button.focus(); button.click(); })(
            [...document.querySelectorAll('.cbi-page-actions button')].find(button => button.innerText == 'Save'))""")

    def test_the_form_takes_and_refuses_what_the_daemon_does(self):
        self.open("configuration")
        for key, (good, bad) in self.VALUES.items():
            for value in good:
                self.assertFalse(self.refused(key, value), f"{key} = {value!r} is good")
            for value in bad:
                self.assertTrue(self.refused(key, value), f"{key} = {value!r} is bad")

    def test_the_daemon_takes_and_refuses_the_same(self):
        base = {"node": "alice/attic/gw", "private_key": "node.key", "owner_key": KEY}
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "vpmesh"
            for key, (good, bad) in self.VALUES.items():
                for value in good + bad:
                    lines = [f"option {name} '{text}'" for name, text in (base | {key: value}).items()]
                    file.write_text("\n".join(["config node 'main'", *lines, ""]))
                    said = subprocess.run([VPMESH, "check", "--config", file], capture_output=True, text=True, timeout=20)
                    self.assertNotEqual(said.returncode, 2, said.stderr)
                    # A fault of the text has the file's line; that a file is not there has not.
                    refused = bool(re.search(r"/vpmesh:\d+: ", said.stdout + said.stderr))
                    self.assertEqual(refused, value in bad, f"{key} = {value!r}: {said.stdout}{said.stderr}")

    def test_what_is_required_may_not_be_empty_and_the_rest_may(self):
        self.open("configuration")
        for key in self.VALUES:
            self.assertEqual(self.refused(key, ""), key in ("node", "private_key", "owner_key", "control"), key)

    def test_the_options_are_the_keys_of_the_configuration(self):
        source = (ROOT / "src/config/parse.rs").read_text()
        keys = set(re.findall(r'(?:required|number)\(\s*keys,\s*"(\w+)"|parsed\(\s*"(\w+)"|keys\.number\("(\w+)"|flag\("(\w+)"|buffer\("(\w+)"\)|parsed_list\(\s*"(\w+)"', source))
        keys = {next(filter(None, groups)) for groups in keys}
        # A box to tick takes no text.
        self.assertEqual(keys - {"port_mapping"}, set(self.VALUES))
        self.open("configuration")
        shown = self.browser.run("""[...document.querySelectorAll('.cbi-value[id^="cbi-vpmesh-main-"]')]
            .map(row => row.id.split('-').pop())""")
        self.assertEqual(set(shown), keys | {"enabled"})

    def test_what_was_written_is_saved_to_uci(self):
        self.open("configuration")
        self.browser.type(self.field("listen"), "51999")
        self.save()
        self.assertEqual(self.told("set"),
                         [{"config": "vpmesh", "section": "main", "values": {"enabled": "1", "listen": "51999"}}])

    def test_a_list_is_saved_as_a_list(self):
        self.open("configuration")
        self.browser.type(self.field("introducers"), f"{PEER}@a.example.net:1 {PEER}@b.example.net:2")
        self.save()
        self.assertEqual([said["values"]["introducers"] for said in self.told("set")],
                         [[f"{PEER}@a.example.net:1", f"{PEER}@b.example.net:2"]])

    def test_a_bad_value_is_not_saved(self):
        self.open("configuration")
        self.browser.type(self.field("listen"), "70000")
        self.save()
        self.browser.wait("document.body.innerText.includes('Write a UDP port, 1 to 65535')")
        self.assertEqual(self.asked("set"), [])
        # LuCI's own way to stop.
        self.browser.errors[:] = [error for error in self.browser.errors if "invalid input value" not in error]

    def test_a_router_without_the_section_gets_one(self):
        self.router.uci = {}
        self.open("configuration")
        for key, value in (("node", "alice/attic/gw"), ("private_key", "/etc/vpmesh/node.key"), ("owner_key", KEY)):
            self.browser.type(self.field(key), value)
        self.save()
        self.assertEqual(self.told("add"), [{"config": "vpmesh", "type": "node", "name": "main", "values": {
            "enabled": "0", "node": "alice/attic/gw", "private_key": "/etc/vpmesh/node.key", "owner_key": KEY,
            "control": "/var/run/vpmesh/control.sock"}}])

    def test_without_the_packages_file_the_page_says_so(self):
        self.router.uci = None
        self.browser.open(f"{self.router.url}/page/vpmesh/configuration")
        self.browser.wait("document.querySelector('#view [role=alert]')?.innerText.includes('/etc/config/vpmesh')")


class Looks(Pages):
    def test_every_page_fits_a_telephone_and_a_desk_in_light_and_dark(self):
        self.router.ubus["peers"]["rows"][0]["peer"] = "/".join(["a" * 63] * 4)
        path = {"address": "[2001:db8::7:1]:51888", "kind": "relay", "relay": "alice/hill", "in_use": True,
                "round_trip": 80123, "loss": 62}
        self.router.ubus["peers"]["rows"][1]["paths"] = {"why": "silent", "since": 185, "candidates": [path]}
        for page in ("status", "explain", "configuration"):
            for width, dark in ((1100, False), (1100, True), (360, False), (360, True)):
                self.browser.size(width, 800, mobile=width < 500, dark=dark)
                self.open(page)
                if page == "explain":
                    self.ask("internet", "alice/attic/nas", "tcp/22")
                    self.browser.click("#ask")
                    self.browser.wait("document.querySelector('#borders')")
                self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), width, f"{page} at {width}")
                self.browser.picture(PICTURES / f"{page}-{width}-{'dark' if dark else 'light'}.png")


if __name__ == "__main__":
    unittest.main()
