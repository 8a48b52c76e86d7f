"""The rpcd plugin: what it runs, what it passes on, what it refuses."""

import json
import re
import unittest

from router import ANSWERS, ROOT, Router
from browser import Browser


def printed(name):
    """What tests/cli expects of the program: what is printed, what is said, the exit code."""
    out, rest = (ANSWERS / f"{name}.printed").read_text().split("\n", 1)[1].split("\n--- exit ")
    code, _, said = rest.partition("\n")
    return out, said, int(code)


class Plugin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.router, cls.browser = Router(), Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.router.reset()
        self.ran = []
        self.browser.open(f"{self.router.url}/plugin")
        self.browser.wait("plugin.then(plugin => plugin.methods.length)")

    def prints(self, out, said="", code=0):
        def program(argv):
            self.ran.append(argv)
            return out, said, code

        self.router.program = program

    def call(self, method, **arguments):
        return self.browser.run(f"plugin.then(plugin => plugin.call('{method}', {json.dumps(arguments)}))")

    def test_each_method_runs_the_program_with_an_array_of_arguments(self):
        for method in ("status", "reload"):
            self.prints(*printed(f"{method}-json"))
            self.assertNotIn("error", self.call(method))
        for method, golden, total in (("peers", "peers-json", 3), ("flows", "flows-largest-json", 4321)):
            self.prints(*printed(golden))
            self.assertEqual(self.call(method)["total"], total)
        self.prints(*printed("explain-deny-json"))
        answer = self.call("explain", **{"from": "internet", "to": "alice/attic/nas", "service": "tcp/22"})
        self.assertEqual(answer["verdict"], "deny")
        self.assertEqual(self.ran, [["/usr/bin/vpmesh", "--config", "/etc/config/vpmesh", *words.split()] for words in (
            "status --json", "reload --json", "peers --json", "flows --largest 500 --json",
            "explain --json -- internet alice/attic/nas tcp/22")])

    def test_a_denial_is_an_answer_though_the_program_exits_with_1(self):
        self.prints(*printed("explain-deny-json"))
        self.assertEqual(printed("explain-deny-json")[2], 1)
        answer = self.call("explain", **{"from": "internet", "to": "alice", "service": "any"})
        self.assertEqual([border["verdict"] for border in answer["borders"]], ["deny", "allow"])

    def test_what_goes_wrong_is_an_error_in_the_programs_own_words(self):
        for name, method in (("reload-refused", "reload"), ("too-many", "peers"), ("foreign", "status")):
            out, said, code = printed(name)
            self.prints(out, said, code)
            self.assertEqual(self.call(method), {"error": said.strip().removeprefix("vpmesh: ")})
        self.prints("", "", 255)
        self.assertEqual(self.call("flows"), {"error": "vpmesh ended with 255"})
        self.prints("", "", -9)
        self.assertEqual(self.call("status"), {"error": "vpmesh did not answer in 20 s"})

    def test_half_an_answer_is_an_error(self):
        self.prints('[\n{"from":"al', "vpmesh: broken pipe", 1)
        self.assertEqual(self.call("flows"), {"error": "broken pipe"})
        self.prints('{"version":', "", 0)
        self.assertIn("error", self.call("status"))

    def test_no_argument_becomes_an_option_or_a_line_of_its_own(self):
        self.prints("{}")
        good = {"from": "internet", "to": "alice/attic/nas", "service": "any"}
        for key in good:
            for bad in ("", "-h", "--roster=/etc/shadow", "a b", "a;b", "$(id)", "`id`", "a'b", 'a"b', "internet\n--x",
                        "--x\ninternet", "a\0b", "é", "a" * 256, None, 5, ["internet"]):
                self.assertIn("error", self.call("explain", **good | {key: bad}), f"{key} {bad!r}")
        self.assertEqual(self.ran, [])
        for party in ("internet", "alice/attic/nas/web", "10.88.1.10", "fdaa:bb:cc::1", "::1", "::ffff:10.0.0.1"):
            self.assertNotIn("error", self.call("explain", **good | {"from": party}), party)

    def test_of_many_peers_only_the_500_largest_go_on_with_their_number(self):
        peer = json.loads((ANSWERS / "peers-json.answer").read_text().splitlines()[1])
        rows = [peer | {"received": {"packets": 1, "bytes": i * 7919 % 3001}, "sent": {"packets": 0, "bytes": 0}}
                for i in range(3001)]
        self.prints("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
        answer = self.call("peers")
        self.assertEqual(answer["total"], 3001)
        self.assertEqual([row["received"]["bytes"] for row in answer["rows"]], list(range(3000, 2500, -1)))

    def test_the_program_picks_the_largest_flows(self):
        self.prints(*printed("flows-largest-json"))
        answer = self.call("flows")
        self.assertEqual([row["protocol"] for row in answer["rows"]], [6, 58])

    def test_no_peers_are_an_empty_table(self):
        self.prints("[]\n")
        self.assertEqual(self.call("peers"), {"total": 0, "rows": []})

    def test_a_seventh_question_at_once_is_refused(self):
        self.prints(*printed("status-json"))
        answers = self.browser.run("""plugin.then(plugin => Promise.all([...Array(7)].map(() => plugin.call('status'))))""")
        self.assertEqual(["error" in answer for answer in answers], [False] * 6 + [True])

    def test_the_grants_name_every_method_once_and_explain_is_for_readers(self):
        acl = json.loads((ROOT / "openwrt/luci-app-vpmesh/root/usr/share/rpcd/acl.d/luci-app-vpmesh.json").read_text())
        grant = acl["luci-app-vpmesh"]
        readers, writers = (grant[group]["ubus"]["vpmesh"] for group in ("read", "write"))
        self.assertEqual(sorted(readers + writers), sorted(self.browser.run("plugin.then(plugin => plugin.methods)")))
        self.assertEqual(writers, ["reload"])
        self.assertEqual({group: grant[group]["uci"] for group in ("read", "write")}, {"read": ["vpmesh"], "write": ["vpmesh"]})

    def test_the_menu_names_pages_that_are_there(self):
        menu = json.loads((ROOT / "openwrt/luci-app-vpmesh/root/usr/share/luci/menu.d/luci-app-vpmesh.json").read_text())
        paths = [entry["action"]["path"] for entry in menu.values() if entry["action"]["type"] == "view"]
        views = ROOT / "openwrt/luci-app-vpmesh/htdocs/luci-static/resources/view"
        self.assertEqual(sorted(paths), sorted(f"vpmesh/{file.stem}" for file in (views / "vpmesh").iterdir()))

    def test_pages_have_no_way_to_make_text_html(self):
        pages = (ROOT / "openwrt/luci-app-vpmesh/htdocs").rglob("*.js")
        for page in pages:
            self.assertNotRegex(page.read_text(), r"innerHTML|outerHTML|insertAdjacentHTML|dom\.parse|E\('<", page)

    def test_the_template_has_every_text_of_the_pages(self):
        template = (ROOT / "openwrt/luci-app-vpmesh/po/templates/vpmesh.pot").read_text()
        for page in (ROOT / "openwrt/luci-app-vpmesh/htdocs").rglob("*.js"):
            for text in re.findall(r"_\('((?:[^'\\]|\\.)*)'\)", page.read_text()):
                wanted = json.dumps(text.replace("\\'", "'"), ensure_ascii=False)
                self.assertTrue(f"msgid {wanted}" in template, f"{wanted} of {page.name}: run `make luci-pot`")


if __name__ == "__main__":
    unittest.main()
